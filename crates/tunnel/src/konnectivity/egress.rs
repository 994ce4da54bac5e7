//! The apiserver's end: a dialer behind `Egress`.

use async_trait::async_trait;
use ravelin_host::{BoxedStream, HostRef};
use ravelin_pki::{Identity, ServerTrust};
use ravelin_transport::egress::{Destination, Egress, EgressError};
use std::net::SocketAddr;

/// How the server's frontend is reached (`EgressSelectorConfiguration`).
#[derive(Clone, Debug)]
pub enum KonnectivityEgressConfig {
    /// `GRPC` over a Unix socket.
    Grpc {
        /// `udsName`.
        path: String,
    },
    /// `HTTPConnect` over a Unix socket.
    HttpConnectUnix {
        /// `udsName`.
        path: String,
    },
    /// `HTTPConnect` over TLS.
    HttpConnectTls {
        /// The host of the URL, a name or an address.
        host: String,
        /// Its port.
        port: u16,
        /// How the server is judged (`caBundle`).
        trust: ServerTrust,
        /// What is presented (`clientCert`, `clientKey`).
        identity: Option<Identity>,
        /// The name that the certificate must be for, where it is not the host (`tlsServerName`).
        server_name: Option<String>,
    },
    /// `HTTPConnect` to an `http://` URL: who listens on the way reads and changes everything that is
    /// not encrypted by itself.
    DangerHttpConnect {
        /// The host of the URL, a name or an address.
        host: String,
        /// Its port.
        port: u16,
    },
}

/// The dialer: a tunnel of its own for each connection.
#[derive(Debug)]
pub struct KonnectivityEgress(());

impl KonnectivityEgress {
    /// A dialer. Nothing is connected yet.
    pub fn new(_host: HostRef, _config: KonnectivityEgressConfig) -> Self {
        Self(())
    }
}

#[async_trait]
impl Egress for KonnectivityEgress {
    async fn dial(&self, _to: SocketAddr, _what: &Destination) -> Result<BoxedStream, EgressError> {
        Err(EgressError::Unavailable("not yet".to_owned()))
    }

    fn name(&self) -> &str {
        "konnectivity"
    }
}
