//! What an attacker knows of the path it attacks: all of it public.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ravelin_oracle::Property;
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
    /// The servers among them that speak plain HTTP all the same.
    pub plain: BTreeSet<SocketAddr>,
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
    /// More such requests, for whoever has credentials of its own: who may not change a thing may
    /// read it.
    pub reads: Vec<Ask>,
    /// Requests whose answers hold a credential.
    pub treasures: Vec<Ask>,
    /// The attacker itself is the client: nobody else's use of the path is attacked.
    pub is_asked_directly: bool,
    /// What of the cluster's objects decides where this path's connections lead.
    pub claims: Vec<Claim>,
    /// The pods whose host ports would be those of the service that this path's connections are
    /// addressed to.
    pub host_ports: Vec<Claim>,
    /// The nodes that are not the attacker's.
    pub nodes: Vec<NodeAt>,
    /// What a token of the path's client looks like, where it has one.
    pub token: TokenShape,
    /// Tokens of the path's client that are no longer, or nowhere here, good.
    pub stale: Vec<(Stale, String)>,
    /// Where a server that redirects would send the path's client: another genuine server, and a
    /// request there that the client did not make.
    pub elsewhere: Option<(SocketAddr, String)>,
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
    /// What one of the requests in [`Target::asks`] would break where it succeeds: the apiserver
    /// answers with the whole object, and so with what the client wrote into it.
    pub fn stakes(&self) -> Vec<Property> {
        let mut stakes = vec![Property::ResponseSecret, Property::AccessControlled];
        if self.server == ServerKind::Apiserver {
            stakes.push(Property::RequestSecret);
        }
        stakes
    }

    /// What is spoken at one of the servers: most paths have one kind only.
    pub fn speaks_at(&self, server: SocketAddr) -> Speaks {
        if self.plain.contains(&server) { Speaks::Http } else { self.speaks }
    }

    /// Does a packet between these two addresses belong to the path?
    pub fn joins(&self, one: IpAddr, other: IpAddr) -> bool {
        let (from, to) = &self.ends;
        from.contains(&one) && to.contains(&other) || from.contains(&other) && to.contains(&one)
    }
}

/// A change of the cluster's objects that leads connections to the attacker.
#[derive(Clone, Debug)]
pub struct Claim {
    /// For people: `the address of node-1`.
    pub what: String,
    /// What is asked of the apiserver, in order; [`Claim::HERE`] stands for the attacker's address.
    pub make: Vec<Ask>,
    /// What puts everything back.
    pub undo: Vec<Ask>,
}

impl Claim {
    /// Stands for the attacker's address in what is asked.
    pub const HERE: &str = "HERE";

    /// One change of one object, and its opposite: merge patches.
    pub fn patch(what: String, path: &str, (to, back): (&serde_json::Value, &serde_json::Value)) -> Self {
        let patch = |patch| vec![Ask::patch(path, patch, "where connections lead to")];
        Self { what, make: patch(to), undo: patch(back) }
    }

    /// What is asked to lead connections to an address.
    pub fn leading_to(&self, address: IpAddr) -> impl Iterator<Item = Ask> {
        self.make.iter().map(move |ask| ask.leading_to(address))
    }
}

/// A node, as everybody knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAt {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

/// What a client's bearer token looks like: all but what makes it secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenShape {
    /// The client has none.
    None,
    /// A service account's, with its claims (RFC 7519).
    Jwt {
        /// The protected header.
        header: serde_json::Value,
        /// The claims.
        claims: serde_json::Value,
    },
    /// A bootstrap token's, with its public id.
    Bootstrap {
        /// The id.
        id: String,
    },
    /// A word that means nothing.
    Opaque,
}

impl TokenShape {
    /// The shape of a token. What made it secret is left behind.
    pub fn of(token: &str) -> Self {
        let part = |text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        let parts: Vec<&str> = token.split('.').collect();
        match parts[..] {
            [header, claims, _] => match (part(header), part(claims)) {
                (Some(header), Some(claims)) => Self::Jwt { header, claims },
                _ => Self::Opaque,
            },
            [id, secret] if id.len() == 6 && secret.len() == 16 => Self::Bootstrap { id: id.to_owned() },
            _ => Self::Opaque,
        }
    }
}

/// Why a genuine token is not good here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stale {
    /// It has expired.
    Expired,
    /// It is for another audience.
    OtherAudience,
    /// The pod that it was issued for is gone.
    PodGone,
    /// The node that it was issued for is gone.
    NodeGone,
}

/// How a path's bytes cross the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Straight to the server.
    Direct,
    /// Through an SSH connection to one of these nodes' port 22.
    Ssh(BTreeSet<SocketAddr>),
    /// Through one of the agents that are connected to Konnectivity's servers.
    Konnectivity(Konnectivity),
}

/// What everybody knows of a Konnectivity tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Konnectivity {
    /// Where servers await agents.
    pub servers: BTreeSet<SocketAddr>,
    /// The names that agents verify a server's certificate by.
    pub names: Vec<San>,
    /// The common name of the authority that agents' certificates come from, to be imitated.
    pub authority: String,
    /// What an agent is called.
    pub agent: Subject,
    /// What an agent's token looks like, where agents show one.
    pub token: TokenShape,
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
    /// A port of another control-plane component, or a port that asks nobody who they are.
    Port,
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
    /// What comes after an upgrade, where it asks for one.
    pub streams: Option<Streams>,
}

/// What an attacker does with the streams of an upgraded connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Streams {
    /// It reads a command's standard output, over a WebSocket.
    Output,
    /// It sends a request to a forwarded port, over SPDY.
    Port {
        /// The port.
        port: u16,
        /// Path and query of a GET.
        get: String,
    },
}

impl Ask {
    /// Reads something.
    pub fn get(path: &str, what: &'static str) -> Self {
        Self { method: "GET", path: path.to_owned(), body: None, what, streams: None }
    }

    /// Creates something, or has something done.
    pub fn post(path: &str, body: Option<&serde_json::Value>, what: &'static str) -> Self {
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        Self { method: "POST", path: path.to_owned(), body, what, streams: None }
    }

    /// Has a command executed whose output is streamed over a WebSocket: a GET, whatever it does
    /// (kubernetes/kubernetes#78741, #136550).
    pub fn command(path: &str, what: &'static str) -> Self {
        Self { streams: Some(Streams::Output), ..Self::get(path, what) }
    }

    /// Has a port forwarded, and asks the server there.
    pub fn port(path: &str, (port, get): (u16, &str), what: &'static str) -> Self {
        Self { streams: Some(Streams::Port { port, get: get.to_owned() }), ..Self::post(path, None, what) }
    }

    /// What whoever is granted it has done, for people.
    pub fn deed(&self) -> String {
        match self.method {
            "GET" => format!("read {}", self.what),
            "PATCH" => format!("changed {}", self.what),
            "DELETE" => format!("deleted {}", self.what),
            _ => format!("got {}", self.what),
        }
    }

    /// Deletes something.
    pub fn delete(path: &str, what: &'static str) -> Self {
        Self { method: "DELETE", path: path.to_owned(), body: None, what, streams: None }
    }

    /// The same with an address in the place of [`Claim::HERE`].
    fn leading_to(&self, address: IpAddr) -> Self {
        let replaced = |body: &[u8]| {
            String::from_utf8_lossy(body).replace(Claim::HERE, &address.to_string()).into_bytes()
        };
        let body = self.body.as_ref().map(|(kind, body)| (*kind, replaced(body)));
        Self { body, ..self.clone() }
    }

    /// Changes something, and reads what became of it.
    pub fn patch(path: &str, patch: &serde_json::Value, what: &'static str) -> Self {
        let body = ("application/merge-patch+json", patch.to_string().into_bytes());
        Self { method: "PATCH", path: path.to_owned(), body: Some(body), what, streams: None }
    }
}
