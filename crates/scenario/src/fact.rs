//! What was seen, and what evidence looks for in it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The kinds of facts, and the fields that each has.
pub(crate) const KINDS: &[(&str, &[&str])] = &[
    ("answer", &["request", "status"]),
    ("attacker-read", &["source"]),
    ("tls-with-attacker", &["from", "to", "result", "client"]),
    ("ssh-with-attacker", &["from", "to", "result"]),
    ("executed", &["pod", "method", "path", "tls"]),
    ("kubelet-request", &["node", "user", "method", "path", "status"]),
    ("apiserver-request", &["user", "verb", "path", "status"]),
    ("connection", &["from", "to", "port"]),
    ("posed-as-agent", &["to", "result"]),
    ("sent-to-attacker", &["from", "to"]),
    ("ssh-session", &["from", "to", "strict", "authenticated", "extensions"]),
    ("read-on-the-wire", &["from", "to", "port"]),
];

/// Something that was seen from outside the one it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// When, since the first step's time zero.
    pub at: Duration,
    /// What kind of thing.
    pub kind: &'static str,
    /// What can be said of it in words. No field holds a secret.
    pub fields: BTreeMap<&'static str, String>,
    /// The bytes, as text. They may hold secrets and are shown to nobody.
    pub(crate) content: String,
}

impl Fact {
    /// A fact without fields.
    pub(crate) fn new(at: Duration, kind: &'static str) -> Self {
        Self { at, kind, fields: BTreeMap::new(), content: String::new() }
    }

    /// With a field.
    pub(crate) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.fields.insert(name, value.to_string());
        self
    }

    /// With content.
    pub(crate) fn holding(mut self, bytes: &[u8]) -> Self {
        self.content = String::from_utf8_lossy(bytes).into_owned();
        self
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// What evidence looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The kind of fact.
    pub(crate) kind: &'static str,
    /// Fields that are exactly so.
    pub(crate) fields: Vec<(String, String)>,
    /// Texts that the content, or a field, holds.
    pub(crate) contains: Vec<String>,
    /// From when on, and until when, since time zero.
    pub(crate) between: (Duration, Duration),
}

impl Pattern {
    pub(crate) fn matches(&self, fact: &Fact) -> bool {
        let is = |(name, value): &(String, String)| fact.fields.get(name.as_str()) == Some(value);
        let holds =
            |text: &String| fact.content.contains(text) || fact.fields.values().any(|v| v.contains(text));
        let in_time = (self.between.0..=self.between.1).contains(&fact.at);
        fact.kind == self.kind && in_time && self.fields.iter().all(is) && self.contains.iter().all(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_wants_all_that_it_names() {
        let fact =
            Fact::new(Duration::ZERO, "answer").with("request", "r").with("status", 200).holding(b"abc");
        let pattern = |fields: &[(&str, &str)], contains: &[&str]| Pattern {
            kind: "answer",
            fields: fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            contains: contains.iter().map(|text| (*text).to_owned()).collect(),
            between: (Duration::ZERO, Duration::MAX),
        };
        assert!(pattern(&[("status", "200")], &["b"]).matches(&fact));
        for wrong in
            [pattern(&[("status", "20")], &[]), pattern(&[("user", "")], &[]), pattern(&[], &["b", "d"])]
        {
            assert!(!wrong.matches(&fact), "{wrong:?}");
        }
        assert!(!Pattern { kind: "executed", ..pattern(&[], &[]) }.matches(&fact));
        let late = (Duration::from_secs(1), Duration::MAX);
        assert!(!Pattern { between: late, ..pattern(&[], &[]) }.matches(&fact));
        assert_eq!(fact.to_string(), "answer request=r status=200", "content is not shown");
    }
}
