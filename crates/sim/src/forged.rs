//! Segments that the attacker makes up, judged as a real stack would.
//!
//! turmoil's stacks take any reset, and their sequence numbers can be guessed. On the wire numbers
//! are random, and what does not fit the connection is dropped here (RFC 9293 section 3.10.7,
//! RFC 5961 sections 3 to 5).

use crate::flow::{FlowId, Live, Way};
use crate::network::{Due, Network};
use crate::transmit::translated;
use crate::{Flags, PacketRecord};
use bytes::Bytes;
use ravelin_host::field;
use std::net::SocketAddr;
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

impl Network {
    /// Sends a forged segment from the attacker's machine. False where it has no way to there.
    pub(crate) fn inject(&self, forged: Forged) -> bool {
        let receiver = self.map.owner(forged.destination.ip());
        let (Some(attacker), Some(receiver)) = (self.map.attacker, receiver) else { return false };
        let Some(segment) = self.map.segment(attacker, receiver) else { return false };
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
        let Some(flow) = state.flows.get_mut(id) else { return false };
        // The genuine server never heard of a connection that the attacker answers.
        if flow.diverted && way == Way::ToServer {
            return false;
        }
        let Some(mut segment) = flow.fitting(way, forged) else { return false };
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
        let sent_back = self.ways[way.back()].sent_to?;
        let Some(expected) = self.ways[way].arrived_to else {
            // SYN-SENT: only a reset that acknowledges the SYN.
            let fits = way == Way::ToClient && forged.flags.rst && forged.flags.ack;
            return (fits && segment.ack == sent_back).then_some(segment);
        };
        if forged.flags.syn || segment.seq != expected {
            return None;
        }
        let acknowledges = forged.flags.ack && sent_back.wrapping_sub(segment.ack) <= WINDOW;
        (forged.flags.rst || acknowledges).then_some(segment)
    }
}
