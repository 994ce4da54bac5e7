//! Writing RBAC objects down briefly.

use serde_json::{Value, json};

pub(super) const RBAC: &str = "rbac.authorization.k8s.io";

/// Words apart by spaces; `core` is the group without a name.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().map(|word| if word == "core" { "" } else { word }).collect()
}

/// The same in order: Kubernetes sorts what its default rules hold
/// (`pkg/apis/rbac/v1/helpers.go`, `PolicyRuleBuilder.Rule`).
fn sorted(text: &str) -> Vec<&str> {
    let mut words = words(text);
    words.sort_unstable();
    words
}

/// `verbs` on `resources` of API `groups`.
pub(super) fn rule(verbs: &str, groups: &str, resources: &str) -> Value {
    json!({ "verbs": sorted(verbs), "apiGroups": sorted(groups), "resources": sorted(resources) })
}

/// A rule in a table: verbs, groups, resources; with ` : ` and names, of these objects only.
pub(super) type Row = (&'static str, &'static str, &'static str);

/// Who may write events about what it does.
pub(super) const EVENTS: Row = ("create patch update", "core events.k8s.io", "events");

/// The rules of a table.
pub(super) fn rules(rows: &[Row]) -> Vec<Value> {
    rows.iter()
        .map(|(verbs, groups, resources)| match resources.split_once(" : ") {
            Some((resources, names)) => rule_for(rule(verbs, groups, resources), names),
            None => rule(verbs, groups, resources),
        })
        .collect()
}

/// The same, for objects of these names only.
pub(super) fn rule_for(rule: Value, names: &str) -> Value {
    let mut rule = rule;
    rule["resourceNames"] = json!(sorted(names));
    rule
}

/// `get` on paths.
pub(super) fn paths(urls: &str) -> Value {
    json!({ "verbs": ["get"], "nonResourceURLs": sorted(urls) })
}

/// The metadata of what Kubernetes makes by itself and repairs at each start.
fn defaults(name: &str) -> Value {
    json!({
        "name": name,
        "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
        "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
    })
}

pub(super) fn cluster_role(name: &str, rules: Vec<Value>) -> Value {
    json!({ "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": defaults(name), "rules": rules })
}

pub(super) fn role(namespace: &str, name: &str, rules: Vec<Value>) -> Value {
    let mut role = cluster_role(name, rules);
    role["kind"] = json!("Role");
    role["metadata"]["namespace"] = json!(namespace);
    role
}

/// `role` is given to `subjects`: `Group:NAME`, `User:NAME` or `ServiceAccount:NAMESPACE:NAME`.
pub(super) fn cluster_binding(name: &str, role: &str, subjects: &[&str]) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": defaults(name),
        "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": role },
        "subjects": subjects.iter().map(|s| subject(s)).collect::<Vec<_>>(),
    })
}

/// The same of a role of a namespace.
pub(super) fn binding(namespace: &str, name: &str, role: &str, subjects: &[&str]) -> Value {
    let mut binding = cluster_binding(name, role, subjects);
    binding["kind"] = json!("RoleBinding");
    binding["metadata"]["namespace"] = json!(namespace);
    binding["roleRef"]["kind"] = json!("Role");
    binding
}

/// An object that somebody else than Kubernetes itself makes bears no marks of its own.
pub(super) fn made_by_others(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("labels");
        metadata.remove("annotations");
    }
    object
}

fn subject(text: &str) -> Value {
    let (kind, name) = text.split_once(':').expect("subjects are written KIND:NAME");
    match (kind, name.split_once(':')) {
        ("ServiceAccount", Some((namespace, name))) => {
            json!({ "kind": kind, "namespace": namespace, "name": name })
        }
        _ => json!({ "apiGroup": RBAC, "kind": kind, "name": name }),
    }
}
