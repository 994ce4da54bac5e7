//! A kubelet: joins its node to the cluster, runs the node's pods, serves its HTTPS endpoint.
//!
//! It meets the apiserver over sockets only, as a client of the secure port and as a server whose
//! caller must prove who it is. This crate must never know the apiserver's inside, or whether it
//! is simulated.

mod access;
mod allocation;
mod bootstrap;
mod certificate_files;
mod config;
mod credentials;
mod endpoint;
mod heartbeat;
mod journal;
mod kubelet;
mod lease;
mod node;
mod pods;
mod retry;
mod rotation;
mod serving;
mod state;
mod status;
mod ticks;

pub use config::{ApiserverTarget, Authentication, Authorization, Caches, KubeletConfig, Serving, Taint};
pub use journal::{Answered, Journal, MAX_ANSWERED};
pub use kubelet::{Kubelet, Running};

#[cfg(test)]
mod tests;
