//! What RBAC objects leave open, and what they must be
//! (`pkg/apis/rbac/v1/defaults.go`, `pkg/apis/rbac/validation/validation.go`).

use super::{Target, cause};
use ravelin_api::{Cause, Status, object};
use serde_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Fills in the groups that a binding leaves open.
pub(super) fn complete(binding: &mut Value) {
    let fill = |value: &mut Value| {
        if object::text(value, "apiGroup").is_empty() && value.is_object() {
            value["apiGroup"] = json!(GROUP);
        }
    };
    if let Some(role) = binding.get_mut("roleRef") {
        fill(role);
    }
    for subject in binding.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        if matches!(object::kind(subject), "User" | "Group") {
            fill(subject);
        }
    }
}

/// What is wrong with a role or binding.
pub(super) fn causes(target: &Target, object: &Value) -> Vec<Cause> {
    let namespaced = target.resource.namespaced;
    match target.resource.plural {
        "roles" | "clusterroles" => role_causes(object, namespaced),
        _ => binding_causes(object, namespaced),
    }
}

/// A binding's role never changes.
pub(super) fn check_update(target: &Target, new: &Value, present: &Value) -> Result<(), Status> {
    if new.get("roleRef") == present.get("roleRef") {
        return Ok(());
    }
    let text = |field: &str| object::text(new, &format!("roleRef.{field}")).to_owned();
    let role = format!(
        "{{\"APIGroup\":{},\"Kind\":{},\"Name\":{}}}",
        json!(text("apiGroup")),
        json!(text("kind")),
        json!(text("name"))
    );
    let message = format!("Invalid value: {role}: cannot change roleRef");
    Err(target.invalid(vec![cause("FieldValueInvalid", "roleRef", message)]))
}

fn role_causes(role: &Value, namespaced: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, rule) in object::list(role, "rules").iter().enumerate() {
        causes.extend(rule_causes(rule, (&format!("rules[{i}]"), namespaced)));
    }
    let gathers = object::at(role, "aggregationRule").is_some_and(Value::is_object);
    if gathers && object::list(role, "aggregationRule.clusterRoleSelectors").is_empty() {
        causes.push(required(
            "aggregationRule.clusterRoleSelectors",
            "at least one clusterRoleSelector required if aggregationRule is non-nil",
        ));
    }
    causes
}

fn rule_causes(rule: &Value, (path, namespaced): (&str, bool)) -> Vec<Cause> {
    let is_empty = |field: &str| object::list(rule, field).is_empty();
    let mut causes = Vec::new();
    if is_empty("verbs") {
        causes.push(required(&format!("{path}.verbs"), "verbs must contain at least one value"));
    }
    if !is_empty("nonResourceURLs") {
        let field = format!("{path}.nonResourceURLs");
        let given = json!(object::list(rule, "nonResourceURLs"));
        let mut refuse = |why: &str| {
            causes.push(cause("FieldValueInvalid", &field, format!("Invalid value: {given}: {why}")));
        };
        if namespaced {
            refuse("namespaced rules cannot apply to non-resource URLs");
        }
        if ["apiGroups", "resources", "resourceNames"].into_iter().any(|field| !is_empty(field)) {
            refuse("rules cannot apply to both regular resources and non-resource URLs");
        }
        return causes;
    }
    for (field, what) in [("apiGroups", "api group"), ("resources", "resource")] {
        if is_empty(field) {
            let why = format!("resource rules must supply at least one {what}");
            causes.push(required(&format!("{path}.{field}"), &why));
        }
    }
    causes
}

fn binding_causes(binding: &Value, namespaced: bool) -> Vec<Cause> {
    let text = |field: &str| object::text(binding, &format!("roleRef.{field}"));
    let mut causes = Vec::new();
    if text("apiGroup") != GROUP {
        causes.push(unsupported("roleRef.apiGroup", text("apiGroup"), &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&text("kind")) {
        causes.push(unsupported("roleRef.kind", text("kind"), kinds));
    }
    if text("name").is_empty() {
        causes.push(cause("FieldValueRequired", "roleRef.name", "Required value"));
    }
    for (i, subject) in object::list(binding, "subjects").iter().enumerate() {
        causes.extend(subject_causes(subject, (&format!("subjects[{i}]"), namespaced)));
    }
    causes
}

fn subject_causes(subject: &Value, (path, namespaced): (&str, bool)) -> Vec<Cause> {
    let text = |field: &str| object::text(subject, field);
    let at = |field: &str| format!("{path}.{field}");
    let missing = |field: &str| cause("FieldValueRequired", &at(field), "Required value");
    let mut causes = Vec::new();
    if text("name").is_empty() {
        causes.push(missing("name"));
    }
    match text("kind") {
        "ServiceAccount" => {
            if !text("apiGroup").is_empty() {
                causes.push(unsupported(&at("apiGroup"), text("apiGroup"), &[""]));
            }
            if !namespaced && text("namespace").is_empty() {
                causes.push(missing("namespace"));
            }
        }
        "User" | "Group" => {
            if text("apiGroup") != GROUP {
                causes.push(unsupported(&at("apiGroup"), text("apiGroup"), &[GROUP]));
            }
        }
        other => causes.push(unsupported(&at("kind"), other, &["ServiceAccount", "User", "Group"])),
    }
    causes
}

fn required(field: &str, why: &str) -> Cause {
    cause("FieldValueRequired", field, format!("Required value: {why}"))
}

fn unsupported(field: &str, value: &str, supported: &[&str]) -> Cause {
    let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
    let message = format!("Unsupported value: {value:?}: supported values: {}", supported.join(", "));
    cause("FieldValueNotSupported", field, message)
}
