//! What the kubelet's endpoint answered, for an observer from outside.

use bytes::Bytes;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// So many answers are remembered; beyond, the oldest are forgotten.
pub const MAX_ANSWERED: usize = 10_000;

/// A request to the endpoint and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When it was answered.
    pub at: Timestamp,
    /// Did it come over the port without authentication?
    pub read_only_port: bool,
    /// Who asked; `None` where that was not established.
    pub user: Option<String>,
    /// The method.
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// The HTTP status.
    pub status: u16,
    /// The exact body.
    pub body: Bytes,
}

/// What the endpoint answered, in order.
#[derive(Debug, Default)]
pub struct Journal(Mutex<VecDeque<Answered>>);

impl Journal {
    /// Every answer that is still remembered.
    pub fn answered(&self) -> Vec<Answered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn record(&self, answered: Answered) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == MAX_ANSWERED {
            all.pop_front();
        }
        all.push_back(answered);
    }
}
