//! What the server adds to objects, keeps from being changed, and refuses, kind by kind (the
//! `strategy.go` of each kind in `pkg/registry`).

use super::{
    Target, cause, csr, data, escalation, metadata, namespaces, pods, roles, service_rules, services,
};
use crate::admit::Change;
use crate::server::Server;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_api::object::{self, metadata_mut};
use ravelin_api::{Cause, Status};
use serde_json::{Value, json};
use std::net::IpAddr;

const RBAC: &str = "rbac.authorization.k8s.io";

/// Completes and checks a new object.
pub(super) fn prepare_create(server: &Server, change: &Change<'_>, new: &mut Value) -> Result<(), Status> {
    let target = change.target;
    match target.stored_as().as_str() {
        "pods" => pods::complete(new),
        "namespaces" => namespaces::complete(new, &target.name),
        "persistentvolumes" | "persistentvolumeclaims" => new["status"] = json!({"phase": "Pending"}),
        "volumeattachments.storage.k8s.io" => new["status"] = json!({"attached": false}),
        "services" => services::complete(new),
        "secrets" => complete_secret(new),
        "certificatesigningrequests.certificates.k8s.io" => csr::prepare_create(server, change, new)?,
        _ => {}
    }
    if target.resource.group == RBAC {
        roles::complete(new);
        escalation::check(server, change, (new, None))?;
    }
    check(target, (new, false))
}

/// Metadata that no caller changes.
pub(super) fn keep_what_the_server_owns(new: &mut Value, present: &Value) {
    let metadata = metadata_mut(new);
    metadata.remove("selfLink");
    for field in ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        match object::at(present, "metadata").and_then(|old| old.get(field)) {
            Some(old) => metadata.insert(field.into(), old.clone()),
            None => metadata.remove(field),
        };
    }
}

/// Completes and checks a changed object.
pub(super) fn prepare_update(
    server: &Server,
    change: &Change<'_>,
    new: &mut Value,
    present: &Value,
) -> Result<(), Status> {
    let target = change.target;
    match change.subresource {
        "status" if target.resource.plural == "certificatesigningrequests" => {
            return csr::prepare_status(server, change, new, present);
        }
        // A binding sets what nobody else may set; it was checked where it was made.
        "binding" => return Ok(()),
        "finalize" => {
            let finalizers = object::at(new, "spec.finalizers").cloned().unwrap_or_else(|| json!([]));
            *new = present.clone();
            object::section_mut(new, "spec").insert("finalizers".into(), finalizers);
            return refuse(target, metadata::finalizer_causes(new, "spec.finalizers"));
        }
        "approval" => return csr::prepare_approval(server, change, new, present),
        "status" => {
            keep_all_but_status(target, new, present);
            return refuse(target, metadata_causes(target, new, true));
        }
        _ => {}
    }
    if target.resource.subresources.contains(&"status") {
        set(new, "status", present.get("status").cloned());
    }
    match target.resource.plural {
        "pods" => pods::check_update(target, new, present)?,
        "services" => services::check_update(target, new, present)?,
        "nodes" => refuse(target, node_causes(new, present))?,
        "certificatesigningrequests" => set(new, "spec", present.get("spec").cloned()),
        "namespaces" => {
            let finalizers = object::at(present, "spec.finalizers").cloned().unwrap_or_else(|| json!([]));
            object::section_mut(new, "spec").insert("finalizers".into(), finalizers);
            namespaces::label(new, &target.name);
        }
        "secrets" => {
            complete_secret(new);
            if new.get("type") != present.get("type") {
                let shown = new.get("type").unwrap_or(&Value::Null);
                let message = format!("Invalid value: {shown}: field is immutable");
                return Err(target.invalid(vec![cause("FieldValueInvalid", "type", message)]));
            }
        }
        "roles" | "clusterroles" => escalation::check(server, change, (new, Some(present)))?,
        "rolebindings" | "clusterrolebindings" => {
            roles::complete(new);
            escalation::check(server, change, (new, Some(present)))?;
            roles::check_update(target, new, present)?;
        }
        _ => {}
    }
    if matches!(target.resource.plural, "configmaps" | "secrets") {
        let causes = frozen_causes(new, present);
        if !causes.is_empty() {
            return Err(target.invalid(causes));
        }
    }
    check(target, (new, true))
}

/// Through the status nothing is changed but the status, and metadata: of pods not the owners, which
/// old kubelets spoiled (`podStatusStrategy`).
fn keep_all_but_status(target: &Target, new: &mut Value, present: &Value) {
    let (status, mut metadata) =
        (new.get("status").cloned(), new.get("metadata").cloned().unwrap_or_default());
    *new = present.clone();
    set(new, "status", status);
    if target.resource.plural == "pods" {
        let owners = object::at(present, "metadata.ownerReferences").cloned();
        set(&mut metadata, "ownerReferences", owners);
    }
    new["metadata"] = metadata;
}

/// Is nothing left to wait for before this object that is being deleted may go?
pub(super) fn is_finished(object: &Value) -> bool {
    let grace = object::at(object, "metadata.deletionGracePeriodSeconds").and_then(Value::as_i64);
    object::is_terminating(object)
        && grace.unwrap_or(0) == 0
        && object::list(object, "metadata.finalizers").is_empty()
        && (object::kind(object) != "Namespace" || namespaces::is_empty(object))
}

fn set(object: &mut Value, member: &str, value: Option<Value>) {
    match value {
        Some(value) => object[member] = value,
        None => {
            if let Some(members) = object.as_object_mut() {
                members.remove(member);
            }
        }
    }
}

/// What was declared immutable stays so, and as it is (`ValidateConfigMapUpdate`, `ValidateSecretUpdate`).
fn frozen_causes(new: &Value, present: &Value) -> Vec<Cause> {
    if object::flag(present, "immutable") != Some(true) {
        return Vec::new();
    }
    let thawed = object::flag(new, "immutable") != Some(true);
    let changed = |field: &str| new.get(field) != present.get(field);
    let faults = [("immutable", thawed), ("data", changed("data")), ("binaryData", changed("binaryData"))];
    faults
        .into_iter()
        .filter(|(_, faulty)| *faulty)
        .map(|(field, _)| {
            let message = "Forbidden: field is immutable when `immutable` is set";
            cause("FieldValueForbidden", field, message)
        })
        .collect()
}

fn complete_secret(secret: &mut Value) {
    if object::text(secret, "type").is_empty() {
        secret["type"] = json!("Opaque");
    }
    let Some(plain) = secret.as_object_mut().and_then(|members| members.remove("stringData")) else { return };
    let encoded: Vec<(String, Value)> = object::strings(Some(&plain))
        .into_iter()
        .map(|(name, text)| (name.to_owned(), json!(STANDARD.encode(text))))
        .collect();
    object::section_mut(secret, "data").extend(encoded);
}

fn check(target: &Target, (new, is_update): (&Value, bool)) -> Result<(), Status> {
    let mut causes = metadata_causes(target, new, is_update);
    causes.extend(match target.resource.plural {
        "configmaps" | "secrets" => data::causes(new),
        "leases" => lease_causes(new),
        "endpointslices" => address_causes(new, "endpoints", "addresses"),
        "endpoints" => subset_causes(new),
        "pods" => pods::causes(new),
        "services" => service_rules::causes(new),
        _ if target.resource.group == RBAC => roles::causes(target, new),
        _ => Vec::new(),
    });
    refuse(target, causes)
}

/// What is wrong with the metadata; on updates both Kubernetes' generic code and each kind's say so.
fn metadata_causes(target: &Target, new: &Value, is_update: bool) -> Vec<Cause> {
    let causes = metadata::causes(target, new);
    if is_update { causes.iter().chain(&causes).cloned().collect() } else { causes }
}

fn refuse(target: &Target, causes: Vec<Cause>) -> Result<(), Status> {
    if causes.is_empty() { Ok(()) } else { Err(target.invalid(causes)) }
}

/// What of a node is set once (`ValidateNodeUpdate`).
fn node_causes(new: &Value, present: &Value) -> Vec<Cause> {
    let text = |of: &Value, field: &str| object::text(of, &format!("spec.{field}")).to_owned();
    let faults = [("podCIDR", "podCIDRs", "podCIDR"), ("providerID", "providerID", "providerID")];
    faults
        .into_iter()
        .filter(|(field, ..)| {
            let before = text(present, field);
            !before.is_empty() && before != text(new, field)
        })
        .map(|(_, named, what)| {
            let message = format!("Forbidden: node updates may not change {what} except from \"\" to valid");
            cause("FieldValueForbidden", &format!("spec.{named}"), message)
        })
        .collect()
}

/// `ValidateLeaseSpec`, in part.
fn lease_causes(lease: &Value) -> Vec<Cause> {
    let number = |field: &str| object::at(lease, field).and_then(Value::as_i64);
    let bounds = [
        ("spec.leaseDurationSeconds", 1, "must be greater than 0"),
        ("spec.leaseTransitions", 0, "must be greater than or equal to 0"),
    ];
    bounds
        .into_iter()
        .filter_map(|(field, least, why)| {
            let given = number(field).filter(|given| *given < least)?;
            Some(cause("FieldValueInvalid", field, format!("Invalid value: {given}: {why}")))
        })
        .collect()
}

/// Endpoints may not point at the server itself or its link (`ValidateNonSpecialIP`).
fn address_causes(slice: &Value, list: &str, addresses: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, endpoint) in object::list(slice, list).iter().enumerate() {
        for (j, address) in object::texts(endpoint, addresses).into_iter().enumerate() {
            if let Some(why) = special(address) {
                let message = format!("Invalid value: {address:?}: {why}");
                causes.push(cause("FieldValueInvalid", &format!("{list}[{i}].{addresses}[{j}]"), message));
            }
        }
    }
    causes
}

fn subset_causes(endpoints: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, subset) in object::list(endpoints, "subsets").iter().enumerate() {
        for list in ["addresses", "notReadyAddresses"] {
            for (j, entry) in object::list(subset, list).iter().enumerate() {
                let ip = object::text(entry, "ip");
                if let Some(why) = special(ip) {
                    let field = format!("subsets[{i}].{list}[{j}].ip");
                    causes.push(cause("FieldValueInvalid", &field, format!("Invalid value: {ip:?}: {why}")));
                }
            }
        }
    }
    causes
}

fn special(address: &str) -> Option<&'static str> {
    let Ok(ip) = address.parse::<IpAddr>() else { return Some("must be a valid IP address") };
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.segments()[0] == 0xff02,
    };
    if ip.is_unspecified() {
        Some("may not be unspecified (0.0.0.0 or ::)")
    } else if ip.to_canonical().is_loopback() {
        Some("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    } else if link_local {
        Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    } else {
        None
    }
}
