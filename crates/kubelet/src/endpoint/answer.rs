//! An answer before it is written down and sent.

use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, StatusCode};
use ravelin_transport::{Body, Response, body};

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// An answer.
pub(crate) struct Answer {
    pub(super) status: StatusCode,
    /// Boxed, so that an answer is a small error.
    headers: Box<HeaderMap>,
    content: Content,
}

/// What an answer holds.
enum Content {
    /// All of it.
    Whole(Bytes),
    /// What is sent as it comes.
    Flowing(Body),
}

impl Answer {
    /// An answer of this kind of content.
    pub(super) fn of(status: StatusCode, kind: &'static str, content: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if kind == TEXT && !status.is_success() {
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        Self { status, headers: Box::new(headers), content: Content::Whole(content.into()) }
    }

    /// An answer without content.
    pub(super) fn bare(status: StatusCode) -> Self {
        Self { status, headers: Box::default(), content: Content::Whole(Bytes::new()) }
    }

    pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self::of(status, TEXT, text)
    }

    pub(super) fn json(value: &serde_json::Value) -> Self {
        Self::of(StatusCode::OK, JSON, ravelin_api::render(value))
    }

    /// An answer that was made elsewhere: one whose body is sent as it comes, or an upgrade.
    pub(super) fn ready(response: Response) -> Self {
        let (head, content) = response.into_parts();
        Self { status: head.status, headers: Box::new(head.headers), content: Content::Flowing(content) }
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// What Go's mux answers where nothing is registered.
    pub(super) fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "404 page not found\n")
    }

    /// What go-restful answers where a service has no such route.
    pub(super) fn no_such_route() -> Self {
        Self::text(StatusCode::NOT_FOUND, "404: Page Not Found")
    }

    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        Self::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed")
            .with(ALLOW, HeaderValue::from_static(allowed))
    }

    /// What Go's mux answers where only the path with a slash is registered.
    pub(super) fn to_directory(path: &'static str) -> Self {
        let text = format!("<a href=\"{path}\">Temporary Redirect</a>.\n\n");
        Self::of(StatusCode::TEMPORARY_REDIRECT, HTML, text).with(LOCATION, HeaderValue::from_static(path))
    }

    /// What is known of the content before it is sent: nothing, where it is sent as it comes.
    pub(super) fn known(&self) -> Bytes {
        match &self.content {
            Content::Whole(bytes) => bytes.clone(),
            Content::Flowing(_) => Bytes::new(),
        }
    }

    pub(super) fn into_response(self, method: &Method) -> Response {
        let content = match self.content {
            _ if *method == Method::HEAD => body::empty(),
            Content::Whole(bytes) => body::full(bytes),
            Content::Flowing(content) => content,
        };
        let mut response = Response::new(content);
        *response.status_mut() = self.status;
        *response.headers_mut() = *self.headers;
        response
    }
}
