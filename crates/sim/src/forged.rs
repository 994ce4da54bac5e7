//! Segments that the attacker makes up, judged as a real stack would.
//!
//! turmoil's stacks take any reset, and their sequence numbers can be guessed. On the wire numbers
//! are random, and what does not fit the connection is dropped here (RFC 9293 section 3.10.7,
//! RFC 5961 sections 3 to 5): a reset needs the exact next number (one within the window is answered
//! by a challenge, and so changes nothing), a SYN is never taken, data and FINs need the exact next
//! number and an acknowledgement of what was sent not longer than a window ago.
//!
//! Left out: data within the window but ahead of the next number, which a real stack keeps until
//! the gap closes, and the challenges themselves.

use crate::flow::{FlowId, Live, Way};
use crate::network::{Due, Network};
use crate::transmit::translated;
use crate::{Flags, PacketRecord};
use bytes::Bytes;
use ravelin_host::{Flaw, field};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use turmoil_net::{EnterGuard, TcpSegment};

/// What a receiver buffers, and so how far an acknowledgement may lie back.
const WINDOW: u32 = 65_535;

/// A segment that the attacker made up, with the numbers that the wire shows.
#[derive(Clone, Debug)]
pub struct Forged {
    /// Whom it claims to be from.
    pub source: SocketAddr,
    /// Whom it is for.
    pub destination: SocketAddr,
    /// Its sequence number.
    pub seq: u32,
    /// What it acknowledges.
    pub ack: u32,
    /// Its flags.
    pub flags: Flags,
    /// Its data.
    pub payload: Vec<u8>,
}

/// What became of a forged segment at the stack that it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgery {
    /// When it arrived, in simulated time.
    pub at: Duration,
    /// Whom it claimed to be from.
    pub source: SocketAddr,
    /// Whom it was for.
    pub destination: SocketAddr,
    /// Its flags.
    pub flags: Flags,
    /// Did the stack take it?
    pub accepted: bool,
}

/// A connection of others as somebody can predict it who sees none of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predicted {
    /// The client's address and port.
    pub client: SocketAddr,
    /// The next number that the server expects of the client.
    pub client_seq: u32,
    /// The next number that the client expects of the server.
    pub server_seq: u32,
}

impl Network {
    /// The ports and numbers of the newest open connection from an address to a server. Only where
    /// the stacks hand out numbers that can be predicted.
    pub(crate) fn predict(&self, client: IpAddr, server: SocketAddr) -> Option<Predicted> {
        if !self.config.flaws.has(Flaw::PredictableSequenceNumbers) {
            return None;
        }
        let state = self.state();
        let of_these = |flow: &&Live| {
            flow.on_wire[Way::ToClient].ip() == client && flow.on_wire[Way::ToServer] == server
        };
        state.flows.iter().map(|(_, flow)| flow).filter(of_these).filter_map(Live::predicted).last()
    }

    /// Sends a forged segment from the attacker's machine. False where it has no way to there.
    pub(crate) fn inject(&self, forged: Forged) -> bool {
        let receiver = self.map.owner(forged.destination.ip());
        let way = receiver.and_then(|receiver| self.map.attackers_way(forged.source.ip(), receiver));
        let Some(segment) = way else { return false };
        let at = self.elapsed();
        {
            let mut state = self.state();
            let record = PacketRecord {
                at,
                segment,
                source: forged.source,
                destination: forged.destination,
                flags: forged.flags,
                seq: forged.seq,
                ack: forged.ack,
                window: u16::MAX,
                payload_len: forged.payload.len(),
                payload: Bytes::from(forged.payload.clone()),
                cell: state.cell.clone(),
                flow: 0,
                touched: true,
                by_attacker: true,
            };
            state.trace.packet(&record);
            state.taps.packets.push(record);
        }
        // The attacker is as near as anybody can be.
        self.after(self.config.conditions.of(segment).least, Due::Forged(forged));
        true
    }

    /// What the stack that a forged segment reaches makes of it.
    pub(crate) fn judge(&self, stacks: &EnterGuard, forged: Forged) {
        let found = self.state().flows.on_wire(forged.source, forged.destination);
        let accepted = match found {
            Some((id, way)) => self.accept_forged(stacks, (id, way), &forged),
            None => false,
        };
        let Forged { source, destination, flags, .. } = forged;
        let forgery = Forgery { at: self.elapsed(), source, destination, flags, accepted };
        self.state().taps.forgeries.push(forgery);
        let fields = [
            field("from", forged.source),
            field("to", forged.destination),
            field("flags", forged.flags),
            field("accepted", accepted),
        ];
        self.note("forged", &fields);
    }

    fn accept_forged(&self, stacks: &EnterGuard, (id, way): (FlowId, Way), forged: &Forged) -> bool {
        let mut state = self.state();
        let receiver = state.flows.get(id).and_then(|flow| flow.receiver(way));
        if receiver.is_none_or(|machine| state.machines[machine].crashed || state.isolated.contains(&machine))
        {
            return false;
        }
        let Some(flow) = state.flows.get_mut(id) else { return false };
        // The genuine server never heard of a connection that the attacker answers.
        if flow.diverted && way == Way::ToServer || flow.ways[way].forgotten {
            return false;
        }
        let Some(mut segment) = flow.fitting(way, forged) else { return false };
        flow.ways[way].forgotten = segment.flags.rst;
        // After a reset the other end finds out by itself: its next packet meets a stack that knows
        // nothing of it.
        flow.arrived(way, &mut segment);
        let packet = translated(flow, way, segment);
        drop(state);
        stacks.deliver(packet);
        self.touch();
        true
    }
}

impl Live {
    /// The segment in the stacks' numbers, if a real stack would take it.
    fn fitting(&self, way: Way, forged: &Forged) -> Option<TcpSegment> {
        let segment = TcpSegment {
            src_port: forged.source.port(),
            dst_port: forged.destination.port(),
            seq: forged.seq.wrapping_sub(self.offset[way]),
            ack: forged.ack.wrapping_sub(self.offset[way.back()]),
            flags: forged.flags.into(),
            window: u16::MAX,
            payload: Bytes::from(forged.payload.clone()),
        };
        // The receiver's SND.NXT and, below, its SND.UNA.
        let sent_back = self.ways[way.back()].sent_to?;
        let Some(expected) = self.ways[way].arrived_to else {
            // SYN-SENT: only a reset that acknowledges the SYN.
            let fits = way == Way::ToClient && forged.flags.rst && forged.flags.ack;
            return (fits && segment.ack == sent_back).then_some(segment);
        };
        if forged.flags.syn || segment.seq != expected {
            return None;
        }
        let open = self.ways[way].acknowledged.map_or(0, |oldest| sent_back.wrapping_sub(oldest));
        let acknowledges =
            forged.flags.ack && sent_back.wrapping_sub(segment.ack) <= WINDOW.saturating_add(open);
        (forged.flags.rst || acknowledges).then_some(segment)
    }

    /// What can be predicted of it, while it is open both ways and the genuine server answers.
    fn predicted(&self) -> Option<Predicted> {
        let ways = [Way::ToServer, Way::ToClient];
        if self.diverted || ways.iter().any(|way| self.ways[*way].forgotten || self.ways[*way].fin.is_some())
        {
            return None;
        }
        let [client_seq, server_seq] = ways.map(|way| {
            let expected = self.ways[way].arrived_to?;
            Some(expected.wrapping_add(self.offset[way]))
        });
        let client = self.on_wire[Way::ToClient];
        Some(Predicted { client, client_seq: client_seq?, server_seq: server_seq? })
    }
}
