//! What an attacker knows of the path it attacks: all of it public.

use ravelin_pki::{CertificateDer, San, Subject};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// A path, as an attacker sees it.
#[derive(Clone, Debug)]
pub struct Target {
    /// How the path's bytes cross the network.
    pub transport: Transport,
    /// Where the path's connections lead: the genuine servers.
    pub servers: BTreeSet<SocketAddr>,
    /// What is spoken there.
    pub speaks: Speaks,
    /// What kind of server answers.
    pub server: ServerKind,
    /// The names that a certificate of that server carries.
    pub names: Vec<San>,
    /// The common name of the authority that its clients trust, to be imitated.
    pub authority: String,
    /// How the path's client proves who it is.
    pub proof: ClientProof,
    /// What the path's client is called at the server.
    pub client: Subject,
    /// Requests that only the path's client (or somebody as privileged) may make.
    pub asks: Vec<Ask>,
    /// The apiserver, where captured credentials are tried.
    pub apiserver: SocketAddr,
    /// What is asked there with them; nobody without credentials may have it.
    pub apiserver_ask: Ask,
    /// Every kubelet, where captured credentials are tried too.
    pub kubelets: Vec<SocketAddr>,
    /// The machines between which the path's packets travel: either end may be in either set.
    pub ends: (BTreeSet<IpAddr>, BTreeSet<IpAddr>),
}

impl Target {
    /// Does a packet between these two addresses belong to the path?
    pub fn joins(&self, one: IpAddr, other: IpAddr) -> bool {
        let (from, to) = &self.ends;
        from.contains(&one) && to.contains(&other) || from.contains(&other) && to.contains(&one)
    }
}

/// How a path's bytes cross the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Straight to the server.
    Direct,
    /// Through an SSH connection to one of these nodes' port 22.
    Ssh(BTreeSet<SocketAddr>),
}

/// What is spoken on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1 in the clear.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
}

/// Who answers on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// The apiserver's secure port.
    Apiserver,
    /// A kubelet's HTTPS endpoint.
    Kubelet,
    /// Somebody's server in a pod: Kubernetes asks nobody there who they are.
    Workload,
}

/// How a client proves who it is.
#[derive(Clone, Debug)]
pub enum ClientProof {
    /// By a certificate. The chain is public, its key is not.
    Certificate(Vec<CertificateDer<'static>>),
    /// By a bearer token.
    Token,
    /// Not at all.
    Nothing,
}

/// A request that an attacker makes on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The HTTP method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Content type and content, where there is one.
    pub body: Option<(&'static str, Vec<u8>)>,
    /// What its answer would give away, for people: `the probe's ConfigMap`.
    pub what: &'static str,
}

impl Ask {
    /// Reads something.
    pub fn get(path: &str, what: &'static str) -> Self {
        Self { method: "GET", path: path.to_owned(), body: None, what }
    }

    /// Changes something, and reads what became of it.
    pub fn patch(path: &str, patch: &serde_json::Value, what: &'static str) -> Self {
        let body = ("application/merge-patch+json", patch.to_string().into_bytes());
        Self { method: "PATCH", path: path.to_owned(), body: Some(body), what }
    }
}
