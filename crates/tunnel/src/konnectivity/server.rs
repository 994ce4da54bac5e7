//! Konnectivity's server: agents on one side, apiservers on the other.

mod agents;
mod authentication;
mod backend;
mod backends;
mod connect;
mod frontends;
mod proxy;

use super::metrics::{self, Metrics};
use super::pages::{self, Pages};
pub(super) use agents::window;
use backend::Backend;
use backends::{Backends, NoAgent};
use ravelin_client::Client;
use ravelin_host::{HostRef, Task, field};
use ravelin_pki::{Identity, TrustAnchors};
use ravelin_transport::metrics::Family;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a server is told.
#[derive(Clone, Debug)]
pub struct KonnectivityServerConfig {
    /// Which one it is (`--server-id`).
    pub server_id: String,
    /// How many there are (`--server-count`).
    pub server_count: u32,
    /// Where apiservers connect.
    pub frontend: Frontend,
    /// Where agents connect.
    pub agents: AgentListener,
    /// How an agent is chosen, the first that finds one (`--proxy-strategies`). Without any, `default`.
    pub strategies: Vec<Strategy>,
    /// How long an agent may take to answer a dial; `None` for ever (`--backend-dial-timeout`, 0).
    pub backend_dial_timeout: Option<Duration>,
    /// After so much silence agents are pinged (`--keepalive-time`).
    pub keepalive: Duration,
    /// After so much silence frontends are pinged (`--frontend-keepalive-time`).
    pub frontend_keepalive: Duration,
    /// Where `/healthz`, `/readyz`, `/ready` and `/metrics` are served, if anywhere.
    pub health: Option<SocketAddr>,
    /// Where `/metrics` is served besides, if anywhere.
    pub admin: Option<SocketAddr>,
}

/// Where and how apiservers connect.
#[derive(Clone, Debug)]
pub struct Frontend {
    /// What is spoken there (`--mode`).
    pub mode: FrontendMode,
    /// Where.
    pub listener: FrontendListener,
}

/// What a frontend speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontendMode {
    /// `ProxyService/Proxy`, a call for each connection.
    Grpc,
    /// HTTP/1.1 `CONNECT`.
    HttpConnect,
}

/// Where a frontend listens.
#[derive(Clone, Debug)]
pub enum FrontendListener {
    /// On a Unix socket, without TLS (`--uds-name`).
    Unix {
        /// Its path.
        path: String,
    },
    /// On a port, with TLS (`--server-port`, `--server-cert`, `--server-key`).
    Tls {
        /// Its address.
        listen: SocketAddr,
        /// What it presents.
        identity: Identity,
        /// Who may connect.
        clients: FrontendClients,
    },
    /// On a port, without TLS: for anybody. The original has no such thing; other proxies that an
    /// `http://` URL leads to do.
    DangerPlain {
        /// Its address.
        listen: SocketAddr,
    },
}

/// Who may connect to a frontend's port.
#[derive(Clone, Debug)]
pub enum FrontendClients {
    /// Who has a certificate from one of these (`--server-ca-cert`).
    Certificate(TrustAnchors),
    /// Anybody: what an empty `--server-ca-cert` means.
    DangerAnybody,
}

/// Where and how agents connect.
#[derive(Clone, Debug)]
pub struct AgentListener {
    /// The address (`--agent-bind-address`, `--agent-port`).
    pub listen: SocketAddr,
    /// What it presents (`--cluster-cert`, `--cluster-key`).
    pub identity: Identity,
    /// Whom it takes for an agent.
    pub authentication: AgentAuthentication,
}

/// Whom a server takes for an agent.
#[derive(Clone, Debug)]
pub enum AgentAuthentication {
    /// Who has a certificate from one of these (`--cluster-ca-cert`).
    ClientCertificate(TrustAnchors),
    /// Who has a token of this service account, as the apiserver says for each connection.
    ServiceAccountToken {
        /// `--agent-namespace`.
        namespace: String,
        /// `--agent-service-account`.
        service_account: String,
        /// `--authentication-audience`.
        audience: String,
        /// Who is asked: it must be allowed to create TokenReviews.
        reviewer: Client,
    },
    /// Anybody (CVE-2026-16242).
    DangerNone,
}

/// How an agent is chosen for a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Any, by chance (`default`).
    Default,
    /// One that says it is the destination (`destHost`).
    DestHost,
    /// Any, by chance, of those that take what nobody else does (`defaultRoute`).
    DefaultRoute,
}

impl Strategy {
    /// Its name in `--proxy-strategies` and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::DestHost => "destHost",
            Self::DefaultRoute => "defaultRoute",
        }
    }

    /// The strategy of a name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Default, Self::DestHost, Self::DefaultRoute].into_iter().find(|one| one.name() == name)
    }
}

/// A running server; everything ends when this is dropped.
pub struct KonnectivityServer {
    shared: Arc<Shared>,
    _tasks: Vec<Task>,
}

impl std::fmt::Debug for KonnectivityServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KonnectivityServer({}, {} agents)", self.shared.server_id, self.agents().len())
    }
}

/// What all parts of a server share.
struct Shared {
    host: HostRef,
    server_id: String,
    server_count: u32,
    backend_dial_timeout: Option<Duration>,
    backends: Backends,
    metrics: Arc<Metrics>,
}

impl Shared {
    /// The agent for a dial.
    fn choose(&self, address: &str) -> Result<Arc<Backend>, NoAgent> {
        let mut entropy = self.host.entropy("konnectivity.choice");
        let chosen = self.backends.choose(address, |bound| entropy.below(bound));
        if chosen.is_err() {
            self.failed_dial("no_agent");
            self.observe_dial(address, "", Some(&NoAgent));
        }
        chosen
    }

    /// Names a dial to an agent, as Go's `rand.Int63`.
    fn random(&self) -> i64 {
        i64::try_from(self.host.entropy("konnectivity.dial").number() >> 1).unwrap_or(i64::MAX)
    }

    fn failed_dial(&self, reason: &str) {
        self.metrics.add("dial_failure_count", &[("reason", reason)], 1);
    }

    fn observe_dial(&self, address: &str, agent: &str, failure: Option<&dyn std::fmt::Display>) {
        let outcome = failure.map_or("open".to_owned(), ToString::to_string);
        let fields = [field("to", address), field("agent", agent), field("outcome", outcome)];
        self.host.observe("konnectivity.dial", &fields);
    }
}

impl KonnectivityServer {
    /// Starts listening.
    ///
    /// # Errors
    /// As `bind(2)`, of any of its addresses.
    pub async fn start(host: HostRef, config: KonnectivityServerConfig) -> io::Result<Self> {
        let metrics = Arc::new(Metrics::new("konnectivity_network_proxy_server", metrics::SERVER));
        let shared = Arc::new(Shared {
            host: Arc::clone(&host),
            server_id: config.server_id,
            server_count: config.server_count,
            backend_dial_timeout: config.backend_dial_timeout,
            backends: Backends::new(config.strategies, Arc::clone(&metrics)),
            metrics: Arc::clone(&metrics),
        });
        let mut tasks = vec![
            frontends::listen(&shared, config.frontend, config.frontend_keepalive).await?,
            agents::listen(&shared, config.agents, config.keepalive).await?,
        ];
        let ready = {
            let shared = Arc::clone(&shared);
            move || match shared.backends.is_ready() {
                true => Ok(()),
                false => Err("no connection to any proxy agent".to_owned()),
            }
        };
        let pages = Arc::new(Pages::new(metrics, Box::new(ready)));
        tasks.extend(pages::serve(&host, &pages, (config.health, config.admin)).await?);
        Ok(Self { shared, _tasks: tasks })
    }

    /// The identifiers of the agents that are connected, in the order in which they came.
    pub fn agents(&self) -> Vec<String> {
        self.shared.backends.agents()
    }

    /// How many connections are open through it.
    pub fn established(&self) -> usize {
        self.shared.backends.established()
    }

    /// What it shows at `/metrics`.
    pub fn metrics(&self) -> Vec<Family> {
        self.shared.metrics.families()
    }
}
