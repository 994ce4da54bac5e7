//! What attackers are built from: the honest code with its checks left to the caller.

use crate::{Secured, TlsClient, TlsError, TlsServer};
use ravelin_host::{BoxedStream, Connection, HostRef};
use ravelin_pki::{Identity, ServerTrust};

pub use crate::bare::danger_unannounced as unannounced;

/// How a victim ended a handshake with an attacker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{alert}")]
pub struct Alerted {
    /// The alert that the victim sent (`UnknownCA`, `BadCertificate`, …), or what else ended it:
    /// `unavailable`, `timeout`, or the reason of our own refusal.
    pub alert: String,
    /// Did the victim itself refuse, with an alert?
    pub by_peer: bool,
}

impl From<TlsError> for Alerted {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::PeerRefusedUs { alert } => Self { alert, by_peer: true },
            TlsError::PeerRefused { reason } => Self { alert: reason, by_peer: false },
            other => Self { alert: other.kind().to_owned(), by_peer: false },
        }
    }
}

/// Presents any identity to a client, asks for the client's own, and reports how it took it. The
/// chain and the key of `identity` need not belong together.
///
/// # Errors
/// How the client refused.
pub async fn accept(host: &HostRef, identity: Identity, connection: Connection) -> Result<Secured, Alerted> {
    let server = TlsServer::new(identity).with_client_certificates();
    Ok(server.shake_hands(host, connection).await?)
}

/// As [`accept`], for HTTP/2.
///
/// # Errors
/// How the client refused.
pub async fn accept_http2(
    host: &HostRef,
    identity: Identity,
    connection: Connection,
) -> Result<Secured, Alerted> {
    let server = TlsServer::new(identity).with_client_certificates().with_http2();
    Ok(server.shake_hands(host, connection).await?)
}

/// Connects to a server whoever it is, with any identity or none.
///
/// # Errors
/// As [`TlsClient::connect`].
pub async fn connect(
    host: &HostRef,
    stream: BoxedStream,
    server_name: &str,
    identity: Option<Identity>,
) -> Result<Secured, TlsError> {
    let trust = ServerTrust::DangerAny;
    TlsClient { trust, identity, server_name: server_name.to_owned() }.connect(host, stream).await
}

/// As [`connect`], for HTTP/2.
///
/// # Errors
/// As [`TlsClient::connect_http2`].
pub async fn connect_http2(
    host: &HostRef,
    stream: BoxedStream,
    server_name: &str,
    identity: Option<Identity>,
) -> Result<Secured, TlsError> {
    let trust = ServerTrust::DangerAny;
    TlsClient { trust, identity, server_name: server_name.to_owned() }.connect_http2(host, stream).await
}
