//! A policy as the objects that the API holds.

use ravelin_tests::rbac_model::{Policy, Rule, Subject, rules_of};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The objects of a policy, as the API holds them; `is_filled`: aggregated roles bear what the control
/// plane fills in.
pub fn objects(policy: &Policy, is_filled: bool) -> Vec<Value> {
    let metadata = |namespace: &Option<String>, name: &str| match namespace {
        Some(namespace) => json!({"namespace": namespace, "name": name}),
        None => json!({"name": name}),
    };
    let kind = |namespace: &Option<String>, kind: &str| {
        if namespace.is_some() { kind.to_owned() } else { format!("Cluster{kind}") }
    };
    let roles = policy.roles.iter().map(|role| {
        let rules = if is_filled { rules_of(policy, role) } else { role.rules.iter().collect() };
        let rules: Vec<Value> = rules.into_iter().map(rule_object).collect();
        let mut object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind(&role.namespace, "Role"),
            "metadata": metadata(&role.namespace, &role.name), "rules": rules});
        let texts = |labels: &[(String, String)]| labels.iter().cloned().collect::<BTreeMap<_, _>>();
        object["metadata"]["labels"] = json!(texts(&role.labels));
        if let Some(selectors) = &role.aggregates {
            let selectors = selectors.iter().map(|selector| json!({"matchLabels": texts(selector)}));
            object["aggregationRule"] = json!({"clusterRoleSelectors": selectors.collect::<Vec<_>>()});
        }
        object
    });
    let bindings = policy.bindings.iter().map(|binding| {
        let subjects = binding.subjects.iter().map(|subject| match subject {
            Subject::User(name) => json!({"kind": "User", "name": name}),
            Subject::Group(name) => json!({"kind": "Group", "name": name}),
            Subject::ServiceAccount(namespace, name) => {
                json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
            }
        });
        let of = if binding.of_cluster_role { "ClusterRole" } else { "Role" };
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind(&binding.namespace, "RoleBinding"),
            "metadata": metadata(&binding.namespace, &binding.name),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": of, "name": binding.role},
            "subjects": subjects.collect::<Vec<_>>()})
    });
    roles.chain(bindings).collect()
}

/// A rule, as the API holds it: empty lists are left out.
pub fn rule_object(rule: &Rule) -> Value {
    let lists = [
        ("verbs", &rule.verbs),
        ("apiGroups", &rule.groups),
        ("resources", &rule.resources),
        ("resourceNames", &rule.names),
        ("nonResourceURLs", &rule.paths),
    ];
    let given = lists.into_iter().filter(|(_, list)| !list.is_empty());
    Value::Object(given.map(|(name, list)| (name.to_owned(), json!(list))).collect())
}
