//! YAML and JSON as Kubernetes reads them, with the line of every key and value.
//!
//! Values keep how they were written, because a flag in a manifest and a key of a configuration file are judged
//! differently. Scalars are typed as the YAML 1.1 of `sigs.k8s.io/yaml` types them (`yes` is a boolean there).
//! Repeated keys are refused, aliases are bounded.

use std::collections::BTreeMap;

use granit_parser::{Event, Options, Parser, ScalarStyle};

/// How deep mappings and lists may nest.
const MAX_DEPTH: usize = 64;
/// How many nodes one file may hold, aliases counted as often as they are used.
const MAX_NODES: usize = 200_000;

/// One value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The line, from 1.
    pub line: usize,
    /// What stands there.
    pub value: Value,
}

/// A value as YAML 1.1 types it. Scalars that are not strings keep how they were written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// The number, and how it was written.
    Int(i64, String),
    /// The number, and how it was written.
    Float(f64, String),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// In the order of the file; keys are unique.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's line, from 1.
    pub line: usize,
    /// Its value.
    pub node: Node,
}

/// Why a text is not YAML that Kubernetes would take.
#[derive(Debug, PartialEq)]
pub struct YamlError {
    /// The line, from 1.
    pub line: usize,
    /// The key, where it concerns one.
    pub key: String,
    /// What is wrong.
    pub problem: String,
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| e.key == key)
    }

    /// The value under a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.entry(key).map(|e| &e.node))
    }

    /// The entries of a mapping; nothing for any other value.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; nothing for any other value.
    pub fn elements(&self) -> &[Node] {
        match &self.value {
            Value::List(nodes) => nodes,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The string under a path of keys.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).and_then(Node::text)
    }

    /// A scalar as it was written; nothing for mappings, lists and null.
    pub fn written(&self) -> Option<String> {
        match &self.value {
            Value::Bool(b) => Some(b.to_string()),
            Value::Int(_, text) | Value::Float(_, text) | Value::Text(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// What it is, for an error message.
    pub fn what(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(..) => "a number",
            Value::Float(..) => "a fraction",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The same, so many lines further down.
    #[must_use]
    pub fn shifted(mut self, lines: usize) -> Self {
        self.line += lines;
        self.value = match self.value {
            Value::List(nodes) => Value::List(nodes.into_iter().map(|node| node.shifted(lines)).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|e| Entry { line: e.line + lines, node: e.node.shifted(lines), ..e })
                    .collect(),
            ),
            other => other,
        };
        self
    }

    /// The same value as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(n, _) => Json::from(*n),
            Value::Float(n, _) => serde_json::Number::from_f64(*n).map_or(Json::Null, Json::Number),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(nodes) => Json::Array(nodes.iter().map(Self::to_json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect())
            }
        }
    }
}

/// Every document of a text; empty documents are left out.
///
/// # Errors
/// The first mistake, with its line.
pub fn documents(text: &str) -> Result<Vec<Node>, YamlError> {
    let mut options = Options::default();
    options.emit_comments = false;
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: BTreeMap::new(),
        nodes: 0,
        line: 1,
    };
    let mut documents = Vec::new();
    while let Some(event) = reader.next()? {
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(..) => {
                reader.anchors.clear();
                let Some(first) = reader.next()? else { break };
                if matches!(first, Event::DocumentEnd) {
                    continue;
                }
                let node = reader.node(first, 0)?;
                if node.value != Value::Null {
                    documents.push(node);
                }
            }
            _ => {}
        }
    }
    Ok(documents)
}

struct Reader<'input> {
    parser: Parser<'input, granit_parser::StrInput<'input>>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    line: usize,
}

impl<'input> Reader<'input> {
    fn next(&mut self) -> Result<Option<Event<'input>>, YamlError> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => {
                self.line = span.start.line().max(1);
                Ok(Some(event))
            }
            Some(Err(error)) => Err(YamlError {
                line: error.marker().line().max(1),
                key: String::new(),
                problem: format!("is not YAML: {}", first_line(&error.to_string())),
            }),
        }
    }

    fn fail<T>(&self, key: &str, problem: impl Into<String>) -> Result<T, YamlError> {
        Err(YamlError { line: self.line, key: key.to_owned(), problem: problem.into() })
    }

    fn count(&mut self, nodes: usize) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES { self.fail("", "holds too many values") } else { Ok(()) }
    }

    fn node(&mut self, event: Event<'input>, depth: usize) -> Result<Node, YamlError> {
        if depth > MAX_DEPTH {
            return self.fail("", "nests too deeply");
        }
        self.count(1)?;
        let line = self.line;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let forced_text = tag.as_deref().is_some_and(|t| t.core_suffix() == Some("str"));
                let value = if style == ScalarStyle::Plain && !forced_text {
                    plain(&text)
                } else {
                    Value::Text(text.into_owned())
                };
                (anchor, value)
            }
            Event::SequenceStart(_, anchor, _) => (anchor, Value::List(self.list(depth)?)),
            Event::MappingStart(_, anchor, _) => (anchor, Value::Map(self.map(depth)?)),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return self.fail("", "refers to an anchor that is not complete");
                };
                self.count(size(&node))?;
                return Ok(Node { line, value: node.value });
            }
            _ => return self.fail("", "is not YAML: a value was expected"),
        };
        let node = Node { line, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, YamlError> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                None => return self.fail("", "ends inside a list"),
                Some(Event::SequenceEnd) => return Ok(nodes),
                Some(event) => nodes.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, YamlError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut merged: Vec<Entry> = Vec::new();
        loop {
            let event = match self.next()? {
                None => return self.fail("", "ends inside a mapping"),
                Some(Event::MappingEnd) => break,
                Some(event) => event,
            };
            let key = self.node(event, depth + 1)?;
            let Some(name) = key.written() else {
                return self.fail("", "has a key that is no string");
            };
            let Some(event) = self.next()? else { return self.fail(&name, "has no value") };
            let node = self.node(event, depth + 1)?;
            if name == "<<" && matches!(node.value, Value::Map(_)) {
                merged.extend(node.entries().iter().cloned());
                continue;
            }
            if !seen.insert(name.clone()) {
                return Err(YamlError { line: key.line, key: name, problem: "is given twice".into() });
            }
            entries.push(Entry { key: name, line: key.line, node });
        }
        for entry in merged {
            if seen.insert(entry.key.clone()) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

fn size(node: &Node) -> usize {
    1 + node.elements().iter().map(size).sum::<usize>()
        + node.entries().iter().map(|e| 1 + size(&e.node)).sum::<usize>()
}

/// What a plain scalar is in YAML 1.1.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
            return Value::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    if let Some(number) = integer(text) {
        return Value::Int(number, text.to_owned());
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => Value::Float(number, text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.replace('_', "");
    let number = if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok()?
    } else if let Some(octal) = digits.strip_prefix("0o") {
        i64::from_str_radix(octal, 8).ok()?
    } else if let Some(binary) = digits.strip_prefix("0b") {
        i64::from_str_radix(binary, 2).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(&digits, 8).ok()?
    } else if digits.bytes().all(|b| b.is_ascii_digit()) {
        digits.parse().ok()?
    } else {
        return None;
    };
    Some(if negative { -number } else { number })
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_value_knows_its_line() {
        let docs = documents("# c\na:\n  - x\n  - k: 1\n---\nb: {c: no}\n").expect("valid");
        assert_eq!(docs.len(), 2);
        let list = docs[0].at(&["a"]).expect("a");
        assert_eq!(list.elements()[1].entry("k").map(|e| (e.line, e.node.line)), Some((4, 4)));
        assert_eq!(docs[1].at(&["b", "c"]).map(|n| (n.line, n.value.clone())), Some((6, Value::Bool(false))));
    }

    #[test]
    fn a_repeated_key_is_refused() {
        let error = documents("a: 1\nb: 2\na: 3\n").expect_err("twice");
        assert_eq!((error.line, error.key.as_str()), (3, "a"));
    }

    #[test]
    fn aliases_cannot_grow_without_bound() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..9 {
            let old = format!("*a{}", i - 1);
            text += &format!("a{i}: &a{i} [{}]\n", vec![old; 10].join(", "));
        }
        assert_eq!(documents(&text).expect_err("bomb").problem, "holds too many values");
    }

    #[test]
    fn json_is_read_too() {
        let docs = documents("{\n\t\"kind\": \"X\",\n\t\"n\": [1, 2.5, null, \"1\"]\n}\n").expect("json");
        assert_eq!(docs[0].to_json(), serde_json::json!({"kind": "X", "n": [1, 2.5, null, "1"]}));
    }
}
