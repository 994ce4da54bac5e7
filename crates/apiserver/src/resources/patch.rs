//! The three kinds of patches: JSON merge (RFC 7386), JSON (RFC 6902), strategic merge.

use ravelin_api::merge_patch;
use serde_json::{Map, Value};

/// The most operations that a JSON patch may have (`maxJSONPatchOperations`).
pub(crate) const MAX_OPERATIONS: usize = 10_000;

/// How a patch is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    StrategicMerge,
}

/// Why a patch was not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadPatch {
    /// It is no patch of its kind, or does not fit the object.
    Unprocessable,
    /// It has this many operations, which are too many.
    TooLarge(usize),
}

impl PatchKind {
    /// The kind of a media type.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::StrategicMerge),
            _ => None,
        }
    }

    /// Applies a patch to an object.
    pub(crate) fn apply(self, object: &Value, patch: &Value) -> Result<Value, BadPatch> {
        let mut patched = object.clone();
        match self {
            Self::Json => apply_operations(&mut patched, patch)?,
            Self::Merge if patch.is_object() => merge_patch(&mut patched, patch),
            Self::StrategicMerge if patch.is_object() => strategic_merge(&mut patched, patch),
            Self::Merge | Self::StrategicMerge => return Err(BadPatch::Unprocessable),
        }
        if patched.is_object() { Ok(patched) } else { Err(BadPatch::Unprocessable) }
    }
}

fn apply_operations(object: &mut Value, patch: &Value) -> Result<(), BadPatch> {
    let operations = patch.as_array().ok_or(BadPatch::Unprocessable)?;
    if operations.len() > MAX_OPERATIONS {
        return Err(BadPatch::TooLarge(operations.len()));
    }
    for operation in operations {
        apply_operation(object, operation).ok_or(BadPatch::Unprocessable)?;
    }
    Ok(())
}

fn apply_operation(object: &mut Value, operation: &Value) -> Option<()> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let path = text("path")?;
    match text("op")? {
        "add" => add(object, path, operation.get("value")?.clone()),
        "remove" => remove(object, path).map(drop),
        "replace" => {
            *object.pointer_mut(path)? = operation.get("value")?.clone();
            Some(())
        }
        "move" => {
            let from = text("from")?;
            // A value cannot be moved into itself (RFC 6902 section 4.4).
            if path.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
                return None;
            }
            let moved = remove(object, from)?;
            add(object, path, moved)
        }
        "copy" => {
            let copied = object.pointer(text("from")?)?.clone();
            add(object, path, copied)
        }
        "test" => (object.pointer(path)? == operation.get("value")?).then_some(()),
        _ => None,
    }
}

fn split_pointer(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn index_of(text: &str) -> Option<usize> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn add(object: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *object = value;
        return Some(());
    }
    let (parent, last) = split_pointer(path)?;
    match object.pointer_mut(parent)? {
        Value::Object(members) => {
            members.insert(last, value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let index = index_of(&last).filter(|index| *index <= items.len())?;
            items.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(object: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = split_pointer(path)?;
    match object.pointer_mut(parent)? {
        Value::Object(members) => members.remove(&last),
        Value::Array(items) => {
            let index = index_of(&last).filter(|index| *index < items.len())?;
            Some(items.remove(index))
        }
        _ => None,
    }
}

/// How a list of this name merges: by a key of its items, or as a set of plain values; `None`
/// replaces it (the `patchStrategy` tags of `k8s.io/api/core/v1/types.go`).
fn merge_key(list: &str) -> Option<MergeBy> {
    let key = match list {
        "conditions" | "addresses" => "type",
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "secrets"
        | "volumesAttached"
        | "resourceClaims" => "name",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "ports" => return Some(MergeBy::AnyKey(&["containerPort", "port"])),
        "podIPs" | "hostIPs" | "hostAliases" => "ip",
        "ownerReferences" => "uid",
        "topologySpreadConstraints" => "topologyKey",
        "finalizers" | "podCIDRs" => return Some(MergeBy::Value),
        _ => return None,
    };
    Some(MergeBy::Key(key))
}

enum MergeBy {
    Key(&'static str),
    AnyKey(&'static [&'static str]),
    Value,
}

/// Strategic merge (`apimachinery/pkg/util/strategicpatch`): as a merge patch, but lists of
/// objects merge by their key.
fn strategic_merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    match directive(changes) {
        Some("delete") => {
            *target = Value::Object(Map::new());
            return;
        }
        Some("replace") => *target = Value::Object(Map::new()),
        _ => {}
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    if let Some(retained) = changes.get("$retainKeys").and_then(Value::as_array) {
        members.retain(|name, _| retained.iter().any(|kept| kept == name.as_str()));
    }
    for (name, change) in changes {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            delete_values(members.get_mut(list), change);
        } else if !name.starts_with('$') {
            merge_member(members, name, change);
        }
    }
}

fn directive(changes: &Map<String, Value>) -> Option<&str> {
    changes.get("$patch").and_then(Value::as_str)
}

fn delete_values(list: Option<&mut Value>, gone: &Value) {
    if let (Some(Value::Array(items)), Some(gone)) = (list, gone.as_array()) {
        items.retain(|item| !gone.contains(item));
    }
}

fn merge_member(members: &mut Map<String, Value>, name: &str, change: &Value) {
    match (change, merge_key(name)) {
        (Value::Null, _) => {
            members.remove(name);
        }
        (Value::Array(changes), Some(by)) => {
            let list = members.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if !list.is_array() {
                *list = Value::Array(Vec::new());
            }
            if let Value::Array(items) = list {
                merge_list(items, changes, &by);
            }
        }
        (Value::Object(_), _) => strategic_merge(members.entry(name).or_insert(Value::Null), change),
        _ => {
            members.insert(name.to_owned(), change.clone());
        }
    }
}

fn merge_list(items: &mut Vec<Value>, changes: &[Value], by: &MergeBy) {
    if changes.iter().any(|change| change.get("$patch").is_some_and(|how| how == "replace")) {
        *items = changes.iter().filter(|change| change.get("$patch").is_none()).cloned().collect();
        return;
    }
    // Where a change has no key the list is of another kind, which is replaced as a whole.
    let keyed = |change: &Value| match by {
        MergeBy::Value => true,
        MergeBy::Key(key) => change.get(key).is_some(),
        MergeBy::AnyKey(keys) => keys.iter().any(|key| change.get(*key).is_some()),
    };
    if !changes.iter().all(keyed) {
        *items = changes.to_vec();
        return;
    }
    for change in changes {
        let same = |item: &Value| match by {
            MergeBy::Value => item == change,
            MergeBy::Key(key) => item.get(key) == change.get(key),
            MergeBy::AnyKey(keys) => {
                let key = keys.iter().find(|key| change.get(**key).is_some());
                key.is_some_and(|key| item.get(key) == change.get(key))
            }
        };
        let found = items.iter().position(same);
        let deleted = change.get("$patch").is_some_and(|how| how == "delete");
        match found {
            Some(index) if deleted => drop(items.remove(index)),
            Some(index) => strategic_merge(&mut items[index], change),
            None if deleted => {}
            None => items.push(without_directives(change)),
        }
    }
}

fn without_directives(change: &Value) -> Value {
    let mut item = Value::Null;
    strategic_merge(&mut item, change);
    item
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_json_patch_applies_all_operations_or_none() {
        let object = json!({"a": [1, 2], "b": {"c": 1}});
        for (patch, result) in [
            (
                json!([{"op": "add", "path": "/a/-", "value": 3}]),
                Some(json!({"a": [1, 2, 3], "b": {"c": 1}})),
            ),
            (
                json!([{"op": "add", "path": "/a/0", "value": 0}]),
                Some(json!({"a": [0, 1, 2], "b": {"c": 1}})),
            ),
            (json!([{"op": "remove", "path": "/b/c"}]), Some(json!({"a": [1, 2], "b": {}}))),
            (
                json!([{"op": "move", "from": "/b/c", "path": "/d~1e"}]),
                Some(json!({"a": [1, 2], "b": {}, "d/e": 1})),
            ),
            (json!([{"op": "test", "path": "/b/c", "value": 2}]), None),
            (json!([{"op": "replace", "path": "/nope", "value": 2}]), None),
            (json!([{"op": "remove", "path": "/a/01"}]), None),
            (json!([{"op": "move", "from": "/b", "path": "/b/x"}]), None),
            (json!({"op": "remove", "path": "/a"}), None),
            (json!([{"op": "replace", "path": "", "value": 7}]), None),
        ] {
            assert_eq!(PatchKind::Json.apply(&object, &patch).ok(), result, "{patch}");
        }
    }

    #[test]
    fn a_strategic_patch_merges_conditions_by_type() {
        let node = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "X", "status": "True"}]},
            "spec": {"taints": [{"key": "a"}]}, "metadata": {"finalizers": ["x", "y"]}});
        let patch = json!({"status": {"$setElementOrder/conditions": [], "conditions": [
            {"type": "Ready", "status": "True"}, {"type": "X", "$patch": "delete"}, {"type": "New", "status": "True"}]},
            "spec": {"taints": []}, "metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}});
        let patched = PatchKind::StrategicMerge.apply(&node, &patch).unwrap();
        assert_eq!(
            patched,
            json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "New", "status": "True"}]},
            "spec": {"taints": []}, "metadata": {"finalizers": ["y"]}})
        );
    }
}
