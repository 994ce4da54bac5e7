//! What the API says of itself in OpenAPI v3 (KEP-2896): one document a group version, made of the
//! table of resources and the table of fields.
//!
//! It holds what clients live on: which kind a path serves and which options writing it takes (`kubectl
//! create`), how lists merge (`kubectl apply`), and names, types and words for `kubectl explain`.

mod paths;

use crate::schema::{Field, Merge, Message, Schema, Shape};
use crate::{RESOURCES, Resource};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

const WORDS: &str = include_str!("openapi/words.txt");
const REFERENCES: &str = "#/components/schemas/";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Kinds that subresources take, beside the resources' own: group, version, kind.
const TAKEN: [(&str, &str, &str); 3] =
    [("", "v1", "Binding"), ("policy", "v1", "Eviction"), ("authentication.k8s.io", "v1", "TokenRequest")];

/// The document of a group's `v1`; `None` where no resource is of that group.
pub fn openapi_v3(group: &str) -> Option<Value> {
    let resources: Vec<&Resource> = RESOURCES.iter().filter(|resource| resource.group == group).collect();
    if resources.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths::of(&resources),
        "components": {"schemas": schemas(&resources)},
    }))
}

/// A kind with the name of its schema.
struct Described {
    schema: String,
    message: &'static Message,
    /// Its group, version and kind, for what is an object of its own.
    kind: Option<Value>,
}

fn schemas(resources: &[&Resource]) -> Map<String, Value> {
    let mut schemas = Map::new();
    let mut waiting: Vec<Described> = Vec::new();
    for resource in resources {
        let list = resource.stored.then(|| resource.list_kind());
        for kind in [Some(resource.kind.to_owned()), list].into_iter().flatten() {
            waiting.extend(described(resource.group, &kind));
        }
        for subresource in resource.subresources {
            if let Some((group, _, kind)) = taken(subresource) {
                waiting.extend(described(group, kind));
            }
        }
    }
    for kind in ["DeleteOptions", "Status"] {
        waiting.extend(described("meta", kind));
    }
    let mut seen: BTreeSet<String> = waiting.iter().map(|one| one.schema.clone()).collect();
    while let Some(next) = waiting.pop() {
        for name in references(next.message) {
            if let Some(message) = Schema::known().message(name)
                && seen.insert(schema_name(name))
            {
                waiting.push(Described { schema: schema_name(name), message, kind: None });
            }
        }
        let schema = schema_of(&next);
        schemas.insert(next.schema, schema);
    }
    schemas.extend(scalars().map(|(name, schema)| (name.to_owned(), schema)));
    schemas
}

/// What a subresource takes that is no object of its resource.
fn taken(subresource: &str) -> Option<(&'static str, &'static str, &'static str)> {
    let kind = match subresource {
        "binding" => "Binding",
        "eviction" => "Eviction",
        "token" => "TokenRequest",
        _ => return None,
    };
    TAKEN.into_iter().find(|taken| taken.2 == kind)
}

fn described(group: &str, kind: &str) -> Option<Described> {
    let package = match group {
        "" => "core",
        group => group.split('.').next().unwrap_or_default(),
    };
    let name = format!("{package}.{kind}");
    let message = Schema::known().message(&name)?;
    let group = if group == "meta" { "" } else { group };
    let kind = json!([{"group": group, "version": "v1", "kind": kind}]);
    Some(Described { schema: schema_name(&name), message, kind: Some(kind) })
}

/// The name of a message's schema, as Kubernetes calls it.
fn schema_name(message: &str) -> String {
    match message.split_once('.') {
        Some(("meta", name)) => format!("{META}.{name}"),
        Some((package, name)) => format!("io.k8s.api.{package}.v1.{name}"),
        None => message.to_owned(),
    }
}

/// The values that are more than JSON's own types.
fn scalars() -> impl Iterator<Item = (&'static str, Value)> {
    [
        (TIME, json!({"type": "string", "format": "date-time", "description": "A time as of RFC 3339, in whole seconds."})),
        (MICRO_TIME, json!({"type": "string", "format": "date-time", "description": "A time as of RFC 3339, with microseconds."})),
        (QUANTITY, json!({"oneOf": [{"type": "string"}, {"type": "number"}],
            "description": "An amount with a suffix of its size: 100m, 2, 1Gi, 5k."})),
        (INT_OR_STRING, json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}],
            "description": "A number or a text, such as a port's number or its name."})),
        (RAW, json!({"type": "object", "description": "Any object."})),
    ]
    .into_iter()
}

const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const RAW: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";

fn references(message: &Message) -> Vec<&'static str> {
    let mut found = Vec::new();
    for field in &message.fields {
        let mut shape = &field.shape;
        while let Shape::List(item) | Shape::Map(item) = shape {
            shape = item;
        }
        if let Shape::Message(name) = shape {
            found.push(*name);
        }
    }
    found
}

fn schema_of(described: &Described) -> Value {
    let full = described.schema.as_str();
    let (mut properties, mut required) = (Map::new(), Vec::new());
    collect((full, described.message), &mut properties, &mut required);
    if described.kind.is_some() {
        let version = "The group and version of the fields that the object has.";
        properties.insert("apiVersion".into(), json!({"type": "string", "description": version}));
        let kind = "What the object is, in CamelCase.";
        properties.insert("kind".into(), json!({"type": "string", "description": kind}));
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if let Some(words) = words(full, "") {
        schema["description"] = json!(words);
    }
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if let Some(kind) = &described.kind {
        schema["x-kubernetes-group-version-kind"] = kind.clone();
    }
    schema
}

/// Adds a message's members, and those of what is inlined into it.
fn collect(
    (full, message): (&str, &Message),
    properties: &mut Map<String, Value>,
    required: &mut Vec<String>,
) {
    for field in &message.fields {
        match &field.shape {
            Shape::Message(name) if field.inline => {
                if let Some(inlined) = Schema::known().message(name) {
                    collect((&schema_name(name), inlined), properties, required);
                }
            }
            _ => {
                properties.insert(field.name.to_owned(), property(full, field));
                let is_object = matches!(field.shape, Shape::Message(_) | Shape::Time | Shape::MicroTime);
                if field.always && !field.pointer && !is_object {
                    required.push(field.name.to_owned());
                }
            }
        }
    }
}

fn property(full: &str, field: &Field) -> Value {
    let mut property = shape(&field.shape);
    if let Some(words) = words(full, field.name) {
        property["description"] = json!(words);
    }
    match field.merge {
        Merge::By(key) => {
            property["x-kubernetes-patch-merge-key"] = json!(key);
            property["x-kubernetes-patch-strategy"] = json!("merge");
        }
        Merge::Set => property["x-kubernetes-patch-strategy"] = json!("merge"),
        Merge::Replace => {}
    }
    property
}

fn shape(shape: &Shape) -> Value {
    let reference = |name: &str| json!({"allOf": [{"$ref": format!("{REFERENCES}{name}")}]});
    match shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Int32 => json!({"type": "integer", "format": "int32"}),
        Shape::Int64 => json!({"type": "integer", "format": "int64"}),
        Shape::Bytes => json!({"type": "string", "format": "byte"}),
        Shape::Time => reference(TIME),
        Shape::MicroTime => reference(MICRO_TIME),
        Shape::Quantity => reference(QUANTITY),
        Shape::IntOrString => reference(INT_OR_STRING),
        Shape::Raw => reference(RAW),
        Shape::Message(name) => reference(&schema_name(name)),
        Shape::List(item) => json!({"type": "array", "items": self::shape(item)}),
        Shape::Map(item) => json!({"type": "object", "additionalProperties": self::shape(item)}),
        Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
    }
}

/// What is said of a schema, or of a field of it. Lists of all kinds are spoken of alike.
fn words(full: &str, field: &str) -> Option<&'static str> {
    static KNOWN: OnceLock<BTreeMap<&str, &str>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        WORDS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(": ")).collect()
    });
    let mut parts = full.rsplit('.');
    let (name, package) = (parts.next()?, parts.nth(1)?);
    let own =
        if field.is_empty() { format!("{package}.{name}") } else { format!("{package}.{name}.{field}") };
    let any = match field {
        "" if name.ends_with("List") => "List",
        "metadata" if name.ends_with("List") => "List.metadata",
        field => field,
    };
    known.get(own.as_str()).or_else(|| known.get(any)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(document: &'a Value, schema: &str) -> &'a Value {
        &document["components"]["schemas"][schema]
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let groups: BTreeSet<&str> = RESOURCES.iter().map(|resource| resource.group).collect();
        for group in groups {
            let document = openapi_v3(group).unwrap();
            let text = document.to_string();
            let mut count = 0;
            for rest in text.split(REFERENCES).skip(1) {
                let name = rest.split('"').next().unwrap();
                assert!(of(&document, name).is_object(), "{group}: {name}");
                count += 1;
            }
            assert!(count > 20, "{group} refers to something");
        }
        assert_eq!(openapi_v3("nosuch"), None);
    }

    #[test]
    fn schemas_say_what_the_table_of_fields_says() {
        let document = openapi_v3("").unwrap();
        let pod = of(&document, "io.k8s.api.core.v1.Pod");
        let kind = json!([{"group": "", "version": "v1", "kind": "Pod"}]);
        assert_eq!(pod["x-kubernetes-group-version-kind"], kind);
        assert_eq!(
            pod["properties"]["spec"]["allOf"][0]["$ref"],
            format!("{REFERENCES}io.k8s.api.core.v1.PodSpec")
        );
        let spec = of(&document, "io.k8s.api.core.v1.PodSpec");
        assert_eq!(spec["required"], json!(["containers"]));
        let containers = &spec["properties"]["containers"];
        assert_eq!(
            (&containers["type"], &containers["x-kubernetes-patch-merge-key"]),
            (&json!("array"), &json!("name"))
        );
        let volume = of(&document, "io.k8s.api.core.v1.Volume");
        assert!(volume["properties"]["secret"].is_object(), "what is inlined is a member");
        assert_eq!(spec["properties"]["nodeSelector"]["additionalProperties"], json!({"type": "string"}));
    }

    #[test]
    fn what_is_said_is_said_of_something() {
        for line in WORDS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (place, words) = line.split_once(": ").expect("a place and words");
            assert!(words.ends_with('.'), "{line}");
            let mut parts = place.split('.');
            if let (Some(package), Some(name)) = (parts.next(), parts.next())
                && package.starts_with(char::is_lowercase)
            {
                let message = Schema::known().message(&format!("{package}.{name}")).expect(place);
                let field = parts.next();
                assert!(field.is_none_or(|field| message.field(field).is_some()), "{place}");
            }
        }
    }
}
