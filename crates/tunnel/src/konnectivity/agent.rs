//! Konnectivity's agent: connects to every server, and dials what they ask for.

mod endpoint;
pub(super) mod session;
mod sync;

use super::leases::{Counting, LeaseCount};
use super::metrics::{self, Metrics};
use super::pages::{self, Pages};
pub(super) use endpoint::Reach;
use ravelin_host::{HostRef, Task};
use ravelin_pki::{Identity, ServerTrust};
use ravelin_stream::konnectivity::AgentIdentifiers;
use ravelin_transport::metrics::Family;
pub(super) use session::Session;
use session::SessionHandle;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
pub struct KonnectivityAgent {
    shared: Arc<Shared>,
    _tasks: Vec<Task>,
}

impl std::fmt::Debug for KonnectivityAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KonnectivityAgent({}, {} servers)", self.shared.config.agent_id, self.connected())
    }
}

impl KonnectivityAgent {
    /// Starts connecting.
    ///
    /// # Errors
    /// As `bind(2)`, of its ports for health and metrics.
    pub async fn start(host: HostRef, config: KonnectivityAgentConfig) -> io::Result<Self> {
        Self::counting(host, config, None).await
    }

    /// As [`KonnectivityAgent::start`], counting the servers by their leases (`--count-server-leases`).
    ///
    /// # Errors
    /// As [`KonnectivityAgent::start`].
    pub async fn counting(
        host: HostRef,
        config: KonnectivityAgentConfig,
        leases: Option<LeaseCount>,
    ) -> io::Result<Self> {
        let metrics = Arc::new(Metrics::new("konnectivity_network_proxy_agent", metrics::AGENT));
        let ports = (config.health, config.admin);
        let shared = Arc::new(Shared {
            host: Arc::clone(&host),
            config,
            metrics: Arc::clone(&metrics),
            servers: Mutex::default(),
            leases: leases.map(|leases| Counting::start(&host, leases)),
        });
        let ready = {
            let shared = Arc::clone(&shared);
            move || match shared.servers().sessions.is_empty() {
                false => Ok(()),
                true => Err("no servers connected".to_owned()),
            }
        };
        let pages = Arc::new(Pages::new(metrics, Box::new(ready)));
        let mut tasks = pages::serve(&host, &pages, ports).await?;
        tasks.push(host.spawn("konnectivity.agent", Box::pin(sync::run(Arc::clone(&shared)))));
        Ok(Self { shared, _tasks: tasks })
    }

    /// Tells all servers that it is about to stop (`DRAIN`), as the original does at SIGTERM. What is
    /// open goes on; new dials go to other agents.
    pub fn drain(&self) {
        let mut servers = self.shared.servers();
        servers.draining = true;
        for session in servers.sessions.values() {
            session.drain();
        }
    }

    /// How many servers it is connected to.
    pub fn connected(&self) -> usize {
        self.shared.servers().sessions.len()
    }

    /// What it shows at `/metrics`.
    pub fn metrics(&self) -> Vec<Family> {
        self.shared.metrics.families()
    }
}

impl Drop for KonnectivityAgent {
    fn drop(&mut self) {
        // The tasks of sessions hold what holds them.
        let sessions = std::mem::take(&mut self.shared.servers().sessions);
        drop(sessions);
    }
}

/// What all parts of an agent share.
struct Shared {
    host: HostRef,
    config: KonnectivityAgentConfig,
    metrics: Arc<Metrics>,
    servers: Mutex<Servers>,
    leases: Option<Counting>,
}

/// The servers that it is connected to.
#[derive(Default)]
struct Servers {
    /// By the identifier that the server gave.
    sessions: BTreeMap<String, SessionHandle>,
    /// How many there are, as the last one said.
    told: u32,
    draining: bool,
}

impl Shared {
    /// How many servers there are, as far as is known; before anything is, one.
    fn server_count(&self, told: u32) -> u32 {
        let counted = self.leases.as_ref().map_or(told, |leases| leases.count(told));
        counted.max(1)
    }

    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
