//! Every state that an object has had, for observers from outside.

use super::{Change, Key, render};
use bytes::Bytes;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How many states of one object are kept.
pub const MAX_STATES_PER_OBJECT: usize = 1_000;

/// One state that an object had.
#[derive(Clone, Debug)]
pub struct State {
    /// The store's revision that made it.
    pub revision: u64,
    /// The object as it was stored.
    pub object: Arc<Value>,
    /// Did this revision delete it?
    pub deleted: bool,
}

impl State {
    /// The exact bytes with which the server answers a read of this state.
    pub fn rendered(&self) -> Bytes {
        render(&self.object)
    }
}

#[derive(Default)]
pub(super) struct History(BTreeMap<Key, VecDeque<State>>);

impl History {
    pub(super) fn record(&mut self, change: &Change) {
        let states = self.0.entry(change.key.clone()).or_default();
        states.push_back(State {
            revision: change.revision,
            object: Arc::clone(change.after.value()),
            deleted: change.deleted,
        });
        if states.len() > MAX_STATES_PER_OBJECT {
            states.pop_front();
        }
    }

    /// Forgets an object that a forgotten change had deleted, so that short-lived objects do not
    /// pile up.
    pub(super) fn forget(&mut self, forgotten: &Change) {
        let ended = |states: &VecDeque<State>| {
            states.back().is_some_and(|state| state.deleted && state.revision == forgotten.revision)
        };
        if forgotten.deleted && self.0.get(&forgotten.key).is_some_and(ended) {
            self.0.remove(&forgotten.key);
        }
    }

    pub(super) fn of(&self, key: &Key) -> Vec<State> {
        self.0.get(key).map(|states| states.iter().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.0.keys().cloned().collect()
    }
}
