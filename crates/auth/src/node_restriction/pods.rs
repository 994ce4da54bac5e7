//! What a node may do to pods: make and delete mirror pods of its own, report and evict its own.

use super::{Operation, Write, replaced, runs_on, written};
use crate::{Lookup, node};
use ravelin_api::{Status, object};
use serde_json::Value;

pub(super) fn admit(node: &str, write: &Write<'_>, objects: &dyn Lookup) -> Result<(), Status> {
    match write.operation {
        Operation::Create => admit_mirror_pod(node, write, objects),
        Operation::Delete => {
            let pod = objects.core("pods", write.namespace, write.name);
            let pod = pod.ok_or_else(|| Status::not_found(write.resource, write.name))?;
            if runs_on(&pod, node) {
                return Ok(());
            }
            write.refuse(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
        }
        Operation::Update => write.refuse(format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            write.operation.to_string()
        )),
    }
}

fn admit_mirror_pod(node: &str, write: &Write<'_>, objects: &dyn Lookup) -> Result<(), Status> {
    let pod = written(write)?;
    if !object::annotations(pod).contains_key(node::MIRROR) {
        return write.refuse(format!(
            "pod does not have {:?} annotation, node {node:?} can only create mirror pods",
            node::MIRROR
        ));
    }
    if !runs_on(pod, node) {
        return write.refuse(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    check_owner(node, write, objects)?;
    let refers_to =
        |what: &str| write.refuse(format!("node {node:?} can not create pods that reference {what}"));
    let volumes = object::list(pod, "spec.volumes");
    if !object::text(pod, "spec.serviceAccountName").is_empty() {
        return refers_to("a service account");
    }
    if !node::secrets(pod).is_empty() {
        return refers_to("secrets");
    }
    if !node::configmaps(pod).is_empty() {
        return refers_to("configmaps");
    }
    let bundle = |v: &Value| {
        object::list(v, "projected.sources").iter().any(|s| s.get("clusterTrustBundle").is_some())
    };
    if volumes.iter().any(bundle) {
        return refers_to("clustertrustbundles");
    }
    if volumes.iter().any(|v| v.get("persistentVolumeClaim").is_some()) {
        return refers_to("persistentvolumeclaims");
    }
    Ok(())
}

fn check_owner(node: &str, write: &Write<'_>, objects: &dyn Lookup) -> Result<(), Status> {
    let owner = match object::list(written(write)?, "metadata.ownerReferences") {
        [owner] => owner,
        [] => {
            return write
                .refuse(format!("node {node:?} can only create pods with an owner reference set to itself"));
        }
        _ => {
            return write.refuse(format!(
                "node {node:?} can only create pods with a single owner reference set to itself"
            ));
        }
    };
    let itself = (object::api_version(owner), object::kind(owner), object::text(owner, "name"));
    if itself != ("v1", "Node", node) {
        return write
            .refuse(format!("node {node:?} can only create pods with an owner reference set to itself"));
    }
    if object::flag(owner, "controller") != Some(true) {
        return write.refuse(format!(
            "node {node:?} can only create pods with a controller owner reference set to itself"
        ));
    }
    if object::flag(owner, "blockOwnerDeletion") == Some(true) {
        return write.refuse(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let known = objects.core("nodes", "", node).ok_or_else(|| super::unlisted("node", node))?;
    let (expected, claimed) = (object::uid(&known), object::text(owner, "uid"));
    if expected != claimed {
        return write.refuse(format!("node {node} UID mismatch: expected {claimed} got {expected}"));
    }
    Ok(())
}

pub(super) fn admit_status(node: &str, write: &Write<'_>) -> Result<(), Status> {
    if write.operation != Operation::Update {
        return write.refuse(format!("unexpected operation {:?}", write.operation.to_string()));
    }
    let (old, new) = (replaced(write)?, written(write)?);
    if !runs_on(old, node) {
        return write.refuse(format!(
            "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
        ));
    }
    if object::labels(old) != object::labels(new) {
        return write.refuse(format!("node {node:?} cannot update labels through pod status"));
    }
    // A claim that the status names is one that the node may read.
    let claims = |pod: &Value| object::list(pod, "status.resourceClaimStatuses").to_vec();
    if claims(old) != claims(new) {
        return write.refuse(format!("node {node:?} cannot update resource claim statues"));
    }
    let extended =
        |pod: &Value| object::at(pod, "status.extendedResourceClaimStatus").filter(|c| !c.is_null()).cloned();
    if extended(old) != extended(new) {
        return write.refuse(format!("node {node:?} cannot update extended resource claim status"));
    }
    Ok(())
}

pub(super) fn admit_eviction(node: &str, write: &Write<'_>, objects: &dyn Lookup) -> Result<(), Status> {
    if write.operation != Operation::Create {
        return write.refuse(format!("unexpected operation {}", write.operation));
    }
    let name = write.object_name();
    if name.is_empty() {
        return write.refuse("could not determine pod from request data");
    }
    let pod = objects.core("pods", write.namespace, name).ok_or_else(|| super::unlisted("pod", name))?;
    if runs_on(&pod, node) {
        return Ok(());
    }
    write.refuse(format!("node {node} can only evict pods with spec.nodeName set to itself"))
}
