//! What the metadata of every object must be (`apimachinery/pkg/api/validation/objectmeta.go`).

use super::{Target, cause, name};
use ravelin_api::Cause;
use ravelin_api::object;
use serde_json::{Value, json};

/// The most bytes that annotations may have together (`TotalAnnotationSizeLimitB`).
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;
/// What `IsStandardFinalizerName` lets pass.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", ORPHAN, FOREGROUND];
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What is wrong with the metadata of an object.
pub(super) fn causes(target: &Target, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let prefix = object::text(object, "metadata.generateName");
    if !prefix.is_empty() {
        let faults = name::faults(target, prefix, true);
        causes.extend(faults.into_iter().map(|why| invalid("metadata.generateName", prefix, &why)));
    }
    let name = object::name(object);
    if name.is_empty() && prefix.is_empty() {
        let message = "Required value: name or generateName is required";
        causes.push(cause("FieldValueRequired", "metadata.name", message));
    } else if !name.is_empty() {
        let faults = name::faults(target, name, false);
        causes.extend(faults.into_iter().map(|why| invalid("metadata.name", name, &why)));
    }
    for (key, value) in object::labels(object) {
        let faults = name::qualified(key).into_iter().map(|why| invalid("metadata.labels", key, &why));
        causes.extend(faults);
        causes.extend(name::label_value(value).iter().map(|why| invalid("metadata.labels", value, why)));
    }
    causes.extend(annotations(object));
    causes.extend(owners(object));
    causes.extend(finalizers(object));
    // Kinds of newer groups go by the generic rules alone.
    if target.resource.plural != "leases" {
        causes.extend(standard_finalizer_causes(object, "metadata.finalizers"));
    }
    causes
}

/// A finalizer without a domain must be one of Kubernetes' own (`validateKubeFinalizerName`).
fn standard_finalizer_causes(object: &Value, field: &str) -> Vec<Cause> {
    let finalizers = object::texts(object, field).into_iter().enumerate();
    finalizers
        .filter(|(_, finalizer)| !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(finalizer))
        .map(|(i, finalizer)| {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            invalid(&format!("{field}[{i}]"), finalizer, why)
        })
        .collect()
}

/// What is wrong with the finalizers in a namespace's spec (`ValidateFinalizerName`).
pub(super) fn finalizer_causes(object: &Value, field: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, finalizer) in object::texts(object, field).into_iter().enumerate() {
        let faults = name::qualified(finalizer).into_iter();
        causes.extend(faults.map(|why| invalid(&format!("{field}[{i}]"), finalizer, &why)));
    }
    causes.extend(standard_finalizer_causes(object, field));
    causes
}

/// The longest beginning of a name that is made up (`maxGeneratedNameLength`).
const MAX_PREFIX: usize = 58;

/// Gives an object a name that begins with a prefix (`SimpleNameGenerator`).
pub(super) fn generate_name(object: &mut Value, prefix: &str, mut below: impl FnMut(u64) -> u64) {
    let end = (0..=prefix.len().min(MAX_PREFIX)).rev().find(|at| prefix.is_char_boundary(*at)).unwrap_or(0);
    let mut name = prefix[..end].to_owned();
    for _ in 0..5 {
        let letter = usize::try_from(below(27)).unwrap_or(0);
        name.push(char::from(LETTERS[letter]));
    }
    object::metadata_mut(object).insert("name".into(), json!(name));
}

/// What made-up names end in: no vowels, so that they spell no words (`util/rand`).
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// What is wrong with a change of metadata. Kubernetes checks these twice and names them twice.
pub(super) fn causes_of_change(new: &Value, present: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if object::is_terminating(present) {
        let old = object::texts(present, "metadata.finalizers");
        let mut added: Vec<&str> = object::texts(new, "metadata.finalizers");
        added.retain(|finalizer| !old.contains(finalizer));
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|finalizer| format!("{finalizer:?}")).collect();
            let message = format!(
                "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            );
            causes.push(cause("FieldValueForbidden", "metadata.finalizers", message));
        }
    }
    for field in ["name", "namespace", "uid"] {
        let path = format!("metadata.{field}");
        let given = object::text(new, &path);
        if !given.is_empty() && given != object::text(present, &path) {
            causes.push(invalid(&path, given, "field is immutable"));
        }
    }
    let again = causes.clone();
    causes.extend(again);
    causes
}

fn invalid(field: &str, value: &str, why: &str) -> Cause {
    cause("FieldValueInvalid", field, format!("Invalid value: {value:?}: {why}"))
}

fn annotations(object: &Value) -> Vec<Cause> {
    let field = "metadata.annotations";
    let annotations = object::annotations(object);
    let mut causes: Vec<Cause> = annotations
        .keys()
        .flat_map(|key| {
            name::qualified(&key.to_ascii_lowercase()).into_iter().map(|why| invalid(field, key, &why))
        })
        .collect();
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_ANNOTATION_BYTES {
        let message = format!("Too long: may not be more than {MAX_ANNOTATION_BYTES} bytes");
        causes.push(cause("FieldValueTooLong", field, message));
    }
    causes
}

fn owners(object: &Value) -> Vec<Cause> {
    let field = "metadata.ownerReferences";
    let mut causes = Vec::new();
    let mut controller = String::new();
    for owner in object::list(object, field) {
        for (member, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if object::text(owner, member).is_empty() {
                causes.push(invalid(&format!("{field}.{member}"), "", why));
            }
        }
        if object::api_version(owner) == "v1" && object::kind(owner) == "Event" {
            let message =
                format!("Invalid value: {owner}: /v1, Kind=Event is disallowed from being an owner");
            causes.push(cause("FieldValueInvalid", field, message));
        }
        if object::flag(owner, "controller") == Some(true) {
            let named = format!("{}/{}", object::kind(owner), object::text(owner, "name"));
            if controller.is_empty() {
                controller = named;
            } else {
                let shown = json!(object::list(object, field));
                let message = format!(
                    "Invalid value: {shown}: Only one reference can have Controller set to true. Found \"true\" in references for {controller} and {named}"
                );
                causes.push(cause("FieldValueInvalid", field, message));
            }
        }
    }
    causes
}

fn finalizers(object: &Value) -> Vec<Cause> {
    let field = "metadata.finalizers";
    let finalizers = object::texts(object, field);
    let mut causes: Vec<Cause> = finalizers
        .iter()
        .flat_map(|finalizer| {
            name::qualified(finalizer).into_iter().map(|why| invalid(field, finalizer, &why))
        })
        .collect();
    if finalizers.contains(&ORPHAN) && finalizers.contains(&FOREGROUND) {
        let message = format!(
            "Invalid value: {}: finalizer {ORPHAN} and {FOREGROUND} cannot be both set",
            json!(finalizers)
        );
        causes.push(cause("FieldValueInvalid", field, message));
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use ravelin_api::Resource;

    fn fields(plural: &str, metadata: &Value) -> Vec<String> {
        let resource = Resource::find("", "v1", plural).unwrap();
        let target = Target { resource, namespace: String::new(), name: String::new() };
        causes(&target, &json!({"metadata": metadata})).into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn metadata_is_refused_for_each_fault_of_its_own() {
        assert!(fields("configmaps", &json!({"name": "a.b", "labels": {"x.y/z": "A_1"}})).is_empty());
        assert!(fields("configmaps", &json!({"generateName": "a-"})).is_empty());
        for (plural, metadata, field) in [
            ("configmaps", json!({}), "metadata.name"),
            ("configmaps", json!({"name": "A"}), "metadata.name"),
            ("namespaces", json!({"name": "a.b"}), "metadata.name"),
            ("services", json!({"name": "1a"}), "metadata.name"),
            ("configmaps", json!({"generateName": "Ab-"}), "metadata.generateName"),
            ("configmaps", json!({"name": "a", "labels": {"-": "v"}}), "metadata.labels"),
            ("configmaps", json!({"name": "a", "labels": {"k": "-"}}), "metadata.labels"),
            (
                "configmaps",
                json!({"name": "a", "annotations": {"k": "x".repeat(300_000)}}),
                "metadata.annotations",
            ),
            ("configmaps", json!({"name": "a", "finalizers": ["/x"]}), "metadata.finalizers"),
            (
                "configmaps",
                json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}),
                "metadata.ownerReferences.uid",
            ),
        ] {
            assert_eq!(fields(plural, &metadata), [field], "{metadata}");
        }
    }
}
