//! The eavesdropper reads what crosses the untrusted segments, and uses what it can read.

use super::Tactic;
use super::spend;
use crate::field::{Field, Probe};
use crate::listen::{hear, read, tokens};
use crate::notes::Notes;
use crate::target::Target;
use async_trait::async_trait;
use ravelin_oracle::Attempt;

/// Reading along.
pub struct Capture;

#[async_trait(?Send)]
impl Tactic for Capture {
    fn name(&self) -> &'static str {
        "capture"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        let heard = hear(field, target);
        let secrets = field.known_secrets();
        notes.tell(format!("captured {} connections of this path", heard.len()));
        for learned in read(&heard, &secrets, field.now()) {
            notes.learned(&learned.flow, learned.bytes);
        }
        tokens(&heard, &secrets).into_iter().for_each(|token| notes.captured(token));
        spend::spend(&notes, target).await;
        notes.finish()
    }
}
