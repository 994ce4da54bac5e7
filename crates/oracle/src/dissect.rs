//! Captured byte streams, read with the run's own session secrets.
//!
//! This is how the oracle asks what an attacker's machine really held: TLS 1.3, SSH and HTTP/1.1
//! taken apart as a network analyser does it. Pure functions over bytes; garbage gives less, never
//! a panic. It must never know sockets, hosts or Kubernetes. Not read: compressed HTTP bodies
//! (nobody here compresses), SSH ciphers other than AES-GCM, TLS 1.2 records.

mod canary;
mod cursor;
mod http;
mod secrets;
mod ssh;
mod tls;
mod upgraded;

pub use canary::{contains_canary, views};
pub use http::{BodyEnd, Exchange, Message, StartLine, exchanges};
pub use secrets::{KeyLogLine, Secrets, SshSecret};
pub use ssh::{SshChannel, SshSession};
pub use tls::{Alert, TlsSession};

/// How deep streams within streams are followed: HTTP in TLS in SSH in TLS is 3.
const MAX_DEPTH: usize = 6;

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
    /// Neither: the bytes are what they are.
    Plain,
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
    } else {
        Dissected::Plain
    }
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

#[cfg(test)]
mod tests;
