//! What the ports serve.

use super::{Component, PortsConfig};
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

const TEXT: &str = "text/plain; charset=utf-8";

/// An answer before it is sent.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) body: Bytes,
}

impl Answer {
    fn text(text: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, kind: TEXT, body: text.into() }
    }

    fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, ..Self::text("404 page not found\n") }
    }
}

/// Is the path open to everybody (`apiserver/pkg/authorization/path/path.go`)?
pub(super) fn is_open(open: &[String], path: &str) -> bool {
    let path = relative(path);
    open.iter().map(|open| relative(open)).any(|open| match open.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == open,
    })
}

fn relative(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

/// What is behind a path.
pub(super) fn answer(config: &PortsConfig, path: &str) -> Answer {
    let below =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match path {
        _ if ["/healthz", "/livez", "/readyz"].into_iter().any(below) => Answer::text("ok"),
        "/metrics" => Answer::text(metrics(config.component)),
        "/configz" => configz(config),
        _ if config.profiling && below("/debug/pprof") => profiles(config.component, path),
        _ => Answer::not_found(),
    }
}

fn metrics(component: Component) -> String {
    let name = component.name();
    format!(
        "# HELP leader_election_master_status [ALPHA] Gauge of if the reporting system is master of the relevant lease\n\
         # TYPE leader_election_master_status gauge\nleader_election_master_status{{name=\"{name}\"}} 1\n"
    )
}

/// Its own configuration, as far as this component has one.
fn configz(config: &PortsConfig) -> Answer {
    let key = match config.component {
        Component::ControllerManager => "kubecontrollermanager.config.k8s.io",
        Component::Scheduler => "kubescheduler.config.k8s.io",
    };
    let body = json!({ key: { "EnableProfiling": config.profiling } });
    Answer { kind: "application/json", ..Answer::text(body.to_string()) }
}

fn profiles(component: Component, path: &str) -> Answer {
    match path {
        "/debug/pprof/cmdline" => Answer::text(component.name()),
        "/debug/pprof" | "/debug/pprof/" => {
            let page = "<html>\n<head>\n<title>/debug/pprof/</title>\n</head>\n<body>\n/debug/pprof/\n</body>\n</html>\n";
            Answer { kind: "text/html; charset=utf-8", ..Answer::text(page) }
        }
        // No profile is taken of what has none.
        _ => Answer::not_found(),
    }
}
