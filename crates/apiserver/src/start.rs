//! Starting and stopping.

use crate::chain::{Chain, Port};
use crate::config::ApiserverConfig;
use crate::seed;
use crate::server::Server;
use crate::store::Store;
use ravelin_auth::token::{BadTokenFile, Leniency, ServiceAccountIssuer, StaticTokens, TokenAuthenticator};
use ravelin_host::{Endpoint, Flaw, HostRef, Listener, Task};
use ravelin_pki::TrustAnchors;
use ravelin_transport::TlsServer;
use std::net::SocketAddr;
use std::sync::Arc;

/// An apiserver.
#[derive(Clone, Copy, Debug)]
pub struct Apiserver;

/// A running apiserver. Dropping it stops it; the store lives on with whoever holds it.
pub struct Running {
    store: Arc<Store>,
    tls: Arc<TlsServer>,
    server: Arc<Server>,
    local: Endpoint,
    _tasks: Vec<Task>,
}

/// Why an apiserver did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file of static tokens cannot be read.
    #[error("the token file cannot be read")]
    StaticTokens(#[source] BadTokenFile),
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Apiserver({})", self.local)
    }
}

impl Apiserver {
    /// Starts a server with an empty store, but for what Kubernetes itself creates.
    ///
    /// # Errors
    /// Where the configuration or the address is no good.
    pub async fn start(host: HostRef, config: ApiserverConfig) -> Result<Running, StartError> {
        let store = Store::new(Arc::clone(&host));
        Self::start_with(host, config, store).await
    }

    /// Starts a server over a store that survived an earlier one.
    ///
    /// # Errors
    /// As [`Apiserver::start`].
    pub async fn start_with(
        host: HostRef,
        config: ApiserverConfig,
        store: Arc<Store>,
    ) -> Result<Running, StartError> {
        let static_tokens = config.static_tokens.as_deref().map(StaticTokens::parse).transpose();
        let tokens = TokenAuthenticator {
            static_tokens: static_tokens.map_err(StartError::StaticTokens)?,
            service_accounts: ServiceAccountIssuer::new(config.service_accounts.clone()),
            bootstrap_tokens: config.bootstrap_tokens,
            leniency: Leniency {
                danger_unproven: host.flaws().has(Flaw::ApiserverTrustsAnyToken),
                danger_any_audience: host.flaws().has(Flaw::ApiserverIgnoresTokenAudience),
                danger_expired: host.flaws().has(Flaw::ApiserverIgnoresTokenExpiry),
                danger_unbound: host.flaws().has(Flaw::ApiserverIgnoresTokenBinding),
            },
        };
        seed::seed(&store);
        let listener = listen(&host, config.secure).await?;
        let insecure = match config.insecure {
            Some(address) => Some(listen(&host, address).await?),
            None => None,
        };
        let local = listener.local();
        let mut tls = TlsServer::new(config.tls.clone());
        // Without a client CA the real server asks for no certificate either.
        let asks = config.client_ca.is_some() || config.front_proxy.is_some();
        if asks || host.flaws().has(Flaw::ApiserverTrustsAnyClientCertificate) {
            tls = tls.with_client_certificates();
        }
        let tls = Arc::new(tls);
        let server = Arc::new(Server::new(Arc::clone(&host), config, Arc::clone(&store), tokens));
        let serve = |listener, tls, port| {
            let handler = Arc::new(Chain { server: Arc::clone(&server), port });
            ravelin_transport::Server { host: Arc::clone(&host), listener, tls, handler }.run()
        };
        let mut tasks = vec![serve(listener, Some(Arc::clone(&tls)), Port::Secure)];
        tasks.extend(insecure.map(|listener| serve(listener, None, Port::Insecure)));
        Ok(Running { store, tls, server, local, _tasks: tasks })
    }
}

async fn listen(host: &HostRef, address: SocketAddr) -> Result<Box<dyn Listener>, StartError> {
    let listener = host.listen(&Endpoint::Tcp(address)).await;
    listener.map_err(|source| StartError::Listen { address, source })
}

impl Running {
    /// The objects, for observers from outside and for whoever sets up a cluster.
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// Where its secure port listens.
    pub fn local(&self) -> &Endpoint {
        &self.local
    }

    /// Replaces whom clients' certificates must come from, as the real server does when the file of
    /// `--client-ca-file` changes. It counts from the next request on, also on open connections. A
    /// server that was started without a client CA still asks nobody for a certificate.
    pub fn set_client_ca(&self, anchors: TrustAnchors) {
        self.server.set_client_ca(anchors);
    }

    /// Its TLS, whose identity can be replaced while it runs.
    pub fn tls(&self) -> &Arc<TlsServer> {
        &self.tls
    }
}
