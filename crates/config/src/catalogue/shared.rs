//! Flags that several components have.

use super::{Effect, Kind::*, NOW, Section, paths};

/// Logging and version flags (`component-base/logs`, klog). The klog flags went with 1.26.
pub(super) const LOGGING: &[Section] = &[Section {
    effect: Effect::None,
    rows: &[
        ("add-dir-header", Bool, 17, 25),
        ("alsologtostderr", Bool, 8, 25),
        ("help", Bool, 8, NOW),
        ("experimental-logging-sanitization", Bool, 20, 23),
        ("log-backtrace-at", Text, 8, 25),
        ("log-dir", Text, 8, 25),
        ("log-file", Text, 13, 25),
        ("log-file-max-size", Int, 15, 25),
        ("log-flush-frequency", Duration, 8, NOW),
        ("log-json-info-buffer-size", Text, 21, NOW),
        ("log-json-split-stream", Bool, 21, NOW),
        ("log-text-info-buffer-size", Text, 30, NOW),
        ("log-text-split-stream", Bool, 30, NOW),
        ("logging-format", Text, 19, NOW),
        ("logtostderr", Bool, 8, 25),
        ("one-output", Bool, 20, 25),
        ("skip-headers", Bool, 13, 25),
        ("skip-log-headers", Bool, 15, 25),
        ("stderrthreshold", Text, 8, 25),
        ("v", Int, 8, NOW),
        ("version", Text, 8, NOW),
        ("vmodule", Text, 8, NOW),
    ],
}];

/// Metrics and version emulation (`component-base/metrics`, `component-base/compatibility`).
pub(super) const METRICS: &[Section] = &[
    Section {
        effect: Effect::None,
        rows: &[
            ("allow-metric-labels", Text, 21, NOW),
            ("allow-metric-labels-manifest", File, 29, NOW),
            ("disabled-metrics", List, 21, NOW),
            ("min-compatibility-version", List, 34, NOW),
            ("show-hidden-metrics-for-version", Text, 16, NOW),
        ],
    },
    Section {
        effect: Effect::Unknown {
            paths: paths::ALL,
            why: "behaves as another Kubernetes version",
            unless: &[""],
        },
        rows: &[("emulated-version", List, 31, NOW)],
    },
];

/// Leader election (`component-base/config/options`).
pub(super) const LEADER_ELECTION: &[Section] = &[Section {
    effect: Effect::None,
    rows: &[
        ("leader-elect", Bool, 8, NOW),
        ("leader-elect-lease-duration", Duration, 8, NOW),
        ("leader-elect-renew-deadline", Duration, 8, NOW),
        ("leader-elect-resource-lock", Text, 8, NOW),
        ("leader-elect-resource-name", Text, 17, NOW),
        ("leader-elect-resource-namespace", Text, 17, NOW),
        ("leader-elect-retry-period", Duration, 8, NOW),
    ],
}];

/// The HTTPS server of controller manager and scheduler (`apiserver/pkg/server/options`, secure serving and delegated
/// authentication and authorization), from 1.12 on; 1.13 for the scheduler.
pub(super) const SECOND_SERVER: &[Section] = &[
    Section {
        effect: Effect::Modelled,
        rows: &[
            ("address", Ip, 8, 23),
            ("authentication-kubeconfig", File, 12, NOW),
            ("authorization-always-allow-paths", List, 12, NOW),
            ("authorization-kubeconfig", File, 12, NOW),
            ("bind-address", Ip, 12, NOW),
            ("client-ca-file", File, 12, NOW),
            ("feature-gates", Map, 8, NOW),
            ("kubeconfig", File, 8, NOW),
            ("port", Port, 8, 23),
            ("profiling", Bool, 8, NOW),
            ("secure-port", Port, 12, NOW),
            ("tls-cert-file", File, 12, NOW),
            ("tls-private-key-file", File, 12, NOW),
        ],
    },
    Section {
        effect: Effect::None,
        rows: &[
            ("authentication-skip-lookup", Bool, 12, NOW),
            ("authentication-token-webhook-cache-ttl", Duration, 12, NOW),
            ("authentication-tolerate-lookup-failure", Bool, 14, NOW),
            ("authorization-webhook-cache-authorized-ttl", Duration, 12, NOW),
            ("authorization-webhook-cache-unauthorized-ttl", Duration, 12, NOW),
            ("cert-dir", Text, 12, NOW),
            ("contention-profiling", Bool, 8, NOW),
            ("disable-http2-serving", Bool, 31, NOW),
            ("http2-max-streams-per-connection", Int, 12, NOW),
            ("kube-api-burst", Int, 8, NOW),
            ("kube-api-content-type", Text, 8, NOW),
            ("kube-api-qps", Float, 8, NOW),
            ("permit-address-sharing", Bool, 21, NOW),
            ("permit-port-sharing", Bool, 19, NOW),
            // Nobody on the untrusted segments can hold the front proxy's key.
            ("requestheader-allowed-names", List, 12, NOW),
            ("requestheader-client-ca-file", File, 12, NOW),
            ("requestheader-extra-headers-prefix", List, 12, NOW),
            ("requestheader-group-headers", List, 12, NOW),
            ("requestheader-uid-headers", List, 32, NOW),
            ("requestheader-username-headers", List, 12, NOW),
            // TLS 1.3 everywhere: its suites and curves are not the flag's to choose.
            ("tls-cipher-suites", List, 12, NOW),
            ("tls-curve-preferences", List, 36, NOW),
            ("tls-min-version", Text, 12, NOW),
        ],
    },
    Section {
        effect: Effect::Unknown {
            paths: paths::COMPONENT,
            why: "serves further certificates by name",
            unless: &[""],
        },
        rows: &[("tls-sni-cert-key", Array, 12, NOW)],
    },
    Section {
        effect: Effect::Unknown {
            paths: paths::CONTROLLER,
            why: "overrides the kubeconfig's apiserver",
            unless: &[""],
        },
        rows: &[("master", Text, 8, NOW)],
    },
];
