//! The Node authorizer: a node may read what its own pods need, and nothing of other nodes'
//! (`plugin/pkg/auth/authorizer/node/node_authorizer.go`).

mod graph;
mod references;
mod volumes;

pub use graph::{Graph, Kind};
pub(crate) use references::MIRROR;
pub use references::{configmaps, secrets};

use crate::rbac::{self, Rule};
use crate::{Attributes, Authorizer, Decision};

/// Where leases of nodes live.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";

/// From which version on a node reads its own Node and pods only: `AuthorizeNodeWithSelectors` is
/// on by default from 1.32 (`pkg/features/kube_features.go`, KEP-4601).
const WITH_SELECTORS: (u32, u32) = (1, 32);

/// From which version on a node may read the service accounts of its pods:
/// `KubeletServiceAccountTokenForCredentialProviders` is on by default from 1.34 (KEP-4412).
const WITH_ACCOUNTS: (u32, u32) = (1, 34);

/// The API groups whose resources are subdivided, besides the core group.
const STORAGE: &str = "storage.k8s.io";
const DYNAMIC: &str = "resource.k8s.io";

/// Decides for nodes, by a [`Graph`] of what their pods refer to.
#[derive(Clone, Debug)]
pub struct NodeAuthorizer {
    graph: Graph,
    rules: Vec<Rule>,
    version: (u32, u32),
    danger_any_relation: bool,
}

impl NodeAuthorizer {
    /// The authorizer of a version (major, minor), which knows no pod yet.
    pub fn new(version: (u32, u32)) -> Self {
        let rules = rbac::node_rules().iter().filter_map(Rule::read).collect();
        Self { graph: Graph::default(), rules, version, danger_any_relation: false }
    }

    /// The same, but with every node allowed what any node is: nothing is asked of the graph.
    #[must_use]
    pub fn danger_with_any_relation(mut self, any: bool) -> Self {
        self.danger_any_relation = any;
        self
    }

    /// The graph. Whoever stores the pods tells it of every change.
    pub fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// The graph, to look at.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    fn related(&self, node: &str, kind: Kind, asked: &Attributes) -> Decision {
        if asked.name.is_empty() {
            return no("No Object name found");
        }
        if self.graph.leads_to(kind, (&asked.namespace, &asked.name), node) {
            return yes();
        }
        no(&unrelated(node))
    }

    fn readable(&self, node: &str, kind: Kind, asked: &Attributes) -> Decision {
        if !is_read(&asked.verb) {
            return no("can only read resources of this type");
        }
        if !asked.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if asked.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(node, kind, asked)
    }

    /// What a node may only get, one by one.
    fn single(&self, node: &str, kind: Kind, asked: &Attributes) -> Decision {
        if asked.verb != "get" {
            return no("can only get individual resources of this type");
        }
        if !asked.subresource.is_empty() {
            return no("cannot get subresource");
        }
        self.related(node, kind, asked)
    }

    fn claim(&self, node: &str, asked: &Attributes) -> Decision {
        if asked.subresource != "status" {
            return self.single(node, Kind::Claim, asked);
        }
        if !matches!(asked.verb.as_str(), "update" | "patch") {
            return no("can only get/update/patch this type");
        }
        // NodeRestriction narrows this to what a kubelet reports of a volume.
        self.related(node, Kind::Claim, asked)
    }

    fn account(&self, node: &str, asked: &Attributes) -> Decision {
        if asked.verb != "get" || !asked.subresource.is_empty() {
            return self.token(node, asked);
        }
        if self.version >= WITH_ACCOUNTS {
            return self.readable(node, Kind::ServiceAccount, asked);
        }
        no("not allowed to get service accounts")
    }

    fn token(&self, node: &str, asked: &Attributes) -> Decision {
        if asked.verb != "create" || asked.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if asked.subresource != "token" {
            return no("can only create token subresource of serviceaccount");
        }
        self.related(node, Kind::ServiceAccount, asked)
    }

    fn pod(&self, node: &str, asked: &Attributes) -> Decision {
        match (asked.subresource.as_str(), asked.verb.as_str()) {
            ("", "get") => self.related(node, Kind::Pod, asked),
            ("", "list" | "watch") => {
                if asked.fields.required("spec.nodeName") == Some(node) {
                    yes()
                } else if asked.name.is_empty() {
                    no("can only list/watch pods with spec.nodeName field selector")
                } else {
                    self.related(node, Kind::Pod, asked)
                }
            }
            // NodeRestriction narrows these to the node's own pods.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => yes(),
            _ => no(""),
        }
    }
}

impl Authorizer for NodeAuthorizer {
    fn decide(&self, asked: &Attributes) -> Decision {
        let Some(node) = asked.user.node() else { return no("") };
        let node = node.name;
        if node.is_empty() {
            return no(&format!("unknown node for user {:?}", asked.user.name));
        }
        let with_selectors = self.version >= WITH_SELECTORS;
        if asked.resource_request && !self.danger_any_relation {
            match (asked.group.as_str(), asked.resource.as_str()) {
                ("", "secrets") => return self.readable(node, Kind::Secret, asked),
                ("", "configmaps") => return self.readable(node, Kind::ConfigMap, asked),
                ("", "persistentvolumeclaims") => return self.claim(node, asked),
                ("", "persistentvolumes") => return self.single(node, Kind::Volume, asked),
                (STORAGE, "volumeattachments") => return self.single(node, Kind::Attachment, asked),
                (DYNAMIC, "resourceclaims") => return self.single(node, Kind::ResourceClaim, asked),
                (DYNAMIC, "resourceslices") => return slice(node, asked),
                ("", "serviceaccounts") => return self.account(node, asked),
                ("coordination.k8s.io", "leases") => return lease(node, asked),
                (STORAGE, "csinodes") => return csi_node(node, asked),
                ("", "nodes") if with_selectors => return own_node(node, asked),
                ("", "pods") if with_selectors => return self.pod(node, asked),
                _ => {}
            }
        }
        if rbac::rules_allow(&self.rules, asked) { yes() } else { no("") }
    }
}

fn lease(node: &str, asked: &Attributes) -> Decision {
    let verb = asked.verb.as_str();
    if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if asked.namespace != LEASE_NAMESPACE {
        return no(&format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace"));
    }
    // The name of what is created is not known yet; NodeRestriction looks at it.
    if verb != "create" && asked.name != node {
        return no("can only access node lease with the same name as the requesting node");
    }
    yes()
}

fn csi_node(node: &str, asked: &Attributes) -> Decision {
    let verb = asked.verb.as_str();
    if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a CSINode");
    }
    if !asked.subresource.is_empty() {
        return no("cannot authorize CSINode subresources");
    }
    if verb != "create" && asked.name != node {
        return no("can only access CSINode with the same name as the requesting node");
    }
    yes()
}

/// No ResourceSlice is stored here, so that no graph leads from one to a node.
fn slice(node: &str, asked: &Attributes) -> Decision {
    if !asked.subresource.is_empty() {
        return no("cannot authorize ResourceSlice subresources");
    }
    match asked.verb.as_str() {
        // NodeRestriction looks at what is created.
        "create" => yes(),
        "get" | "update" | "patch" | "delete" if asked.name.is_empty() => no("No Object name found"),
        "get" | "update" | "patch" | "delete" => no(&unrelated(node)),
        "watch" | "list" | "deletecollection" if asked.fields.required("spec.nodeName") == Some(node) => {
            yes()
        }
        "watch" | "list" | "deletecollection" => {
            no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        }
        _ => no(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
        ),
    }
}

fn unrelated(node: &str) -> String {
    format!("no relationship found between node '{node}' and this object")
}

fn own_node(node: &str, asked: &Attributes) -> Decision {
    match (asked.subresource.as_str(), asked.verb.as_str()) {
        // NodeRestriction narrows these to the node itself.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => yes(),
        ("", "get" | "list" | "watch") if asked.name == node => yes(),
        ("", "get" | "list" | "watch") if asked.name.is_empty() => {
            no(&format!("node '{node}' cannot read all nodes, only its own Node object"))
        }
        ("", "get" | "list" | "watch") => {
            no(&format!("node '{node}' cannot read '{}', only its own Node object", asked.name))
        }
        _ => no(""),
    }
}

fn is_read(verb: &str) -> bool {
    matches!(verb, "get" | "list" | "watch")
}

fn yes() -> Decision {
    Decision::Allow(String::new())
}

fn no(reason: &str) -> Decision {
    Decision::NoOpinion(reason.to_owned())
}

#[cfg(test)]
mod tests;
