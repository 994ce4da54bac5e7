//! Getting and listing objects.

use super::Target;
use crate::answer;
use crate::server::{Asked, Server};
use http::StatusCode;
use ravelin_api::{ListOptions, Status, object};
use ravelin_auth::Permit;
use ravelin_transport::Response;
use serde_json::{Value, json};

/// Answers with one object.
pub(super) fn get(server: &Server, _permit: &Permit, target: &Target) -> Result<Response, Status> {
    let found = server.store.get(&target.key());
    let found = found.ok_or_else(|| Status::not_found(target.group_resource(), &target.name))?;
    Ok(answer::object(StatusCode::OK, &found))
}

/// Answers with all objects that match.
pub(super) fn list(
    server: &Server,
    _permit: &Permit,
    asked: &Asked,
    target: &Target,
) -> Result<Response, Status> {
    let options = options(asked, target)?;
    let (found, revision) = server.store.list(&target.stored_as(), scope(target));
    let items: Vec<Value> =
        found.iter().filter(|item| matches(&options, target, item)).map(|item| without_kind(item)).collect();
    not_in_the_future(&options, revision)?;
    let list = json!({
        "kind": target.resource.list_kind(),
        "apiVersion": target.resource.api_version(),
        "metadata": {"resourceVersion": revision.to_string()},
        "items": items,
    });
    Ok(answer::object(StatusCode::OK, &list))
}

/// The namespace to look in; `None` for all.
pub(super) fn scope(target: &Target) -> Option<&str> {
    if target.resource.namespaced && target.namespace.is_empty() { None } else { Some(target.scope()) }
}

/// The options of a list, checked.
pub(super) fn options(asked: &Asked, target: &Target) -> Result<ListOptions, Status> {
    let options = ListOptions::parse(&asked.query).map_err(|bad| Status::bad_request(bad.0))?;
    for requirement in options.fields.requirements() {
        if !is_selectable(target.resource.plural, &requirement.field) {
            let resource = target.resource;
            return Err(Status::bad_request(format!(
                "Unable to find {:?} that match label selector {:?}, field selector {:?}: field label not supported: {}",
                format!("{}, Resource={}", resource.api_version(), resource.plural),
                asked.info.label_selector,
                asked.info.field_selector,
                requirement.field,
            )));
        }
    }
    if !options.continue_token.is_empty() {
        return Err(Status::bad_request("continue key is not valid: this server never gives one out"));
    }
    Ok(options)
}

/// Does an object match the selectors, and the name where the path has one?
pub(super) fn matches(options: &ListOptions, target: &Target, item: &Value) -> bool {
    (target.name.is_empty() || object::name(item) == target.name)
        && options.fields.matches(item)
        && options.labels.matches(&object::labels(item))
}

/// Items of lists bear no kind of their own.
fn without_kind(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(members) = item.as_object_mut() {
        members.remove("kind");
        members.remove("apiVersion");
    }
    item
}

fn not_in_the_future(options: &ListOptions, revision: u64) -> Result<(), Status> {
    let asked = options.resource_version.as_str();
    if asked.is_empty() {
        return Ok(());
    }
    let Ok(asked) = asked.parse::<u64>() else {
        return Err(Status::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: {asked:?}: strconv.ParseUint: parsing {asked:?}: invalid syntax"
        )));
    };
    if asked <= revision {
        return Ok(());
    }
    let mut status = Status::timeout(&format!("Too large resource version: {asked}, current: {revision}"), 1);
    if let Some(details) = &mut status.details {
        details.causes.push(super::cause("ResourceVersionTooLarge", "", "Too large resource version"));
    }
    Err(status)
}

/// The fields by which a resource can be selected (the `AddFieldLabelConversionFunc`s of
/// `pkg/apis`).
fn is_selectable(plural: &str, field: &str) -> bool {
    if matches!(field, "metadata.name" | "metadata.namespace") {
        return true;
    }
    let fields: &[&str] = match plural {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "nodes" => &["spec.unschedulable"],
        "secrets" => &["type"],
        "namespaces" => &["status.phase"],
        "services" => &["spec.clusterIP", "spec.type"],
        "certificatesigningrequests" => &["spec.signerName"],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        _ => &[],
    };
    fields.contains(&field)
}
