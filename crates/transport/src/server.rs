//! An HTTP/1.1 server, with or without TLS.

use crate::adapter::{Io, TokioTimer};
use crate::bare::Bare;
use crate::spaced::Spaced;
use crate::{Request, Response, TlsServer};
use async_trait::async_trait;
use http::header::{DATE, HeaderValue};
use http_body_util::BodyExt;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use jiff::fmt::rfc2822::DateTimePrinter;
use ravelin_host::{Connection, Endpoint, Flaw, HostRef, Listener, Task, field};
use rustls_pki_types::CertificateDer;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// The longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long a request's head may take, and how long a connection may idle between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The most connections at a time; further ones are closed at once.
pub(crate) const MAX_CONNECTIONS: usize = 16 * 1024;

/// The pause after an accept that failed, so that a persistent failure does not spin.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who sent a request, as the connection shows it.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Where the connection comes from.
    pub address: Endpoint,
    /// Where it arrived.
    pub local: Endpoint,
    /// The certificates that the client presented, its own first. It holds the key of that one;
    /// nothing else about them is proven.
    pub chain: Vec<CertificateDer<'static>>,
    /// Is the connection encrypted?
    pub tls: bool,
}

/// What answers requests.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Answers one request. The future is dropped if the client goes away.
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response;
}

/// A server that has not started yet.
pub struct Server {
    /// The computer it runs on.
    pub host: HostRef,
    /// Where it accepts connections.
    pub listener: Box<dyn Listener>,
    /// Its TLS, or `None` for plain HTTP.
    pub tls: Option<Arc<TlsServer>>,
    /// What answers.
    pub handler: Arc<dyn Handler>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({} on {})", self.host.name(), self.listener.local())
    }
}

impl Server {
    /// Serves until the task is dropped; its connections end with it.
    pub fn run(self) -> Task {
        let host = Arc::clone(&self.host);
        host.spawn("http.server", Box::pin(self.accept_all()))
    }

    async fn accept_all(self) {
        let mut connections: Vec<Task> = Vec::new();
        loop {
            let Ok(connection) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            connections.retain(|task| !task.is_finished());
            if connections.len() >= MAX_CONNECTIONS {
                self.host.observe("http.overload", &[field("peer", &connection.peer)]);
                continue;
            }
            let served = Served {
                host: Arc::clone(&self.host),
                tls: self.tls.clone(),
                handler: Arc::clone(&self.handler),
            };
            connections.push(self.host.spawn("http.served", Box::pin(served.serve(connection))));
        }
    }
}

/// One connection's share of its server.
struct Served {
    host: HostRef,
    tls: Option<Arc<TlsServer>>,
    handler: Arc<dyn Handler>,
}

impl Served {
    async fn serve(self, connection: Connection) {
        let mut peer = PeerInfo {
            address: connection.peer.clone(),
            local: connection.local.clone(),
            chain: Vec::new(),
            tls: self.tls.is_some(),
        };
        let stream = match &self.tls {
            None => connection.stream,
            Some(tls) => match tls.accept(&self.host, connection).await {
                Ok(secured) => {
                    peer.chain = secured.peer_chain;
                    secured.stream
                }
                Err(_) => return,
            },
        };
        let stream = match self.host.flaws().has(Flaw::ServersAcceptSpacedHeaderNames) {
            true => Box::new(Spaced::new(stream)),
            false => stream,
        };
        let stream = match self.host.flaws().has(Flaw::ApiserverSplicesRefusedUpgrades) {
            true => Box::new(Bare::new(stream)),
            false => stream,
        };
        let service = service_fn(|request| self.answer(request, &peer));
        let result = Builder::new()
            .auto_date_header(false)
            .timer(TokioTimer)
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(Io::new(stream), service)
            .with_upgrades()
            .await;
        if let Err(error) = result {
            let fields = [field("peer", &peer.address), field("error", error)];
            self.host.observe("http.connection.failed", &fields);
        }
    }

    async fn answer(
        &self,
        request: hyper::Request<hyper::body::Incoming>,
        peer: &PeerInfo,
    ) -> Result<Response, Infallible> {
        let request = request.map(|body| body.map_err(Into::into).boxed());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut response = self.handler.handle(request, peer).await;
        self.host.observe(
            "http.request",
            &[
                field("peer", &peer.address),
                field("method", method),
                field("path", path),
                field("status", response.status().as_u16()),
            ],
        );
        if let Some(date) = self.date() {
            response.headers_mut().entry(DATE).or_insert(date);
        }
        Ok(response)
    }

    /// The host's clock as HTTP writes it (RFC 9110 section 5.6.7).
    fn date(&self) -> Option<HeaderValue> {
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&self.host.now()).ok()?;
        HeaderValue::try_from(date).ok()
    }
}
