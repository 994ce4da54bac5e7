//! Answers in the messages of a WebSocket, for browsers: logs (`wsstream.Reader` of
//! `apimachinery/pkg/util/httpstream/wsstream/stream.go`) and watches (`WatchServer.HandleWS` of
//! `apiserver/pkg/endpoints/handlers/watch.go`). What the client sends is thrown away.

use super::join::Passed;
use super::running::Tale;
use crate::answer;
use crate::audit::StreamEnd;
use crate::server::{Asked, Server};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use ravelin_api::Status;
use ravelin_transport::streams::{Kind, WebSocket};
use ravelin_transport::{Body, Response, upgrade};
use std::io;
use std::sync::Arc;

/// How much of a log one message holds at most, in bytes (`messageCopy`).
const MAX_LOG_MESSAGE_BYTES: usize = 2048;
/// What precedes an event in protobuf, which a message does not need: its length.
const LENGTH_BYTES: usize = 4;
/// A close in peace (RFC 6455 section 7.4.1).
const NORMAL: u16 = 1000;

/// How an answer's bytes become messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    /// As they come, in messages of some length, after an empty one.
    Log,
    /// The same in base64, as text.
    EncodedLog,
    /// Each event as a text.
    TextEvents,
    /// Each event without its length.
    BinaryEvents,
}

impl Pieces {
    fn kind(self) -> Kind {
        match self {
            Self::Log | Self::BinaryEvents => Kind::Binary,
            Self::EncodedLog | Self::TextEvents => Kind::Text,
        }
    }

    fn messages(self, bytes: &Bytes) -> Vec<Bytes> {
        match self {
            Self::Log => bytes.chunks(MAX_LOG_MESSAGE_BYTES).map(Bytes::copy_from_slice).collect(),
            Self::EncodedLog => {
                bytes.chunks(MAX_LOG_MESSAGE_BYTES).map(|piece| STANDARD.encode(piece).into()).collect()
            }
            Self::TextEvents => vec![bytes.clone()],
            Self::BinaryEvents => vec![bytes.slice(LENGTH_BYTES.min(bytes.len())..)],
        }
    }
}

/// Gives a log in messages where that is what was asked for.
pub(super) fn log(
    server: &Arc<Server>,
    user: &str,
    asked: Asked,
    answer: Response,
) -> Result<Response, Status> {
    if !upgrade::is_websocket(&asked.headers) {
        return Ok(answer);
    }
    let offered = upgrade::websocket_protocols(&asked.headers);
    let taken = |offer: &String| match offer.as_str() {
        "binary.k8s.io" => Some((Some("binary.k8s.io"), Pieces::Log)),
        "base64.binary.k8s.io" => Some((Some("base64.binary.k8s.io"), Pieces::EncodedLog)),
        _ => None,
    };
    let chosen = match offered.is_empty() {
        true => Some((None, Pieces::Log)),
        false => offered.iter().find_map(taken),
    };
    let Some(chosen) = chosen else { return Ok(answer::empty(StatusCode::FORBIDDEN)) };
    serve(server, user, (asked, answer), chosen)
}

/// Gives a watch in messages where that is what was asked for. Who asks says where it is from.
pub(crate) fn watch(
    server: &Arc<Server>,
    user: &str,
    asked: Asked,
    answer: Response,
) -> Result<Response, Status> {
    if !upgrade::is_websocket(&asked.headers) {
        return Ok(answer);
    }
    if !has_origin(&asked.headers) {
        return Ok(answer::empty(StatusCode::FORBIDDEN));
    }
    let offered = upgrade::websocket_protocols(&asked.headers);
    if offered.len() > 1 {
        return Ok(answer::empty(StatusCode::BAD_REQUEST));
    }
    let media_type = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let pieces = match media_type.is_some_and(|kind| kind.contains("protobuf")) {
        true => Pieces::BinaryEvents,
        false => Pieces::TextEvents,
    };
    serve(server, user, (asked, answer), (offered.first().map(String::as_str), pieces))
}

/// Is there an origin that is a URL (`checkOrigin` of `x/net/websocket`)?
fn has_origin(headers: &HeaderMap) -> bool {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
    origin.starts_with('/') || origin.split_once(':').is_some_and(|(scheme, _)| !scheme.is_empty())
}

fn serve(
    server: &Arc<Server>,
    user: &str,
    (mut asked, answered): (Asked, Response),
    (protocol, pieces): (Option<&str>, Pieces),
) -> Result<Response, Status> {
    if answered.status() != StatusCode::OK {
        return Ok(answered);
    }
    let mut answer = match upgrade::websocket_answer(&asked.headers, protocol) {
        Ok(answer) => answer,
        Err(refusal) => return Ok(*refusal),
    };
    let Some(pending) = asked.upgrading.take() else {
        return Err(Status::bad_request("Upgrade request required"));
    };
    let end = StreamEnd::default();
    let tale = Tale::begin(&server.host, (user, &asked.info.path), "websocket messages", end.clone());
    let host = server.host.clone();
    let body = answered.into_body();
    let sending = async move {
        let passed = match pending.stream().await {
            Ok(client) => send_all(WebSocket::server(&host, client), body, pieces).await,
            Err(_) => Passed::default(),
        };
        tale.end(&passed);
    };
    server.streams.run(&server.host, Box::pin(sending))?;
    answer.extensions_mut().insert(end);
    Ok(answer)
}

/// Sends a body until it ends or the client does, and closes.
async fn send_all(socket: WebSocket, mut body: Body, pieces: Pieces) -> Passed {
    let (mut sender, mut receiver) = socket.into_split();
    let mut passed = Passed::default();
    let sending = async {
        if matches!(pieces, Pieces::Log | Pieces::EncodedLog)
            && sender.send(pieces.kind(), b"").await.is_err()
        {
            return;
        }
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                passed.error = Some(io::ErrorKind::UnexpectedEof);
                return;
            };
            let Ok(bytes) = frame.into_data() else { continue };
            for message in pieces.messages(&bytes) {
                if sender.send(pieces.kind(), &message).await.is_err() {
                    return;
                }
                passed.back += message.len() as u64;
            }
        }
    };
    let gone = async { while let Ok(Some(_)) = receiver.receive().await {} };
    tokio::select! {
        biased;
        () = sending => {}
        () = gone => {}
    }
    sender.close(NORMAL).await;
    passed
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_log_is_cut_into_messages_and_an_event_is_one() {
        let log = Bytes::from(vec![b'x'; MAX_LOG_MESSAGE_BYTES + 1]);
        let lengths = |pieces: Pieces| pieces.messages(&log).iter().map(Bytes::len).collect::<Vec<_>>();
        assert_eq!(lengths(Pieces::Log), [2048, 1]);
        assert_eq!(lengths(Pieces::EncodedLog), [2732, 4]);
        assert_eq!(lengths(Pieces::TextEvents), [2049]);
        assert_eq!(lengths(Pieces::BinaryEvents), [2045]);
        assert_eq!(Pieces::BinaryEvents.messages(&Bytes::from_static(b"ab")), [Bytes::new()]);
    }

    #[test]
    fn an_origin_is_a_url() {
        for (origin, known) in
            [("https://example.org", true), ("/here", true), ("null", false), ("", false), (":x", false)]
        {
            let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
            assert_eq!(has_origin(&headers), known, "{origin}");
        }
        assert!(!has_origin(&HeaderMap::new()));
    }
}
