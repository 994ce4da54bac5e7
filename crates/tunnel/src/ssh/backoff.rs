//! Pauses between attempts to open a tunnel.

use ravelin_host::HostRef;
use std::sync::Arc;
use std::time::Duration;

const MIN_BACKOFF: Duration = Duration::from_secs(1);
/// The longest pause.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// A tunnel that lived for so long is opened again after the shortest pause: only one that is let in
/// and cut off at once, again and again, is tried less and less often.
pub(super) const STABLE: Duration = Duration::from_secs(10);

/// Pauses that double, each between half and all of its length.
///
/// Each pause is drawn from a stream of its own, so that how often a tunnel was lost before decides
/// nothing about the next pause.
pub(super) struct Backoff {
    host: HostRef,
    label: String,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(host: &HostRef, node: &str) -> Self {
        Self { host: Arc::clone(host), label: format!("ssh.backoff {node}"), next: MIN_BACKOFF }
    }

    pub(super) fn reset(&mut self) {
        self.next = MIN_BACKOFF;
    }

    pub(super) fn next(&mut self) -> Duration {
        let half = self.next / 2;
        self.next = (self.next * 2).min(MAX_BACKOFF);
        let jitter_ms = u64::try_from(half.as_millis()).expect("a minute fits");
        let drawn_ms = self.host.entropy(&self.label).below(jitter_ms + 1);
        half + Duration::from_millis(drawn_ms)
    }
}
