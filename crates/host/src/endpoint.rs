//! Where connections lead, and the streams they give.

use async_trait::async_trait;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncWrite};

/// A two-way stream of bytes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A stream whose kind does not matter.
pub type BoxedStream = Box<dyn Stream>;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// An address and port.
    Tcp(SocketAddr),
    /// A Unix socket's path within one computer.
    Unix(String),
}

impl Endpoint {
    /// The TCP endpoint of an address and port.
    pub fn tcp(ip: impl Into<IpAddr>, port: u16) -> Self {
        Self::Tcp(SocketAddr::new(ip.into(), port))
    }

    /// The socket address, unless this is a Unix path.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// An open connection.
pub struct Connection {
    /// Its bytes.
    pub stream: BoxedStream,
    /// This end.
    pub local: Endpoint,
    /// The other end, as this computer sees it (a translated service address stays the service's).
    pub peer: Endpoint,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({} to {})", self.local, self.peer)
    }
}

/// A listening socket.
#[async_trait]
pub trait Listener: Send + Sync {
    /// Waits for the next connection.
    ///
    /// # Errors
    /// As `accept(2)`. The listener can be used again after an error.
    async fn accept(&self) -> std::io::Result<Connection>;

    /// Where it listens.
    fn local(&self) -> Endpoint;
}
