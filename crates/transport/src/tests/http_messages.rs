//! Messages are whole or an error, and peers that stop are cut off.

use super::stage::*;
use crate::{BodyError, HttpConnection, HttpError, Request, body, collect};
use futures_util::stream;
use ravelin_host::Flaws;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(start_paused = true)]
async fn one_connection_carries_many_requests_of_any_framing() {
    let stage = Stage::new(Flaws::none());
    let serving = stage.serve_tls().await;
    let secured = stage.connect(&stage.tls_client()).await.unwrap();
    let mut http = HttpConnection::open(&stage.client, secured.stream).await.unwrap();
    let long = "x".repeat(200_000);
    let chunks = stream::iter([Ok("chun".into()), Ok("ked".into())]);
    let mut chunked = post("");
    *chunked.body_mut() = body::stream(chunks);
    let requests = [(post("short"), "short"), (chunked, "chunked"), (post(&long), &long)];
    for (request, text) in requests {
        assert!(http.is_open());
        let answer = http.send(request).await.unwrap();
        // 2026-01-01, where the network's clock stands.
        assert_eq!(answer.headers()["date"], "Thu, 01 Jan 2026 00:00:00 GMT");
        let whole = collect(answer.into_body(), 1_000_000).await.unwrap();
        assert!(whole == format!("{text} with 0 certificates").as_bytes());
    }
    drop(serving);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!http.is_open(), "the server's connections end with it");
    assert!(http.send(post("late")).await.is_err());
}

/// What a client makes of these bytes of a server, which then closes.
async fn answered(bytes: &'static [u8]) -> Result<Result<Vec<u8>, BodyError>, HttpError> {
    let stage = Stage::new(Flaws::none());
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let answering = async move {
        let mut request = [0; 1024];
        let _ = far.read(&mut request).await;
        far.write_all(bytes).await.unwrap();
    };
    let asking = async {
        let mut http = HttpConnection::open(&stage.client, Box::new(near)).await?;
        let response = http.send(Request::new(body::empty())).await?;
        drop(http);
        Ok(collect(response.into_body(), 10).await.map(|bytes| bytes.to_vec()))
    };
    tokio::join!(answering, asking).1
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_whole_is_an_error() {
    let whole = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    assert_eq!(whole.unwrap().unwrap(), b"hello");
    let cut = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello").await;
    assert!(matches!(cut, Ok(Err(BodyError::Truncated(_)))));
    let cut = answered(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    assert!(matches!(cut, Ok(Err(BodyError::Truncated(_)))));
    let long = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world").await;
    assert!(matches!(long, Ok(Err(BodyError::TooLong(10)))));
    assert!(matches!(answered(b"HTTP/1.1 200").await, Err(HttpError::Truncated)));
    assert!(matches!(answered(b"").await, Err(HttpError::Truncated)));
    assert!(matches!(answered(b"SSH-2.0-OpenSSH\r\n\r\n").await, Err(HttpError::Malformed(_))));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_at_its_source_never_looks_whole() {
    let stage = Stage::new(Flaws::none());
    let _serving = stage.serve(None).await;
    let mut http = HttpConnection::open(&stage.client, stage.dial().await).await.unwrap();
    let mut request = post("");
    let chunks = [Ok("half".into()), Err("the source failed".into())];
    *request.body_mut() = body::stream(stream::iter(chunks));
    assert!(http.send(request).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let served = stage.served.lock().unwrap().clone();
    assert!(served.iter().all(|text| text != "half"), "{served:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_is_cut_off() {
    let stage = Stage::new(Flaws::none());
    let _serving = stage.serve(None).await;
    for (sent, deadline) in [
        ("", 30),
        ("GET / HTTP/1.1\r\nhost:", 30),
        ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf", 60 + 30),
    ] {
        let mut wire = stage.dial().await;
        wire.write_all(sent.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let limit = Duration::from_secs(deadline + 1);
        let ended = tokio::time::timeout(limit, wire.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{sent:?} is still served");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_does_not_read_endless_heads() {
    let stage = Stage::new(Flaws::none());
    let _serving = stage.serve(None).await;
    let mut wire = stage.dial().await;
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let (mut reading, mut writing) = tokio::io::split(&mut wire);
    let mut answer = Vec::new();
    let (_, read) = tokio::join!(writing.write_all(head.as_bytes()), reading.read_to_end(&mut answer),);
    assert!(read.is_err() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");
    assert!(stage.served.lock().unwrap().is_empty());
}

/// The status lines with which a server answers two requests on one connection, the second with a
/// space before a header's colon.
async fn answers_to_a_spaced_name(flaws: Flaws) -> String {
    let stage = Stage::new(flaws);
    let _serving = stage.serve(None).await;
    let mut stream = stage.dial().await;
    let requests = "POST / HTTP/1.1\r\nhost: a : b\r\ncontent-length: 8\r\n\r\nx : y\r\n\r\
                    POST / HTTP/1.1\r\nhost: a\r\nContent-Length : 4\r\nconnection : close\r\n\r\nmore";
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answers)).await;
    String::from_utf8(answers).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_header_name_with_a_space_is_refused_but_by_a_server_with_that_flaw() {
    let refused = answers_to_a_spaced_name(Flaws::none()).await;
    assert_eq!(refused.matches("HTTP/1.1 200").count(), 1, "{refused}");
    assert_eq!(refused.matches("HTTP/1.1 400").count(), 1, "{refused}");
    let flawed = Flaws::danger([ravelin_host::Flaw::ServersAcceptSpacedHeaderNames]);
    let taken = answers_to_a_spaced_name(flawed).await;
    assert!(taken.contains("x : y"), "a body is left as it is: {taken}");
    assert!(taken.contains("more with 0 certificates"), "{taken}");
}
