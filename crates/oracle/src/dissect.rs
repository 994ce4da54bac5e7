//! Captured byte streams, read with the run's own session secrets.
//!
//! This is how the oracle asks what an attacker's machine really held: TLS 1.3, SSH, HTTP/1.1 and
//! tunnels in HTTP taken apart as a network analyser does it. Pure functions over bytes; garbage
//! gives less, never a panic. It must never know sockets, hosts or Kubernetes. Not read: compressed
//! HTTP bodies (nobody here compresses), what HTTP/2's headers say, SSH ciphers other than AES-GCM
//! and chacha20-poly1305, TLS 1.2 records.

mod canary;
mod cursor;
mod http;
mod http2;
mod konnectivity;
mod secrets;
mod ssh;
mod tls;
mod upgraded;

pub use canary::{contains_canary, views};
pub use http::{BodyEnd, Exchange, Message, StartLine, exchanges};
pub use http2::Http2Stream;
pub use konnectivity::TunnelledConnection;
pub use secrets::{KeyLogLine, Secrets, SshSecret};
pub use ssh::{SshChannel, SshSession};
pub use tls::{Alert, TlsSession};

/// How deep streams within streams are followed: HTTP in TLS in a connection of Konnectivity's in
/// HTTP/2 in TLS is 4.
const MAX_DEPTH: usize = 8;

/// Who sent something: the side that opened the connection, or the side that accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It opened the connection.
    Client,
    /// It accepted the connection.
    Server,
}

/// What a connection turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dissected {
    /// TLS, as far as the secrets open it.
    Tls(TlsSession),
    /// SSH, as far as the secrets open it.
    Ssh(SshSession),
    /// HTTP/2, begun without an upgrade.
    Http2(Vec<Http2Stream>),
    /// A connection through an HTTP proxy, once that said yes to CONNECT.
    Connect(Connected),
    /// None of these: the bytes are what they are.
    Plain,
}

/// A connection through an HTTP proxy (RFC 9110 section 9.3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Where to.
    pub target: String,
    /// The requests and answers before it, and those for it.
    pub head: (Vec<u8>, Vec<u8>),
    /// What the opening side sent then.
    pub client: Vec<u8>,
    /// What the accepting side sent then.
    pub server: Vec<u8>,
}

/// Application bytes at the bottom of all layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlainStream {
    /// The layers around them, outermost first: `tls`, `ssh`, `direct-tcpip 10.0.0.1:80`.
    pub layers: Vec<String>,
    /// What the opening side sent.
    pub client: Vec<u8>,
    /// What the accepting side sent.
    pub server: Vec<u8>,
}

/// Reads one connection from the bytes that each side sent.
pub fn dissect(client: &[u8], server: &[u8], secrets: &Secrets) -> Dissected {
    if tls::looks_like(client) || tls::looks_like(server) {
        Dissected::Tls(tls::read(client, server, secrets))
    } else if ssh::looks_like(client) || ssh::looks_like(server) {
        Dissected::Ssh(ssh::read(client, server, secrets))
    } else if http2::looks_like(client) {
        Dissected::Http2(http2::read(client, server))
    } else if let Some(connected) = connected(client, server) {
        Dissected::Connect(connected)
    } else {
        Dissected::Plain
    }
}

/// What a connection through an HTTP proxy carries.
fn connected(client: &[u8], server: &[u8]) -> Option<Connected> {
    // Cheaper than to read every connection as HTTP: clients of proxies ask for nothing else before.
    if !client.starts_with(b"CONNECT ") {
        return None;
    }
    let exchange = exchanges(client, server).pop()?;
    let (StartLine::Request { target, .. }, Some((inner, outer))) =
        (exchange.request.start, exchange.upgraded)
    else {
        return None;
    };
    let before = |whole: &[u8], rest: &[u8]| whole[..whole.len() - rest.len()].to_vec();
    let head = (before(client, &inner), before(server, &outer));
    Some(Connected { target, head, client: inner, server: outer })
}

/// The application bytes of a connection, through every layer that the secrets open. What they do
/// not open gives nothing.
pub fn plain_streams(client: &[u8], server: &[u8], secrets: &Secrets) -> Vec<PlainStream> {
    let outer = PlainStream { layers: Vec::new(), client: client.to_vec(), server: server.to_vec() };
    let (mut found, mut open) = (Vec::new(), vec![outer]);
    while let Some(stream) = open.pop() {
        let mut layers = stream.layers.clone();
        match dissect(&stream.client, &stream.server, secrets) {
            _ if layers.len() >= MAX_DEPTH => found.push(stream),
            Dissected::Plain => found.push(stream),
            Dissected::Http2(streams) => {
                open.extend(streams.into_iter().rev().flat_map(|stream| in_http2(&layers, stream)));
            }
            Dissected::Connect(connected) => {
                let (client, server) = connected.head;
                found.push(PlainStream { layers: layers.clone(), client, server });
                layers.push(format!("connect {}", connected.target));
                open.push(PlainStream { layers, client: connected.client, server: connected.server });
            }
            Dissected::Tls(session) => {
                layers.push("tls".to_owned());
                open.push(PlainStream { layers, client: session.client, server: session.server });
            }
            Dissected::Ssh(session) => {
                layers.push("ssh".to_owned());
                open.extend(session.channels.into_iter().rev().map(|channel| {
                    let mut layers = layers.clone();
                    layers.push(channel.name());
                    PlainStream { layers, client: channel.client, server: channel.server }
                }));
            }
        }
    }
    found.retain(|stream| !stream.client.is_empty() || !stream.server.is_empty());
    found
}

/// What a stream of HTTP/2 carries: the connections of a tunnel, or its bytes as they are.
fn in_http2(outer: &[String], stream: Http2Stream) -> Vec<PlainStream> {
    let mut layers = outer.to_vec();
    layers.push("http2".to_owned());
    let Some(connections) = konnectivity::read(&stream.client, &stream.server) else {
        return vec![PlainStream { layers, client: stream.client, server: stream.server }];
    };
    let inner = |connection: TunnelledConnection| {
        let mut layers = layers.clone();
        layers.push(format!("konnectivity {}", connection.address));
        PlainStream { layers, client: connection.client, server: connection.server }
    };
    connections.into_iter().rev().map(inner).collect()
}

#[cfg(test)]
mod tests;
