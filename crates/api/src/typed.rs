//! Objects read as what their kind says they are: unknown fields, fields given twice, and values
//! of another type are found, as Kubernetes' decoder finds them (`sigs.k8s.io/json`).

use crate::json::{self, Node};
use crate::schema::{Message, Schema, Shape};
use crate::time;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The most findings that are told (`strictErrorLimit` of `sigs.k8s.io/json`).
const MAX_FINDINGS: usize = 100;

/// An object that was read, and what its kind does not know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    /// The object, without what its kind does not know, and without nulls.
    pub object: Value,
    /// `unknown field "spec.x"` and `duplicate field "kind"`, in the order of the text.
    pub findings: Vec<String>,
}

/// JSON that was read, but of no kind yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Untyped(Node);

impl Untyped {
    /// Reads JSON.
    ///
    /// # Errors
    /// The text with which Go refuses it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        json::parse(bytes).map(Self)
    }

    /// What stands in a member of the outermost object.
    ///
    /// # Errors
    /// Where it is no text: what it is instead, as Go calls it.
    pub fn text(&self, name: &str) -> Result<&str, &'static str> {
        let Node::Object(members) = &self.0 else { return Ok("") };
        match members.iter().rev().find(|(member, _)| member == name) {
            Some((_, Node::Leaf(Value::String(text)))) => Ok(text),
            None | Some((_, Node::Leaf(Value::Null))) => Ok(""),
            Some((_, other)) => Err(other.go_kind()),
        }
    }

    /// What the whole is, as Go calls it: `object`, `array`, `string` …
    pub fn go_kind(&self) -> &'static str {
        self.0.go_kind()
    }

    /// `duplicate field "a.b"` for each name that an object of any kind gives twice.
    pub fn duplicates(&self) -> Vec<String> {
        let mut reader = Reader { path: Vec::new(), findings: Vec::new(), first_error: None };
        reader.duplicates(&self.0);
        reader.findings
    }

    /// The value as it is.
    pub fn into_value(self) -> Value {
        self.0.into_value()
    }

    /// Reads it as an object of a kind.
    ///
    /// # Errors
    /// The text of Go's `UnmarshalTypeError` for the first value of another type.
    pub fn of_kind(self, api_version: &str, kind: &str) -> Result<Typed, String> {
        match Schema::known().of_kind(api_version, kind) {
            Some(message) => typed(self.0, message),
            None => Ok(Typed { object: self.0.into_value(), findings: Vec::new() }),
        }
    }
}

/// Reads an object again that was changed by a patch.
///
/// # Errors
/// As [`Untyped::of_kind`].
pub fn retyped(object: Value, api_version: &str, kind: &str) -> Result<Typed, String> {
    Untyped(node_of(object)).of_kind(api_version, kind)
}

fn node_of(value: Value) -> Node {
    match value {
        Value::Object(members) => {
            Node::Object(members.into_iter().map(|(name, value)| (name, node_of(value))).collect())
        }
        Value::Array(items) => Node::Array(items.into_iter().map(node_of).collect()),
        leaf => Node::Leaf(leaf),
    }
}

fn typed(node: Node, message: &Message) -> Result<Typed, String> {
    let mut reader = Reader { path: Vec::new(), findings: Vec::new(), first_error: None };
    let object = reader.object(node, message, true);
    match reader.first_error {
        Some(error) => Err(error),
        None => Ok(Typed { object, findings: reader.findings }),
    }
}

struct Reader {
    /// The way to the present value.
    path: Vec<Step>,
    findings: Vec<String>,
    first_error: Option<String>,
}

enum Step {
    Field(String),
    Key(String),
    Index(usize),
}

/// Where a value stands, for an error about it.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The struct that holds the field.
    owner: &'a str,
    go_type: &'a str,
}

impl Step {
    fn field(&self) -> Option<&str> {
        match self {
            Self::Field(name) => Some(name),
            Self::Key(_) | Self::Index(_) => None,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(name) | Self::Key(name) => write!(f, ".{name}"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl Reader {
    fn object(&mut self, node: Node, message: &Message, outermost: bool) -> Value {
        let Node::Object(members) = node else { return node.into_value() };
        let mut read = Map::new();
        let mut seen = BTreeSet::new();
        for (name, member) in members {
            if !seen.insert(name.clone()) {
                self.find("duplicate", &name);
            }
            if outermost && matches!(name.as_str(), "kind" | "apiVersion") {
                read.insert(name, member.into_value());
                continue;
            }
            let Some((field, owner)) = message.field(&name) else {
                self.find("unknown", &name);
                continue;
            };
            self.path.push(Step::Field(name.clone()));
            let place = Place { owner: owner.name, go_type: &field.go_type };
            if let Some(value) = self.value(member, &field.shape, place) {
                read.insert(name, value);
            } else {
                read.remove(&name);
            }
            self.path.pop();
        }
        Value::Object(read)
    }

    /// The value; `None` for null.
    fn value(&mut self, node: Node, shape: &Shape, place: Place<'_>) -> Option<Value> {
        let inside = |go_type: &str| {
            let at = go_type.find(']').map_or(0, |at| at + 1);
            go_type[at..].to_owned()
        };
        match (shape, node) {
            (Shape::Raw, node) => Some(node.into_value()),
            (_, Node::Leaf(Value::Null)) => None,
            (Shape::Message(name), node @ Node::Object(_)) => match Schema::known().message(name) {
                Some(message) => Some(self.object(node, message, false)),
                None => Some(node.into_value()),
            },
            (Shape::Map(item), Node::Object(members)) => {
                Some(self.map(members, item, Place { go_type: &inside(place.go_type), ..place }))
            }
            (Shape::List(item), Node::Array(items)) => {
                Some(self.list(items, item, Place { go_type: &inside(place.go_type), ..place }))
            }
            (Shape::Texts, Node::Array(items)) => {
                Some(self.list(items, &Shape::Text, Place { go_type: "string", ..place }))
            }
            (_, Node::Leaf(leaf)) => self.leaf(leaf, shape, place),
            (_, node) => self.mismatch(node.go_kind(), place),
        }
    }

    fn map(&mut self, members: Vec<(String, Node)>, item: &Shape, place: Place<'_>) -> Value {
        let mut read = Map::new();
        for (name, member) in members {
            self.path.push(Step::Key(name.clone()));
            let value = self.value(member, item, place);
            self.path.pop();
            if read.contains_key(&name) {
                self.find("duplicate", &name);
            }
            // A null in a map is the zero of its type.
            read.insert(name, value.unwrap_or_else(|| zero(item)));
        }
        Value::Object(read)
    }

    fn list(&mut self, items: Vec<Node>, item: &Shape, place: Place<'_>) -> Value {
        let mut read = Vec::new();
        for (index, node) in items.into_iter().enumerate() {
            self.path.push(Step::Index(index));
            read.push(self.value(node, item, place).unwrap_or_else(|| zero(item)));
            self.path.pop();
        }
        Value::Array(read)
    }

    fn duplicates(&mut self, node: &Node) {
        match node {
            Node::Object(members) => {
                let mut seen = BTreeSet::new();
                for (name, member) in members {
                    if !seen.insert(name) {
                        self.find("duplicate", name);
                    }
                    self.path.push(Step::Field(name.clone()));
                    self.duplicates(member);
                    self.path.pop();
                }
            }
            Node::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.path.push(Step::Index(index));
                    self.duplicates(item);
                    self.path.pop();
                }
            }
            Node::Leaf(_) => {}
        }
    }

    fn leaf(&mut self, leaf: Value, shape: &Shape, place: Place<'_>) -> Option<Value> {
        let fits = match (shape, &leaf) {
            (Shape::Text, Value::String(_)) | (Shape::Bool, Value::Bool(_)) => true,
            (Shape::Int32, Value::Number(number)) => match number.as_i64() {
                Some(number) if i32::try_from(number).is_ok() => true,
                _ => return self.mismatch(&format!("number {number}"), place),
            },
            (Shape::Int64, Value::Number(number)) => match number.as_i64() {
                Some(_) => true,
                None => return self.mismatch(&format!("number {number}"), place),
            },
            (Shape::IntOrString, Value::String(_) | Value::Number(_)) => true,
            (Shape::Quantity, Value::Number(number)) => return Some(json!(number.to_string())),
            (Shape::Quantity, Value::String(text)) => {
                if !is_quantity(text) {
                    return self.refuse(QUANTITY);
                }
                true
            }
            (Shape::Time | Shape::MicroTime, Value::String(text)) => {
                if time::parse(text).is_none() {
                    return self.refuse(&format!(
                        "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
                    ));
                }
                true
            }
            (Shape::Bytes, Value::String(text)) => {
                let plain: String = text.chars().filter(|c| !"\r\n".contains(*c)).collect();
                if STANDARD.decode(&plain).is_err() {
                    let at = illegal_base64(&plain);
                    return self.refuse(&format!("illegal base64 data at input byte {at}"));
                }
                return Some(Value::String(plain));
            }
            _ => false,
        };
        if fits { Some(leaf) } else { self.mismatch(Node::Leaf(leaf).go_kind(), place) }
    }

    fn mismatch(&mut self, given: &str, place: Place<'_>) -> Option<Value> {
        // Go's path has the names of fields and nothing of lists and maps.
        let names: Vec<&str> = self.path.iter().filter_map(Step::field).collect();
        let text = format!(
            "json: cannot unmarshal {given} into Go struct field {}.{} of type {}",
            place.owner,
            names.join("."),
            place.go_type
        );
        self.refuse(&text)
    }

    fn refuse(&mut self, text: &str) -> Option<Value> {
        self.first_error.get_or_insert_with(|| text.to_owned());
        None
    }

    fn find(&mut self, what: &str, name: &str) {
        if self.findings.len() < MAX_FINDINGS {
            let path: String = self.path.iter().map(Step::to_string).collect();
            self.findings
                .push(format!("{what} field \"{}\"", format!("{path}.{name}").trim_start_matches('.')));
        }
    }
}

const QUANTITY: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

fn is_quantity(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let rest = unsigned.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let suffix = rest.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
    let exponent = suffix.strip_prefix(['+', '-']).unwrap_or(suffix);
    rest.len() < unsigned.len() && exponent.bytes().all(|byte| byte.is_ascii_digit())
}

fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::Text | Shape::Bytes => json!(""),
        Shape::Bool => json!(false),
        Shape::Int32 | Shape::Int64 | Shape::IntOrString => json!(0),
        Shape::Quantity => json!("0"),
        Shape::Message(_) => json!({}),
        _ => Value::Null,
    }
}

/// Where Go finds base64 to be wrong: at the first letter that is none, else at the last full group.
fn illegal_base64(text: &str) -> usize {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.bytes().position(|byte| !good(byte)).unwrap_or(text.len() / 4 * 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, text: &str) -> Result<Typed, String> {
        Untyped::read(text.as_bytes()).unwrap().of_kind("v1", kind)
    }

    #[test]
    fn unknown_and_repeated_fields_are_found_with_their_paths() {
        let text = r#"{"kind":"Pod","zzz":1,"kind":"Pod","metadata":{"name":"a","name":"b","x":{}},
            "spec":{"containers":[{"name":"c","y":1}],"volumes":[{"name":"v","secret":{"secretName":"s","z":1}}],"nodeName":null}}"#;
        let typed = read("Pod", text).unwrap();
        assert_eq!(
            typed.findings,
            [
                r#"unknown field "zzz""#,
                r#"duplicate field "kind""#,
                r#"duplicate field "metadata.name""#,
                r#"unknown field "metadata.x""#,
                r#"unknown field "spec.containers[0].y""#,
                r#"unknown field "spec.volumes[0].secret.z""#,
            ]
        );
        assert_eq!(
            typed.object,
            json!({"kind": "Pod", "metadata": {"name": "b"}, "spec": {"containers": [{"name": "c"}],
                "volumes": [{"name": "v", "secret": {"secretName": "s"}}]}})
        );
    }

    #[test]
    fn a_value_of_another_type_is_named_as_go_names_it() {
        for (kind, text, error) in [
            ("ConfigMap", r#"{"data":{"a":1}}"#, "number into Go struct field ConfigMap.data of type string"),
            (
                "ConfigMap",
                r#"{"metadata":5}"#,
                "number into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
            ),
            (
                "Pod",
                r#"{"spec":{"hostNetwork":"yes"}}"#,
                "string into Go struct field PodSpec.spec.hostNetwork of type bool",
            ),
            (
                "Pod",
                r#"{"spec":{"containers":[{"env":[{"name":"a","value":1}]}]}}"#,
                "number into Go struct field EnvVar.spec.containers.env.value of type string",
            ),
            (
                "Pod",
                r#"{"spec":{"containers":{}}}"#,
                "object into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                "Pod",
                r#"{"metadata":{"labels":{"a":true}}}"#,
                "bool into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                "Pod",
                r#"{"spec":{"terminationGracePeriodSeconds":1.5}}"#,
                "number 1.5 into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64",
            ),
        ] {
            assert_eq!(read(kind, text), Err(format!("json: cannot unmarshal {error}")), "{text}");
        }
        assert_eq!(
            read("Secret", r#"{"data":{"a":"!"}}"#),
            Err("illegal base64 data at input byte 0".into())
        );
    }
}
