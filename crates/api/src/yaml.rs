//! Objects written as YAML, the way `sigs.k8s.io/yaml` writes them: block style, members by name.

use serde_json::Value;

/// The YAML of a value, with its newline.
pub fn to_yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(members) if !members.is_empty() => write(&mut text, value, 0),
        Value::Array(items) if !items.is_empty() => write(&mut text, value, 0),
        leaf => {
            text.push_str(&flow(leaf));
            text.push('\n');
        }
    }
    text
}

fn write(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(members) => {
            // `serde_json`'s maps are sorted, as the YAML of Kubernetes is.
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 || text.is_empty() || text.ends_with('\n') {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str(&scalar(name));
                text.push(':');
                write_member(text, member, indent);
            }
        }
        Value::Array(items) => {
            for item in items {
                text.push_str(&" ".repeat(indent));
                text.push('-');
                match item {
                    Value::Object(members) if !members.is_empty() => {
                        text.push(' ');
                        write(text, item, indent + 2);
                    }
                    other => write_member(text, other, indent + 2),
                }
            }
        }
        _ => {}
    }
}

fn write_member(text: &mut String, member: &Value, indent: usize) {
    match member {
        Value::Object(members) if !members.is_empty() => {
            text.push('\n');
            write(text, member, indent + 2);
        }
        // Lists stand as far out as the name above them.
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write(text, member, indent);
        }
        Value::String(lines) if is_block(lines) => block(text, lines, indent + 2),
        leaf => {
            text.push(' ');
            text.push_str(&flow(leaf));
            text.push('\n');
        }
    }
}

fn flow(leaf: &Value) -> String {
    match leaf {
        Value::String(text) => scalar(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

fn is_block(text: &str) -> bool {
    text.contains('\n') && !text.starts_with([' ', '\n', '\t']) && !text.chars().any(is_special)
}

fn is_special(letter: char) -> bool {
    letter != '\n' && letter != '\t' && letter.is_control()
        || matches!(letter, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn block(text: &mut String, lines: &str, indent: usize) {
    let body = lines.trim_end_matches('\n');
    text.push_str(match lines.len() - body.len() {
        0 => " |-\n",
        1 => " |\n",
        _ => " |+\n",
    });
    let kept = if lines.len() - body.len() > 1 { lines.strip_suffix('\n').unwrap_or(lines) } else { body };
    for line in kept.split('\n') {
        if !line.is_empty() {
            text.push_str(&" ".repeat(indent));
            text.push_str(line);
        }
        text.push('\n');
    }
}

fn scalar(text: &str) -> String {
    if text.is_empty() || is_other_than_text(text) {
        return format!("{:?}", text);
    }
    if text.chars().any(|letter| is_special(letter) || letter == '\n' || letter == '\t') {
        return Value::String(text.to_owned()).to_string();
    }
    let plain = !text.starts_with(|c: char| " -?:,[]{}#&*!|>'\"%@`".contains(c))
        || text.starts_with(['-', '?', ':']) && text.chars().nth(1).is_some_and(|c| c != ' ' && !is_flow(c));
    let plain = plain && !text.contains(": ") && !text.contains(" #") && !text.ends_with([' ', ':']);
    if plain && !text.starts_with("---") {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn is_flow(letter: char) -> bool {
    ",[]{}".contains(letter)
}

/// Would a reader take the plain text for a number, a boolean, a time or null?
fn is_other_than_text(text: &str) -> bool {
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "~" | "null"
            | "true"
            | "false"
            | "yes"
            | "no"
            | "on"
            | "off"
            | "y"
            | "n"
            | ".nan"
            | ".inf"
            | "-.inf"
            | "+.inf"
    );
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned.replace('_', "");
    let number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && (digits.parse::<f64>().is_ok() || ["0x", "0o", "0b"].iter().any(|p| digits.starts_with(p)))
        && !digits.is_empty();
    word || number || is_time(text)
}

/// Is it a YAML 1.1 timestamp: `2026-01-01` or `2026-01-01T00:00:00Z`?
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let date = bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    date && (bytes.len() == 10
        || matches!(bytes[10], b'T' | b't' | b' ') && crate::time::parse(text).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;
    use serde_json::json;

    #[test]
    fn yaml_is_written_as_kubernetes_writes_it() {
        assert_eq!(
            to_yaml(&Status::unauthorized().to_value()),
            "apiVersion: v1\ncode: 401\nkind: Status\nmessage: Unauthorized\nmetadata: {}\nreason: Unauthorized\nstatus: Failure\n"
        );
        let object = json!({"metadata": {"labels": {"a": "true", "b": "1.5", "c": "x: y"},
            "creationTimestamp": "2026-01-01T00:00:00Z"}, "list": [{"name": "nn", "args": ["-c", "*"]}, "z"],
            "data": {"f": "one\ntwo\n", "g": "a\nb", "empty": ""}});
        assert_eq!(
            to_yaml(&object),
            "data:\n  empty: \"\"\n  f: |\n    one\n    two\n  g: |-\n    a\n    b\nlist:\n- args:\n  - -c\n  - '*'\n  name: nn\n- z\n\
             metadata:\n  creationTimestamp: \"2026-01-01T00:00:00Z\"\n  labels:\n    a: \"true\"\n    b: \"1.5\"\n    c: 'x: y'\n"
        );
    }
}
