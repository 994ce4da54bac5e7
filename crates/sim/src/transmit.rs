//! A packet on its way out: cut, tapped, judged by the attacker's hook, and given a time of arrival.
//!
//! The stacks never send anything twice, so a packet that does not get through waits here, with all
//! that follow it, and is tried again.

use crate::flow::{FlowId, Live, Stalled, Way};
use crate::network::{Due, Network, State};
use crate::opening::flow_draws;
use crate::wire::{Action, PacketView};
use crate::{Conditions, Latency, PacketRecord, Segment};
use std::sync::PoisonError;
use std::time::Duration;
use turmoil_net::{Packet, TcpSegment, Transport};

/// The time until TCP tries again (RFC 6298 section 2, as Linux has it); doubles each time.
const RETRY: Duration = Duration::from_millis(200);
/// How often TCP tries before it gives up.
const MAX_TRIES: u32 = 8;
/// What waits longer than this is given up.
const GIVE_UP: Duration = Duration::from_secs(120);

enum Attempt {
    Sent,
    /// There was no way.
    Cut(TcpSegment),
    /// The attacker dropped it.
    Dropped(TcpSegment),
}

impl Network {
    /// Sends a packet of a flow.
    pub(crate) fn transmit(&self, id: FlowId, way: Way, segment: TcpSegment) {
        if let Some(flow) = self.state().flows.get_mut(id)
            && let Some(stalled) = &mut flow.ways[way].stalled
        {
            stalled.waiting.push_back(segment);
            return;
        }
        match self.attempt(id, way, segment) {
            Attempt::Sent => {}
            Attempt::Cut(segment) => self.stall(id, way, segment),
            Attempt::Dropped(segment) => {
                self.stall(id, way, segment);
                self.retry_later(id, way);
            }
        }
    }

    /// Lets a packet and all that follow it wait.
    pub(crate) fn stall(&self, id: FlowId, way: Way, segment: TcpSegment) {
        let give_up = {
            let mut state = self.state();
            state.queued += 1;
            let stamp = state.queued;
            let Some(flow) = state.flows.get_mut(id) else { return };
            let stalled = &mut flow.ways[way].stalled;
            let is_new = stalled.is_none();
            let stalled = stalled.get_or_insert_with(|| Stalled { stamp, ..Stalled::default() });
            stalled.waiting.push_back(segment);
            is_new.then_some(Due::GiveUp { flow: id, way, stamp })
        };
        if let Some(give_up) = give_up {
            self.after(GIVE_UP, give_up);
        }
    }

    fn retry_later(&self, id: FlowId, way: Way) {
        let (tries, stamp) = {
            let mut state = self.state();
            let Some(flow) = state.flows.get_mut(id) else { return };
            let Some(stalled) = &mut flow.ways[way].stalled else { return };
            stalled.tries += 1;
            (stalled.tries, stalled.stamp)
        };
        if tries > MAX_TRIES {
            self.abort(id);
        } else {
            self.after(RETRY * 2_u32.pow(tries - 1), Due::Retry { flow: id, way, stamp });
        }
    }

    /// Tries what waits, in order.
    pub(crate) fn retry(&self, id: FlowId, way: Way, stamp: u64) {
        loop {
            let segment = {
                let mut state = self.state();
                let Some(flow) = state.flows.get_mut(id) else { return };
                let Some(stalled) = &mut flow.ways[way].stalled else { return };
                if stalled.stamp != stamp {
                    return;
                }
                let Some(segment) = stalled.waiting.pop_front() else {
                    flow.ways[way].stalled = None;
                    return;
                };
                segment
            };
            let (segment, again) = match self.attempt(id, way, segment) {
                Attempt::Sent => continue,
                Attempt::Cut(segment) => (segment, false),
                Attempt::Dropped(segment) => (segment, true),
            };
            if let Some(flow) = self.state().flows.get_mut(id)
                && let Some(stalled) = &mut flow.ways[way].stalled
            {
                stalled.waiting.push_front(segment);
            }
            if again {
                self.retry_later(id, way);
            }
            return;
        }
    }

    /// Tries all that waits and that `concerns` says may pass now.
    pub(crate) fn retry_all(&self, concerns: impl Fn(&Live, Way) -> bool) {
        let mut state = self.state();
        let at = self.elapsed() + RETRY;
        let waiting: Vec<_> = state
            .flows
            .iter()
            .flat_map(|(id, flow)| [(id, flow, Way::ToServer), (id, flow, Way::ToClient)])
            .filter(|(_, flow, way)| concerns(flow, *way))
            .filter_map(|(flow, live, way)| {
                let stamp = live.ways[way].stalled.as_ref()?.stamp;
                Some(Due::Retry { flow, way, stamp })
            })
            .collect();
        for retry in waiting {
            state.push(at, retry);
        }
        self.wake();
    }

    pub(crate) fn give_up(&self, id: FlowId, way: Way, stamp: u64) {
        let waits = self
            .state()
            .flows
            .get(id)
            .is_some_and(|flow| flow.ways[way].stalled.as_ref().is_some_and(|s| s.stamp == stamp));
        if waits {
            self.abort(id);
        }
    }

    /// Ends a flow: both ends are told that it was reset.
    pub(crate) fn abort(&self, id: FlowId) {
        let mut state = self.state();
        let Some(flow) = state.flows.remove(id) else { return };
        let now = self.elapsed();
        for way in [Way::ToServer, Way::ToClient] {
            if flow.receiver(way).is_some() {
                state.push(now, Due::Stray(translated(&flow, way, flow.reset(way, 0))));
            }
        }
        self.wake();
    }

    fn attempt(&self, id: FlowId, way: Way, mut segment: TcpSegment) -> Attempt {
        let view = {
            let mut state = self.state();
            let Some(flow) = state.flows.get(id) else { return Attempt::Sent };
            if flow.server.is_some_and(|server| state.is_cut(flow.client, server)) {
                return Attempt::Cut(segment);
            }
            let view = state.tap(id, way, (self.elapsed(), &segment));
            view.filter(|_| state.flows.get(id).is_some_and(|flow| self.is_hooked(flow)))
        };
        let mut delay = Duration::ZERO;
        match view.map_or(Action::Pass, |view| self.ask_hook(&view)) {
            Action::Pass => {}
            Action::Drop if segment.flags.rst => return Attempt::Sent,
            Action::Drop => return Attempt::Dropped(segment),
            Action::Delay(by) => delay = by,
            Action::Rewrite(payload) => {
                assert_eq!(payload.len(), segment.payload.len(), "rewriting keeps the length");
                segment.payload = payload.into();
            }
            Action::Divert if segment.flags.syn && way == Way::ToServer => self.divert(id),
            Action::Divert => {}
        }
        self.send(id, way, (segment, delay));
        Attempt::Sent
    }

    /// Are this flow's packets shown to the hook? The attacker's own are not.
    fn is_hooked(&self, flow: &Live) -> bool {
        let attackers = self.map.attacker;
        flow.touched
            && !flow.diverted
            && (attackers.is_none() || Some(flow.client) != attackers && flow.server != attackers)
    }

    fn ask_hook(&self, view: &PacketView) -> Action {
        let slot = || self.hook.lock().unwrap_or_else(PoisonError::into_inner);
        // Not locked while it runs: it may use the wire itself, and set another hook.
        let (set, taken) = {
            let mut slot = slot();
            (slot.set, slot.hook.take())
        };
        let Some(mut hook) = taken else { return Action::Pass };
        let action = hook.packet(view);
        let mut slot = slot();
        if slot.set == set {
            slot.hook = Some(hook);
        }
        action
    }

    /// Gives a packet its time of arrival.
    fn send(&self, id: FlowId, way: Way, (segment, delay): (TcpSegment, Duration)) {
        let now = self.elapsed();
        let mut state = self.state();
        let (loss, cell) = (state.loss, state.cell_number);
        let Some(flow) = state.flows.get_mut(id) else { return };
        if flow.receiver(way).is_none() {
            // Nobody has this address, and a stack sends its SYN once.
            state.flows.remove(id);
            return;
        }
        if way == Way::ToClient && !self.attacker_hears(flow) {
            // The machine whose name the attacker used knows nothing of this connection.
            if !segment.flags.rst && flow.spoofed.is_some_and(|ip| self.map.owner(ip).is_some()) {
                let reset = flow.reset(Way::ToServer, segment.ack);
                let due = Due::Arrival { flow: id, way: Way::ToServer, segment: reset };
                state.push(now + RETRY / 100, due);
            }
            return;
        }
        if flow.draws_cell != cell {
            flow.draws = flow_draws("carried", &flow.pair);
            flow.draws_cell = cell;
        }
        let burst = flow.ways[way].last_sent == Some(now) && delay.is_zero() && loss == 0.0;
        let mut due = flow.ways[way].last_due;
        if !burst {
            let latency = self.config.conditions.of(flow.segment);
            due = due.max(now + flow.draw(latency) + delay + flow.lost_time(loss));
            flow.ways[way].last_sent = Some(now);
            flow.ways[way].last_due = due;
        }
        state.push(due, Due::Arrival { flow: id, way, segment });
    }

    /// Do answers to a connection in another's name pass the attacker?
    fn attacker_hears(&self, flow: &Live) -> bool {
        let (Some(source), Some(server)) = (flow.spoofed, flow.server) else { return true };
        let owner = self.map.owner(source);
        let segment = match owner {
            Some(owner) => self.map.segment(server, owner),
            None => self.map.way_out(server),
        };
        segment.is_some_and(|segment| self.map.touches(segment, [Some(server), owner]))
    }
}

impl Conditions {
    pub(crate) fn of(&self, segment: Segment) -> Latency {
        match segment {
            Segment::ControlPlaneLan => self.lan,
            Segment::Node(_) => self.node,
            Segment::Access => self.access,
            Segment::Fabric => self.fabric,
        }
    }
}

impl Live {
    /// How long a packet is late because it was lost, some times in a row.
    fn lost_time(&mut self, loss: f64) -> Duration {
        let mut time = Duration::ZERO;
        let mut tries = 0;
        while loss > 0.0 && tries < MAX_TRIES && (self.draws.below(1 << 32) as f64) < loss * 4_294_967_296.0 {
            time += RETRY * 2_u32.pow(tries);
            tries += 1;
        }
        time
    }
}

impl State {
    /// Records a packet that crosses its segment, and gives the view of it.
    fn tap(&mut self, id: FlowId, way: Way, (at, segment): (Duration, &TcpSegment)) -> Option<PacketView> {
        let cell = self.cell.clone();
        let flow = self.flows.get_mut(id)?;
        let opening_reset = segment.flags.rst && segment.seq == 0;
        let seq = segment.seq.wrapping_add(flow.offset[way]);
        let ack = segment.ack.wrapping_add(flow.offset[way.back()]);
        let record = PacketRecord {
            at,
            segment: flow.segment,
            source: flow.on_wire[way.back()],
            destination: flow.on_wire[way],
            flags: segment.flags.into(),
            seq: if opening_reset { 0 } else { seq },
            ack: if segment.flags.ack { ack } else { 0 },
            window: segment.window,
            payload_len: segment.payload.len(),
            payload: segment.payload.clone(),
            cell,
            flow: id,
            touched: flow.touched,
            by_attacker: flow.by_attacker,
        };
        if segment.flags.syn {
            flow.ways[way].sent_to = Some(segment.seq.wrapping_add(1));
        } else if let Some(sent_to) = flow.ways[way].sent_to {
            let known = sent_to.wrapping_sub(segment.seq) as usize;
            // Half of the number space is behind: what was sent before, or nothing new.
            let known = if known < 1 << 31 { known } else { segment.payload.len() };
            let new = &segment.payload[known.min(segment.payload.len())..];
            if !new.is_empty() {
                if let Some(copy) = flow.copy {
                    self.taps.append(copy, (&record.cell, way), new);
                }
                flow.ways[way].sent_to = Some(sent_to.wrapping_add(new.len() as u32));
            }
        }
        self.trace.packet(&record);
        self.taps.packets.push(record.clone());
        Some(PacketView(record))
    }
}

/// A flow's packet as the receiving stack expects it.
pub(crate) fn translated(flow: &Live, way: Way, mut segment: TcpSegment) -> Packet {
    let end = flow.receiving_end(way);
    segment.src_port = end.remote.port();
    segment.dst_port = end.local.port();
    Packet { src: end.remote.ip(), dst: end.local.ip(), ttl: 64, payload: Transport::Tcp(segment) }
}
