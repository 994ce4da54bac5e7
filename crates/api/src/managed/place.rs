//! What the values in an object are to those who own parts of it (the `x-kubernetes-list-type` and
//! `-map-type` of Kubernetes' types; lists merge by the keys that strategic merge knows, and by those
//! that some have besides).

use crate::schema::{Field, Merge, Message, Schema, Shape};
use serde_json::{Map, Value, json};

/// What a place in an object holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// A struct, whose members have owners of their own.
    Struct(&'static Message),
    /// A map, whose entries have.
    Map(&'static Shape),
    /// A list of objects that are known by a key, of which this is the first part.
    Keyed(&'static str, &'static Shape),
    /// A list of different values.
    Set,
    /// One value, owned as a whole.
    Whole,
}

/// Structs that are one value (`+structType=atomic`).
const WHOLE: [&str; 12] = [
    "ConfigMapKeySelector",
    "LabelSelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ObjectReference",
    "ResourceFieldSelector",
    "RoleRef",
    "SecretKeySelector",
    "SecretReference",
    "TypedLocalObjectReference",
];

impl Place {
    /// An object of a kind; one of a kind that nobody knows is whole.
    pub(super) fn of_kind(api_version: &str, kind: &str) -> Self {
        Schema::known().of_kind(api_version, kind).map_or(Self::Whole, Self::Struct)
    }

    fn of_field(field: &'static Field) -> Self {
        match (&field.shape, field.merge) {
            (Shape::List(item), Merge::By(key)) => Self::Keyed(key, item),
            (Shape::List(_), Merge::Set) => Self::Set,
            (Shape::Map(_), _) if matches!(field.name, "nodeSelector" | "selector") => Self::Whole,
            (shape, _) => Self::of_shape(shape),
        }
    }

    fn of_shape(shape: &'static Shape) -> Self {
        match shape {
            Shape::Message(name) => match Schema::known().message(name) {
                Some(message) if !WHOLE.contains(&message.name) => Self::Struct(message),
                _ => Self::Whole,
            },
            Shape::Map(item) => Self::Map(item),
            _ => Self::Whole,
        }
    }

    /// What a member of this name holds.
    pub(super) fn member(self, name: &str) -> Self {
        match self {
            Self::Struct(message) => {
                message.field(name).map_or(Self::Whole, |(field, _)| Self::of_field(field))
            }
            Self::Map(item) => Self::of_shape(item),
            _ => Self::Whole,
        }
    }

    /// What an item of the list is.
    pub(super) fn item(self) -> Self {
        match self {
            // An item is its own entry even where the struct is one value elsewhere.
            Self::Keyed(_, Shape::Message(name)) => {
                Schema::known().message(name).map_or(Self::Whole, Self::Struct)
            }
            _ => Self::Whole,
        }
    }

    /// The step that leads to an item of a list; `None` where lists are whole, or the item lacks its key.
    pub(super) fn step(self, item: &Value) -> Option<String> {
        match self {
            Self::Set => Some(format!("v:{item}")),
            Self::Keyed(key, _) => {
                let mut keys = Map::new();
                keys.insert(key.to_owned(), item.get(key)?.clone());
                if let Some((more, default)) = second_key(key, item) {
                    let value = item.get(more).cloned().unwrap_or_else(|| json!(default));
                    keys.insert(more.to_owned(), value);
                }
                Some(format!("k:{}", Value::Object(keys)))
            }
            _ => None,
        }
    }
}

/// Ports are known by their protocol too (`+listMapKey`).
fn second_key(key: &str, item: &Value) -> Option<(&'static str, &'static str)> {
    match key {
        "containerPort" => Some(("protocol", "TCP")),
        "port" if item.get("port").is_some_and(Value::is_number) => Some(("protocol", "TCP")),
        _ => None,
    }
}
