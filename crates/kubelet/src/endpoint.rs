//! What the kubelet serves: routes, and what stands before them.
//!
//! Texts are those of `pkg/kubelet/server/server.go`. Paths that no kubelet has are 404 for
//! everybody; all others are answered only to those who may ask.

mod routes;
mod run;

use crate::access::{Access, Allowed};
use crate::journal::Answered;
use crate::state::Shared;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, StatusCode};
use ravelin_host::field;
use ravelin_transport::{Handler, PeerInfo, Request, Response, body};
use routes::Route;
use std::sync::Arc;

/// The HTTPS endpoint.
pub(crate) struct Endpoint {
    shared: Arc<Shared>,
    access: Access,
}

/// The port without authentication.
pub(crate) struct ReadOnly(pub(crate) Arc<Shared>);

/// An answer before it is written down and sent.
pub(crate) struct Answer {
    status: StatusCode,
    kind: &'static str,
    body: Bytes,
    extra: Option<(http::HeaderName, HeaderValue)>,
}

const TEXT: &str = "text/plain; charset=utf-8";

impl Answer {
    fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self { status, kind: TEXT, body: text.into(), extra: None }
    }

    fn json(value: &serde_json::Value) -> Self {
        let body = Bytes::from(ravelin_api::render(value));
        Self { status: StatusCode::OK, kind: "application/json", body, extra: None }
    }

    fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "404 page not found\n")
    }

    fn method_not_allowed(allowed: &'static str) -> Self {
        let answer = Self::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
        Self { extra: Some((ALLOW, HeaderValue::from_static(allowed))), ..answer }
    }

    fn to_logs_directory() -> Self {
        let text = "<a href=\"/logs/\">Temporary Redirect</a>.\n\n";
        let answer = Self::text(StatusCode::TEMPORARY_REDIRECT, text);
        let extra = Some((LOCATION, HeaderValue::from_static("/logs/")));
        Self { kind: "text/html; charset=utf-8", extra, ..answer }
    }

    fn into_response(self, is_head: bool) -> Response {
        let mut response = Response::new(if is_head { body::empty() } else { body::full(self.body) });
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        if self.kind == TEXT && !self.status.is_success() {
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        headers.extend(self.extra);
        response
    }
}

/// Who asked for what.
struct Asked {
    read_only_port: bool,
    user: Option<String>,
    method: Method,
    path_and_query: String,
    path: String,
}

impl Asked {
    fn of(request: &Request, read_only_port: bool) -> Self {
        let uri = request.uri();
        Self {
            read_only_port,
            user: None,
            method: request.method().clone(),
            path_and_query: uri.path_and_query().map_or_else(String::new, ToString::to_string),
            // A path that cannot be decoded is nobody's.
            path: ravelin_api::percent_decode(uri.path()).unwrap_or_default(),
        }
    }

    fn query(&self) -> &str {
        self.path_and_query.split_once('?').map_or("", |(_, query)| query)
    }
}

impl Endpoint {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { access: Access::new(Arc::clone(&shared)), shared }
    }

    async fn answer(&self, request: Request, peer: &PeerInfo, asked: &mut Asked) -> Answer {
        let Some(route) = Route::of(&asked.path) else { return Answer::not_found() };
        if route == Route::LogsWithoutSlash {
            return Answer::to_logs_directory();
        }
        let Some(user) = self.access.authenticate(request.headers(), &peer.chain).await else {
            return Answer::text(StatusCode::UNAUTHORIZED, "Unauthorized");
        };
        asked.user = Some(user.name.clone());
        let attributes = self.access.attributes(&user, (asked.method.as_str(), &asked.path));
        let Some(allowed) = self.access.authorize(&attributes).await else {
            return Answer::text(StatusCode::FORBIDDEN, self.access.forbidden_text(&attributes));
        };
        self.serve(route, (asked, request), allowed).await
    }

    /// Serves a request that is allowed.
    async fn serve(
        &self,
        route: Route<'_>,
        (asked, request): (&Asked, Request),
        _allowed: Allowed,
    ) -> Answer {
        if !self.shared.config.debugging_handlers && route.is_debugging(&asked.path) {
            return Answer::text(StatusCode::METHOD_NOT_ALLOWED, "Debug endpoints are disabled.\n");
        }
        match route {
            Route::Log { namespace, pod, container } if asked.method == Method::GET => {
                routes::log(&self.shared, (namespace, pod, container), asked.query()).await
            }
            Route::Run { .. } if asked.method == Method::POST => run::run(&self.shared, route, request).await,
            route => routes::open(&self.shared, route, &asked.method),
        }
    }
}

#[async_trait]
impl Handler for Endpoint {
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response {
        let mut asked = Asked::of(&request, false);
        let answer = self.answer(request, peer, &mut asked).await;
        finish(&self.shared, asked, answer)
    }
}

#[async_trait]
impl Handler for ReadOnly {
    async fn handle(&self, request: Request, _: &PeerInfo) -> Response {
        let asked = Asked::of(&request, true);
        let answer = match Route::of(&asked.path) {
            Some(route @ (Route::Pods | Route::Health | Route::Metrics)) => {
                routes::open(&self.0, route, &asked.method)
            }
            _ => Answer::not_found(),
        };
        finish(&self.0, asked, answer)
    }
}

/// Writes an answer down and sends it.
fn finish(shared: &Shared, asked: Asked, answer: Answer) -> Response {
    let fields = [
        field("user", asked.user.as_deref().unwrap_or("")),
        field("verb", asked.method.as_str()),
        field("path", &asked.path),
        field("code", answer.status.as_u16()),
    ];
    shared.host.observe("kubelet.request", &fields);
    let is_head = asked.method == Method::HEAD;
    shared.journal.record(Answered {
        at: shared.host.now(),
        read_only_port: asked.read_only_port,
        user: asked.user,
        method: asked.method.to_string(),
        path: asked.path_and_query,
        status: answer.status.as_u16(),
        body: answer.body.clone(),
    });
    answer.into_response(is_head)
}
