//! Which objects lists and watches may be asked for: field labels, and how the options go together
//! (`apimachinery/pkg/apis/meta/internalversion/validation`).

use super::{Target, cause, options};
use ravelin_api::{Cause, ListOptions, Status};

const MATCH: &str = "resourceVersionMatch";

/// The options with the kind's own names of fields.
///
/// # Errors
/// The text for a field by which the kind cannot be selected (the `AddFieldLabelConversionFunc`s of
/// `pkg/apis`).
pub(super) fn with_fields_of(target: &Target, options: ListOptions) -> Result<ListOptions, String> {
    let fields = selectable(target.resource.plural);
    for requirement in options.fields.requirements() {
        let field = requirement.field.as_str();
        match fields {
            Some(fields) if !fields.contains(&field) => {
                return Err(format!("field label not supported: {field}"));
            }
            None if !matches!(field, "metadata.name" | "metadata.namespace") => {
                return Err(format!(
                    "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                ));
            }
            _ => {}
        }
    }
    Ok(options)
}

/// Checks the options of a list.
///
/// # Errors
/// 422.
pub(super) fn check_list(asked: &ListOptions) -> Result<(), Status> {
    let mut causes = Vec::new();
    let matched = asked.resource_version_match.as_str();
    if !matched.is_empty() {
        if asked.resource_version.is_empty() {
            causes.push(forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"));
        }
        if !asked.continue_token.is_empty() {
            causes.push(forbidden("resourceVersionMatch is forbidden when continue is provided"));
        }
        if !matches!(matched, "Exact" | "NotOlderThan") {
            causes.push(unsupported(matched, "\"Exact\", \"NotOlderThan\", \"\""));
        }
        if matched == "Exact" && asked.resource_version == "0" {
            causes.push(forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
        }
    }
    if asked.initial_events.is_some() {
        let message = "Forbidden: sendInitialEvents is forbidden for list";
        causes.push(cause("FieldValueForbidden", "sendInitialEvents", message));
    }
    refuse(causes)
}

/// Checks the options of a watch.
///
/// # Errors
/// 422.
pub(super) fn check_watch(asked: &ListOptions) -> Result<(), Status> {
    let mut causes = Vec::new();
    let matched = asked.resource_version_match.as_str();
    if asked.initial_events.is_some() && matched != "NotOlderThan" {
        causes.push(forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
    }
    if !matched.is_empty() {
        if asked.initial_events.is_none() {
            causes.push(forbidden(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        if matched != "NotOlderThan" {
            causes.push(unsupported(matched, "\"NotOlderThan\""));
        }
        if !asked.continue_token.is_empty() {
            causes.push(forbidden("resourceVersionMatch is forbidden when continue is provided"));
        }
    }
    refuse(causes)
}

fn forbidden(why: &str) -> Cause {
    cause("FieldValueForbidden", MATCH, format!("Forbidden: {why}"))
}

fn unsupported(value: &str, supported: &str) -> Cause {
    let message = format!("Unsupported value: {value:?}: supported values: {supported}");
    cause("FieldValueNotSupported", MATCH, message)
}

fn refuse(causes: Vec<Cause>) -> Result<(), Status> {
    if causes.is_empty() { Ok(()) } else { Err(options::invalid("ListOptions", causes)) }
}

/// The fields of the kinds that say themselves by which they can be selected.
fn selectable(plural: &str) -> Option<&'static [&'static str]> {
    Some(match plural {
        "pods" => &[
            "metadata.name",
            "metadata.namespace",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "nodes" => &["metadata.name", "spec.unschedulable"],
        "secrets" => &["metadata.name", "metadata.namespace", "type"],
        "namespaces" => &["metadata.name", "status.phase"],
        "services" => &["metadata.name", "metadata.namespace", "spec.clusterIP", "spec.type"],
        "certificatesigningrequests" => &["metadata.name", "spec.signerName"],
        "events" => &[
            "metadata.name",
            "metadata.namespace",
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
        _ => return None,
    })
}
