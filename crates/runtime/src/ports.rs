//! Ports inside a pod, reached from its node (`internal/cri/server/sandbox_portforward_linux.go` of
//! containerd, whose errors these are).

use crate::RuntimeError;
use ravelin_host::{BoxedStream, Endpoint, HostRef};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Who does not answer in so long is not there.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Connects to a port of a pod: on its loopback, else on its own addresses, which is where built-in
/// servers listen.
pub(crate) async fn connect(host: &HostRef, uid: &str, port: u16) -> Result<BoxedStream, RuntimeError> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let refused = match dial(host, loopback, port).await {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    for address in host.addresses() {
        if let Ok(stream) = dial(host, address, port).await {
            return Ok(stream);
        }
    }
    Err(not_reached((uid, port), &refused))
}

/// What is said of a port that was not reached.
pub(crate) fn not_reached((uid, port): (&str, u16), error: &io::Error) -> RuntimeError {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused",
        io::ErrorKind::TimedOut => "i/o timeout",
        _ => "connect: connection reset by peer",
    };
    RuntimeError::PortNotReached(format!(
        "failed to execute portforward in network namespace \"/var/run/netns/cni-{uid}\": failed to connect to \
         localhost:{port} inside namespace {uid:?}, IPv4: dial tcp4 127.0.0.1:{port}: {why} IPv6 dial tcp6: \
         address localhost: no suitable address found "
    ))
}

async fn dial(host: &HostRef, address: IpAddr, port: u16) -> io::Result<BoxedStream> {
    let endpoint = Endpoint::tcp(address, port);
    match tokio::time::timeout(DIAL_TIMEOUT, host.connect(&endpoint)).await {
        Ok(connected) => Ok(connected?.stream),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
