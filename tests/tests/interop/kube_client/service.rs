//! What kube sends its requests through: a connection of a host for each, with TLS.

use http_body_util::BodyExt;
use ravelin_host::{Endpoint, HostRef};
use ravelin_pki::{Identity, ServerTrust};
use ravelin_transport::{BoxError, HttpConnection, Response, TlsClient, body};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// How the apiserver is reached.
pub(super) struct Reached {
    /// Where it is.
    pub(super) server: SocketAddr,
    /// What its certificate must be for.
    pub(super) name: String,
    /// Who must have issued it.
    pub(super) trust: ServerTrust,
    /// What the client presents.
    pub(super) identity: Identity,
}

/// A client of kube that is on this host.
pub(super) fn client(host: HostRef, reached: Reached) -> kube::Client {
    let over = Arc::new(Over { host, reached, upgraded: Mutex::new(Vec::new()) });
    let service = tower::service_fn(move |request| {
        let over = Arc::clone(&over);
        async move { over.answer(request).await }
    });
    kube::Client::new(service, "ravelin")
}

struct Over {
    host: HostRef,
    reached: Reached,
    /// Connections that became something else: kube takes what they became out of the answer, and
    /// drops the rest of it.
    upgraded: Mutex<Vec<HttpConnection>>,
}

impl Over {
    async fn answer(&self, request: http::Request<kube::client::Body>) -> Result<Response, BoxError> {
        let (mut head, body) = request.into_parts();
        let bytes = body.collect().await?.to_bytes();
        // kube leaves the server's name to the layers that are not here.
        head.headers.insert(http::header::HOST, self.reached.name.parse()?);
        let connection = self.host.connect(&Endpoint::Tcp(self.reached.server)).await?;
        let Reached { name, trust, identity, .. } = &self.reached;
        let (trust, identity, server_name) = (trust.clone(), Some(identity.clone()), name.clone());
        let tls = TlsClient { trust, identity, server_name };
        let secured = tls.connect(&self.host, connection.stream).await?;
        let mut connection = HttpConnection::open(&self.host, secured.stream).await?;
        let response = connection.send(http::Request::from_parts(head, body::full(bytes))).await?;
        if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            self.upgraded.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Ok(response)
    }
}
