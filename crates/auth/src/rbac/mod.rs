//! Role-based access control (`plugin/pkg/auth/authorizer/rbac/rbac.go`).

mod aggregation;
mod authorizer;
mod binding;
mod controllers;
mod coverage;
mod default_bindings;
mod defaults;
mod kubeadm;
mod objects;
mod reconcile;
mod rule;
mod system_roles;

pub use aggregation::aggregate;
pub use authorizer::{Authorizer, HeldRules};
pub use binding::{RoleRef, Subject};
pub use controllers::{controller_roles, run_by_controller_manager};
pub use coverage::{everything, not_covered, tell};
pub use default_bindings::default_bindings;
pub use defaults::default_cluster_roles;
pub use kubeadm::kubeadm_objects;
pub use reconcile::reconciled;
pub use rule::{Rule, rules_allow};
pub(crate) use system_roles::node_rules;

/// What every cluster has from the start: the default roles, their bindings, and those of the
/// controllers.
pub fn default_objects() -> Vec<serde_json::Value> {
    [default_cluster_roles(), default_bindings(), controller_roles()].concat()
}

#[cfg(test)]
mod tests;
