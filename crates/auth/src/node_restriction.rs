//! NodeRestriction: what a node may write
//! (`plugin/pkg/admission/noderestriction/admission.go`).

use crate::{Lookup, UserInfo, names, node};
use ravelin_api::{GroupResource, Status, object};
use ravelin_pki::SigningRequest;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// What admission is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Something is created (also a subresource such as `token` or `eviction`).
    Create,
    /// Something is changed.
    Update,
    /// Something is deleted.
    Delete,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        })
    }
}

/// From which version on a node asks for no certificate of another node's name (kubernetes#126015).
const OWN_NAME_IN_REQUESTS: (u32, u32) = (1, 31);
/// From which version on `ServiceAccountNodeAudienceRestriction` is on by default
/// (`pkg/features/kube_features.go`).
const OWN_AUDIENCES: (u32, u32) = (1, 33);

/// A write that is to be admitted.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Who writes.
    pub user: &'a UserInfo,
    /// What is done.
    pub operation: Operation,
    /// To which resource.
    pub resource: GroupResource<'a>,
    /// To which part of it; empty for the whole.
    pub subresource: &'a str,
    /// In which namespace; empty for none.
    pub namespace: &'a str,
    /// To which object, by the request's path; empty for a creation.
    pub name: &'a str,
    /// What the object shall be.
    pub object: Option<&'a Value>,
    /// What it is.
    pub old: Option<&'a Value>,
}

impl Write<'_> {
    /// The name by the path, else by the object.
    fn object_name(&self) -> &str {
        let own = || self.object.map_or("", |o| object::name(o));
        let generated = || self.object.map_or("", |o| object::text(o, "metadata.generateName"));
        [self.name, own(), generated()].into_iter().find(|name| !name.is_empty()).unwrap_or_default()
    }

    fn forbidden(&self, why: impl AsRef<str>) -> Status {
        Status::forbidden(self.resource, self.object_name(), why.as_ref())
    }

    fn refuse<T>(&self, why: impl AsRef<str>) -> Result<T, Status> {
        Err(self.forbidden(why))
    }
}

/// Admits or refuses a write as this version (major, minor) does. Only nodes are restricted.
///
/// # Errors
/// The refusal.
pub fn admit(write: &Write<'_>, objects: &dyn Lookup, version: (u32, u32)) -> Result<(), Status> {
    let Some(node) = write.user.node() else { return Ok(()) };
    let node = node.name;
    if node.is_empty() {
        return write.refuse(format!("could not determine node from user {:?}", write.user.name));
    }
    match (write.resource.group, write.resource.resource, write.subresource) {
        ("", "pods", "") => admit_pod(node, write, objects),
        ("", "pods", "status") => admit_pod_status(node, write),
        ("", "pods", "eviction") => admit_eviction(node, write, objects),
        ("", "pods", other) => write.refuse(format!(
            "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
        )),
        ("", "nodes", _) => admit_node(node, write),
        ("", "serviceaccounts", "token") if write.operation == Operation::Create => {
            admit_token(node, write, objects)?;
            if version >= OWN_AUDIENCES { check_audience(write, objects) } else { Ok(()) }
        }
        ("coordination.k8s.io", "leases", _) => admit_lease(node, write),
        ("certificates.k8s.io", "certificatesigningrequests", "") if version >= OWN_NAME_IN_REQUESTS => {
            admit_signing_request(node, write)
        }
        _ => Ok(()),
    }
}

fn written<'a>(write: &Write<'a>) -> Result<&'a Value, Status> {
    write.object.ok_or_else(|| write.forbidden("unexpected type <nil>"))
}

fn replaced<'a>(write: &Write<'a>) -> Result<&'a Value, Status> {
    write.old.ok_or_else(|| write.forbidden("unexpected type <nil>"))
}

fn runs_on(pod: &Value, node: &str) -> bool {
    object::text(pod, "spec.nodeName") == node
}

fn admit_pod(node: &str, write: &Write<'_>, objects: &dyn Lookup) -> Result<(), Status> {
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
    let nodes = GroupResource { group: "", resource: "nodes" };
    let known = objects.find(nodes, "", node).ok_or_else(|| Status::not_found(nodes, node))?;
    let (expected, claimed) = (object::uid(&known), object::text(owner, "uid"));
    if expected != claimed {
        return write.refuse(format!("node {node} UID mismatch: expected {claimed} got {expected}"));
    }
    Ok(())
}

fn admit_pod_status(node: &str, write: &Write<'_>) -> Result<(), Status> {
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
    Ok(())
}

fn admit_eviction(node: &str, write: &Write<'_>, objects: &dyn Lookup) -> Result<(), Status> {
    if write.operation != Operation::Create {
        return write.refuse(format!("unexpected operation {}", write.operation));
    }
    let name = write.object_name();
    if name.is_empty() {
        return write.refuse("could not determine pod from request data");
    }
    let pod = objects.core("pods", write.namespace, name);
    let pod = pod.ok_or_else(|| Status::not_found(write.resource, name))?;
    if runs_on(&pod, node) {
        return Ok(());
    }
    write.refuse(format!("node {node} can only evict pods with spec.nodeName set to itself"))
}

fn admit_node(node: &str, write: &Write<'_>) -> Result<(), Status> {
    let requested = write.object_name();
    if requested != node {
        return write.refuse(format!("node {node:?} is not allowed to modify node {requested:?}"));
    }
    let config = |of: &Value| object::at(of, "spec.configSource").filter(|c| !c.is_null()).cloned();
    match write.operation {
        Operation::Create => {
            let new = written(write)?;
            if config(new).is_some() {
                return write.refuse(format!(
                    "node {node:?} is not allowed to create pods with a non-nil configSource"
                ));
            }
            let labels = forbidden_labels(new, None);
            if !labels.is_empty() {
                return write
                    .refuse(format!("node {node:?} is not allowed to set the following labels: {labels}"));
            }
        }
        Operation::Update => {
            let (old, new) = (replaced(write)?, written(write)?);
            if config(new).is_some() && config(new) != config(old) {
                return write.refuse(format!(
                    "node {node:?} is not allowed to update configSource to a new non-nil configSource"
                ));
            }
            if object::list(new, "spec.taints") != object::list(old, "spec.taints") {
                return write.refuse(format!("node {node:?} is not allowed to modify taints"));
            }
            let labels = forbidden_labels(new, Some(old));
            if !labels.is_empty() {
                return write.refuse(format!("is not allowed to modify labels: {labels}"));
            }
        }
        Operation::Delete => {}
    }
    Ok(())
}

/// The labels that differ and that a node may not touch, joined.
fn forbidden_labels(new: &Value, old: Option<&Value>) -> String {
    let new = object::labels(new);
    let old = old.map(object::labels).unwrap_or_default();
    let keys: BTreeSet<&str> = new.keys().chain(old.keys()).copied().collect();
    let changed = keys.into_iter().filter(|key| new.get(key) != old.get(key));
    changed.filter(|key| !is_allowed_label(key)).collect::<Vec<_>>().join(", ")
}

/// The labels of Kubernetes' own that a node may set (`kubelet/pkg/apis/well_known_labels.go`).
const NODE_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

fn is_allowed_label(key: &str) -> bool {
    let Some((namespace, _)) = key.split_once('/') else { return true };
    let within = |domain: &str| {
        namespace == domain || namespace.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    let kubernetes_own = within("kubernetes.io") || within("k8s.io");
    let for_nodes =
        NODE_LABELS.contains(&key) || within("kubelet.kubernetes.io") || within("node.kubernetes.io");
    !kubernetes_own || for_nodes
}

fn admit_token(node: &str, write: &Write<'_>, objects: &dyn Lookup) -> Result<(), Status> {
    let request = written(write)?;
    let text = |name: &str| object::text(request, &format!("spec.boundObjectRef.{name}"));
    let name = text("name");
    if (text("apiVersion"), text("kind")) != ("v1", "Pod") || name.is_empty() {
        return write.refuse("node requested token not bound to a pod");
    }
    let uid = text("uid");
    if uid.is_empty() {
        return write.refuse("node requested token with a pod binding without a uid");
    }
    let pods = GroupResource { group: "", resource: "pods" };
    let pod = objects.find(pods, write.namespace, name).ok_or_else(|| Status::not_found(pods, name))?;
    if object::uid(&pod) != uid {
        return write.refuse(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        ));
    }
    if !runs_on(&pod, node) {
        return write.refuse("node requested token bound to a pod scheduled on a different node");
    }
    Ok(())
}

/// A node may ask for no audience that its pod does not ask for (`ServiceAccountNodeAudienceRestriction`).
fn check_audience(write: &Write<'_>, objects: &dyn Lookup) -> Result<(), Status> {
    let request = written(write)?;
    let name = object::text(request, "spec.boundObjectRef.name");
    let pods = GroupResource { group: "", resource: "pods" };
    let pod = objects.find(pods, write.namespace, name).ok_or_else(|| Status::not_found(pods, name))?;
    let audience = match object::texts(request, "spec.audiences").as_slice() {
        [] => "",
        [one] => *one,
        _ => return write.refuse("node may only request 0 or 1 audiences"),
    };
    let asked_for = object::list(&pod, "spec.volumes").iter().any(|volume| {
        let sources = object::list(volume, "projected.sources").iter();
        let mut tokens = sources.filter_map(|source| source.get("serviceAccountToken"));
        tokens.any(|token| object::text(token, "audience") == audience)
    });
    if asked_for {
        return Ok(());
    }
    write.refuse(format!(
        "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
        write.user.name
    ))
}

fn admit_lease(node: &str, write: &Write<'_>) -> Result<(), Status> {
    if write.namespace != node::LEASE_NAMESPACE {
        return write
            .refuse(format!("can only access leases in the {:?} system namespace", node::LEASE_NAMESPACE));
    }
    let name =
        if write.operation == Operation::Create { written(write).map(object::name)? } else { write.name };
    if name != node {
        return write.refuse("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

/// A node may ask for no other node's certificate.
fn admit_signing_request(node: &str, write: &Write<'_>) -> Result<(), Status> {
    const SIGNERS: [&str; 2] =
        ["kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"];
    if write.operation != Operation::Create {
        return Ok(());
    }
    let request = written(write)?;
    if !SIGNERS.contains(&object::text(request, "spec.signerName")) {
        return Ok(());
    }
    let pem = decoded(object::text(request, "spec.request")).unwrap_or_default();
    let Ok(parsed) = SigningRequest::parse(&pem) else {
        return write.refuse("unable to parse csr");
    };
    let asked = parsed.subject.common_name.strip_prefix(names::NODE_PREFIX);
    if asked.is_some_and(|asked| asked != node) {
        return write.refuse(format!("can only create a node CSR with CN={}{node}", names::NODE_PREFIX));
    }
    Ok(())
}

fn decoded(base64: &str) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
