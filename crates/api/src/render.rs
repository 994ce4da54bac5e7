//! The one way in which an object becomes bytes.

use serde_json::Value;

/// What comes first in an object, in this order; the rest follows by name.
const FIRST: [&str; 12] = [
    "kind",
    "apiVersion",
    "metadata",
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "labels",
    "annotations",
];

/// An object as lists hold it: as [`render`] writes it, but without `kind`, `apiVersion` and newline.
pub fn render_item(object: &Value) -> Vec<u8> {
    let mut text = String::new();
    write_members(&mut text, object, (0, &["kind", "apiVersion"]));
    escape(&text).into_bytes()
}

/// Compact JSON with a newline, `kind`, `apiVersion` and `metadata` first, escaped as Go's
/// `encoding/json` escapes (`<`, `>` and `&` too). Equal objects give equal bytes.
pub fn render(object: &Value) -> Vec<u8> {
    let mut text = String::new();
    write(&mut text, object, 0);
    let mut bytes = escape(&text).into_bytes();
    bytes.push(b'\n');
    bytes
}

/// Escapes what Go escapes inside of strings; outside of strings none of these can stand.
pub(crate) fn escape(json: &str) -> String {
    if !json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return json.to_owned();
    }
    let mut escaped = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            _ => escaped.push(letter),
        }
    }
    escaped
}

fn write(text: &mut String, value: &Value, depth: u32) {
    match value {
        // Only an object's own members and its metadata have an order of Kubernetes' own.
        Value::Object(_) if depth < 2 => write_members(text, value, (depth, &[])),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                // The items of a list are objects with metadata again.
                write(text, item, if item.get("metadata").is_some() { 0 } else { 2 });
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

fn write_members(text: &mut String, object: &Value, (depth, left_out): (u32, &[&str])) {
    let Value::Object(members) = object else { return write(text, object, 2) };
    let first = FIRST.iter().filter_map(|name| members.get_key_value(*name));
    let rest = members.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
    let wanted = first.chain(rest).filter(|(name, _)| !left_out.contains(&name.as_str()));
    text.push('{');
    for (index, (name, member)) in wanted.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::String(name.clone()).to_string());
        text.push(':');
        write(text, member, if depth == 0 && name == "metadata" { 1 } else { 2 });
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rendering_orders_and_escapes_as_kubernetes_does() {
        let list = json!({"items": [{"data": {"z": "<&>", "a": "1"}, "metadata": {"uid": "u", "name": "n", "annotations": {}}}],
            "metadata": {"resourceVersion": "7"}, "apiVersion": "v1", "kind": "ConfigMapList"});
        let expected = concat!(
            r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"#,
            r#""items":[{"metadata":{"name":"n","uid":"u","annotations":{}},"#,
            r#""data":{"a":"1","z":"\u003c\u0026\u003e"}}]}"#,
            "\n"
        );
        let bytes = render(&list);
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), list);
    }
}
