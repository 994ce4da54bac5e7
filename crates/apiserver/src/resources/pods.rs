//! What is particular to pods: their defaults, what of them may change, binding them to a node.

use super::name::{LABEL, is_label};
use super::write::{Writing, created};
use super::{Target, body, cause, delete, qos};
use crate::admit::{self, Change, Operation};
use crate::server::{Asked, Server};
use ravelin_api::object::{self, section_mut};
use ravelin_api::{Cause, GroupResource, Status, time};
use ravelin_auth::Permit;
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Fills in what a new pod leaves open (`SetDefaults_PodSpec`), and its first status.
pub(super) fn complete(pod: &mut Value) {
    let spec = section_mut(pod, "spec");
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("enableServiceLinks", json!(true)),
        ("securityContext", json!({})),
    ] {
        spec.entry(field).or_insert(value);
    }
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            complete_container(container);
        }
    }
    pod["status"] = json!({"phase": "Pending", "qosClass": qos::class(pod)});
}

fn complete_container(container: &mut Value) {
    qos::complete(container);
    let Some(container) = container.as_object_mut() else { return };
    container.entry("imagePullPolicy").or_insert_with(|| json!("IfNotPresent"));
    container.entry("resources").or_insert_with(|| json!({}));
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            port.entry("protocol").or_insert_with(|| json!("TCP"));
        }
    }
}

/// A pod needs containers with names that paths can hold (`ValidatePodSpec`, in part).
pub(super) fn causes(pod: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if object::list(pod, "spec.containers").is_empty() {
        causes.push(cause("FieldValueRequired", "spec.containers", "Required value"));
    }
    let mut names = BTreeSet::new();
    for list in ["containers", "initContainers"] {
        for (i, container) in object::list(pod, &format!("spec.{list}")).iter().enumerate() {
            let name = object::text(container, "name");
            let field = format!("spec.{list}[{i}].name");
            if name.is_empty() {
                causes.push(cause("FieldValueRequired", &field, "Required value"));
            } else if !is_label(name) {
                let message = format!("Invalid value: {name:?}: {LABEL}");
                causes.push(cause("FieldValueInvalid", &field, message));
            } else if !names.insert(name) {
                causes.push(cause("FieldValueDuplicate", &field, format!("Duplicate value: {name:?}")));
            }
            causes.extend(port_causes(container, &format!("spec.{list}[{i}]")));
        }
    }
    causes
}

/// Ports are numbers from 1 to 65535; a host's port may be left out.
fn port_causes(container: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, port) in object::list(container, "ports").iter().enumerate() {
        let number = |name: &str| port.get(name).and_then(Value::as_i64).unwrap_or(0);
        let (inside, outside) = (number("containerPort"), number("hostPort"));
        if inside == 0 {
            let field = format!("{path}.ports[{i}].containerPort");
            causes.push(cause("FieldValueRequired", &field, "Required value"));
        }
        for (name, number) in [("containerPort", inside), ("hostPort", outside)] {
            if number != 0 && !(1..=65_535).contains(&number) {
                let message = format!("Invalid value: {number}: must be between 1 and 65535, inclusive");
                causes.push(cause("FieldValueInvalid", &format!("{path}.ports[{i}].{name}"), message));
            }
        }
    }
    causes
}

/// Of a pod's spec little may change (`ValidatePodUpdate`).
pub(super) fn check_update(target: &Target, new: &Value, present: &Value) -> Result<(), Status> {
    if comparable(new, present) == present["spec"] {
        return Ok(());
    }
    Err(target.invalid(vec![cause(
        "FieldValueForbidden",
        "spec",
        "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    )]))
}

/// The new spec with what may change taken from the present one.
fn comparable(new: &Value, present: &Value) -> Value {
    let mut spec = new.get("spec").cloned().unwrap_or_default();
    let old = &present["spec"];
    for field in ["activeDeadlineSeconds", "tolerations"] {
        match (spec.as_object_mut(), old.get(field)) {
            (Some(members), Some(value)) => drop(members.insert(field.to_owned(), value.clone())),
            (Some(members), None) => drop(members.remove(field)),
            (None, _) => {}
        }
    }
    for list in ["containers", "initContainers"] {
        let olds = object::list(old, list);
        let news = spec.get_mut(list).and_then(Value::as_array_mut);
        for (new, old) in news.into_iter().flatten().zip(olds) {
            if let Some(image) = old.get("image") {
                new["image"] = image.clone();
            }
        }
    }
    spec
}

/// Binds a pod to the node that the body names.
pub(super) async fn bind(
    server: &Server,
    permit: &Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let given = body::read(&mut asked, ("v1", "Binding"), "CreateOptions").await?;
    let binding = given.object;
    admit::namespace_is_open(server, &target)?;
    let node = object::text(&binding, "target.name").to_owned();
    let kind = object::text(&binding, "target.kind");
    if node.is_empty() || !matches!(kind, "" | "Node") {
        let kind = GroupResource { group: "", resource: "Binding" };
        let cause = cause("FieldValueRequired", "target.name", "Required value");
        return Err(Status::invalid(kind, &target.name, vec![cause]));
    }
    let now = time::format(server.host.now());
    let writing = Writing::new(server, permit, (&target, "binding"), given.options.dry_run);
    writing.replace(|present| {
        let uid = object::uid(&binding);
        if !uid.is_empty() && uid != object::uid(present) {
            return Err(conflict(&target, "the pod's UID is another one"));
        }
        if object::is_terminating(present) {
            return Err(conflict(
                &target,
                &format!("pod {} is being deleted, cannot be assigned to a host", target.name),
            ));
        }
        let assigned = object::text(present, "spec.nodeName");
        if !assigned.is_empty() {
            let why = format!("pod {} is already assigned to node {assigned:?}", target.name);
            return Err(conflict(&target, &why));
        }
        Ok(bound(present, &node, &now))
    })?;
    Ok(created())
}

/// Evicts a pod: deletes it, where nothing speaks against it. Nobody keeps disruption budgets here
/// (`pkg/registry/core/pod/storage/eviction.go`).
pub(super) async fn evict(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let given = body::read(&mut asked, ("policy/v1", "Eviction"), "CreateOptions").await?;
    let mut eviction = given.object.clone();
    if object::name(&eviction) != target.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let change = Change {
        user: permit.user(),
        target: &target,
        subresource: "eviction",
        operation: Operation::Create,
    };
    admit::namespace_is_open(server, &target)?;
    admit::before_create(server, &change, &mut eviction)?;
    let mut asked_for = eviction.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
    if given.options.dry_run {
        asked_for["dryRun"] = json!(["All"]);
    }
    let options = delete::Options::of_value(&asked_for)?;
    delete::Deletion { server, permit: &permit, options: &options }.evict(&target)?;
    Ok(given.warn(created()))
}

fn conflict(target: &Target, why: &str) -> Status {
    Status::conflict(GroupResource { group: "", resource: "pods/binding" }, &target.name, why)
}

fn bound(pod: &Value, node: &str, now: &str) -> Value {
    let mut pod = pod.clone();
    section_mut(&mut pod, "spec").insert("nodeName".into(), json!(node));
    let scheduled =
        json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let status = section_mut(&mut pod, "status");
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    if let Some(conditions) = conditions.as_array_mut() {
        conditions.retain(|condition| object::text(condition, "type") != "PodScheduled");
        conditions.push(scheduled);
    }
    pod
}
