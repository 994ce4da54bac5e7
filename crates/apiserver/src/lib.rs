//! The Kubernetes API server: the request chain, the objects, and the way out to kubelets, nodes,
//! pods and services.
//!
//! A request is authenticated, authorized, admitted and served, in this order; each step needs
//! the proof of the one before. Objects live in [`store`], which whoever observes from outside
//! can read in full. This crate must never know a kubelet, a simulation or a configuration file:
//! it meets the rest of the cluster over sockets alone.
//!
//! Absent: streams into containers (exec, attach, port-forward; upgrade requests are refused),
//! aggregation.

mod admit;
mod answer;
mod audit;
mod authenticate;
mod authorization;
mod chain;
mod config;
mod front_proxy;
mod impersonate;
mod negotiate;
mod oidc;
mod patience;
mod proxy;
mod resources;
mod seed;
mod server;
mod start;
pub mod store;
mod table;
#[cfg(test)]
mod tests;
mod token_cache;
mod websocket_token;

pub use config::{
    Anonymous, ApiserverConfig, AuditConfig, AuthorizationMode, KubeletClientConfig, TokenLives,
};
pub use front_proxy::FrontProxyConfig;
pub use ravelin_auth::token::ServiceAccountKeys;
pub use start::{Apiserver, Running, StartError};
pub use store::{Key, Store, render};
