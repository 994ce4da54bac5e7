//! HTTP/2 between hosts in memory: bodies in both directions at once, trailers, ALPN, ends.

use super::stage::*;
use crate::http2::{Frame, Http2Connection, Http2Server, frames};
use crate::{Handler, PeerInfo, Request, Response, TlsServer};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use ravelin_host::{Endpoint, Flaws, Task};
use ravelin_pki::Usage;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const KEEPALIVE: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_secs(120);

/// Answers with what comes, as it comes, and says in a trailer how much it was.
struct Echo;

#[async_trait]
impl Handler for Echo {
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response {
        let chain = peer.chain.len();
        let body = stream::unfold((request.into_body(), 0_usize), |(mut body, count)| async move {
            match body.frame().await {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    let count = count + data.len();
                    Some((Ok(Frame::data(data)), (body, count)))
                }
                Some(Err(error)) => Some((Err(error), (body, count))),
                None if count == usize::MAX => None,
                None => {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("count", HeaderValue::from(count));
                    Some((Ok(Frame::trailers(trailers)), (body, usize::MAX)))
                }
            }
        });
        let mut response = Response::new(frames(body));
        response.headers_mut().insert("chain", HeaderValue::from(chain));
        response
    }
}

async fn serve(stage: &Stage, tls: Option<TlsServer>) -> Task {
    let listener = stage.server.listen(&endpoint()).await.unwrap();
    let (host, tls) = (Arc::clone(&stage.server), tls.map(Arc::new));
    Http2Server { host, listener, tls, handler: Arc::new(Echo), keepalive: KEEPALIVE }.run()
}

type FrameResult = Result<Frame<Bytes>, crate::BoxError>;

/// Frames as they are sent.
fn channel() -> (tokio::sync::mpsc::Sender<FrameResult>, impl futures_util::Stream<Item = FrameResult> + Send)
{
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let stream =
        stream::unfold(receiver, |mut receiver: tokio::sync::mpsc::Receiver<FrameResult>| async move {
            receiver.recv().await.map(|frame| (frame, receiver))
        });
    (sender, stream)
}

fn request(body: crate::Body) -> Request {
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("http://localhost/echo");
    request
}

#[tokio::test(start_paused = true)]
async fn a_body_is_answered_while_it_is_still_coming_and_ends_with_trailers() {
    let stage = Stage::new(Flaws::none());
    let _serving = serve(&stage, None).await;
    let mut connection = Http2Connection::open(&stage.client, stage.dial().await, KEEPALIVE).await.unwrap();
    let (sender, receiver) = channel();
    let mut response = connection.send(request(frames(receiver))).await.unwrap();
    assert!(response.headers().get("date").is_none(), "nobody's own clock is told");
    let mut counted = 0_usize;
    for round in 0..64_u8 {
        let sent = Bytes::from(vec![round; 50_000]);
        sender.send(Ok(Frame::data(sent.clone()))).await.unwrap();
        let mut read = Vec::new();
        while read.len() < sent.len() {
            let frame = tokio::time::timeout(DEADLINE, response.body_mut().frame()).await.unwrap();
            read.extend_from_slice(&frame.unwrap().unwrap().into_data().unwrap());
        }
        assert!(read == sent, "round {round}");
        counted += sent.len();
    }
    drop(sender);
    let last = response.body_mut().frame().await.unwrap().unwrap();
    let trailers = last.into_trailers().unwrap();
    assert_eq!(trailers["count"], counted.to_string());
    assert!(response.body_mut().frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn many_requests_share_a_connection() {
    let stage = Stage::new(Flaws::none());
    let _serving = serve(&stage, None).await;
    let connection = Http2Connection::open(&stage.client, stage.dial().await, KEEPALIVE).await.unwrap();
    let all = (0..100_u8).map(|number| {
        let mut connection = connection.clone();
        async move {
            let response = connection.send(request(crate::body::full(vec![number; 1000]))).await.unwrap();
            let body = crate::collect(response.into_body(), 2000).await.unwrap();
            assert!(body == vec![number; 1000]);
        }
    });
    tokio::time::timeout(DEADLINE, futures_util::future::join_all(all)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tls_agrees_on_http2_or_fails() {
    let stage = Stage::new(Flaws::none());
    let issuers = ravelin_pki::TrustAnchors::new([stage.authority.certificate()]).unwrap();
    let tls =
        TlsServer::new(stage.identity(Usage::Server)).with_http2().requiring_client_certificates(issuers);
    let serving = serve(&stage, Some(tls)).await;
    let mut client = stage.tls_client();
    client.identity = Some(stage.identity(Usage::Client));
    let secured = client.connect_http2(&stage.client, stage.dial().await).await.unwrap();
    let mut connection = Http2Connection::open(&stage.client, secured.stream, KEEPALIVE).await.unwrap();
    let response = connection.send(request(crate::body::full("hello"))).await.unwrap();
    assert_eq!(response.headers()["chain"], "1");
    let error = stage.connect(&client).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    client.identity = None;
    let secured = client.connect_http2(&stage.client, stage.dial().await).await.unwrap();
    let refused = Http2Connection::open(&stage.client, secured.stream, KEEPALIVE).await;
    let answered = match refused {
        Ok(mut connection) => connection.send(request(crate::body::empty())).await.err(),
        Err(error) => Some(error),
    };
    let error = answered.expect("nobody is served without a certificate").to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
    drop(serving);
    tokio::task::yield_now().await;

    let _serving = stage.serve_tls().await;
    let error = client.connect_http2(&stage.client, stage.dial().await).await.unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_dropped_ends_its_connections() {
    let stage = Stage::new(Flaws::none());
    let serving = serve(&stage, None).await;
    let mut connection = Http2Connection::open(&stage.client, stage.dial().await, KEEPALIVE).await.unwrap();
    let (_sender, receiver) = channel();
    let mut response = connection.send(request(frames(receiver))).await.unwrap();
    drop(serving);
    let frame = tokio::time::timeout(DEADLINE, response.body_mut().frame()).await.unwrap();
    assert!(matches!(frame, Some(Err(_))));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_given_up() {
    let stage = Stage::new(Flaws::none());
    let listener = stage.server.listen(&endpoint()).await.unwrap();
    let opening = Http2Connection::open(&stage.client, stage.dial().await, KEEPALIVE);
    let (connection, silent) = tokio::join!(opening, listener.accept());
    let _silent = silent.unwrap();
    let mut connection = connection.unwrap();
    let sending = connection.send(request(crate::body::empty()));
    let began = tokio::time::Instant::now();
    tokio::time::timeout(DEADLINE, sending).await.expect("it does not wait for ever").unwrap_err();
    assert!(began.elapsed() >= KEEPALIVE, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_sockets_path_as_authority_is_taken() {
    let stage = Stage::new(Flaws::none());
    let socket = Endpoint::Unix("/run/konnectivity.sock".to_owned());
    let listener = stage.server.listen(&socket).await.unwrap();
    let host = Arc::clone(&stage.server);
    let _serving =
        Http2Server { host, listener, tls: None, handler: Arc::new(Echo), keepalive: KEEPALIVE }.run();
    let mut stream = stage.server.connect(&socket).await.unwrap().stream;
    // As grpc-go: POST, http, a path, and the path of the socket, percent-encoded.
    let name = b"%2Frun%2Fkonnectivity.sock";
    let length = u8::try_from(name.len()).unwrap();
    let block = [&[0x83, 0x86, 0x44, 5][..], b"/echo", &[0x41, length], name].concat();
    let headers = [&[0, 0, u8::try_from(block.len()).unwrap(), 1, 0x5, 0, 0, 0, 1][..], &block].concat();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let sent = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &headers].concat();
    for byte in sent {
        stream.write_all(&[byte]).await.unwrap();
    }
    loop {
        let mut head = [0; 9];
        tokio::time::timeout(DEADLINE, stream.read_exact(&mut head)).await.unwrap().unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).await.unwrap();
        match head[3] {
            1 => return assert_eq!(payload[0], 0x88, "status 200"),
            3 | 7 => panic!("refused: {head:?} {payload:?}"),
            _ => {}
        }
    }
}
