//! The attacker presents bearer tokens that are not good: of its own making, expired, for others.

use super::Tactic;
use super::spend::{Shown, for_ask, request};
use crate::field::{Field, Probe};
use crate::notes::Notes;
use crate::target::{Stale, Target, TokenShape};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ravelin_oracle::{Attempt, GainKind, Property, Protection};
use ravelin_pki::KeyPair;
use serde_json::Value;

/// Tokens in the client's name that the attacker made itself.
pub struct ForgedToken;

/// Genuine tokens of the client's that have expired, are for somebody else, or whose pod or node is
/// gone.
pub struct StaleToken;

/// A token to present, what it is, and what must refuse it.
struct Presented {
    token: String,
    what: &'static str,
    by: Protection,
}

#[async_trait(?Send)]
impl Tactic for ForgedToken {
    fn name(&self) -> &'static str {
        "forged-token"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        for (what, token) in forgeries(field, &target.token) {
            present(&notes, target, &Presented { token, what, by: Protection::Token }).await;
        }
        notes.finish()
    }
}

#[async_trait(?Send)]
impl Tactic for StaleToken {
    fn name(&self) -> &'static str {
        "stale-token"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        for (why, token) in &target.stale {
            let (what, by) = match why {
                Stale::Expired => ("an expired token of the client's", Protection::TokenExpiry),
                Stale::OtherAudience => {
                    ("a token of the client's for another audience", Protection::TokenAudience)
                }
                Stale::PodGone => ("a token of a pod that is gone", Protection::TokenBinding),
                Stale::NodeGone => ("a token of a node that is gone", Protection::TokenBinding),
            };
            present(&notes, target, &Presented { token: token.clone(), what, by }).await;
        }
        notes.finish()
    }
}

/// Tokens of this shape, without what makes them genuine.
pub fn forgeries(field: &Field, shape: &TokenShape) -> Vec<(&'static str, String)> {
    let mut entropy = field.host().entropy("forged-token");
    match shape {
        TokenShape::None => Vec::new(),
        TokenShape::Jwt { header, claims } => {
            let key = KeyPair::generate(&mut entropy);
            let signed = unsigned(header, claims);
            let signature = URL_SAFE_NO_PAD.encode(key.sign_raw(signed.as_bytes()));
            let mut none = header.clone();
            none["alg"] = "none".into();
            vec![
                ("a token that it signed itself", format!("{signed}.{signature}")),
                ("a token without a signature (RFC 7519 section 6)", format!("{}.", unsigned(&none, claims))),
            ]
        }
        TokenShape::Bootstrap { id } => {
            vec![("a bootstrap token with a guessed secret", format!("{id}.{}", entropy.word(16)))]
        }
        TokenShape::Opaque => vec![("a guessed token", entropy.word(24))],
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encoded(header), encoded(claims))
}

/// Asks with the token. Only what nobody gets without one counts as the client's.
async fn present(notes: &Notes<'_>, target: &Target, presented: &Presented) {
    let mut aims = target.stakes();
    aims.extend([Property::RequestAuthentic, Property::CredentialSafe]);
    for server in &target.servers {
        for wanted in &target.asks {
            let flow = notes.field().flow(*server);
            let anonymous = (for_ask(wanted, *server), Shown::default());
            let without = request(notes, *server, target.speaks, anonymous).await;
            let shown = Shown { token: Some(&presented.token), identity: None };
            match request(notes, *server, target.speaks, (for_ask(wanted, *server), shown)).await {
                Ok(answer) if answer.granted() => {
                    notes.learned(&flow, answer.body);
                    let text = format!("{} with {}", wanted.deed(), presented.what);
                    notes.gained(&flow, GainKind::BeyondRights, text.clone());
                    if !without.is_ok_and(|answer| answer.granted()) {
                        notes.gained(&flow, GainKind::ExecutedAsClient, text.clone());
                        notes.gained(&flow, GainKind::CredentialUsed, text);
                    }
                }
                Ok(answer) if answer.status == 401 => {
                    let text = format!("{}: 401 Unauthorized", presented.what);
                    notes.refused(&flow, presented.by, text, &aims);
                }
                Ok(answer) => {
                    notes.tell(format!("{flow}: {} was answered {}", presented.what, answer.status));
                }
                Err(silence) => notes.tell(format!("{flow}: no answer ({silence:?})")),
            }
        }
    }
}
