//! The paths of a kubelet and what is behind them.

/// A path that a kubelet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/healthz` and its checks.
    Health,
    /// `/pods`.
    Pods,
    /// `/runningpods/`.
    RunningPods,
    /// `/metrics` and what is below.
    Metrics(Metrics),
    /// `/stats/summary`.
    Stats,
    /// `/configz`.
    Configz,
    /// `/debug/flags/v`.
    Verbosity,
    /// `/logs/` and below: what of the node's log folder.
    Logs(&'a str),
    /// `/containerLogs/{namespace}/{pod}/{container}`.
    Log { namespace: &'a str, pod: &'a str, container: &'a str },
    /// `/run/{namespace}/{pod}/{container}`, with the pod's UID before the container or not.
    Run { namespace: &'a str, pod: &'a str, uid: Option<&'a str>, container: &'a str },
    /// `/exec/…`, as `/run/…`.
    Exec(Inside<'a>),
    /// `/attach/…`, as `/run/…`.
    Attach(Inside<'a>),
    /// `/portForward/{namespace}/{pod}`, with the pod's UID or not.
    PortForward { namespace: &'a str, pod: &'a str, uid: Option<&'a str> },
    /// `/checkpoint/{namespace}/{pod}/{container}`.
    Checkpoint { namespace: &'a str, pod: &'a str, container: &'a str },
    /// A path that only its form with a slash has a handler: callers are redirected before anything
    /// else.
    WithoutSlash(&'static str),
    /// A path of a handler that this kubelet does not have: callers are judged first all the same.
    Absent,
}

/// A container of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inside<'a> {
    pub(super) namespace: &'a str,
    pub(super) pod: &'a str,
    pub(super) uid: Option<&'a str>,
    pub(super) container: &'a str,
}

/// Which metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metrics {
    /// The kubelet's own.
    Own,
    /// Those of containers (`/metrics/cadvisor`, `/metrics/resource`).
    Containers,
    /// Those of probes (`/metrics/probes`).
    Probes,
}

/// Services whose other paths are go-restful's 404.
const SERVICES: [&str; 9] = [
    "/attach",
    "/checkpoint",
    "/containerLogs",
    "/debug/pprof",
    "/exec",
    "/pods",
    "/portForward",
    "/run",
    "/stats",
];

/// What `enableDebuggingHandlers: false` answers itself (`InstallDebuggingDisabledHandlers`).
const DEBUGGING: [&str; 8] = [
    "/attach/",
    "/containerLogs/",
    "/debug/pprof/",
    "/exec/",
    "/logs/",
    "/portForward/",
    "/run/",
    "/runningpods/",
];

/// Is the path one that reaches into containers, or into the kubelet itself?
pub(super) fn is_debugging(path: &str) -> bool {
    DEBUGGING.iter().any(|prefix| path.starts_with(prefix))
}

/// Is nothing registered for the path without `enableDebuggingHandlers`
/// (`InstallAuthRequiredHandlers`)?
pub(super) fn goes_with_debugging(path: &str) -> bool {
    path == "/configz" || path.starts_with("/debug/flags/") || path.starts_with("/checkpoint")
}

impl<'a> Route<'a> {
    /// The route of a decoded path.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let exact = match path {
            "/healthz" | "/healthz/ping" | "/healthz/log" | "/healthz/syncloop" => Self::Health,
            "/pods" => Self::Pods,
            "/runningpods/" => Self::RunningPods,
            "/metrics" => Self::Metrics(Metrics::Own),
            "/metrics/cadvisor" | "/metrics/resource" => Self::Metrics(Metrics::Containers),
            "/metrics/probes" => Self::Metrics(Metrics::Probes),
            "/stats/summary" => Self::Stats,
            "/configz" => Self::Configz,
            "/debug/flags/v" => Self::Verbosity,
            "/logs" => Self::WithoutSlash("/logs/"),
            "/runningpods" => Self::WithoutSlash("/runningpods/"),
            _ => return Self::with_parameters(path),
        };
        Some(exact)
    }

    fn with_parameters(path: &'a str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix("/logs/") {
            return Some(Self::Logs(rest));
        }
        if path.starts_with("/runningpods/") {
            return Some(Self::Absent);
        }
        let service = SERVICES.iter().find(|service| {
            path.strip_prefix(**service).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })?;
        let parts: Vec<&str> = path[service.len()..].split('/').skip(1).collect();
        if parts.contains(&"") {
            return Some(Self::Absent);
        }
        Some(match (*service, parts.as_slice()) {
            ("/containerLogs", [namespace, pod, container]) => Self::Log { namespace, pod, container },
            ("/checkpoint", [namespace, pod, container]) => Self::Checkpoint { namespace, pod, container },
            ("/run", [namespace, pod, container]) => Self::Run { namespace, pod, uid: None, container },
            ("/run", [namespace, pod, uid, container]) => {
                Self::Run { namespace, pod, uid: Some(uid), container }
            }
            ("/exec", parts) => Inside::of(parts).map_or(Self::Absent, Self::Exec),
            ("/attach", parts) => Inside::of(parts).map_or(Self::Absent, Self::Attach),
            ("/portForward", [namespace, pod]) => Self::PortForward { namespace, pod, uid: None },
            ("/portForward", [namespace, pod, uid]) => Self::PortForward { namespace, pod, uid: Some(uid) },
            _ => Self::Absent,
        })
    }

    /// Does the port without authentication have it (`InstallAuthNotRequiredHandlers`)?
    pub(super) fn is_on_the_read_only_port(self) -> bool {
        matches!(self, Self::Health | Self::Pods | Self::Metrics(_) | Self::Stats)
    }
}

impl<'a> Inside<'a> {
    fn of(parts: &[&'a str]) -> Option<Self> {
        match *parts {
            [namespace, pod, container] => Some(Self { namespace, pod, uid: None, container }),
            [namespace, pod, uid, container] => Some(Self { namespace, pod, uid: Some(uid), container }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_those_of_a_kubelet() {
        let log = Route::Log { namespace: "ns", pod: "p", container: "c" };
        let inside = Inside { namespace: "ns", pod: "p", uid: None, container: "c" };
        let table = [
            ("/pods", Some(Route::Pods)),
            ("/healthz/ping", Some(Route::Health)),
            ("/containerLogs/ns/p/c", Some(log)),
            ("/containerLogs/ns/p", Some(Route::Absent)),
            ("/containerLogs/ns//c", Some(Route::Absent)),
            ("/exec/ns/p/c", Some(Route::Exec(inside))),
            ("/exec/ns/p/u/c", Some(Route::Exec(Inside { uid: Some("u"), ..inside }))),
            ("/exec/ns/p", Some(Route::Absent)),
            ("/attach/ns/p/c", Some(Route::Attach(inside))),
            ("/portForward/ns/p", Some(Route::PortForward { namespace: "ns", pod: "p", uid: None })),
            ("/portForward/ns", Some(Route::Absent)),
            ("/logs/", Some(Route::Logs(""))),
            ("/logs/pods/x", Some(Route::Logs("pods/x"))),
            ("/stats/summary", Some(Route::Stats)),
            ("/stats/", Some(Route::Absent)),
            ("/pods/", Some(Route::Absent)),
            ("/checkpoint/ns/p/c", Some(Route::Checkpoint { namespace: "ns", pod: "p", container: "c" })),
            ("/checkpoint/ns/p", Some(Route::Absent)),
            ("/runningpods", Some(Route::WithoutSlash("/runningpods/"))),
            ("/flagz", None),
            ("/healthz/other", None),
            ("/run/ns/p/c", Some(Route::Run { namespace: "ns", pod: "p", uid: None, container: "c" })),
            ("/run/ns/p/u/c", Some(Route::Run { namespace: "ns", pod: "p", uid: Some("u"), container: "c" })),
            ("/run/ns/p/", Some(Route::Absent)),
            ("/logs", Some(Route::WithoutSlash("/logs/"))),
            ("/", None),
            ("/nonexistent", None),
            ("/podsx", None),
        ];
        for (path, route) in table {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
