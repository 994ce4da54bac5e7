//! TLS 1.3 on both ends.
//!
//! Sessions are never resumed and no tickets are sent, so that each handshake proves identities
//! anew. Certificates are judged by `pki`; the time is the host's.

mod client;
mod error;
mod seam;
mod server;

pub use client::TlsClient;
pub use error::TlsError;
pub(crate) use seam::{chain_of, host_time, key_log};
pub use server::TlsServer;

use ravelin_host::BoxedStream;
use rustls_pki_types::CertificateDer;
use std::time::Duration;

/// How long a handshake may take, as in Kubernetes (`TLSHandshakeTimeout`, apimachinery's
/// `net/http.go`).
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP/1.1 as ALPN calls it (RFC 7301 section 6).
const HTTP_1: &[u8] = b"http/1.1";
/// HTTP/2 over TLS as ALPN calls it (RFC 9113 section 3.2).
const HTTP_2: &[u8] = b"h2";

/// A stream after its handshake.
pub struct Secured {
    /// The plaintext.
    pub stream: BoxedStream,
    /// What the peer presented, its own certificate first. A client's chain has not been judged.
    pub peer_chain: Vec<CertificateDer<'static>>,
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secured({} certificates)", self.peer_chain.len())
    }
}
