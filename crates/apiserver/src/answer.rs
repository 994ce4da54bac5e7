//! Answers: objects, statuses and plain text as HTTP responses.

use crate::audit::Shown;
use crate::store::render;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{HeaderName, StatusCode};
use ravelin_api::Status;
use ravelin_transport::{Response, body};
use serde_json::Value;

/// The media type of JSON.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");
const NOSNIFF: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));

/// A body of JSON.
pub(crate) fn json(code: StatusCode, bytes: Bytes) -> Response {
    with_body(code, JSON, bytes)
}

/// An object.
pub(crate) fn object(code: StatusCode, object: &Value) -> Response {
    json(code, render(object))
}

/// A status, with the headers that Kubernetes adds to it.
pub(crate) fn status(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json(code, Bytes::from(status.render()));
    let headers = answer.headers_mut();
    if code == StatusCode::FORBIDDEN {
        headers.insert(NOSNIFF.0, NOSNIFF.1);
    }
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if seconds > 0 {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer.extensions_mut().insert(Shown(Box::new(status.clone())));
    answer
}

/// The answer with `Warning` headers (RFC 7234 section 5.5), as Kubernetes sends them: code 299, no
/// agent, each text once.
pub(crate) fn with_warnings(mut answer: Response, warnings: &[String]) -> Response {
    for (index, warning) in warnings.iter().enumerate() {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        let header = HeaderValue::from_str(&format!("299 - \"{quoted}\""));
        if let (Ok(header), false) = (header, warnings[..index].contains(warning)) {
            answer.headers_mut().append(WARNING, header);
        }
    }
    answer
}

/// Plain text.
pub(crate) fn text(code: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut answer = with_body(code, TEXT, text.into());
    answer.headers_mut().insert(NOSNIFF.0, NOSNIFF.1);
    answer
}

/// What a path answers that nobody serves (Go's `http.NotFound`).
pub(crate) fn page_not_found() -> Response {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// An answer without a body.
pub(crate) fn empty(code: StatusCode) -> Response {
    let mut answer = Response::new(body::empty());
    *answer.status_mut() = code;
    answer.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
    answer
}

fn with_body(code: StatusCode, media_type: HeaderValue, bytes: Bytes) -> Response {
    let mut answer = Response::new(body::full(bytes));
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
    answer
}
