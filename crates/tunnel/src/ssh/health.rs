//! What the apiserver shows of its tunnels: a health check and metrics, under the names that
//! Kubernetes gave them (`pkg/master/tunneler/ssh.go`, `pkg/ssh/ssh.go`).
//!
//! The original's check also fails where no key was installed through a cloud provider for ten
//! minutes, which restarts apiservers that have none (kubernetes/kubernetes issue 39585). Here keys
//! are installed by whoever installs the nodes, so nothing of the kind can be late.

use ravelin_transport::egress::HealthCheck;
use ravelin_transport::metrics::{Family, Kind, number};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How old the last list of nodes may be.
const MAX_LAG: Duration = Duration::from_secs(600);

/// What is counted.
#[derive(Debug)]
pub(super) struct Health {
    /// When nodes were last listed; at first, when the tunneler was started.
    synchronized: Mutex<Instant>,
    opened: AtomicU64,
    failed: AtomicU64,
}

impl Health {
    pub(super) fn new() -> Self {
        let synchronized = Mutex::new(Instant::now());
        Self { synchronized, opened: AtomicU64::new(0), failed: AtomicU64::new(0) }
    }

    /// Nodes were listed.
    pub(super) fn synchronize(&self) {
        *super::lock(&self.synchronized) = Instant::now();
    }

    /// A tunnel was tried.
    pub(super) fn tried(&self, opened: bool) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        if !opened {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lag(&self) -> Duration {
        super::lock(&self.synchronized).elapsed()
    }

    pub(super) fn checks(&self) -> Vec<HealthCheck> {
        let lag = self.lag();
        let late = || format!("Tunnel sync is taking to long: {}", lag.as_secs());
        let outcome = if lag > MAX_LAG { Err(late()) } else { Ok(()) };
        vec![HealthCheck { name: "SSH Tunnel Check", outcome }]
    }

    pub(super) fn metrics(&self) -> Vec<Family> {
        let count = |counter: &AtomicU64| number(counter.load(Ordering::Relaxed));
        let lag = number(self.lag().as_secs());
        vec![
            Family::single(
                "apiserver_proxy_tunnel_sync_duration_seconds",
                Kind::Gauge,
                "[ALPHA] The time since the last successful synchronization of the SSH tunnels for proxy requests.",
                lag,
            ),
            Family::single(
                "apiserver_proxy_tunnel_sync_latency_secs",
                Kind::Gauge,
                "[ALPHA] (Deprecated) The time since the last successful synchronization of the SSH tunnels for proxy requests.",
                lag,
            ),
            Family::single(
                "ssh_tunnel_open_count",
                Kind::Counter,
                "[ALPHA] Counter of ssh tunnel total open attempts",
                count(&self.opened),
            ),
            Family::single(
                "ssh_tunnel_open_fail_count",
                Kind::Counter,
                "[ALPHA] Counter of ssh tunnel failed open attempts",
                count(&self.failed),
            ),
        ]
    }
}
