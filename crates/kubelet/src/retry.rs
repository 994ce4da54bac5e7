//! How long to wait before trying again.

use ravelin_entropy::Entropy;
use ravelin_host::HostRef;
use std::time::Duration;

/// Waits that double up to a cap, each up to a tenth longer by chance so that many kubelets do not
/// come back at once.
#[derive(Clone)]
pub(crate) struct Backoff {
    next: Duration,
    host: HostRef,
    purpose: String,
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);

impl Backoff {
    pub(crate) fn new(host: &HostRef, purpose: &str) -> Self {
        Self { next: FIRST, host: host.clone(), purpose: purpose.to_owned() }
    }

    /// Starts over, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = jittered(self.next, &mut self.host.entropy(&self.purpose), 10);
        self.next = (self.next * 2).min(LONGEST);
        wait
    }

    /// Waits.
    pub(crate) async fn wait(&mut self) {
        let wait = self.next();
        tokio::time::sleep(wait).await;
    }
}

/// The duration, longer by up to `percent` of it.
pub(crate) fn jittered(duration: Duration, entropy: &mut Entropy, percent: u64) -> Duration {
    let most = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) / 100 * percent;
    duration + Duration::from_millis(entropy.below(most + 1))
}
