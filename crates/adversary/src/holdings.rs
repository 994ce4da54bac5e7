//! What an attacker holds: what it begins with, and what it gains.

use ravelin_host::HostRef;
use ravelin_pki::Identity;
use ravelin_tunnel::SshKey;
use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

/// What an attacker has before it begins, beside its place on the network.
#[derive(Clone)]
pub struct Holdings {
    /// Its own machine, or pod.
    pub host: HostRef,
    /// The address of a machine that it owns besides, whose packets are its own, and that it speaks
    /// from.
    pub place: Option<IpAddr>,
    /// The name of its own node, where it has one.
    pub node: Option<String>,
    /// What it may show to servers.
    pub credentials: Vec<Held>,
    /// The serving certificate that it was issued, which it may show to clients.
    pub serving: Option<Identity>,
    /// A serving certificate that it was issued for an address that is now another's.
    pub former_serving: Option<Identity>,
    /// The host key of its node's SSH server.
    pub host_key: Option<SshKey>,
}

/// A credential, and what it is for people: `the tenant pod's token`.
#[derive(Clone)]
pub struct Held {
    /// What it is.
    pub what: String,
    /// The credential itself.
    pub secret: Secret,
}

/// A credential.
#[derive(Clone)]
pub enum Secret {
    /// A bearer token.
    Token(String),
    /// A certificate with its key.
    Certificate(Identity),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(hidden)",
            Self::Certificate(_) => "Certificate(hidden)",
        })
    }
}

impl Holdings {
    /// Nothing but a machine.
    pub fn nothing(host: HostRef) -> Self {
        let credentials = Vec::new();
        let (serving, former_serving, host_key) = (None, None, None);
        Self { host, place: None, node: None, credentials, serving, former_serving, host_key }
    }

    /// The same and a credential.
    pub fn with(mut self, what: impl Into<String>, secret: Secret) -> Self {
        self.credentials.push(Held { what: what.into(), secret });
        self
    }

    /// The address that it speaks from.
    pub fn address(&self) -> Option<IpAddr> {
        self.place.or_else(|| self.host.addresses().first().copied())
    }
}

/// What an attacker gained on a path; its tactics share it.
#[derive(Clone, Default)]
pub struct Loot(Rc<RefCell<Vec<Held>>>);

impl Loot {
    /// Adds a credential; false where it was known.
    pub fn add(&self, held: Held) -> bool {
        let mut known = self.0.borrow_mut();
        let new = match &held.secret {
            Secret::Token(token) => {
                !known.iter().any(|held| matches!(&held.secret, Secret::Token(other) if other == token))
            }
            Secret::Certificate(_) => true,
        };
        if new {
            known.push(held);
        }
        new
    }

    /// Everything that was gained.
    pub fn all(&self) -> Vec<Held> {
        self.0.borrow().clone()
    }
}
