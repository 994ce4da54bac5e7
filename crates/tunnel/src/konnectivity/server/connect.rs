//! Frontends by HTTP `CONNECT` (`pkg/server/tunnel.go`), read and answered by hand: what follows the
//! answer is no longer HTTP, and its words are the original's.

use super::super::channels::Ending;
use super::super::metrics::Counted;
use super::super::relay::{Relayed, relay};
use super::Shared;
use super::backend::{DialFailure, Established};
use bytes::{Bytes, BytesMut};
use ravelin_host::{BoxedStream, Connection, Listener, Task, field};
use ravelin_stream::konnectivity::MAX_ADDRESS_BYTES;
use ravelin_transport::{Rewound, TlsServer};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest head of a request (`http.DefaultMaxHeaderBytes` is a MiB; nobody needs as much).
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How long a head may take (`ReadHeaderTimeout`).
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an answer may take to go out.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an agent may take to close a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most connections.
const MAX_CONNECTIONS: usize = 16 * 1024;
/// A pause after a failed accept, so that an error that lasts does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Takes connections until the task is dropped.
pub(super) fn run(shared: Arc<Shared>, listener: Box<dyn Listener>, tls: Option<Arc<TlsServer>>) -> Task {
    let host = Arc::clone(&shared.host);
    let accepting = async move {
        let mut connections: Vec<Task> = Vec::new();
        loop {
            let Ok(connection) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            };
            connections.retain(|task| !task.is_finished());
            if connections.len() >= MAX_CONNECTIONS {
                shared.host.observe("http.overload", &[field("peer", &connection.peer)]);
                continue;
            }
            let serving = serve(Arc::clone(&shared), connection, tls.clone());
            connections.push(shared.host.spawn("konnectivity.connect", Box::pin(serving)));
        }
    };
    host.spawn("konnectivity.connect", Box::pin(accepting))
}

async fn serve(shared: Arc<Shared>, connection: Connection, tls: Option<Arc<TlsServer>>) {
    let stream = match tls {
        None => connection.stream,
        Some(tls) => match tls.accept(&shared.host, connection).await {
            Ok(secured) => secured.stream,
            Err(_) => return,
        },
    };
    let _counted = Counted::new(&shared.metrics, "http_connections", &[]);
    let Ok(Ok((head, rest, stream))) = tokio::time::timeout(HEAD_TIMEOUT, head(stream)).await else { return };
    let target = match target(&head) {
        Ok(target) => target.to_owned(),
        Err(answer) => return refuse(stream, &answer).await,
    };
    match dial(&shared, &target, stream).await {
        Ok((established, stream)) => {
            carry(&shared, established, Box::new(Rewound::new(rest, stream))).await;
        }
        Err(Some((stream, answer))) => refuse(stream, &answer).await,
        Err(None) => {}
    }
}

/// The head of a request, up to its empty line, and what came after it.
async fn head(mut stream: BoxedStream) -> io::Result<(Vec<u8>, Bytes, BoxedStream)> {
    let mut read = BytesMut::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = read.split_to(end + 4);
            return Ok((head.to_vec(), read.freeze(), stream));
        }
        if read.len() >= MAX_HEAD_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        read.reserve(1024);
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The target of a `CONNECT`, or what to answer instead.
fn target(head: &[u8]) -> Result<&str, String> {
    let bad = || answer("400 Bad Request", "400 Bad Request");
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| bad())?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad());
    };
    if !version.starts_with("HTTP/1.") || target.is_empty() || target.len() > MAX_ADDRESS_BYTES {
        return Err(bad());
    }
    if method != "CONNECT" {
        let text = "this proxy only supports CONNECT passthrough\n";
        return Err(answer("405 Method Not Allowed", text));
    }
    Ok(target)
}

fn answer(status: &str, text: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}")
}

async fn refuse(mut stream: BoxedStream, answer: &str) {
    let _ = tokio::time::timeout(ANSWER_TIMEOUT, async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

type Refused = Option<(BoxedStream, String)>;

/// Has a target dialled and says so. Without an answer where the frontend has gone meanwhile.
async fn dial(
    shared: &Shared,
    target: &str,
    mut stream: BoxedStream,
) -> Result<(Established, BoxedStream), Refused> {
    let backend = match shared.choose(target) {
        Ok(backend) => backend,
        Err(none) => {
            let answer = format!(
                "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\ncurrently no tunnels \
                 available: {none}"
            );
            return Err(Some((stream, answer)));
        }
    };
    let dialled = backend.dial(("tcp", target), shared.random(), shared.backend_dial_timeout).await;
    let failure = dialled.as_ref().err().map(|failure| failure as &dyn std::fmt::Display);
    shared.observe_dial(target, backend.agent_id(), failure);
    let established = match dialled {
        Ok(established) => established,
        Err(failure) => return Err(Some((stream, refusal(&failure)))),
    };
    let sent = async {
        stream.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").await?;
        stream.flush().await
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, sent).await {
        Ok(Ok(())) => Ok((established, stream)),
        _ => {
            shared.failed_dial("send_rsp");
            Err(None)
        }
    }
}

/// What is answered to a dial that failed.
fn refusal(failure: &DialFailure) -> String {
    match failure {
        DialFailure::Endpoint(error) => answer(status_of(error), error),
        DialFailure::Timeout => {
            answer("504 Gateway Timeout", &format!("Backend dial timeout: {failure}\r\n"))
        }
        DialFailure::Closed | DialFailure::Gone(_) => {
            answer("502 Bad Gateway", &format!("Backend context error: {failure}\r\n"))
        }
    }
}

/// The status for an agent's error (`mapDialErrorToHTTPStatus`).
fn status_of(error: &str) -> &'static str {
    let error = error.to_lowercase();
    if ["timeout", "deadline exceeded"].iter().any(|word| error.contains(word)) {
        "504 Gateway Timeout"
    } else if error.contains("too many open files") {
        "503 Service Unavailable"
    } else {
        "502 Bad Gateway"
    }
}

/// Carries bytes until the connection has ended.
async fn carry(shared: &Shared, established: Established, stream: BoxedStream) {
    let relayed = relay(&established.channel, stream).await;
    let outcome = match &relayed {
        Relayed::Done | Relayed::Ended(Ending::ByPeer(_)) => "closed",
        Relayed::StreamFailed(why) | Relayed::Ended(Ending::Failed(why)) => why,
    };
    let fields = [field("agent", established.backend().agent_id()), field("outcome", outcome)];
    shared.host.observe("konnectivity.closed", &fields);
    if matches!(relayed, Relayed::Done | Relayed::StreamFailed(_)) {
        established.ask_to_close();
        // What the agent still sends is for nobody; it closes the connection when it has seen that.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, established.channel.ended()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connect_has_a_target() {
        let head = |line: &str| format!("{line}\r\nHost: 127.0.0.1\r\n\r\n").into_bytes();
        assert_eq!(target(&head("CONNECT 10.0.0.1:10250 HTTP/1.1")), Ok("10.0.0.1:10250"));
        let refused = |line: &str| target(&head(line)).unwrap_err();
        assert!(refused("GET / HTTP/1.1").starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
        assert!(refused("GET / HTTP/1.1").ends_with("this proxy only supports CONNECT passthrough\n"));
        for wrong in ["CONNECT  HTTP/1.1", "CONNECT a", "CONNECT a:1 HTTP/2", "", "CONNECT a b c d"] {
            assert!(refused(wrong).starts_with("HTTP/1.1 400 Bad Request\r\n"), "{wrong}");
        }
        let long = "a".repeat(MAX_ADDRESS_BYTES + 1);
        assert!(refused(&format!("CONNECT {long} HTTP/1.1")).contains(" 400 "));
    }

    #[test]
    fn an_agents_errors_have_their_status() {
        for (error, status) in [
            ("dial tcp 10.0.0.1:1: i/o timeout", 504),
            ("context deadline exceeded", 504),
            ("socket: too many open files", 503),
            ("dial tcp 10.0.0.1:1: connect: connection refused", 502),
            ("dial tcp: lookup a: no such host", 502),
        ] {
            assert!(status_of(error).starts_with(&status.to_string()), "{error}");
        }
    }
}
