//! What Kubernetes repairs of its default roles and bindings at each start
//! (`component-helpers/auth/rbac/reconciliation`).

use super::{Rule, not_covered};
use ravelin_api::object::{self, metadata_mut};
use serde_json::{Value, json};

/// An object that says `false` here is left as it is.
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// The present object with what it lacks of a default one; `None` where it lacks nothing or has
/// opted out. Nothing is taken away. A binding to another role is left alone: its role cannot be
/// changed, and to delete it is an administrator's decision.
pub fn reconciled(present: &Value, default: &Value) -> Option<Value> {
    if object::annotations(present).get(AUTO_UPDATE) == Some(&"false") {
        return None;
    }
    let mut repaired = present.clone();
    for section in ["labels", "annotations"] {
        let wanted = object::strings(object::at(default, &format!("metadata.{section}")));
        let metadata = metadata_mut(&mut repaired);
        let members = metadata.entry(section).or_insert_with(|| json!({}));
        if let Some(members) = members.as_object_mut() {
            for (name, value) in wanted {
                members.entry(name).or_insert_with(|| json!(value));
            }
        }
    }
    match object::kind(default) {
        "ClusterRole" | "Role" => repair_role(&mut repaired, default),
        _ => repair_binding(&mut repaired, default),
    }
    (repaired != *present).then_some(repaired)
}

fn repair_role(role: &mut Value, default: &Value) {
    // An aggregated role's rules are gathered, not written.
    if let Some(rule) = default.get("aggregationRule") {
        if role.get("aggregationRule").is_none_or(Value::is_null) {
            role["aggregationRule"] = rule.clone();
        }
        return;
    }
    let missing = not_covered(&Rule::of_role(role), &Rule::of_role(default));
    if missing.is_empty() {
        return;
    }
    let mut rules = object::list(role, "rules").to_vec();
    rules.extend(missing.iter().map(Rule::write));
    role["rules"] = json!(rules);
}

fn repair_binding(binding: &mut Value, default: &Value) {
    if binding.get("roleRef") != default.get("roleRef") {
        return;
    }
    let missing: Vec<Value> = object::list(default, "subjects")
        .iter()
        .filter(|subject| !object::list(binding, "subjects").contains(subject))
        .cloned()
        .collect();
    if missing.is_empty() {
        return;
    }
    let mut subjects = object::list(binding, "subjects").to_vec();
    subjects.extend(missing);
    binding["subjects"] = json!(subjects);
}

#[cfg(test)]
mod tests {
    use super::super::{Authorizer, default_objects};
    use super::*;
    use crate::{Attributes, Authorizer as _, UserInfo};

    fn default(name: &str, kind: &str) -> Value {
        let found =
            default_objects().into_iter().find(|o| object::name(o) == name && object::kind(o) == kind);
        found.unwrap()
    }

    #[test]
    fn what_is_missing_comes_back_and_what_was_added_stays() {
        let wanted = default("system:basic-user", "ClusterRole");
        assert_eq!(reconciled(&wanted, &wanted), None);
        let added = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        let mut changed = wanted.clone();
        changed["rules"] = json!([added]);
        let repaired = reconciled(&changed, &wanted).unwrap();
        let binding = default("system:basic-user", "ClusterRoleBinding");
        let rbac = Authorizer::from_objects([&repaired, &binding]);
        let may = |verb: &str, group: &str, resource: &str| {
            let user = UserInfo::new("u", &[]).authenticated();
            rbac.decide(&Attributes::of_resource(user, verb, group, resource)).is_allowed()
        };
        assert!(may("get", "", "pods") && may("create", "authorization.k8s.io", "selfsubjectaccessreviews"));
        changed["metadata"]["annotations"][AUTO_UPDATE] = json!("false");
        assert_eq!(reconciled(&changed, &wanted), None);
    }

    #[test]
    fn a_missing_subject_comes_back() {
        let wanted = default("system:discovery", "ClusterRoleBinding");
        let mut changed = wanted.clone();
        changed["subjects"] = json!([{"kind": "User", "name": "u"}]);
        let repaired = reconciled(&changed, &wanted).unwrap();
        assert_eq!(object::list(&repaired, "subjects").len(), 2);
        changed["roleRef"]["name"] = json!("other");
        assert_eq!(reconciled(&changed, &wanted), None);
    }
}
