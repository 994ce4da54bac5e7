//! What happened to the objects of one resource, in order.

use super::Key;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// How many changes of one resource can be watched from; older ones are compacted.
pub(super) const MAX_CHANGES: usize = 10_000;

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The store's revision that this change made.
    pub revision: u64,
    /// Which object.
    pub key: Key,
    /// The object before, or `None` where this created it.
    pub before: Option<Arc<Value>>,
    /// The object after, with this change's resource version. After a deletion it is the last
    /// state.
    pub after: Arc<Value>,
    /// Did this change delete the object?
    pub deleted: bool,
}

/// The changes of one resource that can still be watched.
pub(super) struct Log {
    changes: VecDeque<Change>,
    /// The newest revision that is no longer in the log.
    compacted: u64,
    newest: watch::Sender<u64>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { changes: VecDeque::new(), compacted: 0, newest: watch::Sender::new(0) }
    }

    /// Adds a change; gives back the one that fell out.
    pub(super) fn push(&mut self, change: Change) -> Option<Change> {
        let revision = change.revision;
        self.changes.push_back(change);
        let dropped = (self.changes.len() > MAX_CHANGES).then(|| self.changes.pop_front()).flatten();
        if let Some(dropped) = &dropped {
            self.compacted = dropped.revision;
        }
        self.newest.send_replace(revision);
        dropped
    }

    /// Forgets every change up to a revision.
    pub(super) fn compact(&mut self, revision: u64) {
        while self.changes.front().is_some_and(|change| change.revision <= revision) {
            self.changes.pop_front();
        }
        self.compacted = self.compacted.max(revision);
        self.newest.send_modify(|_| ());
    }

    /// The first change after a revision.
    ///
    /// # Errors
    /// The oldest revision to start from, where changes after `revision` are forgotten.
    pub(super) fn after(&self, revision: u64) -> Result<Option<&Change>, u64> {
        if revision < self.compacted {
            return Err(self.compacted);
        }
        let at = self.changes.partition_point(|change| change.revision <= revision);
        Ok(self.changes.get(at))
    }

    pub(super) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}
