//! Aggregated ClusterRoles: their rules are those of the roles that their selectors find
//! (`pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go`).

use ravelin_api::{LabelSelector, object};
use serde_json::{Value, json};
use std::sync::Arc;

/// The ClusterRoles whose rules are not what they should be, with the right ones. One that gathers
/// from another that is in the list, too, needs another round. `roles` are all, by name.
pub fn aggregate(roles: &[Arc<Value>]) -> Vec<Value> {
    roles.iter().filter_map(|role| regathered(role, roles)).collect()
}

fn regathered(role: &Value, roles: &[Arc<Value>]) -> Option<Value> {
    object::at(role, "aggregationRule").filter(|rule| rule.is_object())?;
    let mut gathered: Vec<&Value> = Vec::new();
    for selector in object::list(role, "aggregationRule.clusterRoleSelectors") {
        // A selector that cannot be read finds nothing.
        let Ok(selector) = LabelSelector::from_object(selector) else { continue };
        let found = roles.iter().filter(|other| {
            object::name(other) != object::name(role) && selector.matches(&object::labels(other))
        });
        for rule in found.flat_map(|other| object::list(other, "rules")) {
            if !gathered.contains(&rule) {
                gathered.push(rule);
            }
        }
    }
    let present = object::list(role, "rules");
    if present.len() == gathered.len() && present.iter().eq(gathered.iter().copied()) {
        return None;
    }
    let mut changed = role.clone();
    changed["rules"] = json!(gathered);
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::super::default_cluster_roles;
    use super::*;

    fn sorted(mut roles: Vec<Value>) -> Vec<Arc<Value>> {
        roles.sort_by(|a, b| object::name(a).cmp(object::name(b)));
        roles.into_iter().map(Arc::new).collect()
    }

    #[test]
    fn the_default_roles_are_gathered_from_the_start() {
        assert_eq!(aggregate(&sorted(default_cluster_roles())), Vec::<Value>::new());
    }

    #[test]
    fn a_role_with_the_label_adds_its_rules() {
        let rule = json!({"verbs": ["get"], "apiGroups": ["x"], "resources": ["y"]});
        let label = "rbac.authorization.k8s.io/aggregate-to-view";
        let extra = json!({"kind": "ClusterRole", "metadata": {"name": "extra", "labels": {label: "true"}}, "rules": [rule]});
        let roles = sorted([default_cluster_roles(), vec![extra]].concat());
        let changed = aggregate(&roles);
        assert_eq!(changed.iter().map(object::name).collect::<Vec<_>>(), ["view"]);
        assert!(object::list(&changed[0], "rules").contains(&rule));
    }
}
