//! A packet at its destination.

use crate::flow::{FlowId, Live, Way};
use crate::network::Network;
use crate::topology::Machine;
use crate::transmit::translated;
use bytes::Buf;
use turmoil_net::{EnterGuard, NetstatEntry, Packet, TcpFlags, TcpSegment, Transport};

impl Network {
    /// Hands a packet of a flow to the stack that it is for.
    pub(crate) fn arrive(&self, stacks: &EnterGuard, id: FlowId, (way, mut segment): (Way, TcpSegment)) {
        let mut state = self.state();
        let Some(flow) = state.flows.get(id) else { return };
        let Some(receiver) = flow.receiver(way) else { return };
        if state.machines[receiver].crashed {
            drop(state);
            return self.stall(id, way, segment);
        }
        let Some(flow) = state.flows.get_mut(id) else { return };
        if flow.ways[way].receiver_gone && !segment.payload.is_empty() {
            drop(state);
            return self.answer_for_the_gone(stacks, id, (way, segment.ack));
        }
        flow.arrived(way, &mut segment);
        let over = segment.flags.rst || flow.is_over();
        let packet = translated(flow, way, segment);
        if over {
            state.flows.remove(id);
        }
        drop(state);
        stacks.deliver(packet);
    }

    /// Data for a stream that its owner has dropped: its stack would take it without a word until
    /// its buffer is full, a real one answers with a reset.
    fn answer_for_the_gone(&self, stacks: &EnterGuard, id: FlowId, (way, seq): (Way, u32)) {
        let (for_the_gone, answer) = {
            let mut state = self.state();
            let Some(flow) = state.flows.get_mut(id) else { return };
            if std::mem::replace(&mut flow.ways[way].was_reset, true) {
                return;
            }
            let for_the_gone = translated(flow, way, flow.reset(way, 0));
            (for_the_gone, flow.reset(way.back(), seq))
        };
        stacks.deliver(for_the_gone);
        self.transmit(id, way.back(), answer);
    }

    /// Forgets the sockets of a machine that crashed.
    pub(crate) fn purge(&self, stacks: &EnterGuard, machine: Machine) {
        let address = self.map.machines[machine].addresses[0];
        for socket in turmoil_net::netstat(address).entries {
            if let Some(reset) = reset_of(&socket) {
                stacks.deliver(reset);
            }
        }
    }
}

/// A reset that a socket would take for its peer's.
fn reset_of(socket: &NetstatEntry) -> Option<Packet> {
    let (local, peer) = (socket.local, socket.peer?);
    let segment = TcpSegment {
        src_port: peer.port(),
        dst_port: local.port(),
        seq: 0,
        ack: 0,
        flags: TcpFlags { rst: true, ..TcpFlags::default() },
        window: 0,
        payload: bytes::Bytes::new(),
    };
    // Through the network, not the machine itself: a socket connected to the machine's own address
    // is found in the same way.
    Some(Packet { src: peer.ip(), dst: local.ip(), ttl: 64, payload: Transport::Tcp(segment) })
}

impl Live {
    /// Keeps account of what has arrived, and cuts off what had arrived before (an attacker may
    /// have sent it first).
    pub(crate) fn arrived(&mut self, way: Way, segment: &mut TcpSegment) {
        let progress = &mut self.ways[way];
        if segment.flags.syn {
            progress.arrived_to = Some(segment.seq.wrapping_add(1));
        } else if let Some(expected) = progress.arrived_to {
            let old = expected.wrapping_sub(segment.seq);
            if old > 0 && old < 1 << 31 && !segment.payload.is_empty() {
                let old = segment.payload.len().min(old as usize);
                segment.payload.advance(old);
                segment.seq = segment.seq.wrapping_add(old as u32);
            }
            if segment.seq == expected {
                let length = segment.payload.len() as u32 + u32::from(segment.flags.fin);
                progress.arrived_to = Some(expected.wrapping_add(length));
            }
        }
        if segment.flags.fin {
            progress.fin = Some(segment.seq.wrapping_add(segment.payload.len() as u32));
        }
        if segment.flags.ack {
            let known = progress.acknowledged.unwrap_or(segment.ack);
            // Half of the number space is behind: a forged segment may acknowledge what is old.
            let newer = segment.ack.wrapping_sub(known) < 1 << 31;
            progress.acknowledged = Some(if newer { segment.ack } else { known });
        }
    }

    /// Have both ends closed, and heard that the other has?
    fn is_over(&self) -> bool {
        [Way::ToServer, Way::ToClient].into_iter().all(|way| {
            let heard = self.ways[way.back()].acknowledged;
            self.ways[way].fin.is_some_and(|fin| heard == Some(fin.wrapping_add(1)))
        })
    }
}
