//! The `known_hosts` file of OpenSSH (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): names and patterns,
//! negated ones, ports, hashed names, `@cert-authority` and `@revoked`.
//!
//! A line that cannot be read makes the whole file unusable: a revocation that is overlooked would
//! be worse than no tunnel. Keys of kinds that are not spoken here are kept, and never match.

use super::SshPublicKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::{Algorithm, PublicKey};
use sha1::Sha1;
use std::net::IpAddr;

/// What a pattern of a hashed name begins with.
const HASHED: &str = "|1|";

/// A line that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the known hosts cannot be read: {problem}")]
pub struct KnownHostsError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// The content of a `known_hosts` file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownHosts(Vec<Line>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    marker: Marker,
    patterns: Vec<Pattern>,
    key: SshPublicKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    Authority,
    Revoked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// `*` and `?` stand for anything; the flag says whether it is negated.
    Glob(String, bool),
    /// HMAC-SHA1 of the name, with this salt.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

/// What a file says of the key that a host shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the host's.
    Known,
    /// The host is not in the file.
    Unlisted,
    /// The file has another for the host.
    Changed {
        /// The line with that other, counted from 1.
        line: usize,
    },
    /// It is revoked.
    Revoked {
        /// The line that says so.
        line: usize,
    },
}

/// A host, as it is looked up: by its name, and where that is not listed, by its address.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

impl KnownHosts {
    /// Reads a file.
    ///
    /// # Errors
    /// For the first line that is none.
    pub fn parse(text: &str) -> Result<Self, KnownHostsError> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let read = lines.map(|(number, line)| {
            Line::read(number, line).map_err(|problem| KnownHostsError { line: number, problem })
        });
        Ok(Self(read.collect::<Result<_, _>>()?))
    }

    /// What it says of a plain key.
    pub(crate) fn judge(&self, place: &Place<'_>, key: &SshPublicKey) -> Verdict {
        if let Some(line) = self.revokes(place, key) {
            return Verdict::Revoked { line };
        }
        let listed = self.listed(place, Marker::None);
        match listed.first() {
            None => Verdict::Unlisted,
            Some(_) if listed.iter().any(|line| line.key == *key) => Verdict::Known,
            Some(other) => Verdict::Changed { line: other.number },
        }
    }

    /// The line that revokes a key for a host: a host's own key, or an authority's.
    pub(crate) fn revokes(&self, place: &Place<'_>, key: &SshPublicKey) -> Option<usize> {
        let revoked = |line: &&Line| line.marker == Marker::Revoked && line.key == *key;
        let names =
            [lookup_name(place.name, place.port), lookup_name(&place.address.to_string(), place.port)];
        let mut lines = self.0.iter().filter(revoked);
        lines.find(|line| names.iter().any(|name| line.matches(name))).map(|line| line.number)
    }

    /// Who may certify a host's key.
    pub(crate) fn authorities(&self, place: &Place<'_>) -> Vec<SshPublicKey> {
        self.listed(place, Marker::Authority).into_iter().map(|line| line.key.clone()).collect()
    }

    /// The kinds of a host's plain keys: a server that has several should show one of these.
    pub(crate) fn kinds(&self, place: &Place<'_>) -> Vec<Algorithm> {
        self.listed(place, Marker::None).into_iter().map(|line| line.key.kind()).collect()
    }

    /// The lines of a kind for a host. Where its name is listed, its address adds nothing: addresses
    /// are what nodes say of themselves.
    fn listed(&self, place: &Place<'_>, marker: Marker) -> Vec<&Line> {
        let by = |name: &str| {
            let name = lookup_name(name, place.port);
            let of_kind = self.0.iter().filter(|line| line.marker == marker);
            of_kind.filter(|line| line.matches(&name)).collect::<Vec<_>>()
        };
        let named = by(place.name);
        if named.is_empty() { by(&place.address.to_string()) } else { named }
    }
}

/// A host as OpenSSH writes it: with its port only where that is not 22.
fn lookup_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == super::SSH_PORT { host } else { format!("[{host}]:{port}") }
}

impl Line {
    fn read(number: usize, text: &str) -> Result<Self, String> {
        let mut fields = text.split([' ', '\t']).filter(|field| !field.is_empty());
        let mut next = |what: &str| fields.next().ok_or_else(|| format!("it has no {what}"));
        let mut names = next("names")?;
        let marker = match names {
            "@cert-authority" => Marker::Authority,
            "@revoked" => Marker::Revoked,
            other if other.starts_with('@') => return Err(format!("{other:?} is no marker")),
            _ => Marker::None,
        };
        if marker != Marker::None {
            names = next("names")?;
        }
        let (kind, key) = (next("kind of key")?, next("key")?);
        let key = PublicKey::from_openssh(&format!("{kind} {key}")).map_err(|error| error.to_string())?;
        let patterns = names.split(',').map(Pattern::read).collect::<Result<_, _>>()?;
        Ok(Self { number, marker, patterns, key: SshPublicKey::new(&key) })
    }

    /// Does one of the patterns match, and no negated one?
    fn matches(&self, name: &str) -> bool {
        let mut found = false;
        for pattern in &self.patterns {
            match pattern {
                Pattern::Glob(glob, true) if glob_matches(glob.as_bytes(), name.as_bytes()) => return false,
                Pattern::Glob(glob, false) => found |= glob_matches(glob.as_bytes(), name.as_bytes()),
                Pattern::Glob(..) => {}
                Pattern::Hashed { salt, hash } => found |= hash_of(salt, name) == *hash,
            }
        }
        found
    }
}

impl Pattern {
    fn read(text: &str) -> Result<Self, String> {
        if let Some(hashed) = text.strip_prefix(HASHED) {
            let both = hashed.split_once('|');
            let decoded = both
                .and_then(|(salt, hash)| Some((STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?)));
            let (salt, hash) = decoded.ok_or("its hashed name is none")?;
            return Ok(Self::Hashed { salt, hash });
        }
        let (text, negated) = text.strip_prefix('!').map_or((text, false), |rest| (rest, true));
        if text.is_empty() || text.starts_with('|') {
            return Err("a name is empty, or of an unknown form".to_owned());
        }
        Ok(Self::Glob(text.to_ascii_lowercase(), negated))
    }
}

fn hash_of(salt: &[u8], name: &str) -> Vec<u8> {
    let mac = Hmac::<Sha1>::new_from_slice(salt).expect("a key of HMAC may have any length");
    mac.chain_update(name).finalize().into_bytes().to_vec()
}

/// `*` stands for any number of characters, `?` for one. Steps are bounded by the product of both
/// lengths: of several stars only the last is ever tried anew.
fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                at = place + 1;
                seen = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests;
