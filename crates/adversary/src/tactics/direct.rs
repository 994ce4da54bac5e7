//! The attacker is the client: it asks a port for what is not its own, and for credentials.

use super::Tactic;
use super::spend::{self, Shown, for_ask, request};
use crate::field::{Field, Probe};
use crate::holdings::Held;
use crate::notes::Notes;
use crate::target::{Ask, Target};
use crate::treasure::tokens_in;
use async_trait::async_trait;
use ravelin_oracle::{Attempt, GainKind, Property};
use std::net::SocketAddr;

/// Asking for what is not its own.
pub struct AskDirectly;

/// Asking for what would open more.
pub struct TakeCredentials;

#[async_trait(?Send)]
impl Tactic for AskDirectly {
    fn name(&self) -> &'static str {
        "ask-directly"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        let aims = [Property::AccessControlled];
        for_each_way(field, target, &target.asks, async |asked: Asked<'_>| {
            asked.ask(&notes, target, &aims).await;
        })
        .await;
        notes.finish()
    }
}

#[async_trait(?Send)]
impl Tactic for TakeCredentials {
    fn name(&self) -> &'static str {
        "take-credentials"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        let aims = [Property::CredentialSafe];
        for_each_way(field, target, &target.treasures, async |asked: Asked<'_>| {
            if let Some(body) = asked.ask(&notes, target, &aims).await {
                tokens_in(&body).into_iter().for_each(|token| notes.captured(token));
            }
        })
        .await;
        spend::spend(&notes, target).await;
        notes.finish()
    }
}

/// A request, to whom, and with what.
struct Asked<'a> {
    wanted: &'a Ask,
    server: SocketAddr,
    held: Option<&'a Held>,
}

/// Every request to every server: without a credential, and with each that the attacker holds.
async fn for_each_way(field: &Field, target: &Target, asks: &[Ask], mut ask: impl AsyncFnMut(Asked<'_>)) {
    let credentials = field.credentials();
    for server in &target.servers {
        for wanted in asks {
            for held in std::iter::once(None).chain(credentials.iter().map(Some)) {
                ask(Asked { wanted, server: *server, held }).await;
            }
        }
    }
}

impl Asked<'_> {
    /// Asks; gives what was granted.
    async fn ask(&self, notes: &Notes<'_>, target: &Target, aims: &[Property]) -> Option<Vec<u8>> {
        let (flow, what) = (notes.field().flow(self.server), self.wanted.what);
        let with = self.held.map_or("no credential", |held| held.what.as_str());
        let shown = self.held.map_or_else(Shown::default, |held| Shown::of(&held.secret));
        let speaks = target.speaks_at(self.server);
        match request(notes, self.server, speaks, (for_ask(self.wanted, self.server), shown)).await {
            Ok(answer) if answer.granted() => {
                notes.learned(&flow, answer.body.clone());
                notes.gained(&flow, GainKind::BeyondRights, format!("{} with {with}", self.wanted.deed()));
                return Some(answer.body);
            }
            Ok(answer) => {
                notes.tell(format!("{flow}: asked for {what} with {with}"));
                notes.refused_by_answer(&flow, &answer, aims);
            }
            Err(silence) => notes.tell(format!("{flow}: no answer ({silence:?})")),
        }
        None
    }
}
