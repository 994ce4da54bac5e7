//! The way from YAML to values: every mistake is written down with its line, and reading goes on.

use crate::file::FileError;
use ravelin_config::yaml::{Node, Value};
use std::time::Duration;

/// The longest time that a file may name.
const MAX_SECONDS: f64 = 3600.0;

/// What is wrong with one file, as it is being read.
pub(crate) struct Reading<'a> {
    file: &'a str,
    pub(crate) errors: Vec<FileError>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(file: &'a str) -> Self {
        Self { file, errors: Vec::new() }
    }

    pub(crate) fn fail(&mut self, line: usize, key: &str, problem: impl Into<String>) {
        let (file, key) = (self.file.to_owned(), key.to_owned());
        self.errors.push(FileError { file, line, key, problem: problem.into() });
    }

    /// Refuses keys that mean nothing, and what is no mapping.
    pub(crate) fn keys(&mut self, node: &Node, key: &str, known: &[&str]) {
        if !matches!(node.value, Value::Map(_)) {
            return self.fail(node.line, key, format!("is {}, not a mapping", node.what()));
        }
        for entry in node.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let problem = format!("is not known here; accepted: {}", known.join(", "));
            self.fail(entry.line, &entry.key, problem);
        }
    }

    /// The text of a key, where it is given.
    pub(crate) fn text(&mut self, node: &Node, key: &str) -> Option<String> {
        let entry = node.entry(key)?;
        let text = entry.node.written().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            self.fail(entry.line, key, format!("is {}, not a text", entry.node.what()));
        }
        text.map(|text| text.trim_end().to_owned())
    }

    /// The text of a key that must be given.
    pub(crate) fn required(&mut self, node: &Node, key: &str) -> String {
        if node.entry(key).is_none() {
            self.fail(node.line, key, "is missing");
        }
        self.text(node, key).unwrap_or_default()
    }

    /// A text that is read further, or refused with what would be accepted.
    pub(crate) fn parsed<T>(
        &mut self,
        node: &Node,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(node, key)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(accepted) => {
                let line = node.entry(key).map_or(node.line, |entry| entry.line);
                self.fail(line, key, format!("{text:?} is not understood; accepted: {accepted}"));
                None
            }
        }
    }

    /// A switch, where it is given.
    pub(crate) fn switch(&mut self, node: &Node, key: &str) -> Option<bool> {
        let entry = node.entry(key)?;
        match entry.node.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.fail(entry.line, key, format!("is {}, not yes or no", entry.node.what()));
                None
            }
        }
    }

    /// A mapping of names to texts, where it is given.
    pub(crate) fn texts(&mut self, node: &Node, key: &str) -> Vec<(String, String)> {
        let Some(entry) = node.entry(key) else { return Vec::new() };
        if !matches!(entry.node.value, Value::Map(_)) {
            self.fail(entry.line, key, format!("is {}, not a mapping", entry.node.what()));
        }
        let mut texts = Vec::new();
        for item in entry.node.entries() {
            match item.node.written() {
                Some(text) => texts.push((item.key.clone(), text)),
                None => self.fail(item.line, &item.key, format!("is {}, not a text", item.node.what())),
            }
        }
        texts
    }

    /// A list of texts, or a single one.
    pub(crate) fn list(&mut self, node: &Node, key: &str) -> Vec<(usize, String)> {
        let Some(entry) = node.entry(key) else { return Vec::new() };
        let single = std::slice::from_ref(&entry.node);
        let items = if matches!(entry.node.value, Value::List(_)) { entry.node.elements() } else { single };
        let mut texts = Vec::new();
        for item in items {
            match item.written() {
                Some(text) => texts.push((item.line, text)),
                None => self.fail(item.line, key, format!("holds {}, not a text", item.what())),
            }
        }
        texts
    }

    /// The items of a list that must be there.
    pub(crate) fn items<'n>(&mut self, node: &'n Node, key: &str) -> &'n [Node] {
        match node.entry(key) {
            Some(entry) if matches!(entry.node.value, Value::List(_)) => entry.node.elements(),
            Some(entry) => {
                self.fail(entry.line, key, format!("is {}, not a list", entry.node.what()));
                &[]
            }
            None => {
                self.fail(node.line, key, "is missing");
                &[]
            }
        }
    }
}

/// `90s`, `1.5s`, `250ms`, `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("a time such as 90s, 1.5s, 250ms or 2m".to_owned()),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * factor);
    let seconds = seconds.filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "a time up to 60m".to_owned())
}
