//! The kinds of patches: JSON merge (RFC 7386), JSON (RFC 6902), strategic merge
//! (`apiserver/pkg/endpoints/handlers/patch.go`).

use super::body::{self, Validation};
use super::options::WriteOptions;
use super::write::{self, invalid_patch, kind_of, weight};
use super::{Target, cause};
use crate::server::Asked;
use bytes::Bytes;
use ravelin_api::{
    GroupResource, Status, Typed, Untyped, go_map, merge_patch, object, retyped, strategic_merge,
};
use serde_json::{Value, json};

/// The most operations that a JSON patch may have (`maxJSONPatchOperations`).
pub(crate) const MAX_OPERATIONS: usize = 10_000;
/// How much a JSON patch may copy (`AccumulatedCopySizeLimit`).
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// How a patch is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    StrategicMerge,
    Apply,
}

impl PatchKind {
    /// The kind that a request's body is announced as.
    ///
    /// # Errors
    /// 415.
    pub(super) fn of_request(asked: &Asked) -> Result<Self, Status> {
        // Routes are chosen letter by letter, unlike the forms of bodies.
        match body::media_type(asked) {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::StrategicMerge),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => Err(unsupported()),
        }
    }
}

fn unsupported() -> Status {
    let nothing = (GroupResource { group: "", resource: "" }, "");
    Status::generic(415, "", nothing, "415: Unsupported Media Type")
}

/// A patch that was read, and what it is for.
pub(super) struct Patch<'a> {
    kind: PatchKind,
    patch: Value,
    /// What its text repeats.
    findings: Vec<String>,
    pub(super) options: WriteOptions,
    target: &'a Target,
}

impl<'a> Patch<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// 415, 413, 422 for the options, 400 for what is no patch.
    pub(super) async fn read(asked: &mut Asked, target: &'a Target) -> Result<Self, Status> {
        let kind = PatchKind::of_request(asked)?;
        let bytes: Bytes = body::bytes(asked.take_body()).await?;
        let options = WriteOptions::read(&asked.query, "PatchOptions")?;
        let decoding = |why: String| match kind {
            PatchKind::StrategicMerge => Status::bad_request(why),
            _ => Status::bad_request(format!("error decoding patch: {why}")),
        };
        let given = Untyped::read(&bytes).map_err(decoding)?;
        let (wanted, go_type) = match kind {
            PatchKind::Json => ("array", "[]handlers.jsonPatchOp"),
            _ => ("object", "map[string]interface {}"),
        };
        match given.go_kind() {
            found if found == wanted => {}
            "null" if kind == PatchKind::Merge => return Err(Status::bad_request("Invalid JSON Patch")),
            "null" => {}
            other => {
                let why = format!("json: cannot unmarshal {other} into Go value of type {go_type}");
                return Err(decoding(why));
            }
        }
        let mut findings = if kind == PatchKind::Json { Vec::new() } else { given.duplicates() };
        let patch = given.into_value();
        if kind == PatchKind::Json {
            findings = check_operations(&patch).map_err(decoding)?;
        }
        Ok(Self { kind, patch, findings, options, target })
    }

    /// Applies it to an object, and reads the result as one of its kind again.
    ///
    /// # Errors
    /// 422, 413, and 400 for a strategic merge that its kind does not know.
    pub(super) fn apply(&self, present: &Value) -> Result<Typed, Status> {
        let mut object = present.clone();
        let kind = kind_of(self.target);
        match self.kind {
            PatchKind::Json => apply_operations(&mut object, &self.patch).map_err(bad_patch)?,
            PatchKind::Merge => merge_patch(&mut object, &self.patch),
            _ => strategic_merge(&mut object, &self.patch, kind.as_ref()).map_err(bad_merge)?,
        }
        let shown = match self.kind {
            PatchKind::StrategicMerge => go_map(&self.patch),
            _ => String::from_utf8_lossy(ravelin_api::render(&object).trim_ascii_end()).into_owned(),
        };
        let invalid = |why: &str| {
            invalid_patch(cause("FieldValueInvalid", "patch", format!("Invalid value: {shown:?}: {why}")))
        };
        if !object.is_object() {
            return Err(invalid("json: cannot unmarshal into Go value"));
        }
        let (version, name) = kind.as_ref();
        match (self.kind, object::api_version(&object)) {
            // A strategic merge is one of fields, to which neither belongs.
            (PatchKind::StrategicMerge, _) => {
                object["apiVersion"] = json!(version);
                object["kind"] = json!(name);
            }
            // Without a version it is read as what no body is ever written as, which has no such names.
            (_, "") => return Err(write::unnamed(self.target)),
            (_, given) => {
                let kind = Some(object::kind(&object)).filter(|kind| !kind.is_empty()).unwrap_or(name);
                if let Some(why) = body::mistaken((given, kind), (version, name)) {
                    return Err(invalid(&why));
                }
                object["kind"] = json!(name);
            }
        }
        let mut typed = retyped(object, version, name).map_err(|why| invalid(&why))?;
        typed.findings.splice(0..0, self.findings.iter().cloned());
        match self.options.validation {
            Validation::Strict if !typed.findings.is_empty() => {
                Err(invalid(&format!("strict decoding error: {}", typed.findings.join(", "))))
            }
            Validation::Ignore => Ok(Typed { findings: Vec::new(), ..typed }),
            Validation::Warn | Validation::Strict => Ok(typed),
        }
    }
}

/// Why a patch was not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BadPatch {
    /// It does not fit the object.
    Unprocessable,
    /// It has this many operations, which are too many.
    TooLarge(usize),
}

/// `interpretStrategicMergePatchError`: some errors are the patch's, others nobody made a status of.
fn bad_merge(why: String) -> Status {
    let known = why == "invalid JSON document" || why.starts_with("invalid patch format");
    if known { Status::bad_request(why) } else { Status::plain_error(why) }
}

fn bad_patch(bad: BadPatch) -> Status {
    match bad {
        BadPatch::Unprocessable => {
            Status::generic(422, "", (GroupResource { group: "", resource: "" }, ""), "")
        }
        BadPatch::TooLarge(operations) => Status::too_large(&format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {operations}"
        )),
    }
}

/// Whether operations are written as such; gives back which members of theirs nobody knows
/// (`jsonPatchOp`).
fn check_operations(patch: &Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    for (index, operation) in patch.as_array().into_iter().flatten().enumerate() {
        let members = match operation {
            Value::Object(members) => members,
            Value::Null => continue,
            other => {
                let kind = go_kind(other);
                return Err(format!(
                    "json: cannot unmarshal {kind} into Go value of type handlers.jsonPatchOp"
                ));
            }
        };
        for (name, member) in members {
            match name.as_str() {
                "op" | "path" | "from" if !member.is_string() && !member.is_null() => {
                    let kind = go_kind(member);
                    return Err(format!(
                        "json: cannot unmarshal {kind} into Go struct field jsonPatchOp.{name} of type string"
                    ));
                }
                "op" | "path" | "from" | "value" => {}
                other => unknown.push(format!("json patch unknown field \"[{index}].{other}\"")),
            }
        }
    }
    Ok(unknown)
}

/// What Go calls a value of this kind.
fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::Null => "null",
    }
}

fn apply_operations(object: &mut Value, patch: &Value) -> Result<(), BadPatch> {
    let none = Vec::new();
    let operations = match patch {
        Value::Null => &none,
        other => other.as_array().ok_or(BadPatch::Unprocessable)?,
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(BadPatch::TooLarge(operations.len()));
    }
    let mut copied = 0;
    for operation in operations {
        apply_operation(object, operation, &mut copied).ok_or(BadPatch::Unprocessable)?;
    }
    Ok(())
}

fn apply_operation(object: &mut Value, operation: &Value, copied_bytes: &mut usize) -> Option<()> {
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
            *copied_bytes += weight(&copied);
            if *copied_bytes > MAX_COPIED_BYTES {
                return None;
            }
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
        ] {
            let mut patched = object.clone();
            let applied = apply_operations(&mut patched, &patch).is_ok();
            assert_eq!(applied.then_some(patched), result, "{patch}");
        }
    }

    #[test]
    fn copies_of_copies_do_not_fill_the_memory() {
        let mut object = json!({"a": {"x": "y".repeat(1000)}});
        let doubling: Vec<Value> =
            (0..40).map(|n| json!({"op": "copy", "from": "/a", "path": format!("/a/{n}")})).collect();
        assert_eq!(apply_operations(&mut object, &json!(doubling)), Err(BadPatch::Unprocessable));
        assert!(weight(&object) < 2 * MAX_COPIED_BYTES);
    }
}
