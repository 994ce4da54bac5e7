//! The accepting end.

use super::{HANDSHAKE_TIMEOUT, Secured, TlsError, chain_of, host_time, key_log};
use ravelin_host::{Connection, Flaw, HostRef, field};
use ravelin_pki::{
    Identity, client_verifier, danger_client_verifier_without_possession, danger_frozen_provider,
    fingerprint_sha256, provider,
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
    asks_clients: bool,
    built: Mutex<Option<(HostRef, Arc<ServerConfig>)>>,
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("asks_clients", &self.asks_clients).finish_non_exhaustive()
    }
}

impl TlsServer {
    /// A server that presents `identity` and asks for no client certificate.
    pub fn new(identity: Identity) -> Self {
        let presented = Arc::new(Presented(RwLock::new(identity.certified_key())));
        Self { presented, asks_clients: false, built: Mutex::new(None) }
    }

    /// Asks clients for a certificate, without requiring one. Whoever presents one must hold its
    /// key, and nothing else is judged here: that is for each request
    /// ([`ravelin_pki::verify_client`]).
    pub fn with_client_certificates(mut self) -> Self {
        self.asks_clients = true;
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
        let builder = match self.asks_clients {
            true if host.flaws().has(Flaw::ServersSkipPossessionProof) => {
                builder.with_client_cert_verifier(danger_client_verifier_without_possession())
            }
            true => builder.with_client_cert_verifier(client_verifier()),
            false => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.presented) as _);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.key_log = key_log(host);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
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
