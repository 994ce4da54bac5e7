//! What attackers need: an agent that is none, and a frontend that asks for anything.

use ravelin_host::{BoxedStream, HostRef};
use ravelin_stream::konnectivity::AgentIdentifiers;
use ravelin_transport::egress::EgressError;
use std::fmt;

/// What somebody shows who wants to be taken for an agent.
#[derive(Clone, Default)]
pub struct Pose {
    /// `agentID`.
    pub agent_id: String,
    /// `agentIdentifiers`: anything, as nobody verifies them.
    pub identifiers: AgentIdentifiers,
    /// A bearer token, if there is one.
    pub token: Option<String>,
}

impl fmt::Debug for Pose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pose({}, {}, token: {})", self.agent_id, self.identifiers.encode(), self.token.is_some())
    }
}

/// The server did not take somebody for an agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server refused the agent: {reason}")]
pub struct AgentRefused {
    /// What the server said, as seen from here.
    pub reason: String,
}

/// A connection that the server sent to somebody whom it takes for an agent; already accepted.
pub struct Forward {
    /// The target's host, as asked for.
    pub host: String,
    /// The target's port, as asked for.
    pub port: u16,
    /// What the server takes for the target.
    pub stream: BoxedStream,
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forward({}:{})", self.host, self.port)
    }
}

/// Somebody whom the server takes for an agent; it stays one until this is dropped.
#[derive(Debug)]
pub struct Impostor(());

impl Impostor {
    /// The `serverID` that the server gave.
    pub fn server_id(&self) -> &str {
        ""
    }

    /// The next connection that the server sends here; `None` once it has ended the call.
    pub async fn next_forward(&mut self) -> Option<Forward> {
        None
    }
}

/// Connects to a server as an agent, over a stream on which TLS is established already (ALPN `h2`:
/// [`ravelin_transport::danger::connect_http2`]) with or without a client certificate.
///
/// # Errors
/// How the server refused it.
pub async fn pose(_host: &HostRef, _stream: BoxedStream, _pose: &Pose) -> Result<Impostor, AgentRefused> {
    Err(AgentRefused { reason: "not yet".to_owned() })
}

/// Asks a frontend over a stream (TLS or not) for a connection, by HTTP `CONNECT`.
///
/// # Errors
/// As `KonnectivityEgress::dial`.
pub async fn connect(
    _host: &HostRef,
    _stream: BoxedStream,
    _target: &str,
) -> Result<BoxedStream, EgressError> {
    Err(EgressError::Unavailable("not yet".to_owned()))
}

/// Asks a frontend over a stream (TLS with ALPN `h2`, or not) for a connection, by gRPC (`DIAL_REQ`).
///
/// # Errors
/// As `KonnectivityEgress::dial`.
pub async fn dial(_host: &HostRef, _stream: BoxedStream, _target: &str) -> Result<BoxedStream, EgressError> {
    Err(EgressError::Unavailable("not yet".to_owned()))
}
