//! Following the changes of one resource.

use super::{Change, Store};
use std::sync::Arc;
use tokio::sync::watch;

/// A watcher's place in the log. It holds no queue: a watcher that is too slow finds that the log
/// was compacted past it.
pub struct Watcher {
    pub(super) store: Arc<Store>,
    pub(super) resource: String,
    pub(super) revision: u64,
    pub(super) news: watch::Receiver<u64>,
}

/// Changes after this watcher's revision are forgotten: it has to list again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Compacted {
    /// Where the watcher stood.
    pub asked: u64,
    /// The oldest revision from which one can watch.
    pub oldest: u64,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watcher({} after {})", self.resource, self.revision)
    }
}

impl Watcher {
    /// Waits for the next change of the resource. Each change comes once, in order.
    ///
    /// # Errors
    /// Where the log no longer holds it.
    pub async fn next(&mut self) -> Result<Arc<Change>, Compacted> {
        loop {
            // Seen before looking, so that a change in between wakes the wait below.
            self.news.borrow_and_update();
            if let Some(change) = self.store.change_after(&self.resource, self.revision)? {
                self.revision = change.revision;
                return Ok(change);
            }
            self.news.changed().await.expect("a store outlives its watchers, which hold it");
        }
    }

    /// The revision up to which this watcher has seen everything.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}
