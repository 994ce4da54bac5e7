//! What attackers need: an agent that is none, and a frontend that asks for anything.

use super::agent::{Reach, Session, session};
use super::call::Origin;
use super::egress::{connect, grpc};
use super::metrics::{self, Metrics};
use super::{AGENT_PORT, KEEPALIVE};
use ravelin_host::{BoxedStream, HostRef, Task};
use ravelin_stream::konnectivity::AgentIdentifiers;
use ravelin_transport::egress::{DIAL_TIMEOUT, EgressError};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a server may take to answer somebody who wants to be an agent.
const POSE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an impostor looks whether its connection lives.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Connections that wait to be taken; more are refused.
const MAX_WAITING: usize = 64;

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
pub struct Impostor {
    server_id: String,
    forwards: mpsc::Receiver<Forward>,
    _serving: Task,
}

impl fmt::Debug for Impostor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Impostor({})", self.server_id)
    }
}

impl Impostor {
    /// The `serverID` that the server gave.
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    /// The next connection that the server sends here; `None` once it has ended the call.
    pub async fn next_forward(&mut self) -> Option<Forward> {
        self.forwards.recv().await
    }
}

/// Connects to a server as an agent, over a stream on which TLS is established already (ALPN `h2`:
/// [`ravelin_transport::danger::connect_http2`]) with or without a client certificate.
///
/// # Errors
/// How the server refused it, or that it did not answer within 30 s.
pub async fn pose(host: &HostRef, stream: BoxedStream, pose: &Pose) -> Result<Impostor, AgentRefused> {
    let metrics = Arc::new(Metrics::new("impostor", metrics::AGENT));
    let said = session::Pose {
        agent_id: pose.agent_id.clone(),
        identifiers: pose.identifiers.encode(),
        token: pose.token.clone(),
        origin: Origin::tls("konnectivity-server", AGENT_PORT),
    };
    let opening = session::open(host, stream, &said, (&metrics, KEEPALIVE));
    let refused = |reason: String| AgentRefused { reason };
    let opened = match tokio::time::timeout(POSE_TIMEOUT, opening).await {
        Ok(opened) => opened.map_err(|status| refused(status.to_string()))?,
        Err(_) => return Err(refused("timed out".to_owned())),
    };
    let server_id = opened.server_id.clone();
    let (taker, forwards) = mpsc::channel(MAX_WAITING);
    let session = Session::new(host, &opened, Reach::Trap(taker), &metrics);
    let serving = async move {
        session.serve(opened, PROBE_INTERVAL).await;
    };
    let serving = host.spawn("konnectivity.impostor", Box::pin(serving));
    Ok(Impostor { server_id, forwards, _serving: serving })
}

/// Asks a frontend over a stream (TLS or not) for a connection, by HTTP `CONNECT`.
///
/// # Errors
/// As `KonnectivityEgress::dial`.
pub async fn connect(stream: BoxedStream, target: &str) -> Result<BoxedStream, EgressError> {
    let asking = connect::connect(stream, target, "the frontend");
    tokio::time::timeout(DIAL_TIMEOUT, asking).await.unwrap_or(Err(EgressError::Timeout))
}

/// Asks a frontend over a stream (TLS with ALPN `h2`, or not) for a connection, by gRPC (`DIAL_REQ`).
///
/// # Errors
/// As `KonnectivityEgress::dial`.
pub async fn dial(host: &HostRef, stream: BoxedStream, target: &str) -> Result<BoxedStream, EgressError> {
    let metrics = Arc::new(Metrics::new("intruder", metrics::CLIENT));
    let asking = grpc::dial(host, stream, target, &metrics);
    tokio::time::timeout(DIAL_TIMEOUT, asking).await.unwrap_or(Err(EgressError::Timeout))
}
