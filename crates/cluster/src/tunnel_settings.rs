//! What the configuration says of Konnectivity's programs, and what is made of names for them: the same
//! for a whole cluster, whose material is its own, and for one component, which reads real files.

use ravelin_config as config;
use ravelin_pki::{Identity, ServerTrust};
use ravelin_tunnel::konnectivity::{
    AgentAuthentication, AgentIdentifiers, AgentListener, Frontend, FrontendListener, FrontendMode,
    IdentifiersError, KonnectivityAgentConfig, KonnectivityServerConfig, Strategy,
};
use std::time::Duration;

/// What a tunnel server needs besides its options.
pub struct TunnelServerParts {
    /// Which one it is.
    pub id: String,
    /// How many there are.
    pub count: u32,
    /// Where apiservers are awaited.
    pub frontend: FrontendListener,
    /// What agents are shown.
    pub serving: Identity,
    /// Whom it takes for an agent.
    pub authentication: AgentAuthentication,
}

/// A tunnel server of these options; its addresses are as given.
pub fn tunnel_server(
    given: &config::KonnectivityServer,
    parts: TunnelServerParts,
) -> KonnectivityServerConfig {
    let seconds = Duration::from_secs;
    KonnectivityServerConfig {
        server_id: parts.id,
        server_count: parts.count,
        frontend: Frontend {
            mode: match given.mode {
                config::KonnectivityMode::Grpc => FrontendMode::Grpc,
                config::KonnectivityMode::HttpConnect => FrontendMode::HttpConnect,
            },
            listener: parts.frontend,
        },
        agents: AgentListener {
            listen: given.agents,
            identity: parts.serving,
            authentication: parts.authentication,
        },
        strategies: given.strategies.iter().map(|strategy| self::strategy(*strategy)).collect(),
        backend_dial_timeout: Some(seconds(given.backend_dial_timeout_s)).filter(|limit| !limit.is_zero()),
        keepalive: seconds(given.keepalive_s),
        frontend_keepalive: seconds(given.frontend_keepalive_s),
        health: Some(given.health),
        admin: Some(given.admin),
    }
}

fn strategy(given: config::ProxyStrategy) -> Strategy {
    match given {
        config::ProxyStrategy::Default => Strategy::Default,
        config::ProxyStrategy::DestHost => Strategy::DestHost,
        config::ProxyStrategy::DefaultRoute => Strategy::DefaultRoute,
    }
}

/// What a tunnel agent needs besides its options.
pub struct TunnelAgentParts {
    /// Which one it is.
    pub id: String,
    /// What it says it leads to, with nothing left to fill in.
    pub identifiers: String,
    /// How it judges servers.
    pub trust: ServerTrust,
    /// What it presents if it is asked.
    pub identity: Option<Identity>,
    /// The file of its token on its computer's disk.
    pub token_file: Option<String>,
}

/// A tunnel agent of these options; its addresses are as given.
///
/// # Errors
/// Where its identifiers are no query string.
pub fn tunnel_agent(
    given: &config::KonnectivityAgent,
    parts: TunnelAgentParts,
) -> Result<KonnectivityAgentConfig, IdentifiersError> {
    let seconds = Duration::from_secs;
    Ok(KonnectivityAgentConfig {
        server_host: given.server_host.clone(),
        server_port: given.server_port,
        trust: parts.trust,
        identity: parts.identity,
        agent_id: parts.id,
        identifiers: AgentIdentifiers::parse(&parts.identifiers)?,
        token_file: parts.token_file,
        sync_interval: seconds(given.sync_interval_s),
        sync_interval_cap: seconds(given.sync_interval_cap_s),
        probe_interval: seconds(given.probe_interval_s),
        sync_forever: given.sync_forever,
        keepalive: seconds(given.keepalive_s),
        health: Some(given.health),
        admin: Some(given.admin),
    })
}
