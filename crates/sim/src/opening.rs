//! A connection's first packet: where it goes, who it seems to come from, and who answers.

use crate::Segment;
use crate::flow::{Both, End, Live, Progress, Way};
use crate::network::{Due, Network, State};
use crate::topology::{MASQUERADE_V4, MASQUERADE_V6, Machine, Map};
use ravelin_entropy::Entropy;
use ravelin_host::{Redirect, field};
use std::net::{IpAddr, SocketAddr};
use turmoil_net::{Packet, TcpFlags, TcpSegment, Transport};

/// Where the attacker's machine takes diverted connections, in its stack.
pub(crate) const DIVERTED_PORT: u16 = 1;
/// Source ports that the wire shows, as Linux hands them out.
const EPHEMERAL: std::ops::Range<u64> = 32_768..60_999;

/// What the first packet decides.
struct Route {
    client: Machine,
    server: Option<Machine>,
    segment: Segment,
    source: IpAddr,
    destination: SocketAddr,
    spoofed: Option<IpAddr>,
}

impl Network {
    /// Opens the flow of a SYN and sends it on.
    pub(crate) fn open(&self, end: End, syn: TcpSegment) {
        let Some(client) = self.map.owner(end.local.ip()) else { return };
        let wanted = self.state().magic.get(&end.remote.ip()).map_or(end.remote, |(_, to)| *to);
        let identity = self.state().identify(&self.map, client, wanted);
        let mut draws = flow_draws(&identity);
        let route = match self.route(client, end, &mut draws) {
            Ok(route) => route,
            Err(Nowhere::Refused) => return self.refuse(end, &syn),
            Err(Nowhere::Lost) => return,
        };
        let mut flow = self.flow(end, &route, (identity, draws));
        let at = self.elapsed();
        let (id, divert) = {
            let mut state = self.state();
            let id = state.flows.next_id();
            let divert = flow.touched
                && !flow.by_attacker
                && self.map.attacker.is_some()
                && state.diverts.values().any(|rule| rule.matches(&flow));
            state.copied((id, at), &mut flow);
            state.flows.insert(id, flow);
            (id, divert)
        };
        if divert {
            self.divert(id);
        }
        self.transmit(id, Way::ToServer, syn);
    }

    fn route(&self, client: Machine, end: End, draws: &mut Entropy) -> Result<Route, Nowhere> {
        let mut state = self.state();
        let own = end.local.ip();
        if let Some((source, to)) = state.magic.remove(&end.remote.ip()) {
            let server = self.map.owner(to.ip());
            // A packet of one's own address that comes from outside is dropped everywhere.
            let martian = server.is_some() && server == self.map.owner(source);
            let segment = server.and_then(|server| self.map.attackers_way(source, server));
            let segment = segment.filter(|_| !martian).ok_or(Nowhere::Lost)?;
            let spoofed = (source != own).then_some(source);
            return Ok(Route { client, server, segment, source, destination: to, spoofed });
        }
        let redirect = state.redirects(&self.map, client).iter().find(|r| r.from == end.remote);
        let destination = match redirect {
            Some(Redirect { to, .. }) if to.is_empty() => return Err(Nowhere::Refused),
            Some(Redirect { to, .. }) => to[draws.below(to.len() as u64) as usize],
            None => end.remote,
        };
        let server = self.map.owner(destination.ip());
        let source = match (server == Some(client), own) {
            (true, IpAddr::V4(_)) => MASQUERADE_V4,
            (true, IpAddr::V6(_)) => MASQUERADE_V6,
            (false, own) => own,
        };
        let segment = match server {
            Some(server) if server == client => Some(self.own_segment(client)),
            Some(server) => self.map.segment(client, server),
            None => self.map.way_out(client),
        };
        let segment = segment.ok_or(Nowhere::Lost)?;
        Ok(Route { client, server, segment, source, destination, spoofed: None })
    }

    /// Where a connection to oneself by way of translation passes.
    fn own_segment(&self, machine: Machine) -> Segment {
        match self.map.node_of(machine) {
            Some(node) => Segment::Node(node),
            None => Segment::ControlPlaneLan,
        }
    }

    fn flow(&self, client_end: End, route: &Route, draws: (String, Entropy)) -> Live {
        let (identity, mut draws) = draws;
        let port_in_stack = match route.server {
            Some(server) => self.port_in_stack(server, route.destination),
            None => route.destination.port(),
        };
        let server_local = SocketAddr::new(route.destination.ip(), port_in_stack);
        let state = self.state();
        let server_end = loop {
            let port = EPHEMERAL.start + draws.below(EPHEMERAL.end - EPHEMERAL.start);
            let port = u16::try_from(port).expect("the range is one of ports");
            let shown = SocketAddr::new(route.source, port);
            let end = End { local: server_local, remote: shown };
            let wire_is_taken = state.flows.on_wire(shown, route.destination).is_some();
            if !wire_is_taken && !state.flows.is_taken(end) && !self.is_taken_here(&state, shown) {
                break end;
            }
        };
        let offset = Both::new(draws.number() as u32, draws.number() as u32);
        Live {
            client: route.client,
            server: route.server,
            client_end,
            server_end,
            on_wire: Both::new(route.destination, server_end.remote),
            segment: route.segment,
            touched: self.map.touches(route.segment, [Some(route.client), route.server]),
            identity,
            draws,
            draws_cell: state.cell_number,
            offset,
            ways: Both::new(Progress::default(), Progress::default()),
            copy: None,
            diverted: false,
            by_attacker: Some(route.client) == self.map.attacker,
            spoofed: route.spoofed,
        }
    }

    /// Would this source collide at the attacker's machine, if the flow were diverted there?
    fn is_taken_here(&self, state: &State, shown: SocketAddr) -> bool {
        self.diverted_end(shown).is_some_and(|end| state.flows.is_taken(end))
    }

    fn diverted_end(&self, shown: SocketAddr) -> Option<End> {
        let attacker = self.map.attacker?;
        let addresses = &self.map.machines[attacker].addresses;
        let ip = addresses.iter().find(|ip| ip.is_ipv4() == shown.is_ipv4())?;
        Some(End { local: SocketAddr::new(*ip, DIVERTED_PORT), remote: shown })
    }

    /// Lets the attacker's machine answer a flow.
    pub(crate) fn divert(&self, id: u64) {
        let mut state = self.state();
        let Some(attacker) = self.map.attacker else { return };
        let Some((client, server)) =
            state.flows.get(id).map(|flow| (flow.on_wire[Way::ToClient], flow.on_wire[Way::ToServer]))
        else {
            return;
        };
        let Some(end) = self.diverted_end(client) else { return };
        state.flows.change_server(id, attacker, end);
        state.taps.diverted(id);
        drop(state);
        self.note("diverted", &[field("from", client), field("to", server)]);
    }

    /// Answers a SYN with a reset, as a translated address without endpoints does.
    fn refuse(&self, end: End, syn: &TcpSegment) {
        let segment = TcpSegment {
            src_port: end.remote.port(),
            dst_port: end.local.port(),
            seq: 0,
            ack: syn.seq.wrapping_add(1),
            flags: TcpFlags { rst: true, ack: true, ..TcpFlags::default() },
            window: 0,
            payload: bytes::Bytes::new(),
        };
        let packet =
            Packet { src: end.remote.ip(), dst: end.local.ip(), ttl: 64, payload: Transport::Tcp(segment) };
        self.after(self.config.conditions.node.least, Due::Stray(packet));
    }
}

/// The stream of a flow in the current cell.
pub(crate) fn flow_draws(identity: &str) -> Entropy {
    ravelin_entropy::stream(&["network", identity])
}

/// Why a first packet has no flow.
enum Nowhere {
    Refused,
    Lost,
}

impl State {
    /// A name for a new flow that depends only on what its client did in this cell.
    fn identify(&mut self, map: &Map, client: Machine, to: SocketAddr) -> String {
        let count = self.opened.entry((client, to)).or_insert(0);
        *count += 1;
        format!("{}\0{}\0{to}\0{count}", self.cell, map.name(client))
    }

    /// The table that a machine's packets pass: its node's, or its own.
    fn redirects(&self, map: &Map, machine: Machine) -> &[Redirect] {
        let node = map.node_of(machine);
        let keeper = match node {
            Some(node) => (0..map.machines.len()).find(|index| map.place(*index) == crate::Place::Node(node)),
            None => Some(machine),
        };
        keeper.map_or(&[], |keeper| &self.machines[keeper].redirects)
    }
}
