//! What passes on the wire, and the attacker's place on it.

use crate::flow::{Flags, FlowId, Live, Way};
use crate::network::{Network, State};
use crate::stream::{SimListener, dial};
use crate::topology::MAGIC;
use crate::{Forged, Forgery, Predicted, Segment};
use bytes::Bytes;
use ravelin_host::Connection;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// One packet that crossed a segment, as an observer there sees it.
#[derive(Clone, Debug)]
pub struct PacketRecord {
    /// When, in simulated time.
    pub at: Duration,
    /// Where.
    pub segment: Segment,
    /// From whom, after translation.
    pub source: SocketAddr,
    /// To whom, after translation and before diversion.
    pub destination: SocketAddr,
    /// Its flags.
    pub flags: Flags,
    /// Its sequence number.
    pub seq: u32,
    /// What it acknowledges, 0 without `ack`.
    pub ack: u32,
    /// The bytes that its sender would take.
    pub window: u16,
    /// How many bytes it carries.
    pub payload_len: usize,
    /// What it carries.
    pub payload: Bytes,
    /// The cell that ran.
    pub cell: Arc<str>,
    /// The number of its flow; 0 for forged ones.
    pub flow: u64,
    /// The attacker touches it: it is on the path there, or owns one of the machines.
    pub touched: bool,
    /// It is the attacker's: forged, or of a connection that its machine opened.
    pub by_attacker: bool,
}

impl PacketRecord {
    /// The sequence number that comes after it (RFC 9293 section 3.4: SYN and FIN count as one each).
    fn next_seq(&self) -> u32 {
        let length = u32::try_from(self.payload_len).unwrap_or(0);
        let counted = u32::from(self.flags.syn) + u32::from(self.flags.fin);
        self.seq.wrapping_add(length).wrapping_add(counted)
    }
}

/// A packet as the hook is shown it.
#[derive(Clone, Debug)]
pub struct PacketView(pub(crate) PacketRecord);

impl std::ops::Deref for PacketView {
    type Target = PacketRecord;
    fn deref(&self) -> &PacketRecord {
        &self.0
    }
}

/// One connection that the attacker touches, as an eavesdropper puts it together.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its number, in the order of their opening; `PacketRecord::flow` names it.
    pub id: u64,
    /// Who opened it.
    pub client: SocketAddr,
    /// Whom it was opened to, after translation and before diversion.
    pub server: SocketAddr,
    /// Where it passes.
    pub segment: Segment,
    /// When it was opened, in simulated time.
    pub opened_at: Duration,
    /// The cell that ran then.
    pub cell: Arc<str>,
    /// What the client sent.
    pub from_client: Vec<u8>,
    /// What the server (or who answered for it) sent.
    pub from_server: Vec<u8>,
    /// The attacker's machine answered.
    pub diverted: bool,
    /// The attacker's machine opened it.
    pub by_attacker: bool,
    /// Where each cell's bytes begin, for the cells in which there were any.
    pub cells: Vec<CellStart>,
}

/// Where the bytes of a cell begin in a flow.
#[derive(Clone, Debug)]
pub struct CellStart {
    /// The cell.
    pub cell: Arc<str>,
    /// In `Flow::from_client`.
    pub from_client: usize,
    /// In `Flow::from_server`.
    pub from_server: usize,
}

impl Flow {
    /// What the client and the server sent while a cell ran.
    pub fn in_cell(&self, cell: &str) -> (&[u8], &[u8]) {
        let Some(index) = self.cells.iter().position(|start| &*start.cell == cell) else {
            return (&[], &[]);
        };
        let (start, next) = (&self.cells[index], self.cells.get(index + 1));
        let client_end = next.map_or(self.from_client.len(), |next| next.from_client);
        let server_end = next.map_or(self.from_server.len(), |next| next.from_server);
        let from_client = &self.from_client[start.from_client..client_end];
        (from_client, &self.from_server[start.from_server..server_end])
    }

    fn append(&mut self, cell: &Arc<str>, way: Way, bytes: &[u8]) {
        if self.cells.last().is_none_or(|start| start.cell != *cell) {
            self.cells.push(CellStart {
                cell: Arc::clone(cell),
                from_client: self.from_client.len(),
                from_server: self.from_server.len(),
            });
        }
        match way {
            Way::ToServer => self.from_client.extend_from_slice(bytes),
            Way::ToClient => self.from_server.extend_from_slice(bytes),
        }
    }
}

/// Looks at every packet that the attacker touches, and decides what becomes of it. Not shown: packets
/// to and from the attacker's own machine.
pub trait Hook: Send {
    /// Decides about one packet.
    fn packet(&mut self, packet: &PacketView) -> Action;
}

impl<F: FnMut(&PacketView) -> Action + Send> Hook for F {
    fn packet(&mut self, packet: &PacketView) -> Action {
        self(packet)
    }
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Pass,
    /// It is lost; TCP tries again after 200 ms, doubling, and resets after 8 times.
    Drop,
    /// It goes on, later. What follows it on its way waits behind it.
    Delay(Duration),
    /// It goes on with another payload of the same length.
    Rewrite(Vec<u8>),
    /// The connection goes to the attacker's machine (for a SYN; else as `Pass`).
    Divert,
}

/// Which new connections, of those that the attacker touches, go to the attacker's machine. `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Divert {
    /// From these addresses.
    pub sources: Option<Vec<IpAddr>>,
    /// To this address.
    pub to: Option<IpAddr>,
    /// To this port.
    pub port: Option<u16>,
}

impl Divert {
    pub(crate) fn matches(&self, flow: &Live) -> bool {
        let (from, to) = (flow.on_wire[Way::ToClient], flow.on_wire[Way::ToServer]);
        self.sources.as_ref().is_none_or(|sources| sources.contains(&from.ip()))
            && self.to.is_none_or(|ip| ip == to.ip())
            && self.port.is_none_or(|port| port == to.port())
    }
}

/// Diverts until it is dropped. Connections that were diverted stay so.
#[must_use = "diverts only while it lives"]
pub struct DivertGuard {
    network: Arc<Network>,
    rule: u64,
}

impl Drop for DivertGuard {
    fn drop(&mut self) {
        self.network.state().diverts.remove(&self.rule);
    }
}

/// A diverted connection, as the attacker's machine holds it.
#[derive(Debug)]
pub struct Diverted {
    /// The connection to who opened it; its local end is the original destination.
    pub connection: Connection,
    /// Who opened it.
    pub source: SocketAddr,
    /// Whom they wanted.
    pub original: SocketAddr,
}

/// Takes diverted connections.
#[derive(Clone)]
pub struct Intercepted {
    network: Arc<Network>,
    listener: Arc<SimListener>,
}

impl Intercepted {
    /// Waits for the next diverted connection.
    ///
    /// # Errors
    /// As `accept(2)`.
    pub async fn accept(&self) -> io::Result<Diverted> {
        loop {
            let (mut connection, end) = self.listener.next().await?;
            let original = {
                let state = self.network.state();
                let found = state.flows.of_sender(end).and_then(|(id, _)| state.flows.get(id));
                found.filter(|flow| flow.diverted).map(|flow| flow.on_wire[Way::ToServer])
            };
            // Who connects to this port by its own address was not diverted.
            let Some(original) = original else { continue };
            connection.local = original.into();
            return Ok(Diverted { connection, source: end.remote, original });
        }
    }
}

/// The wire.
#[derive(Clone)]
pub struct Wire {
    pub(crate) network: Arc<Network>,
    pub(crate) intercept: Option<Arc<SimListener>>,
}

impl Wire {
    /// Every packet on every segment so far, trusted ones included.
    pub fn packets(&self) -> Vec<PacketRecord> {
        self.packets_since(0)
    }

    /// The packets from a number on (as [`Self::packet_count`] gave it).
    pub fn packets_since(&self, first: usize) -> Vec<PacketRecord> {
        let state = self.network.state();
        state.taps.packets.get(first..).unwrap_or_default().to_vec()
    }

    /// How many packets there were so far.
    pub fn packet_count(&self) -> usize {
        self.network.state().taps.packets.len()
    }

    /// Every connection so far that the attacker touches.
    pub fn flows(&self) -> Vec<Flow> {
        self.network.state().taps.flows.clone()
    }

    /// The connections that the attacker touches and that were opened, or carried bytes, in a cell.
    pub fn flows_of_cell(&self, cell: &str) -> Vec<Flow> {
        let state = self.network.state();
        let in_cell =
            |flow: &&Flow| &*flow.cell == cell || flow.cells.iter().any(|start| &*start.cell == cell);
        state.taps.flows.iter().filter(in_cell).cloned().collect()
    }

    /// One connection that the attacker touches, by its number.
    pub fn flow(&self, id: u64) -> Option<Flow> {
        let state = self.network.state();
        state.taps.of_flow.get(&id).map(|index| state.taps.flows[*index].clone())
    }

    /// Sets who decides about packets that the attacker touches, or nobody.
    pub fn set_hook(&self, hook: Option<Box<dyn Hook>>) {
        let mut slot = self.network.hook.lock().unwrap_or_else(PoisonError::into_inner);
        slot.set += 1;
        slot.hook = hook;
    }

    /// Sends a segment that the attacker made up. False where its machine has no way to there.
    pub fn inject(&self, forged: Forged) -> bool {
        self.network.inject(forged)
    }

    /// What became of every forged segment that has arrived so far.
    pub fn forgeries(&self) -> Vec<Forgery> {
        self.network.state().taps.forgeries.clone()
    }

    /// The client's port and the next numbers of the newest open connection from an address to a
    /// server: what an attacker guesses who sees nothing of it. Only under
    /// [`PredictableSequenceNumbers`](ravelin_host::Flaw::PredictableSequenceNumbers); a real stack's
    /// cannot be guessed. They are those of this instant: what is in flight changes them.
    pub fn predict(&self, client: IpAddr, server: SocketAddr) -> Option<Predicted> {
        self.network.predict(client, server)
    }

    /// Ends a connection with forged resets to both ends, as anybody can who saw its sequence numbers.
    /// False where none could be sent.
    pub fn reset(&self, flow: &Flow) -> bool {
        let mut sent = false;
        for (source, destination) in [(flow.client, flow.server), (flow.server, flow.client)] {
            let next = {
                let state = self.network.state();
                let of_source = |packet: &&PacketRecord| packet.flow == flow.id && packet.source == source;
                state.taps.packets.iter().rev().find(of_source).map(PacketRecord::next_seq)
            };
            let Some(seq) = next else { continue };
            let flags = Flags { rst: true, ..Flags::default() };
            sent |= self.inject(Forged { source, destination, seq, ack: 0, flags, payload: Vec::new() });
        }
        sent
    }

    /// Diverts new connections to the attacker's machine. Its own are never diverted.
    pub fn divert(&self, rule: Divert) -> DivertGuard {
        let mut state = self.network.state();
        state.queued += 1;
        let number = state.queued;
        state.diverts.insert(number, rule);
        DivertGuard { network: Arc::clone(&self.network), rule: number }
    }

    /// Where diverted connections arrive. All that it gives out share one queue.
    ///
    /// # Panics
    /// Where the topology has no attacker's machine.
    pub fn diverted(&self) -> Intercepted {
        let listener = self.intercept.as_ref().expect("the topology has an attacker's machine");
        Intercepted { network: Arc::clone(&self.network), listener: Arc::clone(listener) }
    }

    /// Connects from the attacker's machine, with its own address or in another's name. In
    /// another's name it is answered only if answers to that address pass where the attacker is: it is
    /// on the path there, or owns one of the two machines.
    ///
    /// # Errors
    /// As `connect(2)`.
    ///
    /// # Panics
    /// Where the topology has no attacker's machine.
    pub async fn connect_as(&self, source: Option<IpAddr>, to: SocketAddr) -> io::Result<Connection> {
        let attacker = self.network.map.attacker.expect("the topology has an attacker's machine");
        let Some(source) = source else { return dial(&self.network, attacker, to).await };
        let magic = {
            let mut state = self.network.state();
            state.queued += 1;
            let number = u32::try_from(state.queued % (1 << 27)).expect("it is smaller than that");
            let magic = IpAddr::V4(Ipv4Addr::from_bits(MAGIC.to_bits() | number));
            state.magic.insert(magic, (source, to));
            magic
        };
        let mut connection = dial(&self.network, attacker, SocketAddr::new(magic, to.port())).await?;
        connection.peer = to.into();
        Ok(connection)
    }
}

/// Who decides about packets.
#[derive(Default)]
pub(crate) struct HookSlot {
    /// How often it was set.
    pub(crate) set: u64,
    pub(crate) hook: Option<Box<dyn Hook>>,
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Taps {
    pub(crate) packets: Vec<PacketRecord>,
    pub(crate) forgeries: Vec<Forgery>,
    flows: Vec<Flow>,
    of_flow: BTreeMap<FlowId, usize>,
}

impl Taps {
    pub(crate) fn append(&mut self, copy: usize, (cell, way): (&Arc<str>, Way), bytes: &[u8]) {
        self.flows[copy].append(cell, way, bytes);
    }

    pub(crate) fn diverted(&mut self, id: FlowId) {
        if let Some(index) = self.of_flow.get(&id) {
            self.flows[*index].diverted = true;
        }
    }
}

impl State {
    /// Starts the eavesdropper's copy of a flow, if the attacker touches it.
    pub(crate) fn copied(&mut self, (id, at): (FlowId, Duration), flow: &mut Live) {
        if !flow.touched {
            return;
        }
        let index = self.taps.flows.len();
        self.taps.flows.push(Flow {
            id,
            client: flow.on_wire[Way::ToClient],
            server: flow.on_wire[Way::ToServer],
            segment: flow.segment,
            opened_at: at,
            cell: Arc::clone(&self.cell),
            from_client: Vec::new(),
            from_server: Vec::new(),
            diverted: false,
            by_attacker: flow.by_attacker,
            cells: Vec::new(),
        });
        self.taps.of_flow.insert(id, index);
        flow.copy = Some(index);
    }
}
