//! The attacker asks the genuine server itself, without any credential.

use super::Tactic;
use super::spend::{Shown, for_ask, request};
use crate::field::{Field, Probe};
use crate::notes::Notes;
use crate::target::{ClientProof, ServerKind, Target};
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
                        let text = format!("{} without any credential", wanted.deed());
                        notes.gained(&flow, GainKind::BeyondRights, text);
                        if asks_for_no_identity(target) {
                            let text = "had a request executed: the server asks nobody for an identity";
                            notes.gained(&flow, GainKind::ExecutedAsClient, text);
                        }
                    }
                    Ok(answer) => notes.refused_by_status(&flow, answer.status, &aims(target)),
                    Err(silence) => notes.tell(format!("{flow}: no answer ({silence:?})")),
                }
            }
        }
        notes.finish()
    }
}

/// What a server that asks who is there keeps from whoever cannot say.
fn aims(target: &Target) -> Vec<Property> {
    let mut aims = target.stakes();
    if asks_for_no_identity(target) {
        aims.push(Property::RequestAuthentic);
    }
    aims
}

/// Are the client and an attacker without credentials the same to the server?
fn asks_for_no_identity(target: &Target) -> bool {
    target.server == ServerKind::Kubelet && matches!(target.proof, ClientProof::Nothing)
}
