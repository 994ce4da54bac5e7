//! Volumes, claims and what goes with them in tables.

use super::cells::{NONE, age, named, or};
use jiff::Timestamp;
use ravelin_api::object;
use serde_json::{Value, json};

const UNSET: &str = "<unset>";

/// Access modes for short (`GetAccessModesAsString`).
fn modes(item: &Value, path: &str) -> String {
    let given = object::texts(item, path);
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let named = short.iter().filter(|(mode, _)| given.contains(mode)).map(|(_, short)| *short);
    named.collect::<Vec<_>>().join(",")
}

fn phase(item: &Value) -> &str {
    if object::is_terminating(item) { "Terminating" } else { object::text(item, "status.phase") }
}

/// The storage class, of which old objects tell in an annotation.
fn class_of(item: &Value) -> String {
    let annotations = object::annotations(item);
    let old = annotations.get("volume.beta.kubernetes.io/storage-class");
    old.copied().unwrap_or_else(|| object::text(item, "spec.storageClassName")).to_owned()
}

pub(super) fn volume(item: &Value, now: Timestamp) -> Vec<Value> {
    let text = |path: &str| object::text(item, path);
    let claim = match text("spec.claimRef.name") {
        "" => String::new(),
        name => format!("{}/{name}", text("spec.claimRef.namespace")),
    };
    vec![
        json!(object::name(item)),
        json!(text("spec.capacity.storage")),
        json!(modes(item, "spec.accessModes")),
        json!(text("spec.persistentVolumeReclaimPolicy")),
        json!(phase(item)),
        json!(claim),
        json!(class_of(item)),
        json!(or(text("spec.volumeAttributesClassName"), UNSET)),
        json!(text("status.reason")),
        age(item, now),
        json!(or(text("spec.volumeMode"), UNSET)),
    ]
}

pub(super) fn claim(item: &Value, now: Timestamp) -> Vec<Value> {
    let text = |path: &str| object::text(item, path);
    let volume = text("spec.volumeName");
    let (capacity, access) = match volume {
        "" => ("", String::new()),
        _ => (text("status.capacity.storage"), modes(item, "status.accessModes")),
    };
    vec![
        json!(object::name(item)),
        json!(phase(item)),
        json!(volume),
        json!(capacity),
        json!(access),
        json!(class_of(item)),
        json!(or(text("spec.volumeAttributesClassName"), UNSET)),
        age(item, now),
        json!(or(text("spec.volumeMode"), UNSET)),
    ]
}

pub(super) fn class(item: &Value, now: Timestamp) -> Vec<Value> {
    let annotations = object::annotations(item);
    let is_default = ["storageclass.kubernetes.io", "storageclass.beta.kubernetes.io"]
        .iter()
        .any(|prefix| annotations.get(format!("{prefix}/is-default-class").as_str()) == Some(&"true"));
    let name = object::name(item);
    vec![
        json!(if is_default { format!("{name} (default)") } else { name.to_owned() }),
        json!(object::text(item, "provisioner")),
        json!(or(object::text(item, "reclaimPolicy"), "Delete")),
        json!(or(object::text(item, "volumeBindingMode"), "Immediate")),
        json!(object::flag(item, "allowVolumeExpansion") == Some(true)),
        age(item, now),
    ]
}

pub(super) fn driver(item: &Value, now: Timestamp) -> Vec<Value> {
    let flag = |name: &str| object::flag(item, &format!("spec.{name}"));
    let audiences = object::at(item, "spec.tokenRequests").and_then(Value::as_array).map(|requests| {
        requests.iter().map(|request| object::text(request, "audience")).collect::<Vec<_>>().join(",")
    });
    let modes = object::texts(item, "spec.volumeLifecycleModes").join(",");
    named(
        item,
        now,
        [
            json!(flag("attachRequired") != Some(false)),
            json!(flag("podInfoOnMount") == Some(true)),
            json!(flag("storageCapacity") == Some(true)),
            json!(audiences.as_deref().unwrap_or(UNSET)),
            json!(flag("requiresRepublish") == Some(true)),
            json!(or(&modes, NONE)),
        ],
    )
}

pub(super) fn attachment(item: &Value, now: Timestamp) -> Vec<Value> {
    let text = |path: &str| json!(object::text(item, path));
    named(
        item,
        now,
        [
            text("spec.attacher"),
            text("spec.source.persistentVolumeName"),
            text("spec.nodeName"),
            json!(object::flag(item, "status.attached") == Some(true)),
        ],
    )
}
