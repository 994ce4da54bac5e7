//! The secrets of a run's sessions, as its own components handed them out.

use std::collections::BTreeSet;
use std::fmt;

/// A line of the NSS key log format.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyLogLine {
    /// Which secret: `CLIENT_TRAFFIC_SECRET_0` and its like.
    pub label: String,
    /// The 32 bytes that name the connection.
    pub client_random: Vec<u8>,
    /// The secret itself.
    pub secret: Vec<u8>,
}

/// The shared secret of one SSH key exchange.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SshSecret {
    /// K, as raw big-endian bytes.
    pub shared_secret: Vec<u8>,
    /// The name of the key exchange method.
    pub kex: String,
    /// The name of the cipher.
    pub cipher: String,
}

impl fmt::Debug for KeyLogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyLogLine({}, hidden)", self.label)
    }
}

impl fmt::Debug for SshSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshSecret({}, {}, hidden)", self.kex, self.cipher)
    }
}

/// Every secret of a run. Both ends of a connection may log the same one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    pub(super) tls: BTreeSet<KeyLogLine>,
    ssh: BTreeSet<SshSecret>,
}

impl Secrets {
    /// Adds a TLS secret.
    pub fn add_tls(&mut self, line: KeyLogLine) {
        self.tls.insert(line);
    }

    /// Adds an SSH secret.
    pub fn add_ssh(&mut self, secret: SshSecret) {
        self.ssh.insert(secret);
    }

    /// The secrets of one label and connection: more than one where a client's recorded flight
    /// was played to a server again.
    pub(super) fn tls(&self, label: &str, client_random: &[u8]) -> Vec<&[u8]> {
        let matching =
            self.tls.iter().filter(|line| line.label == label && line.client_random == client_random);
        matching.map(|line| line.secret.as_slice()).collect()
    }

    /// Every SSH secret: which exchange one belongs to shows only by trying.
    pub(super) fn ssh(&self) -> impl Iterator<Item = &SshSecret> {
        self.ssh.iter()
    }
}
