//! Which fields the objects of each kind have: their names, types, protobuf numbers and merge keys.
//!
//! One table (`schema/kinds.txt`, from the struct tags of Kubernetes' `types.go`) says it for
//! everything that must know: protobuf bodies, unknown fields, strategic merge patches.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Every message and every named type.
pub(crate) struct Schema {
    messages: BTreeMap<&'static str, Message>,
}

/// What a struct of Kubernetes' holds, in the order of its declaration.
#[derive(Debug)]
pub(crate) struct Message {
    /// Its Go name without the package.
    pub(crate) name: &'static str,
    pub(crate) fields: Vec<Field>,
}

/// One field.
#[derive(Debug)]
pub(crate) struct Field {
    /// The number in protobuf.
    pub(crate) number: u32,
    /// The name in JSON.
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// Is absent something else than zero?
    pub(crate) pointer: bool,
    /// Are its members the struct's own in JSON?
    pub(crate) inline: bool,
    /// Is it written in JSON where it is zero?
    pub(crate) always: bool,
    pub(crate) merge: Merge,
    /// The type, as Go's errors print it.
    pub(crate) go_type: String,
}

/// How strategic merge treats a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// The patch's replaces it.
    Replace,
    /// Its items, objects, merge by this key.
    By(&'static str),
    /// Its items, plain values, are a set.
    Set,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Bool,
    Int32,
    Int64,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// Any JSON.
    Raw,
    Message(&'static str),
    List(Box<Shape>),
    Map(Box<Shape>),
    /// A list of texts that is a message of its own in protobuf (`ExtraValue`).
    Texts,
}

const TABLE: &str = include_str!("schema/kinds.txt");

impl Schema {
    /// The table, read once.
    pub(crate) fn known() -> &'static Self {
        static KNOWN: OnceLock<Schema> = OnceLock::new();
        KNOWN.get_or_init(|| Self::read(TABLE))
    }

    /// The message of a kind, as `apiVersion` and `kind` name it; a list's item kinds included.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Message> {
        let group = api_version.rsplit_once('/').map_or("core", |(group, _)| group);
        self.message(&format!("{}.{kind}", group.split('.').next().unwrap_or_default()))
    }

    /// A message by its full name.
    pub(crate) fn message(&self, name: &str) -> Option<&Message> {
        self.messages.get(name)
    }

    fn read(table: &'static str) -> Self {
        let lines = || table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let aliases: BTreeMap<&str, &str> = lines().filter_map(|line| line.split_once(" = ")).collect();
        let mut messages = BTreeMap::new();
        let mut current = "";
        for line in lines().filter(|line| !line.contains(" = ")) {
            match line.strip_prefix(' ') {
                None => {
                    current = line;
                    let name = line.split_once('.').map_or(line, |(_, name)| name);
                    messages.insert(line, Message { name, fields: Vec::new() });
                }
                Some(field) => {
                    let message = messages.get_mut(current).expect("the table begins with a message");
                    message.fields.push(read_field(field, &aliases));
                }
            }
        }
        Self { messages }
    }
}

impl Message {
    /// The field of a JSON name, also where it is a member of an inlined struct; and, for these,
    /// that struct's message.
    pub(crate) fn field(&self, name: &str) -> Option<(&Field, &Self)> {
        if let Some(own) = self.fields.iter().find(|field| !field.inline && field.name == name) {
            return Some((own, self));
        }
        self.inlined().find_map(|inlined| inlined.field(name))
    }

    /// The messages whose members are this one's own.
    fn inlined(&self) -> impl Iterator<Item = &'static Self> {
        self.fields.iter().filter(|field| field.inline).filter_map(|field| match field.shape {
            Shape::Message(name) => Schema::known().message(name),
            _ => None,
        })
    }
}

fn read_field(line: &'static str, aliases: &BTreeMap<&'static str, &'static str>) -> Field {
    let mut words = line.split(' ');
    let mut next = || words.next().expect("a field has a number, a name and a type");
    let (number, name, written) = (next(), next(), next());
    let flags: Vec<&str> = words.collect();
    let pointer = written.starts_with('*');
    let declared = written.trim_start_matches('*');
    let merge = flags.iter().find_map(|flag| match flag.strip_prefix("merge") {
        Some("") => Some(Merge::Set),
        Some(key) => Some(Merge::By(key.trim_start_matches('='))),
        None => None,
    });
    Field {
        number: number.parse().expect("a field has a number"),
        name,
        shape: shape(declared, aliases),
        pointer,
        inline: flags.contains(&"inline"),
        always: flags.contains(&"always"),
        merge: merge.unwrap_or(Merge::Replace),
        go_type: go_type(declared),
    }
}

fn shape(declared: &'static str, aliases: &BTreeMap<&'static str, &'static str>) -> Shape {
    if let Some(item) = declared.strip_prefix("[]") {
        return match item {
            "byte" => Shape::Bytes,
            item => Shape::List(Box::new(shape(item, aliases))),
        };
    }
    if let Some((_, item)) = declared.strip_prefix("map[").and_then(|map| map.split_once(']')) {
        return Shape::Map(Box::new(shape(item, aliases)));
    }
    match declared {
        "string" => Shape::Text,
        "bool" => Shape::Bool,
        "int32" => Shape::Int32,
        "int64" => Shape::Int64,
        "meta.Time" => Shape::Time,
        "meta.MicroTime" => Shape::MicroTime,
        "resource.Quantity" => Shape::Quantity,
        "intstr.IntOrString" => Shape::IntOrString,
        "meta.FieldsV1" | "runtime.RawExtension" => Shape::Raw,
        name if name.ends_with(".ExtraValue") => Shape::Texts,
        name => aliases.get(name).map_or(Shape::Message(name), |alias| shape(alias, aliases)),
    }
}

/// The type as Go's errors print it: every package of the API is called after its version.
fn go_type(declared: &str) -> String {
    let at = declared.rfind([']', '*']).map_or(0, |at| at + 1);
    let (outer, inner) = declared.split_at(at);
    match inner.split_once('.') {
        Some((package @ ("resource" | "intstr" | "runtime"), name)) => format!("{outer}{package}.{name}"),
        Some((_, name)) => format!("{outer}v1.{name}"),
        None if inner == "byte" => format!("{outer}uint8"),
        None => declared.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RESOURCES;

    #[test]
    fn every_kind_that_is_served_has_its_fields() {
        let schema = Schema::known();
        for resource in RESOURCES {
            assert!(schema.of_kind(&resource.api_version(), resource.kind).is_some(), "{}", resource.kind);
            if resource.stored {
                assert!(schema.of_kind(&resource.api_version(), &resource.list_kind()).is_some());
            }
        }
        for message in schema.messages.values() {
            for field in &message.fields {
                let mut shape = &field.shape;
                while let Shape::List(item) | Shape::Map(item) = shape {
                    shape = item;
                }
                if let Shape::Message(name) = shape {
                    assert!(schema.message(name).is_some(), "{}.{} is a {name}", message.name, field.name);
                }
            }
        }
    }

    #[test]
    fn the_table_says_what_the_struct_tags_say() {
        let schema = Schema::known();
        let (containers, _) = schema.message("core.PodSpec").unwrap().field("containers").unwrap();
        assert_eq!((containers.number, containers.merge), (2, Merge::By("name")));
        assert_eq!(containers.go_type, "[]v1.Container");
        let (secret, inside) = schema.message("core.Volume").unwrap().field("secret").unwrap();
        assert!(secret.pointer);
        assert_eq!(inside.name, "VolumeSource");
        let (limits, _) = schema.message("core.ResourceRequirements").unwrap().field("limits").unwrap();
        assert_eq!(limits.shape, Shape::Map(Box::new(Shape::Quantity)));
    }
}
