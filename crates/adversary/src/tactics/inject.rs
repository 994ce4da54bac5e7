//! The attacker sees no packet of the path and sends segments into its connections all the same:
//! answers of its own making, and resets, in the server's name.

use super::Tactic;
use crate::field::{Field, Probe};
use crate::forge;
use crate::notes::Notes;
use crate::target::Target;
use async_trait::async_trait;
use ravelin_entropy::Entropy;
use ravelin_oracle::{Attempt, Property, Protection};
use ravelin_sim::{Flags, Forged, Predicted};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How often a segment is sent, and how often anybody can look what can be predicted.
const PACE: Duration = Duration::from_micros(250);
/// The most guesses in one attempt.
const MAX_GUESSES: usize = 400;
/// The ports that stacks give to clients (RFC 6335 section 6, and Linux' default range).
const PORTS: std::ops::Range<u64> = 32_768..61_000;

/// Guessing ports and sequence numbers.
pub struct BlindInjection;

#[async_trait(?Send)]
impl Tactic for BlindInjection {
    fn name(&self) -> &'static str {
        "blind-injection"
    }

    async fn run(&self, field: &Field, target: &Target, mut probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        let before = field.wire().forgeries().len();
        let mut blind = Blind::new(field, target);
        loop {
            tokio::select! {
                biased;
                () = &mut probe => break,
                () = tokio::time::sleep(PACE) => blind.throw(),
            }
        }
        let forged = field.wire().forgeries().split_off(before);
        let taken = forged.iter().filter(|forgery| forgery.accepted).count();
        let flow = "attacker, in the server's name > the client";
        if taken > 0 {
            notes.tell(format!("{flow}: {taken} of {} segments fitted a connection", forged.len()));
        } else if !field.referee_saw(&blind.pairs) {
            notes.tell("no connection of the path crossed the network in the clear");
        } else if !forged.is_empty() {
            let text = format!("none of {} blind segments fitted a connection", forged.len());
            notes.refused(flow, Protection::SequenceNumbers, text, &[Property::ResponseAuthentic]);
        }
        notes.finish()
    }
}

struct Blind<'a> {
    field: &'a Field,
    pairs: Vec<(IpAddr, SocketAddr)>,
    guessed: usize,
    entropy: Entropy,
    answered: BTreeSet<SocketAddr>,
}

impl<'a> Blind<'a> {
    fn new(field: &'a Field, target: &Target) -> Self {
        let clients = target.ends.0.iter();
        let pairs = clients.flat_map(|client| target.servers.iter().map(move |server| (*client, *server)));
        let pairs = pairs.filter(|(client, server)| *client != server.ip()).collect();
        let entropy = field.host().entropy("blind-segments");
        Self { field, pairs, guessed: 0, entropy, answered: BTreeSet::new() }
    }

    /// Answers every connection whose numbers are known; guesses at the others.
    fn throw(&mut self) {
        for (client, server) in self.pairs.clone() {
            match self.field.wire().predict(client, server) {
                Some(known) if self.answered.insert(known.client) => self.answer(server, known),
                _ => {}
            }
        }
        if self.guessed >= MAX_GUESSES || self.pairs.is_empty() {
            return;
        }
        let (client, server) = self.pairs[self.guessed % self.pairs.len()];
        let below = |entropy: &mut Entropy, range: u64| u32::try_from(entropy.below(range)).unwrap_or(0);
        let offset = below(&mut self.entropy, PORTS.end - PORTS.start);
        let port = u16::try_from(PORTS.start + u64::from(offset)).unwrap_or(u16::MAX);
        let [client_seq, server_seq] = [(); 2].map(|()| below(&mut self.entropy, 1 << 32));
        let client = SocketAddr::new(client, port);
        if self.guessed.is_multiple_of(2) {
            self.answer(server, Predicted { client, client_seq, server_seq });
        } else {
            let flags = Flags { rst: true, ..Flags::default() };
            let (seq, payload) = (server_seq, Vec::new());
            self.field.wire().inject(Forged {
                source: server,
                destination: client,
                seq,
                ack: 0,
                flags,
                payload,
            });
        }
        self.guessed += 1;
    }

    fn answer(&self, server: SocketAddr, known: Predicted) {
        self.field.wire().inject(Forged {
            source: server,
            destination: known.client,
            seq: known.server_seq,
            ack: known.client_seq,
            flags: Flags { ack: true, psh: true, ..Flags::default() },
            payload: forge::made_up_answer().bytes(),
        });
    }
}
