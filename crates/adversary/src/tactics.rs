//! The tactics, one file each.

mod anonymous;
mod capture;
mod certificate;
mod replay;
mod spend;
mod terminate;

use crate::attacker::Attacker;
use crate::field::{Field, Probe};
use crate::forge::Issuer;
use crate::target::{ClientProof, ServerKind, Speaks, Target, Transport};
use async_trait::async_trait;
use ravelin_oracle::Attempt;
use terminate::Then;

/// One way to attack a path.
#[async_trait(?Send)]
pub trait Tactic {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Tries it while the path is used honestly once.
    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt;
}

/// The tactics of an attacker that make sense on a path, in the order in which they are tried.
pub fn tactics(attacker: Attacker, target: &Target) -> Vec<Box<dyn Tactic>> {
    let guarded = target.server != ServerKind::Workload;
    let secure = target.speaks == Speaks::Https;
    let replays = guarded && secure && target.transport == Transport::Direct;
    let mut tactics: Vec<Box<dyn Tactic>> = Vec::new();
    match attacker {
        Attacker::Eavesdropper => tactics.push(Box::new(capture::Capture)),
        Attacker::Impostor => {
            tactics.extend(terminations(target));
            if guarded {
                tactics.push(Box::new(anonymous::Anonymous));
                tactics.push(Box::new(certificate::Forged(Issuer::Itself)));
                tactics.push(Box::new(certificate::Forged(Issuer::OwnAuthority)));
            }
            if matches!(target.proof, ClientProof::Certificate(_)) {
                tactics.push(Box::new(certificate::WithoutItsKey));
            }
        }
    }
    if replays {
        tactics.push(Box::new(replay::Replay));
    }
    tactics
}

fn terminations(target: &Target) -> Vec<Box<dyn Tactic>> {
    let mut found: Vec<Box<dyn Tactic>> = Vec::new();
    let mut push = |issuer, then| found.push(Box::new(terminate::Terminate { issuer, then }));
    if target.speaks == Speaks::Http {
        push(None, Then::Forge);
        push(None, Then::Relay);
        return found;
    }
    push(Some(Issuer::Itself), Then::Forge);
    push(Some(Issuer::OwnAuthority), Then::Forge);
    push(Some(Issuer::OwnAuthority), Then::Relay);
    if matches!(target.proof, ClientProof::Token) {
        push(Some(Issuer::OwnAuthority), Then::RelayWithCredentials);
    }
    found
}
