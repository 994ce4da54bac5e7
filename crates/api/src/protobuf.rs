//! Objects in Kubernetes' protobuf (`apimachinery/pkg/runtime/serializer/protobuf`): four magic
//! bytes, then a `runtime.Unknown` that says which kind the bytes in it are.
//!
//! The fields come from [`crate::schema`]; what it does not know is passed over, as protobuf does.

mod wire;

use crate::schema::{Field, Message, Schema, Shape};
use crate::time;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use wire::{Bytes, Fields, Item};

/// How every such body begins.
pub const PROTOBUF_PREFIX: &[u8; 4] = b"k8s\0";
/// How deep messages may nest; nothing of Kubernetes' comes near.
const MAX_DEPTH: usize = 64;

/// Why protobuf could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadProtobuf {
    /// It does not begin as it must.
    Prefix,
    /// It is broken.
    Broken,
}

impl std::fmt::Display for BadProtobuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Prefix => {
                "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
            }
            Self::Broken => "unexpected EOF",
        })
    }
}

impl std::error::Error for BadProtobuf {}

/// What a body says that it is, and the bytes of the object in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enveloped {
    /// Its `apiVersion`; may be empty.
    pub api_version: String,
    /// Its `kind`; may be empty.
    pub kind: String,
    raw: Vec<u8>,
}

impl Enveloped {
    /// Opens a body.
    ///
    /// # Errors
    /// Where it is none.
    pub fn open(body: &[u8]) -> Result<Self, BadProtobuf> {
        let unknown = body.strip_prefix(PROTOBUF_PREFIX).ok_or(BadProtobuf::Prefix)?;
        let mut opened = Self::default();
        for field in Fields::new(unknown) {
            match field.ok_or(BadProtobuf::Broken)? {
                (1, Item::Bytes(type_meta)) => {
                    for field in Fields::new(type_meta) {
                        match field.ok_or(BadProtobuf::Broken)? {
                            (1, Item::Bytes(version)) => opened.api_version = text(version),
                            (2, Item::Bytes(kind)) => opened.kind = text(kind),
                            _ => {}
                        }
                    }
                }
                (2, Item::Bytes(raw)) => opened.raw = raw.to_vec(),
                _ => {}
            }
        }
        Ok(opened)
    }

    /// Reads the object as one of a kind; `None` where nobody knows that kind's fields.
    ///
    /// # Errors
    /// Where it is broken.
    pub fn read(&self, api_version: &str, kind: &str) -> Result<Option<Value>, BadProtobuf> {
        let Some(message) = Schema::known().of_kind(api_version, kind) else { return Ok(None) };
        let mut object = Map::new();
        object.insert("kind".into(), json!(kind));
        object.insert("apiVersion".into(), json!(api_version));
        decode(&self.raw, message, &mut object, 0).ok_or(BadProtobuf::Broken)?;
        Ok(Some(Value::Object(object)))
    }
}

/// The bytes of an object, with what says its kind; `None` where nobody knows its fields.
pub fn to_protobuf(object: &Value) -> Option<Vec<u8>> {
    let (api_version, kind) = (crate::object::api_version(object), crate::object::kind(object));
    let message = match (api_version, kind) {
        ("v1", "Status") => Schema::known().message("meta.Status"),
        _ => Schema::known().of_kind(api_version, kind),
    }?;
    let mut type_meta = Bytes::default();
    type_meta.text(1, api_version);
    type_meta.text(2, kind);
    let mut unknown = Bytes::default();
    unknown.bytes(1, &type_meta.0);
    unknown.bytes(2, &encode(object, message));
    unknown.text(3, "");
    unknown.text(4, "");
    Some([PROTOBUF_PREFIX.as_slice(), &unknown.0].concat())
}

/// The bytes of a `metav1.WatchEvent` about an enveloped object.
pub fn watch_event(event: &str, object: &[u8]) -> Vec<u8> {
    let mut raw = Bytes::default();
    raw.bytes(1, object);
    let mut message = Bytes::default();
    message.text(1, event);
    message.bytes(2, &raw.0);
    message.0
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn decode(bytes: &[u8], message: &Message, object: &mut Map<String, Value>, depth: usize) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    for field in Fields::new(bytes) {
        let (number, item) = field?;
        let Some(field) = message.fields.iter().find(|field| field.number == number) else { continue };
        match (&field.shape, item) {
            (Shape::Message(name), Item::Bytes(inner)) if field.inline => {
                decode(inner, Schema::known().message(name)?, object, depth + 1)?;
            }
            (Shape::List(shape), item) => {
                let list = object.entry(field.name).or_insert_with(|| json!([])).as_array_mut()?;
                match (shape.as_ref(), item) {
                    (Shape::Int32 | Shape::Int64, Item::Bytes(packed)) => {
                        for number in wire::packed(packed) {
                            list.push(json!(number?.cast_signed()));
                        }
                    }
                    (shape, item) => list.push(value(item, shape, depth)?),
                }
            }
            (Shape::Map(shape), Item::Bytes(entry)) => {
                let (name, member) = map_entry(entry, shape, depth)?;
                object.entry(field.name).or_insert_with(|| json!({})).as_object_mut()?.insert(name, member);
            }
            (shape, item) => {
                let value = value(item, shape, depth)?;
                // Go's protobuf writes the zeros of what is no pointer; they mean: absent.
                if value.is_null() || !field.pointer && !field.always && is_zero(&value) {
                    object.remove(field.name);
                } else {
                    object.insert(field.name.to_owned(), value);
                }
            }
        }
    }
    Some(())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(flag) => !flag,
        _ => false,
    }
}

fn map_entry(entry: &[u8], shape: &Shape, depth: usize) -> Option<(String, Value)> {
    let (mut name, mut member) = (String::new(), json!(""));
    for field in Fields::new(entry) {
        match field? {
            (1, Item::Bytes(key)) => name = text(key),
            (2, item) => member = value(item, shape, depth)?,
            _ => {}
        }
    }
    Some((name, member))
}

fn value(item: Item<'_>, shape: &Shape, depth: usize) -> Option<Value> {
    Some(match (shape, item) {
        (Shape::Text, Item::Bytes(bytes)) => json!(text(bytes)),
        (Shape::Bytes, Item::Bytes(bytes)) => json!(STANDARD.encode(bytes)),
        (Shape::Bool, Item::Number(number)) => json!(number != 0),
        (Shape::Int32 | Shape::Int64, Item::Number(number)) => json!(number.cast_signed()),
        (Shape::Time, Item::Bytes(bytes)) => time_of(bytes, time::format)?,
        (Shape::MicroTime, Item::Bytes(bytes)) => time_of(bytes, time::format_micro)?,
        (Shape::Quantity, Item::Bytes(bytes)) => json!(text(member(bytes, 1)?.unwrap_or_default())),
        (Shape::Raw, Item::Bytes(bytes)) => {
            serde_json::from_slice(member(bytes, 1)?.unwrap_or_default()).unwrap_or(Value::Null)
        }
        (Shape::IntOrString, Item::Bytes(bytes)) => int_or_string(bytes)?,
        (Shape::Texts, Item::Bytes(bytes)) => {
            let mut texts = Vec::new();
            for field in Fields::new(bytes) {
                if let (1, Item::Bytes(item)) = field? {
                    texts.push(text(item));
                }
            }
            json!(texts)
        }
        (Shape::Message(name), Item::Bytes(bytes)) => {
            let mut object = Map::new();
            decode(bytes, Schema::known().message(name)?, &mut object, depth + 1)?;
            Value::Object(object)
        }
        _ => return None,
    })
}

/// The bytes of one member of a message, the last where there are several.
fn member(bytes: &[u8], wanted: u32) -> Option<Option<&[u8]>> {
    let mut found = None;
    for field in Fields::new(bytes) {
        if let (number, Item::Bytes(bytes)) = field?
            && number == wanted
        {
            found = Some(bytes);
        }
    }
    Some(found)
}

fn time_of(bytes: &[u8], format: fn(Timestamp) -> String) -> Option<Value> {
    let (mut seconds, mut nanoseconds) = (None, 0);
    for field in Fields::new(bytes) {
        match field? {
            (1, Item::Number(number)) => seconds = Some(number.cast_signed()),
            (2, Item::Number(number)) => nanoseconds = i32::try_from(number.cast_signed()).ok()?,
            _ => {}
        }
    }
    // A time of no content is no time.
    let Some(seconds) = seconds else { return Some(Value::Null) };
    Some(json!(format(Timestamp::new(seconds, nanoseconds).ok()?)))
}

fn int_or_string(bytes: &[u8]) -> Option<Value> {
    let (mut kind, mut number, mut string) = (0, 0, String::new());
    for field in Fields::new(bytes) {
        match field? {
            (1, Item::Number(value)) => kind = value,
            (2, Item::Number(value)) => number = value.cast_signed(),
            (3, Item::Bytes(value)) => string = text(value),
            _ => {}
        }
    }
    Some(if kind == 0 { json!(number) } else { json!(string) })
}

fn encode(object: &Value, message: &Message) -> Vec<u8> {
    let mut fields: Vec<&Field> = message.fields.iter().collect();
    fields.sort_by_key(|field| field.number);
    let mut bytes = Bytes::default();
    for field in fields {
        let given = if field.inline { Some(object) } else { object.get(field.name) };
        match (&field.shape, given.filter(|given| !given.is_null())) {
            (Shape::List(shape), Some(given)) => {
                for item in given.as_array().into_iter().flatten() {
                    put(&mut bytes, field.number, (item, shape));
                }
            }
            (Shape::Map(shape), Some(given)) => {
                for (name, member) in given.as_object().into_iter().flatten() {
                    let mut entry = Bytes::default();
                    entry.text(1, name);
                    put(&mut entry, 2, (member, shape));
                    bytes.bytes(field.number, &entry.0);
                }
            }
            (shape, Some(given)) => put(&mut bytes, field.number, (given, shape)),
            (Shape::List(_) | Shape::Map(_) | Shape::Bytes | Shape::Raw, None) => {}
            (_, None) if field.pointer => {}
            (shape, None) => put(&mut bytes, field.number, (&Value::Null, shape)),
        }
    }
    bytes.0
}

/// Writes one value; null is the zero of its type.
fn put(bytes: &mut Bytes, number: u32, (value, shape): (&Value, &Shape)) {
    let text = value.as_str().unwrap_or_default();
    match shape {
        Shape::Text => bytes.text(number, text),
        Shape::Bytes => bytes.bytes(number, &STANDARD.decode(text).unwrap_or_default()),
        Shape::Bool => bytes.number(number, u64::from(value.as_bool() == Some(true))),
        Shape::Int32 | Shape::Int64 => bytes.number(number, value.as_i64().unwrap_or(0).cast_unsigned()),
        Shape::Time | Shape::MicroTime => {
            let mut inner = Bytes::default();
            if let Some(time) = time::parse(text) {
                inner.number(1, time.as_second().cast_unsigned());
                inner.number(2, u64::try_from(time.subsec_nanosecond()).unwrap_or(0));
            }
            bytes.bytes(number, &inner.0);
        }
        Shape::Quantity => {
            let mut inner = Bytes::default();
            inner.text(1, text);
            bytes.bytes(number, &inner.0);
        }
        Shape::Raw => {
            let mut inner = Bytes::default();
            inner.bytes(1, value.to_string().as_bytes());
            bytes.bytes(number, &inner.0);
        }
        Shape::IntOrString => {
            let mut inner = Bytes::default();
            inner.number(1, u64::from(value.is_string()));
            inner.number(2, value.as_i64().unwrap_or(0).cast_unsigned());
            inner.text(3, text);
            bytes.bytes(number, &inner.0);
        }
        Shape::Texts => {
            let mut inner = Bytes::default();
            for item in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
                inner.text(1, item);
            }
            bytes.bytes(number, &inner.0);
        }
        Shape::Message(name) => {
            if let Some(message) = Schema::known().message(name) {
                bytes.bytes(number, &encode(value, message));
            }
        }
        // No list or map of Kubernetes' has lists or maps for items.
        Shape::List(_) | Shape::Map(_) => {}
    }
}

#[cfg(test)]
mod tests;
