//! The attacker asks the genuine server itself, without any credential.

use super::Tactic;
use super::spend::{Shown, for_ask, request};
use crate::field::{Field, Probe};
use crate::notes::Notes;
use crate::target::Target;
use async_trait::async_trait;
use ravelin_oracle::{Attempt, GainKind, Property};

/// Asking without a credential.
pub struct Anonymous;

#[async_trait(?Send)]
impl Tactic for Anonymous {
    fn name(&self) -> &'static str {
        "ask-anonymously"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        for server in &target.servers {
            for wanted in &target.asks {
                let asked = (for_ask(wanted, *server), Shown::default());
                let answer = request(&notes, *server, target.speaks, asked).await;
                let flow = field.flow(*server);
                match answer {
                    Ok(answer) if answer.granted() => {
                        notes.learned(&flow, answer.body);
                        let text = format!("read {} without any credential", wanted.what);
                        notes.gained(&flow, GainKind::BeyondRights, text);
                    }
                    Ok(answer) => notes.refused_by_status(&flow, answer.status, AIMS),
                    Err(silence) => notes.tell(format!("{flow}: no answer ({silence:?})")),
                }
            }
        }
        notes.finish()
    }
}

const AIMS: &[Property] = &[Property::ResponseSecret, Property::AccessControlled];
