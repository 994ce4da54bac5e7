//! The connecting end.

use super::{HANDSHAKE_TIMEOUT, HTTP_1, HTTP_2, Secured, TlsError, chain_of, host_time, key_log};
use ravelin_host::{BoxedStream, HostRef, field};
use ravelin_pki::{Identity, ServerTrust, fingerprint_sha256, provider, server_verifier};
use rustls::ClientConfig;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::ServerName;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// What a client needs for TLS.
#[derive(Clone, Debug)]
pub struct TlsClient {
    /// How it judges the server.
    pub trust: ServerTrust,
    /// What it presents if the server asks.
    pub identity: Option<Identity>,
    /// The DNS name or address that the server's certificate must be for.
    pub server_name: String,
}

impl TlsClient {
    /// Shakes hands with a server.
    ///
    /// TLS 1.3 lets a client finish before the server has judged it, so a server's refusal may
    /// show only at the first read.
    ///
    /// # Errors
    /// Where one refuses the other, the network fails, or it takes longer than
    /// [`HANDSHAKE_TIMEOUT`].
    pub async fn connect(&self, host: &HostRef, stream: BoxedStream) -> Result<Secured, TlsError> {
        self.offer(host, stream, HTTP_1).await
    }

    /// As [`TlsClient::connect`], for HTTP/2, on which the server must agree (RFC 7301).
    ///
    /// # Errors
    /// As [`TlsClient::connect`].
    pub async fn connect_http2(&self, host: &HostRef, stream: BoxedStream) -> Result<Secured, TlsError> {
        self.offer(host, stream, HTTP_2).await
    }

    async fn offer(&self, host: &HostRef, stream: BoxedStream, protocol: &[u8]) -> Result<Secured, TlsError> {
        let result = self.shake_hands(host, stream, protocol).await;
        let (outcome, chain) = match &result {
            Ok(secured) => ("ok".to_owned(), secured.peer_chain.as_slice()),
            Err(error) => (error.to_string(), &[][..]),
        };
        let presented = chain.first().map(|der| fingerprint_sha256(der)).unwrap_or_default();
        host.observe(
            "tls.handshake",
            &[
                field("role", "client"),
                field("peer", &self.server_name),
                field("peer_certificate", presented),
                field("result", outcome),
            ],
        );
        result
    }

    async fn shake_hands(
        &self,
        host: &HostRef,
        stream: BoxedStream,
        protocol: &[u8],
    ) -> Result<Secured, TlsError> {
        let name = ServerName::try_from(self.server_name.clone()).map_err(|_| TlsError::PeerRefused {
            reason: format!("no server name: {:?}", self.server_name),
        })?;
        let connector = TlsConnector::from(Arc::new(self.config(host, protocol)));
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, connector.connect(name, stream))
            .await
            .map_err(|_| TlsError::Timeout)??;
        let agreed = stream.get_ref().1.alpn_protocol();
        if protocol == HTTP_2 && agreed != Some(HTTP_2) {
            let reason = "the server does not agree on HTTP/2 (ALPN)".to_owned();
            return Err(TlsError::PeerRefused { reason });
        }
        let peer_chain = chain_of(stream.get_ref().1);
        Ok(Secured { stream: Box::new(stream), peer_chain })
    }

    fn config(&self, host: &HostRef, protocol: &[u8]) -> ClientConfig {
        let builder = ClientConfig::builder_with_details(provider(), host_time(host))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("our provider has suites of TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(server_verifier(&self.trust));
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(presenting(identity.certified_key())),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        config.key_log = key_log(host);
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }
}

fn presenting(key: Arc<CertifiedKey>) -> Arc<dyn ResolvesClientCert> {
    let key = Arc::unwrap_or_clone(key);
    Arc::new(SingleCertAndKey::from(key))
}
