//! Real computers: the operating system's sockets, clock and randomness.
//!
//! A [`Network`] is a whole cluster on this one computer: its hosts have the cluster's addresses,
//! and each port that one of them listens on is a loopback socket. A [`computer`] is this computer
//! itself: it speaks with real addresses and by real Unix sockets, keeps its files in a folder, and has its
//! pods on loopback sockets. Both apply redirects when a connection is opened; a computer can also carry what other
//! programs send to services. Nothing here has flaws.

mod carry;
mod folder;
mod host;
mod network;
mod programs;
mod socket;
mod unix_socket;

pub use carry::Carried;
pub use host::{Computer, carrying, computer, own_address_towards};
pub use network::{Network, NodePods, Observer};
pub use programs::{Programs, become_program, may_harm_everything};

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "folders for the tests' own files")]
mod tests;
