//! Starts the components of a `ClusterConfig` on hosts, simulated or real alike.
//!
//! [`Cluster::start`] makes the certificates that the configuration's file names stand for, starts
//! every component on its host, sets up what an installer would (roles, the bootstrap token, a few
//! demo pods), and waits until all is ready or the time is up. It must never know a simulator: a
//! host is a host.

mod agent_setup;
mod agents;
mod apiservers;
mod cluster;
mod controllers;
mod credentials;
mod demo;
mod departed;
mod given;
mod known_host;
mod konnectivity;
mod layout;
mod material;
mod member;
mod nodes;
mod objects;
mod populate;
mod ports;
mod rogue;
mod settings;
mod ssh;
mod start;
mod tenant;
mod tunnel_settings;
mod workloads;

pub use cluster::{Cluster, Hosts, Who};
pub use demo::{
    Demo, DemoPod, NAMESPACE, PROBE_CONFIG_MAP, PROBE_EVENT, WEB_HTTP_PORT, WEB_HTTPS_PORT, WEB_SERVICE,
    config_map_name, secret_name,
};
pub use departed::Departed;
pub use konnectivity::{AgentCredential, AgentProof, KonnectivityAt};
pub use layout::{Layout, LayoutError, MAX_NODES, NodePlace, PODS_PER_NODE, Place};
pub use ports::PortAt;
pub use rogue::Rogue;
pub use settings::{ApiserverParts, KubeletParts, apiserver, kubelet};
pub use tenant::{TENANT_NAMESPACE, Tenant};
pub use tunnel_settings::{TunnelAgentParts, TunnelServerParts, tunnel_agent, tunnel_server};
pub use workloads::Workloads;

#[cfg(test)]
mod tests;
