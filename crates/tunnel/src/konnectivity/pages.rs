//! Health and metrics over HTTP (`cmd/server/app/server.go`, `cmd/agent/app/server.go`).

use super::metrics::Metrics;
use async_trait::async_trait;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use ravelin_host::{Endpoint, HostRef, Task};
use ravelin_transport::metrics::{CONTENT_TYPE as METRICS_TYPE, text};
use ravelin_transport::{Handler, PeerInfo, Request, Response, Server, body};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Whether a component is ready, or why not.
type Ready = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What both ports show.
pub(super) struct Pages {
    metrics: Arc<Metrics>,
    ready: Ready,
}

impl Pages {
    pub(super) fn new(metrics: Arc<Metrics>, ready: Ready) -> Self {
        Self { metrics, ready }
    }

    fn page(&self, path: &str, health: bool) -> Response {
        match path {
            "/metrics" => {
                let mut response = Response::new(body::full(text(&self.metrics.families())));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
                response
            }
            "/healthz" if health => plain(StatusCode::OK, "ok"),
            "/readyz" | "/ready" if health => match (self.ready)() {
                Ok(()) => plain(StatusCode::OK, "ok"),
                Err(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, &why),
            },
            _ => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(body::full(text.to_owned()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// One port.
struct Port {
    pages: Arc<Pages>,
    health: bool,
}

#[async_trait]
impl Handler for Port {
    async fn handle(&self, request: Request, _peer: &PeerInfo) -> Response {
        self.pages.page(request.uri().path(), self.health)
    }
}

/// Serves the port for health and the one for administrators, where they are wanted.
pub(super) async fn serve(
    host: &HostRef,
    pages: &Arc<Pages>,
    (health, admin): (Option<SocketAddr>, Option<SocketAddr>),
) -> io::Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for (address, health) in [(health, true), (admin, false)] {
        let Some(address) = address else { continue };
        let listener = host.listen(&Endpoint::Tcp(address)).await?;
        let handler = Arc::new(Port { pages: Arc::clone(pages), health });
        tasks.push(Server { host: Arc::clone(host), listener, tls: None, handler }.run());
    }
    Ok(tasks)
}
