//! TLS, HTTP/1.1 and HTTP/2 over the streams of a `Host`, and how the control plane reaches the cluster.
//!
//! Every step on the network has a deadline, a message that ends early is an error and never a
//! shorter message, and time and randomness are the host's. What a path or a header *means* is
//! for the crates above; so is who may do what. [`danger`] holds what attackers are built from.

mod adapter;
mod bare;
pub mod body;
mod connection;
pub mod danger;
pub mod egress;
pub mod http2;
pub mod metrics;
mod server;
mod spaced;
pub mod streams;
mod tls;
pub mod upgrade;

pub use body::{Body, BodyError, BoxError, collect};
pub use connection::{HttpConnection, HttpError};
pub use server::{Handler, PeerInfo, Server};
pub use tls::{HANDSHAKE_TIMEOUT, Secured, TlsClient, TlsError, TlsServer};
pub use upgrade::{Rewound, Upgraded, Upgrading};

/// An HTTP request.
pub type Request = http::Request<Body>;
/// An HTTP response.
pub type Response = http::Response<Body>;

#[cfg(test)]
mod tests;
