//! The flags of konnectivity's server and agent (`cmd/{server,agent}/app/options/options.go` of
//! kubernetes-sigs/apiserver-network-proxy), with the first version of theirs that has them: 31_001 is v0.31.1.

use super::{Effect, Kind::*, Section, paths};

/// Stands for "still there" in the column of the last version.
const NOW: u32 = u32::MAX;
const TLS_VERSIONS: &[&str] = &["VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"];

/// konnectivity-server (`proxy-server`).
pub(super) const SERVER: &[Section] = &[
    Section {
        effect: Effect::Modelled,
        rows: &[
            ("admin-bind-address", Text, 33, NOW),
            ("admin-port", Port, 9, NOW),
            ("agent-bind-address", Text, 33, NOW),
            ("agent-namespace", Text, 9, NOW),
            ("agent-port", Port, 9, NOW),
            ("agent-service-account", Text, 9, NOW),
            ("authentication-audience", Text, 9, NOW),
            ("backend-dial-timeout", Duration, 36_000, NOW),
            ("cluster-ca-cert", File, 9, NOW),
            ("cluster-cert", File, 9, NOW),
            ("cluster-key", File, 9, NOW),
            ("enable-lease-controller", Bool, 31_000, NOW),
            ("frontend-keepalive-time", Duration, 20, NOW),
            ("health-bind-address", Text, 33, NOW),
            ("health-port", Port, 9, NOW),
            ("keepalive-time", Duration, 14, NOW),
            ("kubeconfig", File, 9, NOW),
            ("lease-label", Text, 31_001, NOW),
            ("lease-namespace", Text, 31_001, NOW),
            ("mode", One(&["grpc", "http-connect"]), 9, NOW),
            ("proxy-strategies", Many(&["default", "destHost", "defaultRoute"]), 15, NOW),
            ("server-bind-address", Text, 33, NOW),
            ("server-ca-cert", File, 9, NOW),
            ("server-cert", File, 9, NOW),
            ("server-count", Int, 9, NOW),
            ("server-id", Text, 9, NOW),
            ("server-key", File, 9, NOW),
            ("server-port", Port, 9, NOW),
            ("uds-name", File, 9, NOW),
        ],
    },
    Section {
        effect: Effect::Unknown {
            paths: paths::COMPONENT,
            why: "serves profiles on the admin port",
            unless: &["false"],
        },
        rows: &[("enable-profiling", Bool, 11, NOW), ("enable-contention-profiling", Bool, 11, NOW)],
    },
    Section {
        effect: Effect::None,
        rows: &[
            // TLS 1.3 everywhere: neither it nor its suites are the flags' to choose.
            ("cipher-suites", List, 26, NOW),
            ("delete-existing-uds-file", Bool, 11, NOW),
            // What is open at the end of a run is cut with it.
            ("graceful-shutdown-timeout", Duration, 35_000, NOW),
            ("kube-api-content-type", Text, 31_000, NOW),
            ("kubeconfig-burst", Int, 16, NOW),
            ("kubeconfig-qps", Float, 16, NOW),
            ("tls-min-version", One(TLS_VERSIONS), 35_000, NOW),
            // Flow control is HTTP/2's here, connection by connection.
            ("xfr-channel-size", Int, 31_000, NOW),
            ("warn-on-channel-limit", Bool, 25, NOW),
        ],
    },
];

/// konnectivity-agent (`proxy-agent`).
pub(super) const AGENT: &[Section] = &[
    Section {
        effect: Effect::Modelled,
        rows: &[
            ("admin-bind-address", Text, 34, NOW),
            ("admin-server-port", Port, 7, NOW),
            ("agent-cert", File, 4, NOW),
            ("agent-id", Text, 4, NOW),
            ("agent-identifiers", Text, 15, NOW),
            ("agent-key", File, 4, NOW),
            ("ca-cert", File, 4, NOW),
            ("count-server-leases", Bool, 31_000, NOW),
            ("health-server-host", Text, 28, NOW),
            ("health-server-port", Port, 7, NOW),
            ("keepalive-time", Duration, 25, NOW),
            ("kubeconfig", File, 31_000, NOW),
            ("lease-label", Text, 31_001, NOW),
            ("lease-label-selector", Text, 36_000, NOW),
            ("lease-namespace", Text, 31_001, NOW),
            ("probe-interval", Duration, 4, NOW),
            ("proxy-server-host", Text, 4, NOW),
            ("proxy-server-port", Port, 4, NOW),
            ("server-count-source", One(&["default", "max"]), 31_001, NOW),
            ("service-account-token-path", File, 5, NOW),
            ("sync-forever", Bool, 27, NOW),
            ("sync-interval", Duration, 4, NOW),
            ("sync-interval-cap", Duration, 17, NOW),
        ],
    },
    Section {
        effect: Effect::Unknown {
            paths: paths::COMPONENT,
            why: "serves profiles on the admin port",
            unless: &["false"],
        },
        rows: &[("enable-profiling", Bool, 17, NOW), ("enable-contention-profiling", Bool, 17, NOW)],
    },
    Section {
        effect: Effect::None,
        rows: &[
            // It tells connections apart for whoever passes them on.
            ("alpn-proto", List, 17, NOW),
            ("kube-api-content-type", Text, 31_000, NOW),
            // Reconnecting was the agent's own business until v0.0.11.
            ("reconnect-interval", Duration, 4, 10),
            ("warn-on-channel-limit", Bool, 25, NOW),
            ("xfr-channel-size", Int, 31_000, NOW),
        ],
    },
];

/// The logging flags of klog and pflag, which both have in every version.
pub(super) const LOGGING: &[Section] = &[Section {
    effect: Effect::None,
    rows: &[
        ("add-dir-header", Bool, 0, NOW),
        ("alsologtostderr", Bool, 0, NOW),
        ("alsologtostderrthreshold", Text, 0, NOW),
        ("help", Bool, 0, NOW),
        ("legacy-stderr-threshold-behavior", Bool, 0, NOW),
        ("log-backtrace-at", Text, 0, NOW),
        ("log-dir", Text, 0, NOW),
        ("log-file", Text, 0, NOW),
        ("log-file-max-size", Int, 0, NOW),
        ("logtostderr", Bool, 0, NOW),
        ("one-output", Bool, 0, NOW),
        ("skip-headers", Bool, 0, NOW),
        ("skip-log-headers", Bool, 0, NOW),
        ("stderrthreshold", Text, 0, NOW),
        ("v", Int, 0, NOW),
        ("version", Text, 0, NOW),
        ("vmodule", Text, 0, NOW),
    ],
}];
