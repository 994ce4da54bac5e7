//! Moments at a fixed distance, counted from the kubelet's start.

use std::time::Duration;
use tokio::time::Instant;

/// A clock that ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    began: Instant,
    every: Duration,
}

impl Ticks {
    /// The first tick is one interval from now.
    pub(crate) fn start(every: Duration) -> Self {
        Self { began: Instant::now(), every: every.max(Duration::from_millis(1)) }
    }

    /// The next tick; never this very moment.
    pub(crate) fn next(&self) -> Instant {
        let passed = self.began.elapsed().as_millis() / self.every.as_millis();
        let next = u32::try_from(passed + 1).unwrap_or(u32::MAX);
        self.began + self.every.saturating_mul(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ticks_come_at_whole_intervals_and_are_never_now() {
        let second = Duration::from_secs(1);
        let ticks = Ticks::start(10 * second);
        let began = Instant::now();
        for (after, next) in [(0, 10), (9, 10), (1, 20), (15, 30)] {
            tokio::time::advance(after * second).await;
            assert_eq!(ticks.next() - began, next * second);
        }
    }
}
