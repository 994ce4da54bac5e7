//! What the kubelet's endpoint answered, for an observer from outside.

use bytes::Bytes;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// So many answers are remembered; beyond, the oldest are forgotten.
pub const MAX_ANSWERED: usize = 10_000;

/// What the remembered answers hold together, with their paths, in bytes.
pub const MAX_ANSWERED_BYTES: usize = 64 * 1024 * 1024;

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
pub struct Journal(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    all: VecDeque<Answered>,
    bytes: usize,
}

impl Answered {
    fn bytes(&self) -> usize {
        self.path.len() + self.body.len() + self.user.as_ref().map_or(0, String::len)
    }
}

impl Journal {
    /// Every answer that is still remembered.
    pub fn answered(&self) -> Vec<Answered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all.iter().cloned().collect()
    }

    pub(crate) fn record(&self, answered: Answered) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes += answered.bytes();
        held.all.push_back(answered);
        while held.all.len() > MAX_ANSWERED || held.bytes > MAX_ANSWERED_BYTES {
            let Some(oldest) = held.all.pop_front() else { return };
            held.bytes -= oldest.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_has_a_bound_in_bytes() {
        let journal = Journal::default();
        let body = Bytes::from(vec![0; MAX_ANSWERED_BYTES / 4]);
        for status in 0..6 {
            let (path, method) = ("/pods".to_owned(), "GET".to_owned());
            let (at, body) = (Timestamp::UNIX_EPOCH, body.clone());
            journal.record(Answered { at, read_only_port: true, user: None, method, path, status, body });
        }
        let left: Vec<u16> = journal.answered().iter().map(|answered| answered.status).collect();
        assert_eq!(left, [3, 4, 5]);
    }
}
