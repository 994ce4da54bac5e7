//! A gRPC call of packets in both directions, at either end: how it begins, what it says of itself, and
//! the half that receives.

use super::metrics::Segment;
use super::outgoing::trailers;
pub(super) use super::outgoing::{CallEnded, MAX_DATA_BYTES, Outgoing};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use ravelin_stream::grpc::{self, Deframer, Status, code};
use ravelin_stream::konnectivity::Packet;
use ravelin_transport::http2::{Frame, Http2Connection};
use ravelin_transport::{Body, HttpError, Request, Response, body};

/// The status that trailers tell, if they tell one.
fn told(trailers: &HeaderMap) -> Option<Status> {
    let text = |name| trailers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let status = text(grpc::STATUS)?;
    Some(Status::from_trailers(Some(status), text(grpc::MESSAGE)))
}

/// The receiving half. Waiting on it can be given up and begun again.
pub(super) struct Incoming {
    source: Source,
    deframer: Deframer,
    segment: Segment,
}

enum Source {
    /// A client's, before the server's head.
    Awaited(BoxFuture<'static, Result<Response, HttpError>>),
    /// The bytes.
    Open {
        body: Body,
        /// A server's answer has a status at its end.
        answers: bool,
        head: HeaderMap,
    },
    /// It has ended.
    Ended(Result<(), Status>),
}

impl Incoming {
    fn new(source: Source, segment: Segment) -> Self {
        Self { source, deframer: Deframer::default(), segment }
    }

    /// The server's metadata, once it has come.
    pub(super) async fn head(&mut self) -> Result<&HeaderMap, Status> {
        if let Source::Awaited(response) = &mut self.source {
            let response = response.as_mut().await;
            self.source = opened(response);
        }
        match &self.source {
            Source::Open { head, .. } => Ok(head),
            Source::Ended(Err(status)) => Err(status.clone()),
            Source::Ended(Ok(())) | Source::Awaited(_) => {
                Err(Status::new(code::INTERNAL, "server closed the stream without sending trailers"))
            }
        }
    }

    /// What the server's head says, if it has come.
    pub(super) fn known_head(&self) -> Option<&HeaderMap> {
        match &self.source {
            Source::Open { head, .. } => Some(head),
            _ => None,
        }
    }

    /// The next packet; `None` where the peer ended its direction in order.
    pub(super) async fn next(&mut self) -> Result<Option<Packet>, Status> {
        loop {
            match self.deframer.take() {
                Ok(Some(message)) => return self.decoded(message).map(Some),
                Ok(None) => {}
                Err(error) => return Err(self.failed(Status::new(code::INTERNAL, error.to_string()))),
            }
            match &mut self.source {
                Source::Ended(result) => {
                    let result = result.clone();
                    return result.map(|()| None);
                }
                Source::Awaited(_) => {
                    // Its error is found in the source next.
                    let _ = self.head().await;
                }
                Source::Open { body, answers, .. } => {
                    let frame = body.frame().await;
                    let answers = *answers;
                    match frame {
                        Some(Ok(frame)) => self.take(frame, answers),
                        Some(Err(error)) => {
                            let text = error.to_string();
                            let why = if answers { code::UNAVAILABLE } else { code::CANCELLED };
                            return Err(self.failed(Status::new(why, text)));
                        }
                        None => self.end(answers),
                    }
                }
            }
        }
    }

    fn take(&mut self, frame: Frame<Bytes>, answers: bool) {
        match frame.into_data() {
            Ok(data) => self.deframer.receive(&data),
            Err(frame) => {
                if let (true, Ok(trailers)) = (answers, frame.into_trailers()) {
                    let status = told(&trailers).unwrap_or_else(untold);
                    self.source = Source::Ended(ended(status));
                }
            }
        }
    }

    /// The body is over.
    fn end(&mut self, answers: bool) {
        let whole = self.deframer.finish();
        self.source = Source::Ended(match whole {
            Err(error) => Err(Status::new(code::INTERNAL, error.to_string())),
            Ok(()) if answers => Err(untold()),
            Ok(()) => Ok(()),
        });
    }

    fn decoded(&mut self, message: Bytes) -> Result<Packet, Status> {
        match Packet::decode(message) {
            Ok(packet) => {
                self.segment.packet(packet.kind());
                Ok(packet)
            }
            Err(error) => Err(self.failed(Status::new(code::INTERNAL, error.to_string()))),
        }
    }

    fn failed(&mut self, status: Status) -> Status {
        self.segment.error(&status.code.to_string());
        self.source = Source::Ended(Err(status.clone()));
        status
    }
}

fn untold() -> Status {
    Status::new(code::INTERNAL, "server closed the stream without sending trailers")
}

fn ended(status: Status) -> Result<(), Status> {
    if status.code == code::OK { Ok(()) } else { Err(status) }
}

/// A server's answer, judged by its head (`grpc-go`, `internal/transport/http2_client.go`).
fn opened(response: Result<Response, HttpError>) -> Source {
    let response = match response {
        Ok(response) => response,
        Err(error) => {
            let text = format!("connection error: desc = \"{error}\"");
            return Source::Ended(Err(Status::new(code::UNAVAILABLE, text)));
        }
    };
    let (head, body) = response.into_parts();
    if let Some(status) = told(&head.headers) {
        return Source::Ended(ended(status));
    }
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if head.status != StatusCode::OK || !is_grpc(kind) {
        let text = format!(
            "unexpected HTTP status code received from server: {} ({}); transport: received unexpected \
             content-type \"{}\"",
            head.status.as_u16(),
            head.status.canonical_reason().unwrap_or_default(),
            kind.escape_default(),
        );
        return Source::Ended(Err(Status::new(code::UNKNOWN, text)));
    }
    Source::Open { body, answers: true, head: head.headers }
}

fn is_grpc(content_type: &str) -> bool {
    let rest = content_type.strip_prefix(grpc::CONTENT_TYPE);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('+') || rest.starts_with(';'))
}

/// What a call says of itself at its beginning.
pub(super) type Metadata = Vec<(&'static str, String)>;

/// Where the two directions of a call are counted.
pub(super) struct Segments {
    pub(super) out: Segment,
    pub(super) incoming: Segment,
}

/// Whom a call is for, as HTTP/2 has it (`:scheme`, `:authority`).
pub(super) struct Origin {
    scheme: &'static str,
    authority: String,
}

impl Origin {
    /// A Unix socket, as `grpc-go` calls it.
    pub(super) fn socket() -> Self {
        Self { scheme: "http", authority: "localhost".to_owned() }
    }

    /// A port with TLS.
    pub(super) fn tls(host: &str, port: u16) -> Self {
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Self { scheme: "https", authority }
    }
}

/// Begins a call as a client. The server's head need not come before packets are sent.
pub(super) fn begin(
    mut connection: Http2Connection,
    (origin, method): (&Origin, &'static str),
    metadata: &Metadata,
    segments: Segments,
) -> Result<(Outgoing, Incoming), Status> {
    let (outgoing, sent) = Outgoing::new(segments.out);
    let mut request = Request::new(sent);
    *request.method_mut() = Method::POST;
    let uri = http::Uri::builder().scheme(origin.scheme).authority(origin.authority.as_str());
    let uri = uri.path_and_query(method).build();
    *request.uri_mut() = uri.map_err(|error| Status::new(code::INTERNAL, error.to_string()))?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("ravelin-konnectivity"));
    for (name, value) in metadata {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| Status::new(code::INTERNAL, format!("metadata {name:?} is no header")))?;
        value.set_sensitive(*name == "authorization");
        headers.insert(HeaderName::from_static(name), value);
    }
    let answer = Box::pin(async move { connection.send(request).await });
    Ok((outgoing, Incoming::new(Source::Awaited(answer), segments.incoming)))
}

/// Takes a call as a server: what is received, what can be sent, and the answer's body.
pub(super) fn taken(request: Body, segments: Segments) -> (Outgoing, Incoming, Body) {
    let (outgoing, sent) = Outgoing::new(segments.out);
    let source = Source::Open { body: request, answers: false, head: HeaderMap::new() };
    (outgoing, Incoming::new(source, segments.incoming), sent)
}

/// Is this a call of gRPC? If not, what to answer.
pub(super) fn refusal(request: &Request) -> Option<Response> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let status = if request.method() != Method::POST {
        StatusCode::METHOD_NOT_ALLOWED
    } else if !is_grpc(kind) {
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    } else {
        return None;
    };
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    Some(response)
}

/// A server's answer with a body and metadata.
pub(super) fn answer(body: Body, metadata: &Metadata) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    for (name, value) in metadata {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// A server's answer that is nothing but a failure.
pub(super) fn failure(status: &Status) -> Response {
    let mut response = answer(body::empty(), &Vec::new());
    response.headers_mut().extend(trailers(status));
    response
}
