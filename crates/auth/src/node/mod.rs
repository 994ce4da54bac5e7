//! The Node authorizer: a node may read what its own pods need, and nothing of other nodes'
//! (`plugin/pkg/auth/authorizer/node/node_authorizer.go`).

mod graph;
mod references;

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

/// Decides for nodes, by a [`Graph`] of what their pods refer to.
#[derive(Clone, Debug)]
pub struct NodeAuthorizer {
    graph: Graph,
    rules: Vec<Rule>,
    with_selectors: bool,
}

impl NodeAuthorizer {
    /// The authorizer of a version (major, minor), which knows no pod yet.
    pub fn new(version: (u32, u32)) -> Self {
        let rules = rbac::default_cluster_roles();
        let node = rules.iter().find(|role| ravelin_api::object::name(role) == "system:node");
        let rules = node.map(Rule::of_role).unwrap_or_default();
        Self { graph: Graph::default(), rules, with_selectors: version >= WITH_SELECTORS }
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
        no(&format!("no relationship found between node '{node}' and this object"))
    }

    fn readable(&self, node: &str, kind: Kind, asked: &Attributes) -> Decision {
        match asked.verb.as_str() {
            _ if !is_read(&asked.verb) => no("can only read resources of this type"),
            _ if !asked.subresource.is_empty() => no("cannot read subresource"),
            _ if asked.namespace.is_empty() => no("can only read namespaced object of this type"),
            _ => self.related(node, kind, asked),
        }
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
        if asked.resource_request {
            match (asked.group.as_str(), asked.resource.as_str()) {
                ("", "secrets") => return self.readable(node, Kind::Secret, asked),
                ("", "configmaps") => return self.readable(node, Kind::ConfigMap, asked),
                ("", "serviceaccounts") => return self.token(node, asked),
                ("coordination.k8s.io", "leases") => return lease(node, asked),
                ("", "nodes") if self.with_selectors => return own_node(node, asked),
                ("", "pods") if self.with_selectors => return self.pod(node, asked),
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
