//! What a certificate says of its holder.

use jiff::Timestamp;
use std::net::IpAddr;

/// Who a certificate is for. Kubernetes reads the common name as the user and the organizations
/// as the groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The common name (CN).
    pub common_name: String,
    /// The organizations (O), in the order they are written.
    pub organizations: Vec<String>,
}

impl Subject {
    /// A subject of a common name and organizations.
    pub fn new(common_name: impl Into<String>, organizations: &[&str]) -> Self {
        let organizations = organizations.iter().map(|&o| o.to_owned()).collect();
        Self { common_name: common_name.into(), organizations }
    }
}

/// What a certificate may be used for, besides signing (RFC 5280 sections 4.2.1.3 and 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// TLS client authentication.
    Client,
    /// TLS server authentication.
    Server,
    /// Enciphering keys for its holder, as RSA key exchange does.
    KeyEncipherment,
}

/// A name that a server's certificate is good for (subject alternative name).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum San {
    /// A DNS name.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

impl San {
    /// The name for an address or host name as users write it.
    pub fn parse(name: &str) -> Self {
        name.parse().map_or_else(|_| Self::Dns(name.to_owned()), Self::Ip)
    }
}

impl std::fmt::Display for San {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// A certificate to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Whom it is for.
    pub subject: Subject,
    /// What names it is good for.
    pub sans: Vec<San>,
    /// What it may be used for; with none, no use is named and verifiers allow every one.
    pub usages: Vec<Usage>,
    /// From when it is valid (whole seconds).
    pub not_before: Timestamp,
    /// Until when it is valid (whole seconds).
    pub not_after: Timestamp,
}
