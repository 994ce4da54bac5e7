//! Whether a proxy does its work (`ProxyHealthServer` of `pkg/proxy/healthcheck/proxy_health.go`).

use jiff::Timestamp;
use ravelin_api::object;
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// With this taint the cluster autoscaler says that it will delete a node.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
/// A change that waits longer than this to be in the table is overdue (twice the default
/// `iptables.syncPeriod`).
const OVERDUE: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// What a proxy did, and when.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<State>);

#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// The oldest change that is not in the table yet.
    pending: Option<Timestamp>,
    pub(crate) last_queued: Option<Timestamp>,
    pub(crate) last_updated: Option<Timestamp>,
    /// Is the node to be deleted?
    ending: bool,
    /// How many services' addresses the table has.
    pub(crate) addresses: usize,
    /// Answers of `/healthz` and `/livez` that were good and bad.
    pub(crate) healthz: [u64; 2],
    pub(crate) livez: [u64; 2],
}

/// What a health endpoint answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) healthy: bool,
    pub(crate) body: String,
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> State {
        self.state().clone()
    }

    /// Something changed that is not in the table yet.
    pub(crate) fn queued(&self, now: Timestamp) {
        let mut state = self.state();
        state.last_queued = Some(now);
        state.pending.get_or_insert(now);
    }

    /// The table is as it should be, with so many addresses.
    pub(crate) fn updated(&self, now: Timestamp, addresses: usize) {
        let mut state = self.state();
        (state.pending, state.last_updated, state.addresses) = (None, Some(now), addresses);
    }

    /// Judges the proxy's node.
    pub(crate) fn node(&self, node: &Value) {
        let taints = object::list(node, "spec.taints");
        let ending = !object::text(node, "metadata.deletionTimestamp").is_empty()
            || taints.iter().any(|taint| object::text(taint, "key") == TO_BE_DELETED);
        self.state().ending = ending;
    }

    /// Does the proxy work, and should its node get connections from outside?
    pub(crate) fn healthz(&self, now: Timestamp) -> Answer {
        let mut state = self.state();
        let healthy = state.is_current(now) && !state.ending;
        state.healthz[usize::from(!healthy)] += 1;
        let (last, now) = state.times(healthy, now);
        let eligible = !state.ending;
        let body = format!(
            "{{\"lastUpdated\": \"{last}\",\"currentTime\": \"{now}\", \"nodeEligible\": {eligible}}}"
        );
        Answer { healthy, body }
    }

    /// Does the proxy work?
    pub(crate) fn livez(&self, now: Timestamp) -> Answer {
        let mut state = self.state();
        let healthy = state.is_current(now);
        state.livez[usize::from(!healthy)] += 1;
        let (last, now) = state.times(healthy, now);
        Answer { healthy, body: format!("{{\"lastUpdated\": \"{last}\",\"currentTime\": \"{now}\"}}") }
    }
}

impl State {
    fn is_current(&self, now: Timestamp) -> bool {
        self.pending.is_none_or(|since| now.duration_since(since) < OVERDUE)
    }

    /// The time of the last update, which is that of the answer while all is well, and the latter.
    fn times(&self, healthy: bool, now: Timestamp) -> (String, String) {
        let last = if healthy { Some(now) } else { self.last_updated };
        (last.map_or_else(|| "0001-01-01 00:00:00 +0000 UTC".to_owned(), written), written(now))
    }
}

/// As Go's `time.Time.String` writes it.
fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn after(seconds: i64) -> Timestamp {
        Timestamp::constant(1_767_225_600, 0) + jiff::SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_proxy_is_unhealthy_once_a_change_waited_for_a_minute() {
        let health = Health::default();
        assert!(health.healthz(after(0)).healthy, "while it starts");
        health.updated(after(1), 3);
        health.queued(after(10));
        health.queued(after(60));
        assert!(health.livez(after(69)).healthy);
        let late = health.healthz(after(70));
        let expected = "{\"lastUpdated\": \"2026-01-01 00:00:01 +0000 UTC\",\
             \"currentTime\": \"2026-01-01 00:01:10 +0000 UTC\", \"nodeEligible\": true}";
        assert_eq!((late.healthy, late.body.as_str()), (false, expected));
        health.updated(after(71), 3);
        assert!(health.healthz(after(999)).healthy);
        assert_eq!((health.snapshot().healthz, health.snapshot().livez), ([2, 1], [1, 0]));
    }

    #[test]
    fn a_node_that_is_to_be_deleted_is_not_eligible_but_its_proxy_lives() {
        let deleted = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        let tainted = json!({"spec": {"taints": [{"key": TO_BE_DELETED}]}});
        let other = json!({"spec": {"taints": [{"key": "node.kubernetes.io/not-ready"}]}});
        for (node, eligible) in [(&deleted, false), (&tainted, false), (&other, true)] {
            let health = Health::default();
            health.node(node);
            let answer = health.healthz(after(0));
            assert_eq!(answer.healthy, eligible, "{node}");
            assert!(answer.body.ends_with(&format!("\"nodeEligible\": {eligible}}}")), "{}", answer.body);
            assert!(health.livez(after(0)).healthy);
        }
    }
}
