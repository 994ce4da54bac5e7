//! Strategic merge patch (`apimachinery/pkg/util/strategicpatch`): a merge patch that knows which
//! lists of a kind merge, and by which key.

use crate::schema::{Field, Merge, Message, Schema, Shape};
use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_VALUES: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies a patch to an object of a kind. Of kinds that nobody knows no list merges.
///
/// # Errors
/// What is wrong with the patch, in Kubernetes' words.
pub fn strategic_merge(object: &mut Value, patch: &Value, kind: (&str, &str)) -> Result<(), String> {
    let Value::Object(patch) = patch else { return Err("invalid JSON document".to_owned()) };
    merge_object(object, patch, Schema::known().of_kind(kind.0, kind.1))
}

fn merge_object(
    target: &mut Value,
    patch: &Map<String, Value>,
    message: Option<&Message>,
) -> Result<(), String> {
    match patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
        Some("replace") => {
            *target = without_directives(patch);
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        None | Some("merge") => {}
        Some(other) => {
            return Err(format!(
                "unknown patch type: {other} in map: {}",
                go_map(&Value::Object(patch.clone()))
            ));
        }
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return Ok(()) };
    retain(members, patch)?;
    for (name, gone) in patch {
        if let Some(list) = name.strip_prefix(DELETE_VALUES) {
            delete_values(members.get_mut(list), gone);
        }
    }
    for (name, change) in patch.iter().filter(|(name, _)| !is_directive(name)) {
        let field = message.and_then(|message| message.field(name)).map(|(field, _)| field);
        let order = patch.get(&format!("{ORDER}{name}"));
        merge_member(members, (name, change), (field, order))?;
    }
    // An order alone sorts a list that the patch leaves as it is.
    for (name, order) in patch {
        let Some(list) = name.strip_prefix(ORDER).filter(|list| !patch.contains_key(*list)) else { continue };
        let merge = message.and_then(|m| m.field(list)).map_or(Merge::Replace, |(field, _)| field.merge);
        if let Some(Value::Array(items)) = members.get_mut(list) {
            let before = items.clone();
            sort(items, order.as_array().map_or(&[], Vec::as_slice), (&before, merge));
        }
    }
    Ok(())
}

fn is_directive(name: &str) -> bool {
    name == DIRECTIVE || name == RETAIN || name.starts_with(DELETE_VALUES) || name.starts_with(ORDER)
}

fn retain(members: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), String> {
    let Some(retained) = patch.get(RETAIN) else { return Ok(()) };
    let retained = retained.as_array().map_or(&[][..], Vec::as_slice);
    let is_kept = |name: &String| retained.iter().any(|kept| kept == name.as_str());
    let stray = patch.iter().any(|(name, change)| !is_directive(name) && !change.is_null() && !is_kept(name));
    if stray {
        return Err("invalid patch format of retainKeys".to_owned());
    }
    members.retain(|name, _| is_kept(name));
    Ok(())
}

fn delete_values(list: Option<&mut Value>, gone: &Value) {
    if let (Some(Value::Array(items)), Some(gone)) = (list, gone.as_array()) {
        items.retain(|item| !gone.contains(item));
    }
}

fn merge_member(
    members: &mut Map<String, Value>,
    (name, change): (&str, &Value),
    (field, order): (Option<&Field>, Option<&Value>),
) -> Result<(), String> {
    match change {
        Value::Null => {
            members.remove(name);
        }
        Value::Object(patch) => {
            let message = field.and_then(|field| message_of(&field.shape));
            let target = members.entry(name).or_insert(Value::Null);
            if target.is_object() {
                merge_object(target, patch, message)?;
            } else {
                *target = without_directives(patch);
            }
        }
        Value::Array(changes) if field.is_some_and(|field| field.merge != Merge::Replace) => {
            let field = field.expect("it was just looked at");
            let list = members.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if !list.is_array() {
                *list = Value::Array(Vec::new());
            }
            if let Value::Array(items) = list {
                let order = order.and_then(Value::as_array);
                merge_list(items, changes, (field, order.map(Vec::as_slice)))?;
            }
        }
        plain => {
            members.insert(name.to_owned(), clean(plain));
        }
    }
    Ok(())
}

fn message_of(shape: &Shape) -> Option<&'static Message> {
    match shape {
        Shape::Message(name) => Schema::known().message(name),
        Shape::List(item) | Shape::Map(item) => message_of(item),
        _ => None,
    }
}

fn merge_list(
    items: &mut Vec<Value>,
    changes: &[Value],
    (field, order): (&Field, Option<&[Value]>),
) -> Result<(), String> {
    let before = items.clone();
    let directive = |change: &Value| change.get(DIRECTIVE).and_then(Value::as_str).map(str::to_owned);
    match field.merge {
        Merge::By(key) => {
            if changes.iter().any(|change| directive(change).as_deref() == Some("replace")) {
                let kept = changes.iter().filter(|change| directive(change).is_none());
                *items = kept.map(clean).collect();
                return Ok(());
            }
            let message = message_of(&field.shape);
            for change in changes {
                let Some(wanted) = change.get(key) else {
                    return Err(format!(
                        "map: {} does not contain declared merge key: {key}",
                        go_map(change)
                    ));
                };
                let found = items.iter().position(|item| item.get(key) == Some(wanted));
                match (found, directive(change).as_deref(), change) {
                    (Some(index), Some("delete"), _) => drop(items.remove(index)),
                    (None, Some("delete"), _) => {}
                    (Some(index), _, Value::Object(patch)) => {
                        merge_object(&mut items[index], patch, message)?;
                    }
                    _ => items.push(clean(change)),
                }
            }
        }
        Merge::Set | Merge::Replace => {
            for change in changes {
                if !items.contains(change) {
                    items.push(change.clone());
                }
            }
        }
    }
    sort(items, order.unwrap_or(changes), (&before, field.merge));
    Ok(())
}

/// Puts the items that a patch speaks of into its order; the others keep their places before or
/// behind those that they stood before or behind of (`normalizeElementOrder`).
fn sort(items: &mut Vec<Value>, order: &[Value], (before, merge): (&[Value], Merge)) {
    let same = |one: &Value, other: &Value| match merge {
        Merge::By(key) => one.get(key) == other.get(key),
        Merge::Set | Merge::Replace => one == other,
    };
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(other, item));
    let (mut named, unnamed): (Vec<Value>, Vec<Value>) =
        items.drain(..).partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    let mut unnamed = unnamed.into_iter().peekable();
    for item in named {
        while let Some(other) = unnamed.peek() {
            match (place(before, other), place(before, &item)) {
                (Some(other), Some(item)) if other < item => items.extend(unnamed.next()),
                _ => break,
            }
        }
        items.push(item);
    }
    items.extend(unnamed);
}

/// What a patch adds where there was nothing: no directives, no nulls.
fn clean(change: &Value) -> Value {
    match change {
        Value::Object(members) => without_directives(members),
        Value::Array(items) => Value::Array(items.iter().map(clean).collect()),
        leaf => leaf.clone(),
    }
}

fn without_directives(members: &Map<String, Value>) -> Value {
    let kept = members.iter().filter(|(name, member)| !is_directive(name) && !member.is_null());
    Value::Object(kept.map(|(name, member)| (name.clone(), clean(member))).collect())
}

/// A value as Go prints maps with `%+v`.
pub fn go_map(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(" ");
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(name, member)| format!("{name}:{}", go_map(member)));
            format!("map[{}]", joined(members.collect()))
        }
        Value::Array(items) => format!("[{}]", joined(items.iter().map(go_map).collect())),
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(kind: &str, object: &Value, patch: &Value) -> Result<Value, String> {
        let mut object = object.clone();
        strategic_merge(&mut object, patch, ("v1", kind)).map(|()| object)
    }

    #[test]
    fn lists_merge_by_the_key_of_their_kind() {
        let node = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "X", "status": "True"}]},
            "spec": {"taints": [{"key": "a"}]}, "metadata": {"finalizers": ["x", "y"]}});
        let patch = json!({"status": {"$setElementOrder/conditions": [{"type": "Ready"}, {"type": "New"}], "conditions": [
            {"type": "Ready", "status": "True"}, {"type": "X", "$patch": "delete"}, {"type": "New", "status": "True"}]},
            "spec": {"taints": []}, "metadata": {"$deleteFromPrimitiveList/finalizers": ["x"], "finalizers": ["z"]}});
        assert_eq!(
            patched("Node", &node, &patch).unwrap(),
            json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "New", "status": "True"}]},
                "spec": {"taints": []}, "metadata": {"finalizers": ["z", "y"]}})
        );
    }

    #[test]
    fn the_ports_of_services_and_containers_merge_by_different_keys() {
        let service = json!({"spec": {"ports": [{"port": 80, "name": "a"}]}});
        let patch = json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 81}]}});
        assert_eq!(
            patched("Service", &service, &patch).unwrap()["spec"]["ports"],
            json!([{"port": 80, "name": "a", "targetPort": 8080}, {"port": 81}])
        );
        let pod =
            json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1}], "args": ["a"]}]}});
        let patch =
            json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 2}], "args": ["b"]}]}});
        assert_eq!(
            patched("Pod", &pod, &patch).unwrap()["spec"]["containers"],
            json!([{"name": "c", "ports": [{"containerPort": 2}, {"containerPort": 1}], "args": ["b"]}])
        );
        let keyless = json!({"spec": {"containers": [{"image": "i"}]}});
        assert!(patched("Pod", &pod, &keyless).is_err());
    }

    #[test]
    fn directives_replace_delete_and_retain() {
        let object = json!({"data": {"a": "1", "b": "2"}, "metadata": {"labels": {"x": "y"}}});
        for (patch, result) in [
            (json!({"data": {"$patch": "replace", "c": "3"}}), json!({"c": "3"})),
            (json!({"data": {"$patch": "delete"}}), json!({})),
            (json!({"data": {"$retainKeys": ["a"], "a": "5"}}), json!({"a": "5"})),
            (json!({"data": {"a": null}}), json!({"b": "2"})),
        ] {
            assert_eq!(patched("ConfigMap", &object, &patch).unwrap()["data"], result, "{patch}");
        }
        assert!(patched("ConfigMap", &object, &json!({"data": {"$patch": "bogus"}})).is_err());
        assert!(patched("ConfigMap", &object, &json!({"data": {"$retainKeys": ["a"], "b": "5"}})).is_err());
    }

    #[test]
    fn server_items_keep_their_place_beside_ordered_ones() {
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}});
        let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}});
        assert_eq!(
            patched("Pod", &pod, &patch).unwrap()["spec"]["containers"],
            json!([{"name": "b"}, {"name": "c"}, {"name": "a"}])
        );
    }
}
