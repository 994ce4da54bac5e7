//! Who last set which field of an object (`metadata.managedFields`), and applying a configuration by
//! it: the arithmetic of server-side apply (KEP-555; `sigs.k8s.io/structured-merge-diff`). Pure.
//!
//! Which lists are maps and which values are whole, [`place`] knows.

mod apply;
mod place;
mod set;

pub use apply::{Applied, Conflict, apply, updated};
pub use set::FieldSet;

use place::Place;
use serde_json::{Value, json};

/// The fields of an object that somebody can own, by its `apiVersion` and `kind`.
pub fn fields_of(object: &Value, (api_version, kind): (&str, &str)) -> FieldSet {
    FieldSet::of(&ownable(object), Place::of_kind(api_version, kind))
}

/// The object without what nobody owns (`stripMeta` and `buildManagerInfo` of
/// `apimachinery/pkg/util/managedfields`).
fn ownable(object: &Value) -> Value {
    const UNOWNED: [&str; 10] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
        "deletionTimestamp",
    ];
    let mut object = object.clone();
    if let Some(members) = object.as_object_mut() {
        members.remove("apiVersion");
        members.remove("kind");
        if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, _| !UNOWNED.contains(&name.as_str()));
            if metadata.is_empty() {
                members.remove("metadata");
            }
        }
    }
    object
}

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub struct Manager {
    /// The name that it gave itself.
    pub name: String,
    /// Did it apply, rather than update?
    pub applies: bool,
    /// Through which subresource; empty for the object itself.
    pub subresource: String,
    /// When, as RFC 3339.
    pub time: String,
    /// What it owns.
    pub fields: FieldSet,
}

impl Manager {
    /// Reads the entries of an object. What cannot be read owns nothing.
    pub fn all_of(object: &Value) -> Vec<Self> {
        crate::object::list(object, "metadata.managedFields").iter().map(Self::read).collect()
    }

    fn read(entry: &Value) -> Self {
        let text = |name: &str| crate::object::text(entry, name).to_owned();
        Self {
            name: text("manager"),
            applies: text("operation") == "Apply",
            subresource: text("subresource"),
            time: text("time"),
            fields: FieldSet::read(&entry["fieldsV1"]),
        }
    }

    /// The entry, for objects of a version.
    pub fn write(&self, api_version: &str) -> Value {
        let mut entry = json!({
            "manager": self.name,
            "operation": if self.applies { "Apply" } else { "Update" },
            "apiVersion": api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.write(),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = json!(self.subresource);
        }
        entry
    }

    /// Is it the same manager, doing the same in the same way?
    pub fn is(&self, name: &str, applies: bool, subresource: &str) -> bool {
        (self.name.as_str(), self.applies, self.subresource.as_str()) == (name, applies, subresource)
    }
}

#[cfg(test)]
mod tests;
