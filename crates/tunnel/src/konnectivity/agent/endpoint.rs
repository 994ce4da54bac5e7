//! One connection of an agent: dialled as Go's `net.Dial` does, in its words, and carried.

use super::super::channels::{Channels, Ending};
use super::super::danger::Forward;
use super::super::metrics::{Counted, Metrics};
use super::super::relay::{Relayed, pipe, relay};
use ravelin_host::{BoxedStream, Endpoint, HostRef, field};
use ravelin_stream::konnectivity::Packet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long the dial to a target may take (`dialTimeout`).
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server asked for.
pub(super) struct Asked {
    pub(super) protocol: String,
    pub(super) address: String,
    pub(super) random: i64,
    pub(super) connect_id: i64,
}

/// Where connections lead.
#[derive(Clone)]
pub(in super::super) enum Reach {
    /// To the targets.
    Network,
    /// To somebody who is no agent.
    Trap(mpsc::Sender<Forward>),
}

/// Dials a target and carries the connection to its end.
pub(super) async fn serve(
    host: HostRef,
    (channels, reach): (Arc<Channels>, Reach),
    asked: Asked,
    metrics: Arc<Metrics>,
) {
    let Asked { protocol, address, random, connect_id } = asked;
    let began = Instant::now();
    let dialled = match &reach {
        Reach::Network => dial(&host, &protocol, &address).await,
        Reach::Trap(taker) => trapped(taker, &address).await,
    };
    let outcome = dialled.as_ref().err().map_or("open", |failure| failure.text.as_str());
    host.observe("konnectivity.endpoint", &[field("to", &address), field("outcome", outcome)]);
    let refuse = |error: String| {
        let _ = channels.out().send(Packet::DialResponse { error, connect_id: 0, random });
    };
    let stream = match dialled {
        Ok(stream) => stream,
        Err(Failure { text, timeout }) => {
            let reason = if timeout { "timeout" } else { "unknown" };
            metrics.add("endpoint_dial_failure_total", &[("reason", reason)], 1);
            return refuse(text);
        }
    };
    metrics.observe("dial_duration_seconds", began.elapsed());
    let Some(channel) = channels.open(connect_id) else {
        return refuse("too many connections".to_owned());
    };
    let _counted = Counted::new(&metrics, "open_endpoint_connections", &[]);
    let response = Packet::DialResponse { error: String::new(), connect_id, random };
    if channels.out().send(response).is_err() {
        return;
    }
    let error = match relay(&channel, stream).await {
        Relayed::Done | Relayed::Ended(Ending::ByPeer(_)) => String::new(),
        Relayed::StreamFailed(why) | Relayed::Ended(Ending::Failed(why)) => why,
    };
    let _ = channels.out().send(Packet::CloseResponse { error, connect_id });
}

/// Why there is no connection to a target.
struct Failure {
    text: String,
    timeout: bool,
}

impl Failure {
    fn new(text: String) -> Self {
        Self { text, timeout: false }
    }
}

async fn trapped(taker: &mpsc::Sender<Forward>, address: &str) -> Result<BoxedStream, Failure> {
    let Some((host, port)) = split(address) else {
        return Err(Failure::new(format!("dial tcp: address {address}: missing port in address")));
    };
    let (theirs, ours, _, _) = pipe();
    let forward = Forward { host: host.to_owned(), port, stream: Box::new(theirs) };
    // Whoever takes none of them is as slow as a target that does not answer.
    let taken = tokio::time::timeout(DIAL_TIMEOUT, taker.send(forward)).await;
    match taken {
        Ok(Ok(())) => Ok(Box::new(ours)),
        _ => Err(Failure::new(format!("dial tcp {address}: connect: connection refused"))),
    }
}

async fn dial(host: &HostRef, protocol: &str, address: &str) -> Result<BoxedStream, Failure> {
    if protocol != "tcp" {
        return Err(Failure::new(format!("dial {protocol}: unknown network {protocol}")));
    }
    let Some((name, port)) = split(address) else {
        return Err(Failure::new(format!("dial tcp: address {address}: missing port in address")));
    };
    let dialling = async {
        let addresses: Vec<IpAddr> = match name.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = host.resolve(name).await;
                found.map_err(|_| Failure::new(format!("dial tcp: lookup {name}: no such host")))?
            }
        };
        let mut first = None;
        for ip in addresses {
            let to = SocketAddr::new(ip, port);
            match host.connect(&Endpoint::Tcp(to)).await {
                Ok(connection) => return Ok(connection.stream),
                Err(error) => drop(first.get_or_insert_with(|| failure(to, &error))),
            }
        }
        Err(first.unwrap_or_else(|| Failure::new(format!("dial tcp: lookup {name}: no such host"))))
    };
    match tokio::time::timeout(DIAL_TIMEOUT, dialling).await {
        Ok(result) => result,
        Err(_) => Err(Failure { text: format!("dial tcp {address}: i/o timeout"), timeout: true }),
    }
}

/// In Go's words.
fn failure(to: SocketAddr, error: &io::Error) -> Failure {
    let what = match error.kind() {
        io::ErrorKind::TimedOut => {
            return Failure { text: format!("dial tcp {to}: i/o timeout"), timeout: true };
        }
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(format!("dial tcp {to}: connect: {what}"))
}

/// The host and the port of an address, as Go's `net.SplitHostPort`.
fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains([':', '[', ']']) => return None,
        None => host,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_as_go_splits_them() {
        assert_eq!(split("10.0.0.1:10250"), Some(("10.0.0.1", 10250)));
        assert_eq!(split("[fd00::1]:443"), Some(("fd00::1", 443)));
        assert_eq!(split("node-1:1"), Some(("node-1", 1)));
        for wrong in ["10.0.0.1", "fd00::1:443", "[fd00::1:443", "a:b", "a:70000", "[a]b:1"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }
}
