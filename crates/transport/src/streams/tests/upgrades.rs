//! Upgrades over HTTP: heads, refusals, bytes that come with a head.

use super::stage::*;
use crate::upgrade::{self, Upgraded, WebSocketOffer};
use crate::{Handler, HttpConnection, PeerInfo, Request, Response, Server, body, collect};
use async_trait::async_trait;
use http::StatusCode;
use http::header::{CONNECTION, HeaderMap, UPGRADE};
use ravelin_host::memory::Network;
use ravelin_host::{Endpoint, HostRef, Task};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Upgrades to whatever is asked for and echoes; `/no` refuses.
struct Echo(HostRef);

#[async_trait]
impl Handler for Echo {
    async fn handle(&self, mut request: Request, _peer: &PeerInfo) -> Response {
        let Some(protocol) = upgrade::requested(request.headers()) else {
            return status(StatusCode::OK, "no upgrade");
        };
        if request.uri().path() == "/no" {
            return status(StatusCode::FORBIDDEN, "not you");
        }
        let answer = match protocol.as_str() {
            "websocket" => match upgrade::websocket_answer(request.headers(), Some("v5.channel.k8s.io")) {
                Ok(answer) => answer,
                Err(refusal) => return *refusal,
            },
            _ => match upgrade::stream_protocol(request.headers(), &["v4.channel.k8s.io"]) {
                Ok((_, headers)) => upgrade::switching(&protocol, headers),
                Err(refusal) => return *refusal,
            },
        };
        let upgrading = upgrade::accept(&mut request).expect("hyper has an upgrade for it");
        let echo = async move {
            let (mut read, mut write) = tokio::io::split(upgrading.stream().await.unwrap());
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        };
        self.0.spawn("echo", Box::pin(echo)).detach();
        answer
    }
}

fn status(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response
}

async fn serve() -> (HostRef, Endpoint, Task) {
    let network = Network::new();
    let (client, server) = (network.host("client", [10, 0, 0, 2]), network.host("server", [10, 0, 0, 1]));
    let at = Endpoint::tcp([10, 0, 0, 1], 10250);
    let listener = server.listen(&at).await.unwrap();
    let handler = Arc::new(Echo(Arc::clone(&server)));
    (client, at, Server { host: server, listener, tls: None, handler }.run())
}

fn spdy_request(path: &str, versions: &[&str]) -> Request {
    let mut request = Request::new(body::empty());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = path.parse().unwrap();
    let headers = request.headers_mut();
    headers.insert(CONNECTION, "Upgrade".parse().unwrap());
    headers.insert(UPGRADE, "SPDY/3.1".parse().unwrap());
    for version in versions {
        headers.append("x-stream-protocol-version", version.parse().unwrap());
    }
    request
}

async fn ask(host: &HostRef, at: &Endpoint, request: Request) -> Upgraded {
    let stream = host.connect(at).await.unwrap().stream;
    HttpConnection::open(host, stream).await.unwrap().upgrade(request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_connection_becomes_a_stream_at_both_ends() {
    let (host, at, _serving) = serve().await;
    let request = spdy_request("/exec", &["v5.channel.k8s.io", "v4.channel.k8s.io"]);
    let Upgraded::Switched { head, mut stream } = ask(&host, &at, request).await else { panic!("refused") };
    assert_eq!(head.headers["upgrade"], "SPDY/3.1");
    assert_eq!(head.headers["x-stream-protocol-version"], "v4.channel.k8s.io");
    stream.write_all(b"over the wire").await.unwrap();
    let mut echoed = [0; 13];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"over the wire");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_come_with_a_head_are_not_lost() {
    let (host, at, _serving) = serve().await;
    let mut stream = host.connect(&at).await.unwrap().stream;
    let head = "POST /exec HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: upgrade\r\nupgrade: SPDY/3.1\r\n\
                x-stream-protocol-version: v4.channel.k8s.io\r\n\r\nearly";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"early") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
    }
    // The same at the client's end.
    let (near, mut far) = pipe();
    let answering = async move {
        let mut request = vec![0; 4000];
        assert!(far.read(&mut request).await.unwrap() > 0);
        far.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: x\r\n\r\nearly")
            .await
            .unwrap();
        far
    };
    let http = HttpConnection::open(&host, near).await.unwrap();
    let (upgraded, _far) = tokio::join!(http.upgrade(spdy_request("/", &[])), answering);
    let Upgraded::Switched { mut stream, .. } = upgraded.unwrap() else { panic!("refused") };
    let mut early = [0; 5];
    stream.read_exact(&mut early).await.unwrap();
    assert_eq!(&early, b"early");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_an_ordinary_answer() {
    let (host, at, _serving) = serve().await;
    let refused = |upgraded| match upgraded {
        Upgraded::Refused(response) => response,
        Upgraded::Switched { .. } => panic!("switched"),
    };
    let response = refused(ask(&host, &at, spdy_request("/no", &["v4.channel.k8s.io"])).await);
    assert_eq!(response.status(), 403);
    assert_eq!(collect(response.into_body(), 100).await.unwrap(), "not you");
    // CVE-2018-1002105: nor is a 200 a switch.
    let mut plain = spdy_request("/", &[]);
    plain.headers_mut().remove(CONNECTION);
    assert_eq!(refused(ask(&host, &at, plain).await).status(), 200);
    let response = refused(ask(&host, &at, spdy_request("/", &["v9", "v8"])).await);
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["x-accepted-stream-protocol-versions"], "v4.channel.k8s.io");
    assert_eq!(
        collect(response.into_body(), 1000).await.unwrap(),
        "unable to upgrade: unable to negotiate protocol: client supports [v9 v8], server accepts [v4.channel.k8s.io]\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_shaken_hands_on() {
    let (host, at, _serving) = serve().await;
    let offer = WebSocketOffer::new(&host, &["v5.channel.k8s.io", "v4.channel.k8s.io"]);
    let mut request = Request::new(body::empty());
    *request.uri_mut() = http::Uri::from_static("/exec");
    offer.write(request.headers_mut());
    assert!(upgrade::is_websocket(request.headers()));
    assert_eq!(upgrade::websocket_protocols(request.headers()), ["v5.channel.k8s.io", "v4.channel.k8s.io"]);
    let Upgraded::Switched { head, .. } = ask(&host, &at, request).await else { panic!("refused") };
    assert_eq!(offer.check(&head).unwrap(), "v5.channel.k8s.io");
    // An answer to another key, or with a subprotocol that nobody asked for, is none.
    assert!(WebSocketOffer::new(&host, &["v5.channel.k8s.io"]).check(&head).is_err());
    let mut odd = head.clone();
    odd.headers.insert("sec-websocket-protocol", "odd".parse().unwrap());
    assert!(offer.check(&odd).is_err());
    // A request without a key is no handshake.
    let mut headers = HeaderMap::new();
    offer.write(&mut headers);
    headers.remove("sec-websocket-key");
    assert_eq!(upgrade::websocket_answer(&headers, None).unwrap_err().status(), 400);
}
