//! The proxy's two plain ports: health for load balancers, and metrics
//! (`cmd/kube-proxy/app/server.go`).

use crate::health::{Answer, Health, State};
use crate::start::Proxy;
use async_trait::async_trait;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use ravelin_client::Reflector;
use ravelin_host::{Endpoint, HostRef, Task};
use ravelin_transport::{Handler, PeerInfo, Request, Response, Server, body};
use std::net::SocketAddr;
use std::sync::Arc;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Where a proxy answers, and what it says of itself.
#[derive(Clone, Debug)]
pub struct PortsConfig {
    /// `healthzBindAddress`, to everybody; `None`: nowhere.
    pub healthz: Option<SocketAddr>,
    /// `metricsBindAddress`, to everybody; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// What `/proxyMode` answers.
    pub mode: &'static str,
}

/// A proxy's open ports; they close when this is dropped.
#[derive(Debug)]
pub struct ProxyPorts {
    _tasks: Vec<Task>,
}

impl ProxyPorts {
    /// Opens a proxy's ports.
    ///
    /// # Errors
    /// Where one cannot be listened on.
    pub async fn open(host: &HostRef, proxy: &Proxy, config: PortsConfig) -> std::io::Result<Self> {
        let nodes = Reflector::new(proxy.client.clone(), "/api/v1/nodes")
            .with_parameters(&[("fieldSelector", &format!("metadata.name={}", host.name()))]);
        let judging = judge(nodes.store(), Arc::clone(&proxy.health));
        let mut tasks = vec![host.spawn("proxy.node", Box::pin(judging)), nodes.run()];
        let healthz: Arc<dyn Handler> = Arc::new(Healthz(host.clone(), Arc::clone(&proxy.health)));
        let metrics: Arc<dyn Handler> = Arc::new(Metrics(config.mode, Arc::clone(&proxy.health)));
        for (address, handler) in [(config.healthz, healthz), (config.metrics, metrics)] {
            let Some(address) = address else { continue };
            let listener = host.listen(&Endpoint::Tcp(address)).await?;
            tasks.push(Server { host: host.clone(), listener, tls: None, handler }.run());
        }
        Ok(Self { _tasks: tasks })
    }
}

/// Follows the proxy's node.
async fn judge(mut nodes: ravelin_client::Store, health: Arc<Health>) {
    loop {
        if let Some(node) = nodes.objects().values().next() {
            health.node(node);
        }
        if !nodes.changed().await {
            return;
        }
    }
}

struct Healthz(HostRef, Arc<Health>);

#[async_trait]
impl Handler for Healthz {
    async fn handle(&self, request: Request, _: &PeerInfo) -> Response {
        let now = self.0.now();
        let Answer { healthy, body } = match request.uri().path() {
            "/healthz" => self.1.healthz(now),
            "/livez" => self.1.livez(now),
            _ => return not_found(),
        };
        let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        respond(status, JSON, body)
    }
}

struct Metrics(&'static str, Arc<Health>);

#[async_trait]
impl Handler for Metrics {
    async fn handle(&self, request: Request, _: &PeerInfo) -> Response {
        match request.uri().path() {
            "/healthz" => respond(StatusCode::OK, TEXT, "ok".to_owned()),
            "/proxyMode" => respond(StatusCode::OK, TEXT, self.0.to_owned()),
            "/metrics" => respond(StatusCode::OK, TEXT, metrics(&self.1.snapshot())),
            _ => not_found(),
        }
    }
}

/// The metrics that have a meaning here, under the names of `pkg/proxy/metrics/metrics.go`.
fn metrics(state: &State) -> String {
    let seconds = |time: Option<jiff::Timestamp>| time.map_or(0, jiff::Timestamp::as_second);
    let mut text = String::new();
    let mut add = |name: &str, (kind, help): (&str, &str), values: &[(&str, String)]| {
        text += &format!("# HELP {name} [ALPHA] {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in values {
            text += &format!("{name}{labels} {value}\n");
        }
    };
    let counted =
        |[good, bad]: [u64; 2]| [("{code=\"200\"}", good.to_string()), ("{code=\"503\"}", bad.to_string())];
    add(
        "kubeproxy_proxy_healthz_total",
        ("counter", "Cumulative proxy healthz HTTP status"),
        &counted(state.healthz),
    );
    add(
        "kubeproxy_proxy_livez_total",
        ("counter", "Cumulative proxy livez HTTP status"),
        &counted(state.livez),
    );
    add(
        "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
        ("gauge", "The last time a sync of proxy rules was queued"),
        &[("", seconds(state.last_queued).to_string())],
    );
    add(
        "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
        ("gauge", "The last time proxy rules were successfully synced"),
        &[("", seconds(state.last_updated).to_string())],
    );
    add(
        "ravelin_proxy_service_addresses",
        ("gauge", "Addresses and ports of services in the table"),
        &[("", state.addresses.to_string())],
    );
    text
}

fn not_found() -> Response {
    respond(StatusCode::NOT_FOUND, TEXT, "404 page not found\n".to_owned())
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
