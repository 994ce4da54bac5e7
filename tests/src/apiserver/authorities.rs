//! Who issues whom a certificate: the clients' authority, one that nobody trusts, the front proxies'.

use jiff::{Timestamp, ToSpan};
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use ravelin_pki::{Authority, Identity, KeyPair, Profile, San, Subject, TrustAnchors, Usage};
use std::net::IpAddr;
use std::sync::Arc;

/// All authorities of a network.
pub struct Authorities {
    /// Who issues clients' and servers' certificates.
    pub clients: Arc<Authority>,
    /// Whom nobody trusts.
    pub strangers: Authority,
    /// Who issues front proxies' certificates.
    pub front_proxies: Authority,
    now: Timestamp,
}

impl Authorities {
    /// New ones, by the clock of a network.
    pub fn new(network: &Network) -> Self {
        Self::made(network.host("clock", [10, 9, 9, 9]).now())
    }

    /// New ones, made at this time.
    pub fn made(now: Timestamp) -> Self {
        let authority = |name: &str| {
            let mut entropy = Entropy::operating_system();
            let key = KeyPair::generate(&mut entropy);
            Authority::new(name, key, now - 100.hours(), now + 10_000.hours(), &mut entropy)
        };
        let [clients, strangers, front_proxies] = ["kubernetes", "stranger", "front-proxy-ca"].map(authority);
        Self { clients: Arc::new(clients), strangers, front_proxies, now }
    }

    /// The clients' authority, as anchors.
    pub fn anchors(&self) -> TrustAnchors {
        anchors(&self.clients)
    }

    /// A client's identity, of a kind (`cert`, `node`, or `stranger`, `expired` and the like, each with
    /// that fault) and a name (`USER` or `USER/GROUP,…`); nothing for other kinds.
    pub fn client(&self, kind: &str, name: &str) -> Option<Identity> {
        let (name, groups) = name.split_once('/').unwrap_or((name, ""));
        let mut groups: Vec<&str> = groups.split(',').filter(|group| !group.is_empty()).collect();
        if name == "admin" {
            groups.push("system:masters");
        }
        let node = format!("system:node:{name}");
        let subject = Subject::new(name, &groups);
        let profile = |subject, usage| self.profile((subject, usage), Vec::new());
        let (authority, profile) = match kind {
            "cert" => (&*self.clients, profile(subject, Usage::Client)),
            "node" => (&*self.clients, profile(Subject::new(node, &["system:nodes"]), Usage::Client)),
            "stranger" => (&self.strangers, profile(subject, Usage::Client)),
            "front-proxy" => (&self.front_proxies, profile(subject, Usage::Client)),
            "server-usage" => (&*self.clients, profile(subject, Usage::Server)),
            "expired" => {
                let until = self.now - 1.hour();
                (&*self.clients, Profile { not_after: until, ..profile(subject, Usage::Client) })
            }
            "not-yet" => {
                let from = self.now + 1.hour();
                (&*self.clients, Profile { not_before: from, ..profile(subject, Usage::Client) })
            }
            _ => return None,
        };
        Some(authority.identity(&profile, &mut Entropy::operating_system()))
    }

    /// A server at an address, as its authority would make it.
    pub fn server(&self, authority: &Authority, sans: Vec<San>) -> Identity {
        let profile = self.profile((Subject::new("server", &[]), Usage::Server), sans);
        authority.identity(&profile, &mut Entropy::operating_system())
    }

    /// The names of a server at this address.
    pub fn at(address: impl Into<IpAddr>) -> Vec<San> {
        vec![San::Ip(address.into())]
    }

    fn profile(&self, (subject, usage): (Subject, Usage), sans: Vec<San>) -> Profile {
        let (not_before, not_after) = (self.now - 50.hours(), self.now + 5_000.hours());
        Profile { subject, sans, usages: vec![usage], not_before, not_after }
    }
}

/// An authority as what is trusted.
///
/// # Panics
/// Never: its certificate is our own.
pub fn anchors(authority: &Authority) -> TrustAnchors {
    TrustAnchors::new([authority.certificate()]).expect("it is a certificate of ours")
}
