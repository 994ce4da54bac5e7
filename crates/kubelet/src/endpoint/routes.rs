//! The paths of a kubelet and what is behind them.

use super::Answer;
use crate::state::Shared;
use http::{Method, StatusCode};
use ravelin_api::object;
use ravelin_runtime::LogOptions;
use serde_json::json;

/// A path that a kubelet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/healthz` and below.
    Health,
    /// `/pods`.
    Pods,
    /// `/runningpods/`.
    RunningPods,
    /// `/metrics`.
    Metrics,
    /// `/containerLogs/{namespace}/{pod}/{container}`.
    Log { namespace: &'a str, pod: &'a str, container: &'a str },
    /// `/run/{namespace}/{pod}/{container}`, with the pod's UID before the container or not.
    Run { namespace: &'a str, pod: &'a str, uid: Option<&'a str>, container: &'a str },
    /// `/logs`, which upstream redirects before anything else.
    LogsWithoutSlash,
    /// A path of a handler that this kubelet does not have: callers are judged first all the same.
    Absent,
}

/// What else upstream's kubelet handles.
const ABSENT: [&str; 11] = [
    "/attach/",
    "/checkpoint/",
    "/configz",
    "/containerLogs/",
    "/debug/",
    "/exec/",
    "/logs/",
    "/metrics/",
    "/portForward/",
    "/run/",
    "/stats/",
];

/// What `enableDebuggingHandlers: false` takes away (`InstallDebuggingDisabledHandlers`).
const DEBUGGING: [&str; 7] =
    ["/attach/", "/containerLogs/", "/debug/", "/exec/", "/logs/", "/portForward/", "/run/"];

impl<'a> Route<'a> {
    /// Does it reach into containers, or into the kubelet itself?
    pub(super) fn is_debugging(self, path: &str) -> bool {
        self == Self::RunningPods || DEBUGGING.iter().any(|prefix| path.starts_with(prefix))
    }

    /// The route of a decoded path.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        match path {
            "/healthz" | "/healthz/ping" | "/healthz/log" | "/healthz/syncloop" => return Some(Self::Health),
            "/pods" => return Some(Self::Pods),
            "/runningpods" | "/runningpods/" => return Some(Self::RunningPods),
            "/metrics" => return Some(Self::Metrics),
            "/logs" => return Some(Self::LogsWithoutSlash),
            _ => {}
        }
        if let Some(rest) = path.strip_prefix("/containerLogs/") {
            let mut parts = rest.split('/');
            if let (Some(namespace), Some(pod), Some(container), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
                && ![namespace, pod, container].contains(&"")
            {
                return Some(Self::Log { namespace, pod, container });
            }
        }
        if let Some(rest) = path.strip_prefix("/run/") {
            let parts: Vec<&str> = rest.split('/').collect();
            match parts[..] {
                _ if parts.contains(&"") => {}
                [namespace, pod, container] => {
                    return Some(Self::Run { namespace, pod, uid: None, container });
                }
                [namespace, pod, uid, container] => {
                    return Some(Self::Run { namespace, pod, uid: Some(uid), container });
                }
                _ => {}
            }
        }
        ABSENT.iter().any(|prefix| path.starts_with(prefix)).then_some(Self::Absent)
    }
}

/// The answers that need nothing but the route.
pub(super) fn open(shared: &Shared, route: Route<'_>, method: &Method) -> Answer {
    if route == Route::Absent {
        return Answer::text(StatusCode::NOT_FOUND, "404: Page Not Found");
    }
    if matches!(route, Route::Run { .. }) {
        return Answer::method_not_allowed("POST");
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Answer::method_not_allowed("GET");
    }
    match route {
        Route::Health => Answer::text(StatusCode::OK, "ok"),
        Route::Pods => Answer::json(&pod_list(shared.pods())),
        Route::RunningPods => {
            let running =
                shared.pods().into_iter().filter(|pod| object::text(pod, "status.phase") == "Running");
            Answer::json(&pod_list(running.collect()))
        }
        Route::Metrics => Answer::text(StatusCode::OK, metrics(shared)),
        Route::Log { .. } | Route::Run { .. } | Route::LogsWithoutSlash | Route::Absent => {
            Answer::method_not_allowed("GET")
        }
    }
}

fn pod_list(pods: Vec<serde_json::Value>) -> serde_json::Value {
    json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods })
}

fn metrics(shared: &Shared) -> String {
    let pods = shared.pods().len();
    format!(
        "# HELP kubelet_running_pods [BETA] Number of pods that have a running pod sandbox\n\
         # TYPE kubelet_running_pods gauge\nkubelet_running_pods {pods}\n"
    )
}

/// A container's log.
pub(super) async fn log(
    shared: &Shared,
    (namespace, name, container): (&str, &str, &str),
    query: &str,
) -> Answer {
    let Some(options) = options(query) else {
        let text = r#"{"message": "Invalid request."}"#;
        return Answer::text(StatusCode::UNPROCESSABLE_ENTITY, text);
    };
    let Some(pod) = shared.pod(namespace, name) else {
        return Answer::text(StatusCode::NOT_FOUND, format!("pod {name:?} does not exist"));
    };
    let exists = object::list(&pod, "spec.containers").iter().any(|one| one["name"] == container);
    if !exists {
        let text = format!("container {container:?} not found in pod {name:?}");
        return Answer::text(StatusCode::NOT_FOUND, text);
    }
    match shared.config.runtime.logs(object::uid(&pod), container, &options).await {
        Ok(log) => Answer::text(StatusCode::OK, log),
        Err(_) => {
            let text =
                format!("container {container:?} in pod {name:?} is waiting to start: ContainerCreating");
            Answer::text(StatusCode::BAD_REQUEST, text)
        }
    }
}

/// The options of a log request; `None` where one cannot be honoured.
fn options(query: &str) -> Option<LogOptions> {
    let mut options = LogOptions::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "limitBytes" => options.limit_bytes = Some(value.parse().ok().filter(|bytes| *bytes > 0)?),
            "tailLines" => options.tail_lines = Some(value.parse().ok()?),
            "timestamps" => options.timestamps = value.parse().ok()?,
            // One way to answer: the log as it is now, of the container that runs now.
            "follow" | "previous" if value == "false" => {}
            "follow" | "previous" | "sinceSeconds" | "sinceTime" => return None,
            _ => {}
        }
    }
    Some(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_those_of_a_kubelet() {
        let log = Route::Log { namespace: "ns", pod: "p", container: "c" };
        let table = [
            ("/pods", Some(Route::Pods)),
            ("/healthz/ping", Some(Route::Health)),
            ("/containerLogs/ns/p/c", Some(log)),
            ("/containerLogs/ns/p", Some(Route::Absent)),
            ("/containerLogs/ns//c", Some(Route::Absent)),
            ("/exec/ns/p/c", Some(Route::Absent)),
            ("/run/ns/p/c", Some(Route::Run { namespace: "ns", pod: "p", uid: None, container: "c" })),
            ("/run/ns/p/u/c", Some(Route::Run { namespace: "ns", pod: "p", uid: Some("u"), container: "c" })),
            ("/run/ns/p/", Some(Route::Absent)),
            ("/logs", Some(Route::LogsWithoutSlash)),
            ("/", None),
            ("/nonexistent", None),
            ("/podsx", None),
        ];
        for (path, route) in table {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn log_options_that_cannot_be_honoured_are_refused() {
        let parsed = options("limitBytes=7&tailLines=2&timestamps=true&other=1").unwrap();
        assert_eq!(parsed, LogOptions { limit_bytes: Some(7), tail_lines: Some(2), timestamps: true });
        for bad in
            ["limitBytes=0", "limitBytes=-1", "limitBytes=", "tailLines=x", "follow=true", "sinceSeconds=3"]
        {
            assert_eq!(options(bad), None, "{bad}");
        }
    }
}
