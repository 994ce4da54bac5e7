//! Answers that are used for a while.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// More answers are not remembered at a time.
const MAX_REMEMBERED: usize = 4096;

/// Answers by question, each until its time is over.
pub(crate) struct Expiring<T>(Mutex<BTreeMap<String, (Instant, T)>>);

impl<T: Clone> Expiring<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, T)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, while its time is not over.
    pub(crate) fn fresh(&self, question: &str) -> Option<T> {
        let entries = self.entries();
        let (until, answer) = entries.get(question)?;
        (Instant::now() < *until).then(|| answer.clone())
    }

    pub(crate) fn remember(&self, question: String, answer: T, life: Duration) {
        let now = Instant::now();
        let mut entries = self.entries();
        if entries.len() >= MAX_REMEMBERED {
            entries.retain(|_, (until, _)| now < *until);
        }
        if entries.len() < MAX_REMEMBERED {
            entries.insert(question, (now + life, answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_used_until_its_time_is_over_and_not_after() {
        let answers = Expiring::new();
        answers.remember("known".to_owned(), true, Duration::from_secs(120));
        tokio::time::advance(Duration::from_millis(119_999)).await;
        assert_eq!(answers.fresh("known"), Some(true));
        assert_eq!(answers.fresh("other"), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(answers.fresh("known"), None);
    }
}
