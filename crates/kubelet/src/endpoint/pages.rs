//! Pages about the node and its kubelet: health, pods, metrics, statistics, configuration
//! (`InstallAuthNotRequiredHandlers` and the rest of `pkg/kubelet/server/server.go`).
//!
//! What this kubelet does not measure (processors, memory, disks) is left out, not made up.

use super::answer::Answer;
use super::files;
use super::routes::{Metrics, Route};
use crate::config::{Authorization, Serving};
use crate::state::Shared;
use http::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, StatusCode};
use ravelin_api::{Query, object};
use ravelin_transport::{Request, collect};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain";
/// A number with more digits is none.
const MAX_VERBOSITY_BYTES: usize = 32;
const HEALTHY: &str = "[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n";

/// What `enableDebuggingHandlers: false` says.
pub(super) fn disabled() -> Answer {
    Answer::text(StatusCode::METHOD_NOT_ALLOWED, "Debug endpoints are disabled.\n")
}

/// The page of a route; what is no page knows no such method.
pub(super) fn answer(shared: &Shared, route: Route<'_>, (method, query): (&Method, &str)) -> Answer {
    let gets = *method == Method::GET;
    match route {
        Route::Health if Query::parse(query).first("verbose").is_some() => {
            Answer::text(StatusCode::OK, HEALTHY)
        }
        Route::Health => Answer::text(StatusCode::OK, "ok"),
        Route::Pods if gets => Answer::json(&pod_list(shared.pods())),
        Route::RunningPods if gets => Answer::json(&pod_list(running(shared))),
        Route::Metrics(which) => Answer::of(StatusCode::OK, EXPOSITION, metrics(shared, which)),
        Route::Stats if gets || *method == Method::POST => Answer::json(&summary(shared)),
        Route::Configz => Answer::json(&json!({ "kubeletconfig": configuration(shared) }))
            .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        Route::Verbosity => Answer::of(StatusCode::NOT_ACCEPTABLE, PLAIN, "unsupported http method\n"),
        Route::Logs(path) if gets => files::serve(shared, path, query),
        Route::Run { .. } | Route::Checkpoint { .. } => Answer::method_not_allowed("POST"),
        Route::Exec(_) | Route::Attach(_) | Route::PortForward { .. } => {
            Answer::method_not_allowed("GET, POST")
        }
        Route::Stats => Answer::method_not_allowed("GET, POST"),
        Route::Pods | Route::RunningPods | Route::Log { .. } | Route::Logs(_) => {
            Answer::method_not_allowed("GET")
        }
        Route::WithoutSlash(_) | Route::Absent => Answer::no_such_route(),
    }
}

/// Sets how much is logged (`routes.StringFlagPutHandler`). Nothing here is logged by verbosity: it
/// has no effect.
pub(super) async fn set_verbosity(request: Request) -> Answer {
    let sent = collect(request.into_body(), MAX_VERBOSITY_BYTES).await.unwrap_or_default();
    let sent = String::from_utf8_lossy(&sent);
    match sent.parse::<i32>() {
        Ok(level) => {
            let text = format!("successfully set klog.logging.verbosity to {level}\n");
            Answer::of(StatusCode::OK, PLAIN, text)
        }
        Err(_) => {
            let text = format!(
                "failed set klog.logging.verbosity {sent}: strconv.ParseInt: parsing {sent:?}: invalid syntax\n"
            );
            Answer::of(StatusCode::BAD_REQUEST, PLAIN, text)
        }
    }
}

fn running(shared: &Shared) -> Vec<Value> {
    let is_running = |pod: &Value| object::text(pod, "status.phase") == "Running";
    shared.pods().into_iter().filter(is_running).collect()
}

fn pod_list(pods: Vec<Value>) -> Value {
    json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods })
}

/// One family of metrics, in the text form of Prometheus.
fn family(name: &str, (kind, help): (&str, &str), samples: &[(String, String)]) -> String {
    let mut text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    for (labels, value) in samples {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
    text
}

fn metrics(shared: &Shared, which: Metrics) -> String {
    let own = |value: String| [(String::new(), value)];
    match which {
        Metrics::Own => {
            let running = running(shared);
            let containers: usize =
                running.iter().map(|pod| object::list(pod, "spec.containers").len()).sum();
            let node = format!("{{node=\"{}\"}}", label(&shared.config.node_name));
            let of_containers = ("{container_state=\"running\"}".to_owned(), containers.to_string());
            [
                family(
                    "kubelet_node_name",
                    ("gauge", "[ALPHA] The node's name. The count is always 1."),
                    &[(node, "1".to_owned())],
                ),
                family(
                    "kubelet_running_containers",
                    ("gauge", "[BETA] Number of containers currently running"),
                    &[of_containers],
                ),
                family(
                    "kubelet_running_pods",
                    ("gauge", "[BETA] Number of pods that have a running pod sandbox"),
                    &own(running.len().to_string()),
                ),
            ]
            .concat()
        }
        Metrics::Containers => {
            let samples: Vec<(String, String)> = running(shared).iter().flat_map(started).collect();
            let help = "[STABLE] Start time of the container since unix epoch in seconds";
            family("container_start_time_seconds", ("gauge", help), &samples)
        }
        Metrics::Probes => family(
            "process_start_time_seconds",
            ("gauge", "[ALPHA] Start time of the process since unix epoch in seconds."),
            &own(shared.started.as_second().to_string()),
        ),
    }
}

/// When the containers of a pod began.
fn started(pod: &Value) -> Vec<(String, String)> {
    let of = |status: &Value| {
        let at: jiff::Timestamp = object::text(status, "state.running.startedAt").parse().ok()?;
        let labels = format!(
            "{{container=\"{}\",namespace=\"{}\",pod=\"{}\"}}",
            label(object::text(status, "name")),
            label(object::namespace(pod)),
            label(object::name(pod)),
        );
        Some((labels, at.as_second().to_string()))
    };
    object::list(pod, "status.containerStatuses").iter().filter_map(of).collect()
}

/// The value of a label.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What runs, and since when (`stats.Summary`).
fn summary(shared: &Shared) -> Value {
    let since = |object: &Value, path: &str| object::at(object, path).cloned().unwrap_or(Value::Null);
    let container = |status: &Value| json!({ "name": status["name"], "startTime": since(status, "state.running.startedAt") });
    let pod = |pod: &Value| {
        let containers: Vec<Value> =
            object::list(pod, "status.containerStatuses").iter().map(container).collect();
        json!({
            "podRef": { "name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"],
                "uid": pod["metadata"]["uid"] },
            "startTime": since(pod, "status.startTime"),
            "containers": containers,
        })
    };
    let pods: Vec<Value> = running(shared).iter().map(pod).collect();
    let node = json!({ "nodeName": shared.config.node_name, "startTime": ravelin_api::time::format(shared.started) });
    json!({ "node": node, "pods": pods })
}

/// The configuration, as far as this kubelet has it (`KubeletConfiguration`).
fn configuration(shared: &Shared) -> Value {
    let config = &shared.config;
    let seconds = |duration: Duration| format!("{}s", duration.as_secs());
    json!({
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "enableServer": config.enable_server,
        "address": config.address,
        "port": config.port,
        "readOnlyPort": config.read_only_port.unwrap_or(0),
        "serverTLSBootstrap": matches!(config.serving, Serving::Bootstrap),
        "rotateCertificates": config.rotate_certificates,
        "authentication": {
            "anonymous": { "enabled": config.authentication.anonymous },
            "webhook": {
                "enabled": config.authentication.webhook,
                "cacheTTL": seconds(config.caches.token),
            },
            "x509": {},
        },
        "authorization": {
            "mode": match config.authorization {
                Authorization::AlwaysAllow => "AlwaysAllow",
                Authorization::Webhook => "Webhook",
            },
            "webhook": {
                "cacheAuthorizedTTL": seconds(config.caches.authorized),
                "cacheUnauthorizedTTL": seconds(config.caches.unauthorized),
            },
        },
        "enableDebuggingHandlers": config.debugging_handlers,
        "streamingConnectionIdleTimeout": seconds(config.streaming_idle_timeout),
        "nodeLeaseDurationSeconds": config.lease_duration_seconds,
        "nodeStatusUpdateFrequency": config.status_update_interval.map(seconds),
        "nodeStatusReportFrequency": seconds(config.status_report_interval),
        "registerNode": config.register_node,
        "syncFrequency": config.sync_interval.map(seconds),
    })
}
