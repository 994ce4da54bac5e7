//! A connection's first packet: where it goes, who it seems to come from, and who answers.

use crate::flow::{Both, End, Live, Progress, Way};
use crate::network::{Due, Network, State};
use crate::topology::{MASQUERADE_V4, MASQUERADE_V6, Machine};
use crate::{Place, Segment};
use ravelin_entropy::Entropy;
use ravelin_host::{Opening, Scope, Translated, field};
use std::io;
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
    touched: bool,
    source: IpAddr,
    destination: SocketAddr,
    spoofed: Option<IpAddr>,
}

impl Network {
    /// Opens the flow of a SYN and sends it on.
    pub(crate) fn open(&self, end: End, syn: TcpSegment) {
        let Some(client) = self.map.owner(end.local.ip()) else { return };
        let wanted = self.state().magic.get(&end.remote.ip()).map_or(end.remote, |(_, to)| *to);
        let pair = self.pair(client, wanted);
        let mut draws = flow_draws("opened", &pair);
        let route = match self.route(client, end, &mut draws) {
            Ok(route) => route,
            Err(Nowhere::Refused) => return self.refuse(end, &syn),
            Err(Nowhere::Lost) => return,
        };
        let mut flow = self.flow(end, &route, (pair, draws));
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
            let touched = self.map.touches(segment, [Some(client), server]);
            return Ok(Route { client, server, segment, touched, source, destination: to, spoofed });
        }
        let mut leads = Leads { source: own, to: end.remote };
        // Who has no table of its own passes its node's.
        let keeper = self.keeper(client);
        self.pass(&mut state, (keeper, Scope::Opened), &mut leads, draws)?;
        let mut hops = vec![client];
        let arrived = self.map.owner(leads.to.ip()).filter(|there| self.is_node(*there) && *there != keeper);
        if let Some(node) = arrived
            && self.pass(&mut state, (node, Scope::Arriving), &mut leads, draws)?
        {
            hops.push(node);
        }
        let server = self.map.owner(leads.to.ip());
        let is_servers_own = server.is_some() && server == self.map.owner(leads.source);
        let source = match (is_servers_own, own) {
            (true, IpAddr::V4(_)) => MASQUERADE_V4,
            (true, IpAddr::V6(_)) => MASQUERADE_V6,
            (false, _) => leads.source,
        };
        let (segment, touched) = self.way(&hops, server).ok_or(Nowhere::Lost)?;
        Ok(Route { client, server, segment, touched, source, destination: leads.to, spoofed: None })
    }

    /// The segment that a connection is said to pass, and whether the attacker touches it: of a
    /// connection that a node forwards, the first segment that the attacker touches.
    fn way(&self, hops: &[Machine], server: Option<Machine>) -> Option<(Segment, bool)> {
        let stations = hops.iter().map(|hop| Some(*hop)).chain([server]);
        let mut first = None;
        for (from, to) in hops.iter().zip(stations.skip(1)) {
            let segment = match to {
                Some(to) if to == *from => Some(self.own_segment(to)),
                Some(to) => self.map.segment(*from, to),
                None => self.map.way_out(*from),
            }?;
            let touched = self.map.touches(segment, [Some(*from), to]);
            if touched {
                return Some((segment, true));
            }
            first.get_or_insert((segment, false));
        }
        first
    }

    /// Lets a connection pass a machine's translation. False where nothing is translated.
    fn pass(
        &self,
        state: &mut State,
        (keeper, way): (Machine, Scope),
        leads: &mut Leads,
        draws: &mut Entropy,
    ) -> Result<bool, Nowhere> {
        let own = &self.map.machines[keeper].addresses;
        let opening = Opening { client: leads.source, to: leads.to, way, own, now: self.elapsed() };
        let choose = |many: usize| draws.below(many as u64) as usize;
        match state.machines[keeper].translation.translate(&opening, choose) {
            Translated::No => return Ok(false),
            Translated::Refused => return Err(Nowhere::Refused),
            Translated::Dropped => return Err(Nowhere::Lost),
            Translated::To { endpoint, masquerade } => {
                leads.to = endpoint;
                let same_family = own.iter().find(|ip| ip.is_ipv4() == leads.source.is_ipv4());
                if let (true, Some(address)) = (masquerade, same_family) {
                    leads.source = *address;
                }
            }
        }
        Ok(true)
    }

    /// Where a connection of a machine to one of its own addresses leads.
    pub(crate) fn translated_at_home(&self, machine: Machine, to: SocketAddr) -> io::Result<SocketAddr> {
        if self.keeper(machine) != machine {
            return Ok(to);
        }
        let mut state = self.state();
        let mut draws = flow_draws("opened", &self.pair(machine, to));
        let mut leads = Leads { source: to.ip(), to };
        match self.pass(&mut state, (machine, Scope::Opened), &mut leads, &mut draws) {
            Ok(_) => Ok(leads.to),
            Err(Nowhere::Refused) => Err(io::ErrorKind::ConnectionRefused.into()),
            Err(Nowhere::Lost) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// What flows of a client to a destination are called in the names of their streams.
    fn pair(&self, client: Machine, to: SocketAddr) -> String {
        format!("{}\0{to}", self.map.name(client))
    }

    /// The machine whose translation a machine's packets pass: its node, or itself.
    fn keeper(&self, machine: Machine) -> Machine {
        let node = self.map.node_of(machine);
        node.and_then(|node| self.map.node(node)).unwrap_or(machine)
    }

    fn is_node(&self, machine: Machine) -> bool {
        matches!(self.map.place(machine), Place::Node(_))
    }

    /// Where a connection to oneself by way of translation passes.
    fn own_segment(&self, machine: Machine) -> Segment {
        match self.map.node_of(machine) {
            Some(node) => Segment::Node(node),
            None => Segment::ControlPlaneLan,
        }
    }

    fn flow(&self, client_end: End, route: &Route, draws: (String, Entropy)) -> Live {
        let (pair, mut draws) = draws;
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
            touched: route.touched,
            pair,
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

/// The stream of the next flow of a pair in the current cell: one that is `opened` in it, or one that
/// is `carried` over from an earlier cell and now sends for the first time.
///
/// Flows that are alike are told apart by their order in this cell and by nothing older: which of
/// several idle connections somebody kept is the history of other cells.
pub(crate) fn flow_draws(how: &str, pair: &str) -> Entropy {
    ravelin_entropy::stream(&["network", how, pair])
}

/// Where a connection leads by now, and from where it seems to come.
struct Leads {
    source: IpAddr,
    to: SocketAddr,
}

/// Why a first packet has no flow.
enum Nowhere {
    Refused,
    Lost,
}
