//! Reading and writing the parts that every object has.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The value at a dotted path: `spec.nodeName`.
pub fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, name| value.get(name))
}

/// The string at a dotted path; empty where there is none.
pub fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

/// The boolean at a dotted path, where there is one.
pub fn flag(object: &Value, path: &str) -> Option<bool> {
    at(object, path).and_then(Value::as_bool)
}

/// The list at a dotted path; empty where there is none.
pub fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The strings of the list at a dotted path.
pub fn texts<'a>(object: &'a Value, path: &str) -> Vec<&'a str> {
    list(object, path).iter().filter_map(Value::as_str).collect()
}

/// The string members of an object, as labels and annotations are.
pub fn strings(map: Option<&Value>) -> BTreeMap<&str, &str> {
    let members = map.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect()
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    text(object, "metadata.name")
}

/// `metadata.namespace`; empty for what has none.
pub fn namespace(object: &Value) -> &str {
    text(object, "metadata.namespace")
}

/// `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    text(object, "metadata.uid")
}

/// `metadata.resourceVersion`.
pub fn resource_version(object: &Value) -> &str {
    text(object, "metadata.resourceVersion")
}

/// `kind`.
pub fn kind(object: &Value) -> &str {
    text(object, "kind")
}

/// `apiVersion`.
pub fn api_version(object: &Value) -> &str {
    text(object, "apiVersion")
}

/// `metadata.labels`.
pub fn labels(object: &Value) -> BTreeMap<&str, &str> {
    strings(at(object, "metadata.labels"))
}

/// `metadata.annotations`.
pub fn annotations(object: &Value) -> BTreeMap<&str, &str> {
    strings(at(object, "metadata.annotations"))
}

/// Is the object being deleted?
pub fn is_terminating(object: &Value) -> bool {
    at(object, "metadata.deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// The object's `metadata`, made where it is missing (and where it is no object).
pub fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    section_mut(object, "metadata")
}

/// A member that is an object itself, made where it is missing (and where it is no object).
pub fn section_mut<'a>(object: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let section = &mut object[name];
    if !section.is_object() {
        *section = json!({});
    }
    section.as_object_mut().expect("it was just made one")
}

/// Is there a condition of this type with status `True`?
pub fn has_condition(object: &Value, condition: &str) -> bool {
    let holds = |c: &Value| text(c, "type") == condition && text(c, "status") == "True";
    list(object, "status.conditions").iter().any(holds)
}
