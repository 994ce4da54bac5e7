//! What an agent says it can reach: `agentIdentifiers`, a URL-encoded query (`proto/header/header.go`).

use std::collections::BTreeSet;

/// The most values that an agent may name, of all kinds together.
pub const MAX_IDENTIFIERS: usize = 1024;

/// The longest text.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// What an agent says it can reach. Nobody verifies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentIdentifiers {
    /// Addresses of IPv4, as text.
    pub ipv4: BTreeSet<String>,
    /// Addresses of IPv6, as text.
    pub ipv6: BTreeSet<String>,
    /// Names.
    pub host: BTreeSet<String>,
    /// Networks. No strategy uses them.
    pub cidr: BTreeSet<String>,
    /// Takes what nobody else does.
    pub default_route: bool,
}

/// A text that is no identifiers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fail to parse url encoded string: {0}")]
pub struct IdentifiersError(String);

impl AgentIdentifiers {
    /// Reads `--agent-identifiers`, or the metadata. Kinds that are not known are ignored, as the
    /// original does for newer agents' sake.
    ///
    /// # Errors
    /// Where it is no URL-encoded query, is longer than 64 KiB, or names more than
    /// [`MAX_IDENTIFIERS`].
    pub fn parse(text: &str) -> Result<Self, IdentifiersError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(IdentifiersError("it is too long".to_owned()));
        }
        let mut found = Self::default();
        let mut default_route = None;
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        for (count, pair) in pairs.enumerate() {
            if count >= MAX_IDENTIFIERS {
                return Err(IdentifiersError("it names too many".to_owned()));
            }
            if pair.contains(';') {
                return Err(IdentifiersError("invalid semicolon separator in query".to_owned()));
            }
            let (kind, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (kind, value) = (unescaped(kind)?, unescaped(value)?);
            match kind.as_str() {
                "ipv4" => drop(found.ipv4.insert(value)),
                "ipv6" => drop(found.ipv6.insert(value)),
                "host" => drop(found.host.insert(value)),
                "cidr" => drop(found.cidr.insert(value)),
                // Only the first counts.
                "default-route" => drop(default_route.get_or_insert(value)),
                _ => {}
            }
        }
        found.default_route = default_route.is_some_and(|value| is_true(&value));
        Ok(found)
    }

    /// The query, in the order of its keys, as Go's `url.Values.Encode` gives it.
    pub fn encode(&self) -> String {
        let mut pairs = Vec::new();
        let mut add = |kind: &str, values: &BTreeSet<String>| {
            pairs.extend(values.iter().map(|value| format!("{kind}={}", escaped(value))));
        };
        add("cidr", &self.cidr);
        if self.default_route {
            add("default-route", &BTreeSet::from(["true".to_owned()]));
        }
        add("host", &self.host);
        add("ipv4", &self.ipv4);
        add("ipv6", &self.ipv6);
        pairs.join("&")
    }
}

/// Go's `strconv.ParseBool`.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// Go's `url.QueryUnescape`.
fn unescaped(text: &str) -> Result<String, IdentifiersError> {
    let wrong = || IdentifiersError("invalid URL escape".to_owned());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit =
                    || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(wrong);
                u8::try_from(digit()? * 16 + digit()?).map_err(|_| wrong())?
            }
            other => other,
        });
    }
    String::from_utf8(out).map_err(|_| wrong())
}

/// Go's `url.QueryEscape`.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
