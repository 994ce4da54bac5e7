//! A client of the Kubernetes API: requests, watches, and a reflector that follows a collection.
//!
//! It fails closed: a server that cannot be verified, a credential that cannot be read, an answer
//! that is not whole or not understood are errors that name the check, and nothing is followed,
//! guessed or sent twice (see [`Client`] for the one exception). What the objects mean is for
//! others.

mod client;
mod config;
mod error;
mod events;
mod in_cluster;
mod reflector;
mod remote;
mod store;
mod watch;

pub use client::{Client, PatchKind};
pub use config::{ClientConfig, Credential, TokenRenewal, TokenSource};
pub use error::ClientError;
pub use events::{Event, EventRecorder, EventSource};
pub use in_cluster::{InCluster, NotInCluster, SERVICE_ACCOUNT_DIRECTORY};
pub use ravelin_pki::ServerTrust;
pub use ravelin_transport::streams::{Outcome, RemoteClient, RemoteOptions};
pub use ravelin_transport::{Request, body};
pub use reflector::Reflector;
pub use remote::{Carrier, Forwarded, Forwarding, PodName, Remote};
pub use store::Store;
pub use watch::{Watch, WatchEvent, WatchEventKind, Watches};

#[cfg(test)]
mod tests;
