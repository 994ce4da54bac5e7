//! The attacker presents a client certificate that is not its to present.

use super::Tactic;
use super::spend::{Shown, Silence, for_ask, request};
use crate::field::{Field, Probe};
use crate::forge::{self, Issuer};
use crate::notes::Notes;
use crate::target::{ClientProof, Target};
use async_trait::async_trait;
use ravelin_oracle::{Attempt, GainKind, Property, Protection};
use ravelin_pki::Identity;

/// A certificate of its own making, in the client's name.
pub struct Forged(pub Issuer);

/// The client's own certificate, which is public, with a key of the attacker's.
pub struct WithoutItsKey;

#[async_trait(?Send)]
impl Tactic for Forged {
    fn name(&self) -> &'static str {
        match self.0 {
            Issuer::Itself => "self-signed-client-certificate",
            _ => "own-authority-client-certificate",
        }
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        let identity = forge::client(field, target, self.0);
        let mut aims = target.stakes();
        aims.push(Property::RequestAuthentic);
        present(&notes, target, &identity, Presented { aims: &aims, stolen: false }).await;
        notes.finish()
    }
}

#[async_trait(?Send)]
impl Tactic for WithoutItsKey {
    fn name(&self) -> &'static str {
        "certificate-without-its-key"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        if let ClientProof::Certificate(chain) = &target.proof {
            let identity = forge::without_its_key(field, chain);
            let aims = [Property::CredentialSafe, Property::RequestAuthentic, Property::AccessControlled];
            present(&notes, target, &identity, Presented { aims: &aims, stolen: true }).await;
        }
        notes.finish()
    }
}

struct Presented<'a> {
    aims: &'a [Property],
    /// Is the certificate the client's own?
    stolen: bool,
}

/// Asks with the certificate. Only what nobody gets without one counts as the client's.
async fn present(notes: &Notes<'_>, target: &Target, identity: &Identity, how: Presented<'_>) {
    for server in &target.servers {
        for wanted in &target.asks {
            let flow = notes.field().flow(*server);
            let asked = || for_ask(wanted, *server);
            let without = request(notes, *server, target.speaks, (asked(), Shown::default())).await;
            let shown = Shown { token: None, identity: Some(identity.clone()) };
            match request(notes, *server, target.speaks, (asked(), shown)).await {
                Ok(answer) if answer.granted() && without.is_ok_and(|answer| answer.granted()) => {
                    notes.learned(&flow, answer.body);
                    let text = format!("{} with any certificate or none", wanted.deed());
                    notes.gained(&flow, GainKind::BeyondRights, text);
                }
                Ok(answer) if answer.granted() => {
                    notes.learned(&flow, answer.body);
                    let name = &target.client.common_name;
                    let text = format!("{} as {name}", wanted.deed());
                    notes.gained(&flow, GainKind::ExecutedAsClient, text.clone());
                    notes.gained(&flow, GainKind::BeyondRights, text);
                    if how.stolen {
                        let text = "used the client's certificate without its key";
                        notes.gained(&flow, GainKind::CredentialUsed, text);
                    }
                }
                Ok(answer) if answer.status == 401 => {
                    let text = "401 Unauthorized";
                    notes.refused(&flow, Protection::ClientCertificate, text, how.aims);
                }
                Ok(answer) => notes.refused_by_status(&flow, answer.status, how.aims),
                Err(Silence::Alert(alert)) => {
                    let text = format!("the server ended the handshake: {alert}");
                    notes.refused(&flow, Protection::ProofOfPossession, text, how.aims);
                    // The handshake was refused, whatever would have been asked.
                    break;
                }
                Err(Silence::Nothing) => notes.tell(format!("{flow}: no answer")),
            }
        }
    }
}
