//! Questions to the server: whose token is this, who may do what, who am I.

use super::{Target, body, cause};
use crate::answer;
use crate::server::{Asked, Server};
use http::StatusCode;
use ravelin_api::{Cause, GroupResource, Resource, Status, object};
use ravelin_auth::{Attributes, Decision, Lookup, Permit, UserInfo};
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Answers a review.
pub(super) async fn serve(
    server: &Server,
    permit: &Permit,
    mut asked: Asked,
    resource: &'static Resource,
) -> Result<Response, Status> {
    if asked.info.parts.len() > 1 {
        return Err(Status::no_such_resource());
    }
    if asked.info.verb != "create" || resource.namespaced == asked.info.namespace.is_empty() {
        return Err(Status::method_not_allowed());
    }
    let target = Target { resource, namespace: asked.info.namespace.clone(), name: String::new() };
    let mut review = body::object(&mut asked, &target).await?;
    let status = match resource.kind {
        "TokenReview" => token(server, &review)?,
        "SelfSubjectReview" => json!({"userInfo": user_object(permit.user())}),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let user = subject(&review, resource)?;
            access(server, user, (&review, &target))?
        }
        "SelfSubjectAccessReview" => access(server, permit.user().clone(), (&review, &target))?,
        "SelfSubjectRulesReview" => rules(&review)?,
        _ => return Err(Status::no_such_resource()),
    };
    object::metadata_mut(&mut review);
    review["status"] = status;
    Ok(answer::object(StatusCode::CREATED, &review))
}

fn user_object(user: &UserInfo) -> Value {
    let mut described = json!({"username": user.name});
    if !user.uid.is_empty() {
        described["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        described["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        described["extra"] = json!(user.extra);
    }
    described
}

fn token(server: &Server, review: &Value) -> Result<Value, Status> {
    let token = object::text(review, "spec.token");
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let wanted: Vec<String> =
        object::texts(review, "spec.audiences").into_iter().map(str::to_owned).collect();
    let objects: &dyn Lookup = server.store.as_ref();
    Ok(match server.tokens.authenticate(token, &wanted, (server.host.now(), objects)) {
        Ok(good) => {
            json!({"authenticated": true, "user": user_object(&good.user), "audiences": good.audiences})
        }
        Err(refused) => json!({"user": {}, "error": refused.to_string()}),
    })
}

fn subject(review: &Value, resource: &Resource) -> Result<UserInfo, Status> {
    let spec = review.get("spec").cloned().unwrap_or_default();
    let groups: Vec<String> = object::texts(&spec, "groups").into_iter().map(str::to_owned).collect();
    let name = object::text(&spec, "user").to_owned();
    if name.is_empty() && groups.is_empty() {
        let message = "Invalid value: \"\": at least one of user or group must be specified";
        return Err(invalid(resource, cause("FieldValueInvalid", "spec.user", message)));
    }
    let extra = spec.get("extra").and_then(Value::as_object).into_iter().flatten();
    let extra: BTreeMap<String, Vec<String>> = extra
        .map(|(key, values)| {
            let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
            (key.to_ascii_lowercase(), values.map(str::to_owned).collect())
        })
        .collect();
    Ok(UserInfo { name, uid: object::text(&spec, "uid").to_owned(), groups, extra })
}

fn invalid(resource: &Resource, cause: Cause) -> Status {
    // Upstream validates the internal kind, whose name is lost here.
    Status::invalid(GroupResource { group: resource.group, resource: "" }, "", vec![cause])
}

fn access(server: &Server, user: UserInfo, (review, target): (&Value, &Target)) -> Result<Value, Status> {
    let given = |field: &str| {
        let at = object::at(review, field);
        at.filter(|value| value.is_object()).cloned()
    };
    let on_resource = given("spec.resourceAttributes");
    let on_path = given("spec.nonResourceAttributes");
    let attributes = match (on_resource, on_path) {
        (Some(_), Some(path)) => {
            let shown = json!({"Path": object::text(&path, "path"), "Verb": object::text(&path, "verb")});
            let message =
                format!("Invalid value: {shown}: cannot be specified in combination with resourceAttributes");
            return Err(invalid(
                target.resource,
                cause("FieldValueInvalid", "spec.nonResourceAttributes", message),
            ));
        }
        (None, None) => {
            let message = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified";
            return Err(invalid(
                target.resource,
                cause("FieldValueInvalid", "spec.resourceAttributes", message),
            ));
        }
        (Some(resource), None) => resource_attributes(user, &resource, target)?,
        (None, Some(path)) => Attributes {
            user,
            verb: object::text(&path, "verb").to_owned(),
            path: object::text(&path, "path").to_owned(),
            ..Attributes::default()
        },
    };
    let decision = server.authorization.decide(server, &attributes);
    let mut status = json!({"allowed": decision.is_allowed()});
    if matches!(decision, Decision::Deny(_)) {
        status["denied"] = json!(true);
    }
    if !decision.reason().is_empty() {
        status["reason"] = json!(decision.reason());
    }
    Ok(status)
}

fn resource_attributes(user: UserInfo, given: &Value, target: &Target) -> Result<Attributes, Status> {
    let text = |field: &str| object::text(given, field).to_owned();
    let namespace = text("namespace");
    if target.resource.namespaced && namespace != target.namespace {
        let message = format!("Invalid value: {namespace:?}: must match metadata.namespace");
        let cause = cause("FieldValueInvalid", "spec.resourceAttributes.namespace", message);
        return Err(invalid(target.resource, cause));
    }
    Ok(Attributes {
        user,
        verb: text("verb"),
        namespace,
        group: text("group"),
        version: text("version"),
        resource: text("resource"),
        subresource: text("subresource"),
        name: text("name"),
        resource_request: true,
        ..Attributes::default()
    })
}

/// The rules of a user are not gathered here; the answer says so, as it may.
fn rules(review: &Value) -> Result<Value, Status> {
    if object::text(review, "spec.namespace").is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    Ok(json!({
        "resourceRules": [],
        "nonResourceRules": [],
        "incomplete": true,
        "evaluationError": "this server does not list rules",
    }))
}
