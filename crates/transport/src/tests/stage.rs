//! What the tests share: two hosts, their certificates, a handler, a tap.

use crate::{Handler, PeerInfo, Request, Response, Secured, Server, TlsClient, TlsError, TlsServer};
use crate::{body, collect};
use async_trait::async_trait;
use jiff::ToSpan;
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use ravelin_host::{BoxedStream, Endpoint, Flaws, HostRef, Task};
use ravelin_pki::{Authority, Identity, KeyPair, Profile, San, ServerTrust, Subject};
use ravelin_pki::{TrustAnchors, Usage};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(super) struct Stage {
    pub(super) client: HostRef,
    pub(super) server: HostRef,
    pub(super) authority: Authority,
    pub(super) served: Served,
}

/// The bodies of the requests that the handler was given.
pub(super) type Served = Arc<Mutex<Vec<String>>>;

pub(super) fn entropy(seed: u8) -> Entropy {
    Entropy::from_key([seed; 32])
}

pub(super) fn server_ip() -> IpAddr {
    [10, 0, 0, 1].into()
}

pub(super) fn endpoint() -> Endpoint {
    Endpoint::tcp(server_ip(), 6443)
}

impl Stage {
    pub(super) fn new(flaws: Flaws) -> Self {
        let network = Network::new();
        let client = network.host("client", [10, 0, 0, 2]);
        let server = network.flawed_host("server", server_ip(), flaws);
        let authority = authority(&client, 1);
        Self { client, server, authority, served: Served::default() }
    }

    pub(super) fn identity(&self, usage: Usage) -> Identity {
        self.authority.identity(&profile(&self.client, usage), &mut entropy(3))
    }

    pub(super) fn tls_client(&self) -> TlsClient {
        let anchors = TrustAnchors::new([self.authority.certificate()]).unwrap();
        let trust = ServerTrust::Anchors(anchors);
        TlsClient { trust, identity: None, server_name: server_ip().to_string() }
    }

    /// Serves with TLS until the task is dropped.
    pub(super) async fn serve(&self, tls: Option<Arc<TlsServer>>) -> Task {
        let handler = Arc::new(Echo(Arc::clone(&self.served)));
        let listener = self.server.listen(&endpoint()).await.unwrap();
        Server { host: Arc::clone(&self.server), listener, tls, handler }.run()
    }

    pub(super) async fn serve_tls(&self) -> Task {
        let tls = TlsServer::new(self.identity(Usage::Server)).with_client_certificates();
        self.serve(Some(Arc::new(tls))).await
    }

    pub(super) async fn dial(&self) -> BoxedStream {
        self.client.connect(&endpoint()).await.unwrap().stream
    }

    pub(super) async fn connect(&self, tls: &TlsClient) -> Result<Secured, TlsError> {
        tls.connect(&self.client, self.dial().await).await
    }
}

pub(super) fn authority(host: &HostRef, seed: u8) -> Authority {
    let key = KeyPair::generate(&mut entropy(seed));
    let (from, until) = (host.now() - 1.hours(), host.now() + 24.hours());
    Authority::new("kubernetes", key, from, until, &mut entropy(seed))
}

pub(super) fn profile(host: &HostRef, usage: Usage) -> Profile {
    Profile {
        subject: Subject::new("alice", &["admins"]),
        sans: vec![San::Ip(server_ip())],
        usages: vec![usage],
        not_before: host.now() - 1.hours(),
        not_after: host.now() + 1.hours(),
    }
}

pub(super) fn post(text: &str) -> Request {
    let mut request = Request::new(body::full(text.to_owned()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("/probe");
    request
}

/// Answers with the request's body and the peer's certificates.
struct Echo(Served);

#[async_trait]
impl Handler for Echo {
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response {
        let text = match collect(request.into_body(), 1024 * 1024).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("({error})"),
        };
        self.0.lock().unwrap().push(text.clone());
        let answer = format!("{text} with {} certificates", peer.chain.len());
        Response::new(body::full(answer))
    }
}

/// A stream that remembers what went over it.
pub(super) struct Tap {
    pub(super) stream: BoxedStream,
    pub(super) sent: Arc<Mutex<Vec<u8>>>,
    pub(super) received: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    pub(super) fn new(stream: BoxedStream) -> Self {
        Self { stream, sent: Arc::default(), received: Arc::default() }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.received.lock().unwrap().extend_from_slice(&buffer.filled()[before..]);
        result
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, data);
        if let Poll::Ready(Ok(n)) = result {
            self.sent.lock().unwrap().extend_from_slice(&data[..n]);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
