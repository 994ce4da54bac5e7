//! Konnectivity (kubernetes-sigs/apiserver-network-proxy): agents in the cluster connect to a server
//! beside the apiserver, which dials through them.
//!
//! [`KonnectivityEgress`] is the dialer behind `Egress`; it asks [`KonnectivityServer`] by its frontend,
//! and this sends each dial to one of the [`KonnectivityAgent`]s that are connected. All connections of
//! an agent share one gRPC call.

mod agent;
mod call;
mod channels;
pub mod danger;
mod egress;
mod leases;
mod metrics;
mod outgoing;
mod pages;
mod relay;
mod server;

pub use agent::{KonnectivityAgent, KonnectivityAgentConfig};
pub use egress::{KonnectivityEgress, KonnectivityEgressConfig};
pub use leases::{LeaseCount, LeasesAt, ServerLease};
pub use ravelin_stream::konnectivity::{AgentIdentifiers, IdentifiersError};
pub use server::{
    AgentAuthentication, AgentListener, Frontend, FrontendClients, FrontendListener, FrontendMode,
    KonnectivityServer, KonnectivityServerConfig, Strategy,
};

use std::time::Duration;

/// The port of frontends (`--server-port`).
pub const FRONTEND_PORT: u16 = 8090;
/// The port of agents (`--agent-port`, `--proxy-server-port`).
pub const AGENT_PORT: u16 = 8091;
/// The server's port for health and metrics (`--health-port`).
pub const SERVER_HEALTH_PORT: u16 = 8092;
/// The agent's port for health and metrics (`--health-server-port`).
pub const AGENT_HEALTH_PORT: u16 = 8093;
/// The agent's port for metrics, on loopback (`--admin-server-port`).
pub const AGENT_ADMIN_PORT: u16 = 8094;
/// The server's port for metrics, on loopback (`--admin-port`).
pub const SERVER_ADMIN_PORT: u16 = 8095;
/// After so much silence the other end is pinged (`--keepalive-time`, `--frontend-keepalive-time`).
pub const KEEPALIVE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
