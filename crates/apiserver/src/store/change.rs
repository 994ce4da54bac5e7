//! What happened to the objects of one resource, in order.

use super::{Key, Stored};
use bytes::Bytes;
use ravelin_api::object::metadata_mut;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// How many changes of one resource can be watched from; older ones are compacted.
pub(super) const MAX_CHANGES: usize = 10_000;

/// One change of one object.
#[derive(Debug)]
pub struct Change {
    /// The store's revision that this change made.
    pub revision: u64,
    /// Which object.
    pub key: Key,
    /// The object before, or `None` where this created it.
    pub before: Option<Arc<Stored>>,
    /// The object after, with this change's resource version. After a deletion it is the last
    /// state.
    pub after: Arc<Stored>,
    /// Did this change delete the object?
    pub deleted: bool,
    pub(super) lines: [OnceLock<Bytes>; 4],
}

/// What a change is to somebody who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The object came, or began to match.
    Added,
    /// It is another than before.
    Modified,
    /// It went.
    Deleted,
    /// It still exists but does not match any more.
    Left,
}

impl EventKind {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted | Self::Left => "DELETED",
        }
    }
}

impl Change {
    /// The object that an event about this change carries.
    pub fn object_of(&self, kind: EventKind) -> Arc<Stored> {
        match (kind, &self.before) {
            (EventKind::Left, Some(before)) => {
                // The watcher knows the old state; only the version is the change's.
                let mut last = before.value().as_ref().clone();
                metadata_mut(&mut last).insert("resourceVersion".into(), json!(self.revision.to_string()));
                Stored::new(Arc::new(last))
            }
            _ => Arc::clone(&self.after),
        }
    }

    /// The line of a watch; made once for all who watch.
    pub fn line(&self, kind: EventKind) -> Bytes {
        let made = self.lines[kind as usize].get_or_init(|| line(kind.name(), &self.object_of(kind)));
        made.clone()
    }
}

/// A line of a watch.
pub fn line(event: &str, object: &Stored) -> Bytes {
    let mut line = format!("{{\"type\":\"{event}\",\"object\":").into_bytes();
    line.extend_from_slice(&object.whole());
    line.extend_from_slice(b"}\n");
    Bytes::from(line)
}

/// The changes of one resource that can still be watched.
pub(super) struct Log {
    changes: VecDeque<Arc<Change>>,
    /// The newest revision that is no longer in the log.
    compacted: u64,
    newest: watch::Sender<u64>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { changes: VecDeque::new(), compacted: 0, newest: watch::Sender::new(0) }
    }

    /// Adds a change; gives back the one that fell out.
    pub(super) fn push(&mut self, change: Arc<Change>) -> Option<Arc<Change>> {
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
    pub(super) fn after(&self, revision: u64) -> Result<Option<&Arc<Change>>, u64> {
        self.all_after(revision).map(|mut changes| changes.next())
    }

    /// All changes after a revision, oldest first.
    ///
    /// # Errors
    /// As [`Self::after`].
    pub(super) fn all_after(
        &self,
        revision: u64,
    ) -> Result<impl DoubleEndedIterator<Item = &Arc<Change>>, u64> {
        if revision < self.compacted {
            return Err(self.compacted);
        }
        let at = self.changes.partition_point(|change| change.revision <= revision);
        Ok(self.changes.range(at..))
    }

    pub(super) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}
