//! The tactics, one file each.

mod anonymous;
mod another;
mod between;
mod capture;
mod certificate;
mod certify;
mod claim;
mod direct;
mod disown;
mod inject;
mod join;
mod own;
mod replay;
mod spend;
mod streams;
mod takeover;
mod terminate;
mod token;

use crate::attacker::Attacker;
use crate::field::{Field, Probe};
use crate::forge::Issuer;
use crate::holdings::{Held, Holdings, Secret};
use crate::target::{ClientProof, ServerKind, Speaks, Target, TokenShape, Transport};
use async_trait::async_trait;
use own::{Dress, OwnCredentials};
use ravelin_oracle::Attempt;
use terminate::{Terminate, Then};
pub use token::forgeries as forged_tokens;

/// One way to attack a path.
#[async_trait(?Send)]
pub trait Tactic {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Tries it while the path is used honestly once.
    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt;
}

/// No list of tactics that an attacker has on a path is longer: so many slots of time are set aside.
pub fn most_tactics(attacker: Attacker) -> u32 {
    match attacker {
        Attacker::Eavesdropper => 2,
        Attacker::Impostor => 10,
        Attacker::RogueNode => 18,
        Attacker::RoguePod | Attacker::Outsider | Attacker::TokenThief => 9,
    }
}

/// The same where the attacker itself is the client.
pub fn most_tactics_of_who_asks(server: ServerKind) -> u32 {
    if server == ServerKind::Apiserver { 8 } else { 2 }
}

type Tactics = Vec<Box<dyn Tactic>>;

/// The tactics of an attacker that make sense on a path, in the order in which they are tried.
pub fn tactics(attacker: Attacker, holdings: &Holdings, target: &Target) -> Tactics {
    let mut tactics: Tactics = Vec::new();
    if target.is_asked_directly {
        tactics.push(Box::new(direct::AskDirectly));
        if !target.treasures.is_empty() {
            tactics.push(Box::new(direct::TakeCredentials));
        }
        // Who only listens speaks in no other's name.
        if target.server == ServerKind::Apiserver && attacker != Attacker::Eavesdropper {
            tactics.extend(at_the_apiserver(holdings));
        }
        assert!(tactics.len() <= most_tactics_of_who_asks(target.server) as usize, "a slot for each");
        return tactics;
    }
    if attacker == Attacker::Eavesdropper {
        tactics.push(Box::new(capture::Capture));
    } else {
        // Whoever is taken for an agent is sent the path's connections, wherever it is.
        if attacker.is_on_the_path() || matches!(target.transport, Transport::Konnectivity(_)) {
            tactics.extend(terminations(holdings, target));
        }
        if attacker.is_on_the_path() && is_plain_in_konnectivity(target) {
            tactics.push(Box::new(between::BetweenAgentAndServer));
        }
        tactics.extend(requests(target));
        if is_guarded(target) && !holdings.credentials.is_empty() {
            tactics.extend(own_credentials(holdings, target));
        }
        if attacker != Attacker::Impostor && !target.claims.is_empty() {
            tactics.push(Box::new(claim::ClaimAddress));
        }
        if attacker != Attacker::Impostor && !target.host_ports.is_empty() {
            tactics.push(Box::new(claim::HostPort));
        }
        if !attacker.is_on_the_path() && target.speaks == Speaks::Http {
            tactics.push(Box::new(inject::BlindInjection));
        }
    }
    let replays = is_guarded(target) && target.speaks == Speaks::Https;
    if replays && attacker.is_on_the_path() && target.transport == Transport::Direct {
        tactics.push(Box::new(replay::Replay));
    }
    assert!(tactics.len() <= most_tactics(attacker) as usize, "every tactic has a slot of its own");
    tactics
}

/// Can whoever reads inside a Konnectivity tunnel read the path?
fn is_plain_in_konnectivity(target: &Target) -> bool {
    matches!(target.transport, Transport::Konnectivity(_)) && target.speaks == Speaks::Http
}

/// What works at an apiserver only: to be taken for another, and to become another.
fn at_the_apiserver(holdings: &Holdings) -> Tactics {
    let mut found: Tactics = Vec::new();
    for dress in [Dress::FrontProxy, Dress::Smuggled, Dress::Impersonating] {
        found.push(Box::new(OwnCredentials(dress)));
    }
    found.push(Box::new(another::AnothersName));
    found.push(Box::new(another::AnothersAddress));
    if holdings.node.is_some() {
        found.push(Box::new(disown::DisownNode));
    }
    found
}

/// Does the server ask who its clients are?
fn is_guarded(target: &Target) -> bool {
    target.server != ServerKind::Workload
}

/// Requests of the attacker's own, in the client's name or in nobody's.
fn requests(target: &Target) -> Tactics {
    let mut found: Tactics = Vec::new();
    if is_guarded(target) {
        found.push(Box::new(anonymous::Anonymous));
        found.push(Box::new(certificate::Forged(Issuer::Itself)));
        found.push(Box::new(certificate::Forged(Issuer::OwnAuthority)));
    }
    if matches!(target.proof, ClientProof::Certificate(_)) {
        found.push(Box::new(certificate::WithoutItsKey));
    }
    if target.token != TokenShape::None {
        found.push(Box::new(token::ForgedToken));
    }
    if !target.stale.is_empty() {
        found.push(Box::new(token::StaleToken));
    }
    found
}

/// Asking with what it holds, in every way that this server might treat apart.
fn own_credentials(holdings: &Holdings, target: &Target) -> Tactics {
    let mut found: Tactics = vec![Box::new(OwnCredentials(Dress::Plain))];
    if target.server == ServerKind::Apiserver {
        found.push(Box::new(OwnCredentials(Dress::Upgrade)));
        let certificate = |held: &Held| matches!(held.secret, Secret::Certificate(_));
        if holdings.credentials.iter().any(certificate) {
            found.push(Box::new(OwnCredentials(Dress::FrontProxy)));
        }
    }
    found
}

fn terminations(holdings: &Holdings, target: &Target) -> Tactics {
    let mut found: Tactics = Vec::new();
    let mut push = |issuer, then| found.push(Box::new(Terminate::new(issuer, then)) as Box<dyn Tactic>);
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
    let redirects = target.elsewhere.is_some() && target.transport == Transport::Direct;
    if redirects {
        push(Some(Issuer::OwnAuthority), Then::Redirect);
    }
    if !is_guarded(target) {
        return found;
    }
    let held = [(&holdings.serving, Issuer::Genuine), (&holdings.former_serving, Issuer::GenuineFormer)];
    for (_, issuer) in held.into_iter().filter(|(identity, _)| identity.is_some()) {
        push(Some(issuer), Then::Forge);
        if redirects {
            push(Some(issuer), Then::Redirect);
        }
    }
    found
}
