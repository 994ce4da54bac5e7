//! What is counted, under the originals' names (`pkg/server/metrics`, `pkg/agent/metrics`,
//! `konnectivity-client/pkg/client/metrics`).

use ravelin_transport::metrics::{Family, Histogram, Kind, number};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Labels and their values.
pub(super) type Labels = Vec<(&'static str, String)>;

/// A family as it is declared.
pub(super) struct Declared {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    /// A histogram's bounds.
    pub(super) bounds: &'static [f64],
    /// Shown as 0 before anything was counted?
    pub(super) from_zero: bool,
}

const fn declared(name: &'static str, kind: Kind, help: &'static str) -> Declared {
    Declared { name, kind, help, bounds: &[], from_zero: false }
}

const fn histogram(name: &'static str, help: &'static str, bounds: &'static [f64]) -> Declared {
    Declared { name, kind: Kind::Histogram, help, bounds, from_zero: false }
}

const fn from_zero(name: &'static str, kind: Kind, help: &'static str) -> Declared {
    Declared { name, kind, help, bounds: &[], from_zero: true }
}

const STREAM_PACKETS: &str =
    "Count of packets processed, by segment and packet type (example: from_client, DIAL_REQ)";
const STREAM_ERRORS: &str = "Count of gRPC stream errors, by segment, grpc Code, packet type. (example: \
                             from_agent, Code.Unavailable, DIAL_RSP)";
const DIAL_DURATION: &str = "Latency of dial to the remote endpoint in seconds";

/// `konnectivity_network_proxy_server_…`
pub(super) const SERVER: &[Declared] = &[
    histogram(
        "dial_duration_seconds",
        DIAL_DURATION,
        &[0.000_001, 0.000_01, 0.000_1, 0.005, 0.025, 0.1, 0.5, 2.5, 12.5],
    ),
    histogram(
        "frontend_write_duration_seconds",
        "Latency of write to the frontend in seconds",
        &[0.000_001, 0.000_01, 0.000_1, 0.005, 0.025, 0.1, 0.5, 2.5, 12.5],
    ),
    histogram(
        "connection_duration_seconds",
        "Duration in seconds a proxied end-to-end connection was established (post-dial) before being closed.",
        &[1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0, 43200.0, 86400.0],
    ),
    declared(
        "grpc_connections",
        Kind::Gauge,
        "Number of current grpc connections, partitioned by service method.",
    ),
    from_zero("http_connections", Kind::Gauge, "Number of current HTTP CONNECT connections"),
    from_zero(
        "ready_backend_connections",
        Kind::Gauge,
        "Number of konnectivity agent connected to the proxy server. DEPRECATED, please use ready_backends",
    ),
    declared("ready_backends", Kind::Gauge, "Number of konnectivity agent connected to the proxy server"),
    from_zero("pending_backend_dials", Kind::Gauge, "Current number of pending backend dial requests"),
    from_zero(
        "established_connections",
        Kind::Gauge,
        "Current number of established end-to-end connections (post-dial).",
    ),
    declared(
        "full_receive_channels",
        Kind::Gauge,
        "Number of current connections blocked by a full receive channel, partitioned by service method.",
    ),
    declared(
        "dial_failure_count",
        Kind::Counter,
        "Number of dial failures observed. Multiple failures can occur for a single dial request.",
    ),
    declared("stream_packets_total", Kind::Counter, STREAM_PACKETS),
    declared("stream_errors_total", Kind::Counter, STREAM_ERRORS),
];

/// `konnectivity_network_proxy_agent_…`
pub(super) const AGENT: &[Declared] = &[
    histogram("dial_duration_seconds", DIAL_DURATION, &[0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0]),
    declared(
        "server_connection_failure_count",
        Kind::Counter,
        "Count of failures to send to or receive from the proxy server, labeled by the direction (from_server \
         or to_server). DEPRECATED, please use stream_events_error_total",
    ),
    declared(
        "endpoint_dial_failure_total",
        Kind::Counter,
        "Number of failures dialing the remote endpoint, by reason (example: timeout).",
    ),
    from_zero("open_server_connections", Kind::Gauge, "Current number of open server connections."),
    from_zero("known_server_count", Kind::Gauge, "Current number of servers agent is trying to connect to."),
    from_zero("open_endpoint_connections", Kind::Gauge, "Current number of open endpoint connections."),
    declared("stream_packets_total", Kind::Counter, STREAM_PACKETS),
    declared("stream_errors_total", Kind::Counter, STREAM_ERRORS),
];

/// `konnectivity_network_proxy_client_…`
pub(super) const CLIENT: &[Declared] = &[
    declared("stream_packets_total", Kind::Counter, STREAM_PACKETS),
    declared("stream_errors_total", Kind::Counter, STREAM_ERRORS),
    declared(
        "dial_failure_total",
        Kind::Counter,
        "Number of dial failures observed, by reason (example: remote endpoint error)",
    ),
    declared(
        "client_connections",
        Kind::Gauge,
        "Number of open client connections, by status (Example: dialing)",
    ),
];

/// The numbers of one component.
pub(super) struct Metrics {
    prefix: &'static str,
    families: &'static [Declared],
    numbers: Mutex<Numbers>,
}

#[derive(Default)]
struct Numbers {
    plain: BTreeMap<(&'static str, Labels), i64>,
    histograms: BTreeMap<&'static str, Histogram>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Metrics({})", self.prefix)
    }
}

impl Metrics {
    pub(super) fn new(prefix: &'static str, families: &'static [Declared]) -> Self {
        Self { prefix, families, numbers: Mutex::default() }
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to a counter or a gauge.
    pub(super) fn add(&self, name: &'static str, labels: &[(&'static str, &str)], change: i64) {
        let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        *self.numbers().plain.entry((name, labels)).or_default() += change;
    }

    /// Sets a gauge.
    pub(super) fn set(&self, name: &'static str, labels: &[(&'static str, &str)], value: usize) {
        let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        self.numbers().plain.insert((name, labels), i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// Counts an observation.
    pub(super) fn observe(&self, name: &'static str, took: Duration) {
        let bounds = self.families.iter().find(|family| family.name == name).map_or(&[][..], |f| f.bounds);
        let mut numbers = self.numbers();
        let found = numbers.histograms.entry(name).or_insert_with(|| Histogram::new(bounds));
        found.observe(took.as_secs_f64());
    }

    /// All families that have numbers.
    pub(super) fn families(&self) -> Vec<Family> {
        let numbers = self.numbers();
        let mut all = Vec::new();
        for Declared { name, kind, help, from_zero, .. } in self.families {
            let mut family = Family::new(format!("{}_{name}", self.prefix), *kind, help);
            for ((of, labels), value) in &numbers.plain {
                if of == name {
                    let size = number(value.unsigned_abs());
                    family = family.with(labels.clone(), if *value < 0 { -size } else { size });
                }
            }
            if let Some(histogram) = numbers.histograms.get(name) {
                family = family.with_histogram(&[], histogram);
            }
            if family.samples.is_empty() && *from_zero {
                family = family.with(Vec::new(), 0.0);
            }
            all.push(family);
        }
        all
    }
}

/// One direction of a call, for counting.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) metrics: std::sync::Arc<Metrics>,
    /// `from_client`, `to_client`, `from_agent` or `to_agent`.
    pub(super) name: &'static str,
}

impl Segment {
    pub(super) fn packet(&self, kind: &str) {
        self.metrics.add("stream_packets_total", &[("segment", self.name), ("packet_type", kind)], 1);
    }

    pub(super) fn error(&self, code: &str) {
        let labels = [("segment", self.name), ("code", code), ("packet_type", "Unknown")];
        self.metrics.add("stream_errors_total", &labels, 1);
    }
}

/// One more of something, until this is dropped.
pub(super) struct Counted {
    metrics: std::sync::Arc<Metrics>,
    name: &'static str,
    labels: Labels,
}

impl Counted {
    pub(super) fn new(
        metrics: &std::sync::Arc<Metrics>,
        name: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Self {
        metrics.add(name, labels, 1);
        let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        Self { metrics: std::sync::Arc::clone(metrics), name, labels }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let labels: Vec<(&'static str, &str)> =
            self.labels.iter().map(|(label, value)| (*label, value.as_str())).collect();
        self.metrics.add(self.name, &labels, -1);
    }
}
