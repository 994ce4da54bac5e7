//! NodeRestriction: what a node may write
//! (`plugin/pkg/admission/noderestriction/admission.go`).

mod pods;
mod tokens;

use crate::{Attributes, Lookup, UserInfo, names, node};
use ravelin_api::{GroupResource, SSH_HOST_KEY_ANNOTATION, Status, object};
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
/// From which version on a node leaves its own owner references alone (CVE-2025-5187; fixed in the
/// last releases of 1.31 and in all later ones).
const OWN_REFERENCES: (u32, u32) = (1, 31);

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
        if self.name.is_empty() { own() } else { self.name }
    }

    /// As `admission.NewForbidden` names what has no name yet (`apiserver/pkg/admission/errors.go`).
    fn forbidden(&self, why: impl AsRef<str>) -> Status {
        let generated = self.object.map_or("", |o| object::text(o, "metadata.generateName"));
        let names = [self.object_name(), generated, "Unknown"];
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        Status::forbidden(self.resource, name, why.as_ref())
    }

    fn refuse<T>(&self, why: impl AsRef<str>) -> Result<T, Status> {
        Err(self.forbidden(why))
    }
}

/// What a check may look at besides the write.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The objects as they are now.
    pub objects: &'a dyn Lookup,
    /// What is allowed to whom.
    pub may: &'a dyn Fn(&Attributes) -> bool,
    /// The version whose behaviour is shown: major, minor.
    pub version: (u32, u32),
}

/// Admits or refuses a write. Only nodes are restricted.
///
/// # Errors
/// The refusal.
pub fn admit(write: &Write<'_>, known: &Known<'_>) -> Result<(), Status> {
    let Some(node) = write.user.node() else { return Ok(()) };
    let node = node.name;
    if node.is_empty() {
        return write.refuse(format!("could not determine node from user {:?}", write.user.name));
    }
    let of = (write.resource.group, write.resource.resource, write.subresource);
    match of {
        ("", "pods", "") => pods::admit(node, write, known.objects),
        ("", "pods", "status") => pods::admit_status(node, write),
        ("", "pods", "eviction") => pods::admit_eviction(node, write, known.objects),
        ("", "pods", other) => write.refuse(format!(
            "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
        )),
        ("", "nodes", _) => admit_node(node, write, known.version),
        ("", "persistentvolumeclaims", "status") => admit_claim_status(node, write),
        ("", "persistentvolumeclaims", _) => write.refuse("may only update PVC status"),
        ("", "serviceaccounts", "token") if write.operation == Operation::Create => {
            tokens::admit(node, write, known)
        }
        ("coordination.k8s.io", "leases", _) => admit_lease(node, write),
        ("storage.k8s.io", "csinodes", _) => admit_csi_node(node, write),
        ("resource.k8s.io", "resourceslices", _) => admit_slice(node, write),
        ("certificates.k8s.io", "certificatesigningrequests", "")
            if known.version >= OWN_NAME_IN_REQUESTS =>
        {
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

/// What the plugin's own caches do not have; they call resources by their singular
/// (`client-go/listers/core/v1`).
fn unlisted(resource: &str, name: &str) -> Status {
    Status::not_found(GroupResource { group: "", resource }, name)
}

fn runs_on(pod: &Value, node: &str) -> bool {
    object::text(pod, "spec.nodeName") == node
}

fn admit_node(node: &str, write: &Write<'_>, version: (u32, u32)) -> Result<(), Status> {
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
            if changes_host_key(new, None) {
                return write.refuse(format!(
                    "node {node:?} is not allowed to set the annotation {SSH_HOST_KEY_ANNOTATION}"
                ));
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
            // With an absent owner the garbage collector would delete the node, which could then
            // register itself anew with other taints and labels.
            let owners = |of: &Value| object::list(of, "metadata.ownerReferences").to_vec();
            if version >= OWN_REFERENCES && owners(new) != owners(old) {
                return write.refuse(format!("node {node:?} is not allowed to modify ownerReferences"));
            }
            let labels = forbidden_labels(new, Some(old));
            if !labels.is_empty() {
                return write.refuse(format!("is not allowed to modify labels: {labels}"));
            }
            if changes_host_key(new, Some(old)) {
                return write.refuse(format!(
                    "node {node:?} is not allowed to modify the annotation {SSH_HOST_KEY_ANNOTATION}"
                ));
            }
        }
        Operation::Delete => {}
    }
    Ok(())
}

/// Ravelin's own rule: what was recorded of a node's SSH host key is the tunneler's to write. Who has no
/// more than a node's kubelet credential cannot put another key in the place of the host's.
fn changes_host_key(new: &Value, old: Option<&Value>) -> bool {
    let recorded =
        |node: &Value| object::annotations(node).get(SSH_HOST_KEY_ANNOTATION).map(|k| (*k).to_owned());
    recorded(new) != old.and_then(recorded)
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

fn admit_csi_node(node: &str, write: &Write<'_>) -> Result<(), Status> {
    let name =
        if write.operation == Operation::Create { written(write).map(object::name)? } else { write.name };
    if name != node {
        return write.refuse("can only access CSINode with the same name as the requesting node");
    }
    Ok(())
}

fn admit_slice(node: &str, write: &Write<'_>) -> Result<(), Status> {
    let runs_here = |slice: &Value| object::text(slice, "spec.nodeName") == node;
    match write.operation {
        Operation::Create if !runs_here(written(write)?) => {
            write.refuse("can only create ResourceSlice with the same NodeName as the requesting node")
        }
        Operation::Delete if !runs_here(replaced(write)?) => {
            write.refuse("can only delete ResourceSlice with the same NodeName as the requesting node")
        }
        _ => Ok(()),
    }
}

/// A kubelet reports how a volume grows, and changes nothing else of a claim.
fn admit_claim_status(node: &str, write: &Write<'_>) -> Result<(), Status> {
    if write.operation != Operation::Update {
        return write.refuse(format!("unexpected operation {:?}", write.operation.to_string()));
    }
    let rest = |claim: &Value| {
        let mut rest = claim.clone();
        if let Some(status) = rest.get_mut("status").and_then(Value::as_object_mut) {
            for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
                status.remove(field);
            }
        }
        if rest.get("status").is_some_and(|status| status.as_object().is_some_and(serde_json::Map::is_empty))
        {
            rest.as_object_mut().map(|members| members.remove("status"));
        }
        if let Some(metadata) = rest.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
            metadata.remove("managedFields");
        }
        rest
    };
    if rest(replaced(write)?) == rest(written(write)?) {
        return Ok(());
    }
    // Kubernetes adds the difference, in the words of a Go library.
    write.refuse(format!(
        "node {node:?} is not allowed to update fields other than status.quantity and status.conditions"
    ))
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
