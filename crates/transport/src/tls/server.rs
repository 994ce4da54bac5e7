//! The accepting end.

use super::{HANDSHAKE_TIMEOUT, HTTP_1, HTTP_2, Secured, TlsError, chain_of, host_time, key_log};
use ravelin_host::{Connection, Flaw, HostRef, field};
use ravelin_pki::{
    Identity, TrustAnchors, client_verifier, danger_client_verifier_without_possession,
    danger_frozen_provider, fingerprint_sha256, provider, required_client_verifier,
};
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;

/// What a server needs for TLS: an identity, which can be replaced while it runs.
pub struct TlsServer {
    presented: Arc<Presented>,
    asks: Asks,
    protocol: &'static [u8],
    built: Mutex<Option<(HostRef, Arc<ServerConfig>)>>,
}

/// Whether clients are asked for a certificate.
#[derive(Debug)]
enum Asks {
    Nobody,
    /// Any will do, or none.
    Anybody,
    /// It must come from one of these.
    IssuedBy(TrustAnchors),
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("asks", &self.asks).finish_non_exhaustive()
    }
}

impl TlsServer {
    /// A server that presents `identity` and asks for no client certificate.
    pub fn new(identity: Identity) -> Self {
        let presented = Arc::new(Presented(RwLock::new(identity.certified_key())));
        Self { presented, asks: Asks::Nobody, protocol: HTTP_1, built: Mutex::new(None) }
    }

    /// Asks clients for a certificate, without requiring one. Whoever presents one must hold its
    /// key, and nothing else is judged here: that is for each request
    /// ([`ravelin_pki::verify_client`]).
    pub fn with_client_certificates(mut self) -> Self {
        self.asks = Asks::Anybody;
        self
    }

    /// Requires a client certificate from one of these, and refuses in the handshake who has none.
    pub fn requiring_client_certificates(mut self, issuers: TrustAnchors) -> Self {
        self.asks = Asks::IssuedBy(issuers);
        self
    }

    /// Offers HTTP/2 instead of HTTP/1.1 (RFC 7301).
    pub fn with_http2(mut self) -> Self {
        self.protocol = HTTP_2;
        self
    }

    /// Presents another identity from the next handshake on.
    pub fn set_identity(&self, identity: &Identity) {
        let mut presented = self.presented.0.write().unwrap_or_else(PoisonError::into_inner);
        *presented = identity.certified_key();
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// Where the handshake fails or takes longer than [`HANDSHAKE_TIMEOUT`].
    pub async fn accept(&self, host: &HostRef, connection: Connection) -> io::Result<Secured> {
        let peer = connection.peer.clone();
        let result = self.shake_hands(host, connection).await;
        let (outcome, chain) = match &result {
            Ok(secured) => ("ok".to_owned(), secured.peer_chain.as_slice()),
            Err(error) => (error.to_string(), &[][..]),
        };
        let presented = chain.first().map(|der| fingerprint_sha256(der)).unwrap_or_default();
        host.observe(
            "tls.handshake",
            &[
                field("role", "server"),
                field("peer", peer),
                field("peer_certificate", presented),
                field("result", outcome),
            ],
        );
        result.map_err(|error| match error {
            TlsError::Unavailable(error) => error,
            TlsError::Timeout => io::Error::new(io::ErrorKind::TimedOut, error),
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        })
    }

    pub(crate) async fn shake_hands(
        &self,
        host: &HostRef,
        connection: Connection,
    ) -> Result<Secured, TlsError> {
        let acceptor = TlsAcceptor::from(self.config(host));
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(connection.stream))
            .await
            .map_err(|_| TlsError::Timeout)??;
        let peer_chain = chain_of(stream.get_ref().1);
        Ok(Secured { stream: Box::new(stream), peer_chain })
    }

    /// The rustls configuration for this host, built once.
    fn config(&self, host: &HostRef) -> Arc<ServerConfig> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((owner, config)) = &*built
            && Arc::ptr_eq(owner, host)
        {
            return Arc::clone(config);
        }
        let config = Arc::new(self.build(host));
        *built = Some((Arc::clone(host), Arc::clone(&config)));
        config
    }

    fn build(&self, host: &HostRef) -> ServerConfig {
        let provider = if host.flaws().has(Flaw::ServersRepeatHandshakes) {
            danger_frozen_provider()
        } else {
            provider()
        };
        let builder = ServerConfig::builder_with_details(provider, host_time(host))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("our provider has suites of TLS 1.3");
        let builder = match &self.asks {
            Asks::Anybody if host.flaws().has(Flaw::ServersSkipPossessionProof) => {
                builder.with_client_cert_verifier(danger_client_verifier_without_possession())
            }
            Asks::Anybody => builder.with_client_cert_verifier(client_verifier()),
            Asks::IssuedBy(issuers) => builder.with_client_cert_verifier(required_client_verifier(issuers)),
            Asks::Nobody => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.presented) as _);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.key_log = key_log(host);
        config.alpn_protocols = vec![self.protocol.to_vec()];
        config
    }
}

struct Presented(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented")
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
