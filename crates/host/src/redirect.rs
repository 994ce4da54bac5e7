//! Destination translation, as a service proxy programs it.

use std::net::SocketAddr;

/// One translated address: a connection to `from` goes to one of `to`, chosen when it is opened.
/// With no endpoint it is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redirect {
    /// The service's address and port.
    pub from: SocketAddr,
    /// The endpoints that are ready.
    pub to: Vec<SocketAddr>,
}
