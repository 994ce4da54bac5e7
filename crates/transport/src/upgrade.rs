//! Connections that stop to be HTTP: the head of an upgrade at both ends, and the stream that is
//! left afterwards. What is spoken over it is for [`crate::streams`].

use crate::adapter::Io;
use crate::{HttpError, Request, Response, body};
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use http::{StatusCode, response};
use hyper::upgrade::OnUpgrade;
use ravelin_host::{BoxedStream, HostRef};
use ravelin_stream::channel::{ACCEPTED_PROTOCOLS_HEADER, PROTOCOL_HEADER, Refusal, negotiate};
use ravelin_stream::websocket;
use std::time::Duration;

mod rewound;

pub use rewound::Rewound;

/// How long it may take from the answer to the stream.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(30);

/// What became of a request for an upgrade.
pub enum Upgraded {
    /// The server switched; the connection is this stream now.
    Switched {
        /// The head of the 101.
        head: response::Parts,
        /// What comes after it.
        stream: BoxedStream,
    },
    /// The server answered as to any request. Nothing was switched.
    Refused(Response),
}

impl std::fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Switched { head, .. } => write!(f, "Switched({:?})", head.headers.get(UPGRADE)),
            Self::Refused(response) => write!(f, "Refused({})", response.status()),
        }
    }
}

/// A server's pending upgrade.
#[derive(Debug)]
pub struct Upgrading(OnUpgrade);

impl Upgrading {
    /// The stream, once the 101 was sent.
    ///
    /// # Errors
    /// Where the connection ended before, or another answer than 101 was given.
    pub async fn stream(self) -> Result<BoxedStream, HttpError> {
        stream_of(self.0).await
    }
}

/// What a request asks to be upgraded to: the `Upgrade` header, where a `Connection` header has the
/// word, as `httpstream.IsUpgradeRequest` looks for it.
pub fn requested(headers: &HeaderMap) -> Option<String> {
    let mut connection = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    if !connection.any(|value| value.to_ascii_lowercase().contains("upgrade")) {
        return None;
    }
    headers.get(UPGRADE)?.to_str().ok().map(str::to_owned)
}

/// Does a request ask for a WebSocket (`wsstream.IsWebSocketRequest`)?
pub fn is_websocket(headers: &HeaderMap) -> bool {
    requested(headers).is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// Takes the pending upgrade out of a request that asks for one.
pub fn accept(request: &mut Request) -> Option<Upgrading> {
    request.extensions().get::<OnUpgrade>()?;
    Some(Upgrading(hyper::upgrade::on(request)))
}

/// The answer that switches to `protocol`.
pub fn switching(protocol: &str, mut headers: HeaderMap) -> Response {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_str(protocol).unwrap_or(HeaderValue::from_static("unknown")));
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

/// Agrees on a stream protocol with a client that offers some, as `httpstream.Handshake`: the
/// protocol and the headers of the 101, or the answer that refuses.
///
/// # Errors
/// The answer: 400 where the client offers none, 403 with the list of what is taken otherwise.
pub fn stream_protocol(
    headers: &HeaderMap,
    accepted: &[&'static str],
) -> Result<(&'static str, HeaderMap), Box<Response>> {
    let offered = headers.get_all(PROTOCOL_HEADER).iter().filter_map(|value| value.to_str().ok());
    match negotiate(offered, accepted) {
        Ok(protocol) => {
            let mut agreed = HeaderMap::new();
            agreed.insert(PROTOCOL_HEADER, HeaderValue::from_static(protocol));
            Ok((protocol, agreed))
        }
        Err(refusal) => Err(Box::new(refused(&refusal))),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let mut response = plain(StatusCode::BAD_REQUEST, &refusal.to_string());
    if let Refusal::Unknown { accepted, .. } = refusal {
        *response.status_mut() = StatusCode::FORBIDDEN;
        for protocol in accepted {
            if let Ok(value) = HeaderValue::from_str(protocol) {
                response.headers_mut().append(ACCEPTED_PROTOCOLS_HEADER, value);
            }
        }
    }
    response
}

/// As Go's `http.Error`.
fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(body::full(format!("{text}\n")));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    let sniff = HeaderName::from_static("x-content-type-options");
    response.headers_mut().insert(sniff, HeaderValue::from_static("nosniff"));
    response
}

/// The subprotocols that a request for a WebSocket offers, in its order.
pub fn websocket_protocols(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    websocket::offered_protocols(values).into_iter().map(str::to_owned).collect()
}

/// The 101 that takes a WebSocket with this subprotocol, if any.
///
/// # Errors
/// The answer to a request that is no handshake of RFC 6455: 400 without a body, as Go's
/// `x/net/websocket` gives it.
pub fn websocket_answer(headers: &HeaderMap, protocol: Option<&str>) -> Result<Response, Box<Response>> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let key = text(SEC_WEBSOCKET_KEY).filter(|key| websocket::is_key(key));
    let version = text(SEC_WEBSOCKET_VERSION).filter(|version| *version == websocket::VERSION);
    let (Some(key), Some(_), true) = (key, version, is_websocket(headers)) else {
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Err(Box::new(response));
    };
    let mut answer = HeaderMap::new();
    if let Ok(accept) = HeaderValue::from_str(&websocket::accept_key(key)) {
        answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol.and_then(|name| HeaderValue::from_str(name).ok()) {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(switching("websocket", answer))
}

/// A client's side of a WebSocket's handshake.
#[derive(Debug)]
pub struct WebSocketOffer {
    key: String,
    protocols: Vec<String>,
}

impl WebSocketOffer {
    /// Offers these subprotocols, the most wanted first.
    pub fn new(host: &HostRef, protocols: &[&str]) -> Self {
        let key = websocket::key(host.entropy("websocket.key").bytes());
        Self { key, protocols: protocols.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// Writes the handshake's headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(websocket::VERSION));
        let values = [(SEC_WEBSOCKET_KEY, self.key.clone())];
        let protocols = (SEC_WEBSOCKET_PROTOCOL, self.protocols.join(", "));
        for (name, value) in values.into_iter().chain((!self.protocols.is_empty()).then_some(protocols)) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }

    /// The subprotocol that the server took, empty for none.
    ///
    /// # Errors
    /// Where the server's head does not answer this offer.
    pub fn check(&self, head: &response::Parts) -> Result<String, HttpError> {
        let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let malformed = |what: &str| Err(HttpError::Malformed(format!("websocket: {what}")));
        if !is_websocket(&head.headers) {
            return malformed("the server switched to something else");
        }
        if text(SEC_WEBSOCKET_ACCEPT) != Some(&websocket::accept_key(&self.key)) {
            return malformed("challenge failed");
        }
        let protocol = text(SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
        if !protocol.is_empty() && !self.protocols.iter().any(|offered| offered == protocol) {
            return malformed("a subprotocol that was not offered");
        }
        Ok(protocol.to_owned())
    }
}

/// The client's end: what became of a request that was answered.
pub(crate) async fn switched(mut response: Response) -> Result<Upgraded, HttpError> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Upgraded::Refused(response));
    }
    let pending = hyper::upgrade::on(&mut response);
    let (head, body) = response.into_parts();
    let stream = stream_of(pending).await?;
    drop(body);
    Ok(Upgraded::Switched { head, stream })
}

async fn stream_of(pending: OnUpgrade) -> Result<BoxedStream, HttpError> {
    let late = |_| HttpError::Unavailable("timed out switching protocols".to_owned());
    let upgraded = tokio::time::timeout(SWITCH_TIMEOUT, pending).await.map_err(late)??;
    let parts = upgraded
        .downcast::<Io>()
        .map_err(|_| HttpError::Unavailable("the connection is not ours".to_owned()))?;
    Ok(Box::new(Rewound::new(parts.read_buf, parts.io.into_stream())))
}
