//! Who sends an attacker connections: SSH clients that took it for a node, and Konnectivity servers
//! that took it for an agent.

use crate::intercept::Intercepted;
use crate::notes::Notes;
use ravelin_host::BoxedStream;
use ravelin_oracle::{Property, Protection};
use ravelin_tunnel::SshKey;
use ravelin_tunnel::danger::{self, Victim};
use ravelin_tunnel::konnectivity::danger::Impostor;
use std::net::SocketAddr;

/// Somebody who sends connections.
pub enum Gate {
    /// An SSH client, and the node that it wanted.
    Ssh(Box<Victim>, SocketAddr),
    /// A Konnectivity server.
    Konnectivity(Box<Impostor>, SocketAddr),
}

/// What became of it.
pub enum Step {
    /// It is there, and wants this connection where it wants one.
    Open(Gate, Option<Intercepted>),
    /// It did not let the attacker in that answered in this place.
    Refused(SocketAddr),
    /// It has gone.
    Over,
}

impl Gate {
    /// In whose place it found the attacker, or whom that is an agent of.
    pub fn server(&self) -> SocketAddr {
        match self {
            Self::Ssh(_, server) | Self::Konnectivity(_, server) => *server,
        }
    }

    /// The next connection that comes by it.
    pub async fn next(mut self) -> Step {
        let forward = match &mut self {
            Self::Ssh(victim, node) => {
                let forward = victim.next_forward().await;
                forward.map(|forward| (forward.host, forward.port, forward.stream, *node))
            }
            Self::Konnectivity(impostor, server) => {
                let forward = impostor.next_forward().await;
                forward.map(|forward| (forward.host, forward.port, forward.stream, *server))
            }
        };
        let Some(forward) = forward else { return Step::Over };
        Step::Open(self, intercepted(forward))
    }
}

/// Only addresses are dialled; a name would lead nowhere that is known here.
fn intercepted((host, port, stream, source): (String, u16, BoxedStream, SocketAddr)) -> Option<Intercepted> {
    let original = SocketAddr::new(host.parse().ok()?, port);
    Some(Intercepted { stream, original, source })
}

/// A host key to show, and whether it is the genuine one of the node that is meant.
#[derive(Clone)]
pub struct HostKey {
    /// The key.
    pub key: SshKey,
    /// Is it the attacker's own node's?
    pub genuine: bool,
}

/// Plays the SSH server to one client.
/// `aims` is what a client keeps from it that verifies host keys.
pub async fn log_in(notes: &Notes<'_>, (shown, aims): (HostKey, Vec<Property>), taken: Intercepted) -> Step {
    let flow = format!("{} > {} (the impostor)", taken.source, taken.original);
    match danger::accept(notes.field().host(), taken.stream, &shown.key).await {
        Ok(victim) => {
            let what = if shown.genuine { "the attacker's own node" } else { "the forged host key" };
            notes.tell(format!("{flow}: the client accepted {what} and logged in"));
            Step::Open(Gate::Ssh(Box::new(victim), taken.original), None)
        }
        Err(refused) => {
            notes.refused(&flow, Protection::HostKey, refused.to_string(), &aims);
            Step::Refused(taken.original)
        }
    }
}
