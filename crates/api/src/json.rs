//! JSON read as Go's `encoding/json` reads it: the same errors, and nothing lost of the text's
//! order and its duplicate names.

use serde_json::{Number, Value};

/// How deep arrays and objects may nest. Go stops at 10,000; nothing of Kubernetes' comes near this.
const MAX_DEPTH: usize = 200;

/// A value with its members in the order of the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Leaf(Value),
}

impl Node {
    /// The plain value; of members of one name the last counts.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Object(members) => {
                Value::Object(members.into_iter().map(|(name, node)| (name, node.into_value())).collect())
            }
            Self::Array(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Self::Leaf(value) => value,
        }
    }

    /// What Go calls a value of this kind.
    pub(crate) fn go_kind(&self) -> &'static str {
        match self {
            Self::Object(_) => "object",
            Self::Array(_) => "array",
            Self::Leaf(Value::String(_)) => "string",
            Self::Leaf(Value::Bool(_)) => "bool",
            Self::Leaf(Value::Number(_)) => "number",
            Self::Leaf(_) => "null",
        }
    }
}

/// Reads one value.
///
/// # Errors
/// The text of Go's `SyntaxError`.
pub(crate) fn parse(bytes: &[u8]) -> Result<Node, String> {
    let mut reader = Reader { bytes, at: 0 };
    let node = reader.value(0)?;
    reader.space();
    match reader.peek() {
        None => Ok(node),
        Some(byte) => Err(invalid(byte, "after top-level value")),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

const END: &str = "unexpected end of JSON input";

fn invalid(byte: u8, context: &str) -> String {
    let shown = match byte {
        b'\'' => "\\'".to_owned(),
        b'"' => "\"".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\t' => "\\t".to_owned(),
        0..0x20 | 0x7f => format!("\\x{byte:02x}"),
        0x80..0xa1 => format!("\\u{:04x}", u32::from(byte)),
        _ => char::from(byte).to_string(),
    };
    format!("invalid character '{shown}' {context}")
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek().ok_or(END)?;
        self.at += 1;
        Ok(byte)
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| b" \t\r\n".contains(&byte)) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err("exceeded max depth".to_owned());
        }
        self.space();
        match self.next()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => Ok(Node::Leaf(Value::String(self.text()?))),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Null),
            byte @ (b'-' | b'0'..=b'9') => self.number(byte),
            byte => Err(invalid(byte, "looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, String> {
        let mut members = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Object(members));
        }
        loop {
            self.space();
            match self.next()? {
                b'"' => {}
                byte => return Err(invalid(byte, "looking for beginning of object key string")),
            }
            let name = self.text()?;
            self.space();
            match self.next()? {
                b':' => {}
                byte => return Err(invalid(byte, "after object key")),
            }
            members.push((name, self.value(depth + 1)?));
            self.space();
            match self.next()? {
                b',' => {}
                b'}' => return Ok(Node::Object(members)),
                byte => return Err(invalid(byte, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Node, String> {
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.next()? {
                b',' => {}
                b']' => return Ok(Node::Array(items)),
                byte => return Err(invalid(byte, "after array element")),
            }
        }
    }

    fn literal(&mut self, word: &'static str, value: Value) -> Result<Node, String> {
        for expected in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != expected {
                let context = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(invalid(byte, &context));
            }
        }
        Ok(Node::Leaf(value))
    }

    /// The rest of a string whose quotation mark was read.
    fn text(&mut self) -> Result<String, String> {
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => self.escape(&mut text)?,
                byte @ 0..0x20 => return Err(invalid(byte, "in string literal")),
                byte => text.push(byte),
            }
        }
        // What is no UTF-8 becomes U+FFFD, as in Go.
        Ok(String::from_utf8(text).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()))
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), String> {
        let byte = match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let first = self.unit()?;
                let mut letter = char::from_u32(first);
                if (0xd800..0xdc00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
                    let back = self.at;
                    self.at += 2;
                    let second = self.unit()?;
                    if (0xdc00..0xe000).contains(&second) {
                        letter = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
                    } else {
                        self.at = back;
                    }
                }
                let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            byte => return Err(invalid(byte, "in string escape code")),
        };
        text.push(byte);
        Ok(())
    }

    fn unit(&mut self) -> Result<u32, String> {
        let mut unit = 0;
        for _ in 0..4 {
            let byte = self.next()?;
            let digit = char::from(byte).to_digit(16);
            unit = unit * 16 + digit.ok_or_else(|| invalid(byte, "in \\u hexadecimal character escape"))?;
        }
        Ok(unit)
    }

    fn number(&mut self, first: u8) -> Result<Node, String> {
        let start = self.at - 1;
        let leading = if first == b'-' { self.digit("in numeric literal")? } else { first };
        if leading != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or("0");
        // Too large for any number: Go says so where it is used, and nothing uses such a number.
        Ok(Node::Leaf(text.parse::<Number>().map_or(Value::Null, Value::Number)))
    }

    fn digit(&mut self, context: &str) -> Result<u8, String> {
        let byte = self.next()?;
        if byte.is_ascii_digit() { Ok(byte) } else { Err(invalid(byte, context)) }
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broken_json_is_refused_in_gos_words() {
        for (text, error) in [
            ("", "unexpected end of JSON input"),
            (r#"{"apiVersion":"#, "unexpected end of JSON input"),
            ("zzz", "invalid character 'z' looking for beginning of value"),
            ("{a", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{}x", "invalid character 'x' after top-level value"),
            ("nul?", "invalid character '?' in literal null (expecting 'l')"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("'a'", "invalid character '\\'' looking for beginning of value"),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(error.to_owned()), "{text}");
        }
        assert_eq!(parse("[".repeat(5000).as_bytes()), Err("exceeded max depth".to_owned()));
    }

    proptest! {
        #[test]
        fn what_serde_reads_is_read_alike(text in "[\\[\\]{}\",:0-9a-z.\\\\eE+-]{0,24}|\\PC{0,20}") {
            let ours = parse(text.as_bytes()).map(Node::into_value);
            match serde_json::from_str::<Value>(&text) {
                Ok(value) => prop_assert_eq!(ours, Ok(value)),
                // serde refuses lone surrogates and numbers beyond any float; Go does not.
                Err(_) => prop_assert!(ours.is_err() || text.contains("\\u") || text.contains(['e', 'E'])),
            }
        }

        #[test]
        fn any_bytes_at_all_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&bytes);
        }
    }
}
