//! Questions to the server: who may do what (`pkg/registry/authorization`). Whose a token is, and
//! who am I, is in `identity_reviews`.

use super::{Target, body, cause, identity_reviews, write};
use crate::answer;
use crate::server::{Asked, Server};
use http::StatusCode;
use ravelin_api::{Cause, FieldSelector, GroupResource, LabelSelector, Resource, Status, names, object};
use ravelin_auth::{Attributes, Decision, Permit, UserInfo};
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ON_RESOURCE: &str = "spec.resourceAttributes";
const ON_PATH: &str = "spec.nonResourceAttributes";

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
    write::same_namespace(&mut review, &target)?;
    if resource.namespaced {
        object::metadata_mut(&mut review).insert("namespace".into(), json!(target.namespace));
    }
    let status = match resource.kind {
        "TokenReview" | "SelfSubjectReview" => {
            return identity_reviews::answer(server, permit.user(), review);
        }
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            check(&review, resource)?;
            access(server, subject(&review), &review)
        }
        "SelfSubjectAccessReview" => {
            check(&review, resource)?;
            access(server, permit.user().clone(), &review)
        }
        "SelfSubjectRulesReview" => {
            let namespace = object::text(&review, "spec.namespace").to_owned();
            // The answer repeats nothing of the question.
            review["spec"] = json!({});
            review["metadata"] = json!({});
            rules(server, permit.user(), &namespace)?
        }
        _ => return Err(Status::no_such_resource()),
    };
    object::metadata_mut(&mut review);
    review["status"] = status;
    Ok(answer::object(StatusCode::CREATED, &review))
}

/// Whom a review asks about.
fn subject(review: &Value) -> UserInfo {
    let text = |field: &str| object::text(review, &format!("spec.{field}")).to_owned();
    let groups = object::texts(review, "spec.groups").into_iter().map(str::to_owned).collect();
    let extra = object::at(review, "spec.extra").and_then(Value::as_object).into_iter().flatten();
    let extra: BTreeMap<String, Vec<String>> = extra
        .map(|(key, values)| {
            let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
            (key.clone(), values.map(str::to_owned).collect())
        })
        .collect();
    UserInfo { name: text("user"), uid: text("uid"), groups, extra }
}

/// Refuses a review that asks for nothing, too much, or about nobody
/// (`pkg/apis/authorization/validation/validation.go`).
fn check(review: &Value, resource: &Resource) -> Result<(), Status> {
    let given = |field: &str| object::at(review, field).filter(|value| value.is_object());
    let (on_resource, on_path) = (given(ON_RESOURCE), given(ON_PATH));
    let shown_path = on_path.map(|path| {
        let text = |field: &str| json!(object::text(path, field));
        format!("{{\"Path\":{},\"Verb\":{}}}", text("path"), text("verb"))
    });
    let mut causes = Vec::new();
    match (on_resource, &shown_path) {
        (Some(_), Some(path)) => {
            causes.push(invalid(ON_PATH, path, "cannot be specified in combination with resourceAttributes"));
        }
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            causes.push(invalid(ON_RESOURCE, "null", why));
        }
        _ => {}
    }
    let names_subject = resource.kind != "SelfSubjectAccessReview";
    if names_subject
        && object::text(review, "spec.user").is_empty()
        && object::list(review, "spec.groups").is_empty()
    {
        causes.push(invalid("spec.user", "\"\"", "at least one of user or group must be specified"));
    }
    if let Some(attributes) = on_resource {
        for selector in ["fieldSelector", "labelSelector"] {
            causes.extend(selector_causes(attributes, selector));
        }
    }
    let mut metadata = review.get("metadata").cloned().unwrap_or_default();
    if let Some(members) = metadata.as_object_mut() {
        members.remove("managedFields");
        let namespace = if resource.namespaced { members.remove("namespace") } else { None };
        if !members.is_empty() {
            let why =
                if namespace.is_some() { "must be empty except for namespace" } else { "must be empty" };
            members.extend(namespace.map(|namespace| ("namespace".to_owned(), namespace)));
            causes.push(invalid("metadata", &metadata.to_string(), why));
        }
    }
    if resource.namespaced {
        let about = on_resource.map(|attributes| object::text(attributes, "namespace"));
        if let Some(about) = about.filter(|about| *about != object::namespace(review)) {
            let field = "spec.resourceAttributes.namespace";
            causes.push(invalid(field, &format!("{about:?}"), "must match metadata.namespace"));
        }
        if let Some(path) = &shown_path {
            causes.push(invalid(ON_PATH, path, "disallowed on this kind of request"));
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    // Upstream validates the internal kind, whose name is lost here.
    Err(Status::invalid(GroupResource { group: resource.group, resource: "" }, "", causes))
}

fn selector_causes(attributes: &Value, name: &str) -> Vec<Cause> {
    let Some(selector) = attributes.get(name).filter(|selector| selector.is_object()) else {
        return Vec::new();
    };
    let path = format!("{ON_RESOURCE}.{name}");
    let raw = object::text(selector, "rawSelector");
    let requirements = object::list(selector, "requirements");
    let mut causes = Vec::new();
    if !raw.is_empty() && !requirements.is_empty() {
        let why = "may not specified at the same time as requirements";
        causes.push(invalid(&format!("{path}.rawSelector"), &format!("{raw:?}"), why));
    }
    if raw.is_empty() && requirements.is_empty() {
        let message =
            format!("Required value: when {path} is specified, requirements or rawSelector is required");
        causes.push(cause("FieldValueRequired", &format!("{path}.requirements"), message));
    }
    for (i, requirement) in requirements.iter().enumerate() {
        causes.extend(requirement_causes(requirement, &format!("{path}.requirements[{i}]"), name));
    }
    causes
}

/// What is wrong with one requirement of a selector. An operator that is not known may be a newer one
/// (`ValidateFieldSelectorRequirement`, `ValidateLabelSelectorRequirement`).
fn requirement_causes(requirement: &Value, path: &str, selector: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (key, values) = (object::text(requirement, "key"), object::texts(requirement, "values"));
    let of_fields = selector == "fieldSelector";
    if of_fields && key.is_empty() {
        let message = "Required value: must be specified";
        causes.push(cause("FieldValueRequired", &format!("{path}.key"), message));
    }
    match object::text(requirement, "operator") {
        "In" | "NotIn" if values.is_empty() => {
            let message = "Required value: must be specified when `operator` is 'In' or 'NotIn'";
            causes.push(cause("FieldValueRequired", &format!("{path}.values"), message));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let message = "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            causes.push(cause("FieldValueForbidden", &format!("{path}.values"), message));
        }
        _ => {}
    }
    if of_fields {
        return causes;
    }
    let faults = names::qualified(key).into_iter();
    causes.extend(faults.map(|why| invalid(&format!("{path}.key"), &format!("{key:?}"), &why)));
    for (i, value) in values.into_iter().enumerate() {
        let faults = names::label_value(value).into_iter();
        let field = format!("{path}.values[{i}]");
        causes.extend(faults.map(|why| invalid(&field, &format!("{value:?}"), &why)));
    }
    causes
}

fn invalid(field: &str, value: &str, why: &str) -> Cause {
    cause("FieldValueInvalid", field, format!("Invalid value: {value}: {why}"))
}

fn access(server: &Server, user: UserInfo, review: &Value) -> Value {
    let mut errors = Vec::new();
    let on_resource = object::at(review, ON_RESOURCE).filter(|value| value.is_object());
    let attributes = match on_resource {
        Some(given) => resource_attributes(user, given, &mut errors),
        None => Attributes {
            user,
            verb: object::text(review, "spec.nonResourceAttributes.verb").to_owned(),
            path: object::text(review, "spec.nonResourceAttributes.path").to_owned(),
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
    if !errors.is_empty() {
        status["evaluationError"] = json!(errors.join("; "));
    }
    status
}

fn resource_attributes(user: UserInfo, given: &Value, errors: &mut Vec<String>) -> Attributes {
    let text = |field: &str| object::text(given, field).to_owned();
    let (fields, field_errors) = fields(given);
    if field_errors {
        let partially = if fields.is_empty() { "" } else { "partially " };
        errors.push(format!("{ON_RESOURCE}.fieldSelector {partially}ignored due to parse error"));
    }
    if let Some(partially) = unread_labels(given) {
        errors.push(format!("{ON_RESOURCE}.labelSelector {partially}ignored due to parse error"));
    }
    Attributes {
        user,
        verb: text("verb"),
        namespace: text("namespace"),
        group: text("group"),
        version: text("version"),
        resource: text("resource"),
        subresource: text("subresource"),
        name: text("name"),
        resource_request: true,
        fields,
        ..Attributes::default()
    }
}

/// Whether something of the label selector is not understood, at which no authorizer here looks anyway:
/// `partially ` where something is.
fn unread_labels(given: &Value) -> Option<&'static str> {
    let requirements = object::list(given, "labelSelector.requirements");
    if requirements.is_empty() {
        return LabelSelector::parse(object::text(given, "labelSelector.rawSelector")).err().map(|_| "");
    }
    let known = |requirement: &&Value| {
        matches!(object::text(requirement, "operator"), "In" | "NotIn" | "Exists" | "DoesNotExist")
    };
    let understood = requirements.iter().filter(known).count();
    (understood < requirements.len()).then_some(if understood == 0 { "" } else { "partially " })
}

/// What of the field selector is understood, and whether something of it is not
/// (`pkg/registry/authorization/util/helpers.go`). What is not narrows nothing.
fn fields(given: &Value) -> (FieldSelector, bool) {
    let raw = object::text(given, "fieldSelector.rawSelector");
    let requirements = object::list(given, "fieldSelector.requirements");
    if requirements.is_empty() {
        let parsed = FieldSelector::parse(raw);
        return (parsed.clone().unwrap_or_default(), parsed.is_err());
    }
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
    let terms: Vec<Option<String>> = requirements
        .iter()
        .map(|requirement| {
            let operator = match object::text(requirement, "operator") {
                "In" => "=",
                "NotIn" => "!=",
                _ => return None,
            };
            let [value] = object::texts(requirement, "values")[..] else { return None };
            Some(format!("{}{operator}{}", object::text(requirement, "key"), escaped(value)))
        })
        .collect();
    let known: Vec<&str> = terms.iter().flatten().map(String::as_str).collect();
    let parsed = FieldSelector::parse(&known.join(","));
    let faulty = parsed.is_err() || terms.iter().any(Option::is_none);
    (parsed.unwrap_or_default(), faulty)
}

fn together(errors: &[String]) -> Option<String> {
    match errors {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// What a user may do in a namespace, rule by rule
/// (`pkg/registry/authorization/selfsubjectrulesreview/rest.go`).
fn rules(server: &Server, user: &UserInfo, namespace: &str) -> Result<Value, Status> {
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let found = server.authorization.rules_for(user, namespace);
    let (mut on_resources, mut on_paths) = (Vec::new(), Vec::new());
    for rule in &found.rules {
        if !rule.resources.is_empty() {
            let mut described = json!({"verbs": rule.verbs});
            for (name, texts) in
                [("apiGroups", &rule.groups), ("resources", &rule.resources), ("resourceNames", &rule.names)]
            {
                if !texts.is_empty() {
                    described[name] = json!(texts);
                }
            }
            on_resources.push(described);
        }
        if !rule.urls.is_empty() {
            on_paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
        }
    }
    let mut status = json!({
        "resourceRules": on_resources,
        "nonResourceRules": on_paths,
        "incomplete": found.incomplete,
    });
    if let Some(error) = together(&found.errors) {
        status["evaluationError"] = json!(error);
    }
    Ok(status)
}
