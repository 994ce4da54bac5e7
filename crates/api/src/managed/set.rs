//! Sets of fields, and how they are written (`fieldpath/serialize.go`, `FieldsV1`).

use super::place::Place;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How deep sets may nest; objects are not as deep.
const MAX_DEPTH: usize = 64;

/// A set of fields: a tree whose steps are written as `FieldsV1` writes them, `f:name`, `k:{"a":"b"}`
/// and `v:"x"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Is the place itself in the set?
    pub(super) member: bool,
    pub(super) below: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    pub(super) fn leaf() -> Self {
        Self { member: true, below: BTreeMap::new() }
    }

    /// Is nothing in it?
    pub fn is_empty(&self) -> bool {
        !self.member && self.below.values().all(Self::is_empty)
    }

    /// The fields that a value has.
    pub(super) fn of(value: &Value, place: Place) -> Self {
        let mut set = Self::default();
        match (place, value) {
            (Place::Struct(_) | Place::Map(_), Value::Object(members)) if !members.is_empty() => {
                for (name, member) in members {
                    let mut below = Self::of(member, place.member(name));
                    // A map's entries are in the set; a struct's members only where they are leaves.
                    below.member |= matches!(place, Place::Map(_));
                    set.below.insert(format!("f:{name}"), below);
                }
            }
            (Place::Keyed(..) | Place::Set, Value::Array(items)) if !items.is_empty() => {
                for item in items {
                    let Some(step) = place.step(item) else { return Self::leaf() };
                    let below = match place {
                        Place::Set => Self::leaf(),
                        _ => Self { member: true, ..Self::of(item, place.item()) },
                    };
                    set.below.insert(step, below);
                }
            }
            _ => set.member = true,
        }
        set
    }

    /// What is in either.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        self.member |= other.member;
        for (step, theirs) in &other.below {
            let ours = self.below.remove(step).unwrap_or_default();
            self.below.insert(step.clone(), ours.union(theirs));
        }
        self
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let below = self.below.iter().map(|(step, ours)| match other.below.get(step) {
            Some(theirs) => (step.clone(), ours.without(theirs)),
            None => (step.clone(), ours.clone()),
        });
        let below = below.filter(|(_, set)| !set.is_empty()).collect();
        Self { member: self.member && !other.member, below }
    }

    /// What is in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let below = self.below.iter().filter_map(|(step, ours)| {
            let common = ours.common(other.below.get(step)?);
            (!common.is_empty()).then(|| (step.clone(), common))
        });
        Self { member: self.member && other.member, below: below.collect() }
    }

    /// Every member's path, as conflicts name it: `.spec.containers[name="c"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(String::new(), &mut paths);
        paths
    }

    fn collect(&self, path: String, paths: &mut Vec<String>) {
        for (step, below) in &self.below {
            below.collect(format!("{path}{}", shown(step)), paths);
        }
        if self.member {
            paths.push(path);
        }
    }

    /// As `fieldsV1` holds it.
    pub fn write(&self) -> Value {
        let mut members: Map<String, Value> =
            self.below.iter().map(|(step, below)| (step.clone(), below.write())).collect();
        if self.member && !members.is_empty() {
            members.insert(".".to_owned(), json!({}));
        }
        Value::Object(members)
    }

    /// Reads `fieldsV1`.
    pub fn read(written: &Value) -> Self {
        let set = Self::read_node(written, 0);
        // The object itself is no field.
        Self { member: false, ..set }
    }

    fn read_node(written: &Value, depth: usize) -> Self {
        let Some(members) = written.as_object().filter(|_| depth < MAX_DEPTH) else { return Self::default() };
        let below: BTreeMap<String, Self> = members
            .iter()
            .filter(|(step, _)| *step != ".")
            .map(|(step, below)| (step.clone(), Self::read_node(below, depth + 1)))
            .collect();
        Self { member: members.contains_key(".") || members.is_empty(), below }
    }
}

/// A step as paths show it (`PathElement.String`).
fn shown(step: &str) -> String {
    match step.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", keys)) => {
            let keys: BTreeMap<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let shown: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", shown.join(","))
        }
        Some(("v", value)) => format!("[={value}]"),
        _ => format!("[{step}]"),
    }
}
