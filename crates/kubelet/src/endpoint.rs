//! What the kubelet serves: routes, and what stands before them.
//!
//! Texts are those of `pkg/kubelet/server/server.go`. Paths that no kubelet has are 404 for
//! everybody; all others are answered only to those who may ask.

mod answer;
mod checkpoint;
mod files;
mod log;
mod pages;
mod routes;
mod run;
mod streaming;

use crate::access::{Access, Allowed};
use crate::journal::Answered;
use crate::state::Shared;
use answer::Answer;
use async_trait::async_trait;
use http::{Method, StatusCode};
use ravelin_host::field;
use ravelin_transport::{Handler, PeerInfo, Request, Response};
use routes::Route;
use std::sync::Arc;
use streaming::{Call, Streams};

/// The HTTPS endpoint.
pub(crate) struct Endpoint {
    shared: Arc<Shared>,
    access: Access,
    streams: Streams,
}

/// The port without authentication.
pub(crate) struct ReadOnly(pub(crate) Arc<Shared>);

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
        Self { access: Access::new(Arc::clone(&shared)), streams: Streams::default(), shared }
    }

    /// The route of a path, as far as the configuration has it.
    fn route<'a>(&self, path: &'a str) -> Option<Route<'a>> {
        let has = self.shared.config.debugging_handlers || !routes::goes_with_debugging(path);
        let is_later = path.starts_with("/checkpoint") && self.shared.version() < checkpoint::FROM;
        Route::of(path).filter(|_| has && !is_later)
    }

    async fn answer(&self, request: Request, peer: &PeerInfo, asked: &mut Asked) -> Answer {
        let Some(route) = self.route(&asked.path) else { return Answer::not_found() };
        if let Route::WithoutSlash(path) = route {
            return Answer::to_directory(path);
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
        if !self.shared.config.debugging_handlers && routes::is_debugging(&asked.path) {
            return pages::disabled();
        }
        match route {
            Route::Log { namespace, pod, container } if asked.method == Method::GET => {
                log::serve(&self.shared, (namespace, pod, container), asked.query()).await
            }
            Route::Run { .. } if asked.method == Method::POST => run::run(&self.shared, route, request).await,
            Route::Exec(inside) if is_streamed(&asked.method) => {
                let asked = (asked.user.as_deref().unwrap_or_default(), request);
                either(self.streams.remote(&self.shared, (Call::Exec, inside), asked).await)
            }
            Route::Attach(inside) if is_streamed(&asked.method) => {
                let asked = (asked.user.as_deref().unwrap_or_default(), request);
                either(self.streams.remote(&self.shared, (Call::Attach, inside), asked).await)
            }
            Route::PortForward { namespace, pod, uid } if is_streamed(&asked.method) => {
                let asked = (asked.user.as_deref().unwrap_or_default(), request);
                either(self.streams.forward(&self.shared, (namespace, pod, uid), asked).await)
            }
            Route::Checkpoint { namespace, pod, container } if asked.method == Method::POST => {
                checkpoint::serve(&self.shared, (namespace, pod, container), asked.query()).await
            }
            Route::Verbosity if asked.method == Method::PUT => pages::set_verbosity(request).await,
            route => pages::answer(&self.shared, route, (&asked.method, asked.query())),
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
            Some(route) if route.is_on_the_read_only_port() => {
                pages::answer(&self.0, route, (&asked.method, asked.query()))
            }
            // It is made as one without debugging handlers (`ListenAndServeKubeletReadOnlyServer`).
            _ if routes::is_debugging(&asked.path) => pages::disabled(),
            _ => Answer::not_found(),
        };
        finish(&self.0, asked, answer)
    }
}

/// What streams are asked for by: a WebSocket comes by GET.
fn is_streamed(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::POST)
}

fn either(answer: Result<Answer, Answer>) -> Answer {
    answer.unwrap_or_else(|refusal| refusal)
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
    shared.journal.record(Answered {
        at: shared.host.now(),
        read_only_port: asked.read_only_port,
        user: asked.user,
        method: asked.method.to_string(),
        path: asked.path_and_query,
        status: answer.status.as_u16(),
        body: answer.known(),
    });
    answer.into_response(&asked.method)
}
