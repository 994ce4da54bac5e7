//! One connection, as the network sees it: who its ends are in each stack and on the wire.

use crate::topology::Machine;
use crate::{Latency, Segment};
use ravelin_entropy::Entropy;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use turmoil_net::{TcpFlags, TcpSegment};

/// A flow's number, in the order of their SYNs.
pub(crate) type FlowId = u64;

/// Which way a packet of a flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

impl Way {
    pub(crate) fn back(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// A pair of values, one for each way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Both<T>([T; 2]);

impl<T> Both<T> {
    pub(crate) fn new(to_server: T, to_client: T) -> Self {
        Self([to_server, to_client])
    }
}

impl<T> std::ops::Index<Way> for Both<T> {
    type Output = T;
    fn index(&self, way: Way) -> &T {
        &self.0[way as usize]
    }
}

impl<T> std::ops::IndexMut<Way> for Both<T> {
    fn index_mut(&mut self, way: Way) -> &mut T {
        &mut self.0[way as usize]
    }
}

/// One end of a flow: the socket's own address in its stack, and what it believes the other is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// A connection.
pub(crate) struct Live {
    /// The machine that opened it.
    pub(crate) client: Machine,
    /// The machine that answers; `None` where nobody has the address.
    pub(crate) server: Option<Machine>,
    pub(crate) client_end: End,
    pub(crate) server_end: End,
    /// The two ends as they stand in packets on the wire.
    pub(crate) on_wire: Both<SocketAddr>,
    pub(crate) segment: Segment,
    /// The attacker touches its packets.
    pub(crate) touched: bool,
    /// Who talks to whom, in the names of its streams of randomness.
    pub(crate) pair: String,
    pub(crate) draws: Entropy,
    /// The cell that `draws` belongs to.
    pub(crate) draws_cell: u64,
    /// What is added to this way's sequence numbers on the wire.
    pub(crate) offset: Both<u32>,
    pub(crate) ways: Both<Progress>,
    /// Where the eavesdropper's copy is kept.
    pub(crate) copy: Option<usize>,
    /// The attacker's machine answers instead of the server.
    pub(crate) diverted: bool,
    /// The attacker's machine opened it.
    pub(crate) by_attacker: bool,
    /// The attacker opened it in another's name.
    pub(crate) spoofed: Option<IpAddr>,
}

/// How far one way of a flow has come.
#[derive(Default)]
pub(crate) struct Progress {
    /// The next sequence number that the wire has not seen.
    pub(crate) sent_to: Option<u32>,
    /// The next sequence number that the receiver waits for.
    pub(crate) arrived_to: Option<u32>,
    /// The highest acknowledgement that this way brought to the other end.
    pub(crate) acknowledged: Option<u32>,
    /// The FIN's sequence number, once it was delivered.
    pub(crate) fin: Option<u32>,
    pub(crate) last_due: Duration,
    pub(crate) last_sent: Option<Duration>,
    /// What waits because the packet at its head did not get through.
    pub(crate) stalled: Option<Stalled>,
    /// The receiver has closed its stream: data is answered by a reset.
    pub(crate) receiver_gone: bool,
    /// It was answered so.
    pub(crate) was_reset: bool,
    /// The receiver took a forged reset, and knows nothing of the connection any more.
    pub(crate) forgotten: bool,
}

/// Packets that wait behind one that was lost.
#[derive(Default)]
pub(crate) struct Stalled {
    pub(crate) waiting: VecDeque<TcpSegment>,
    pub(crate) tries: u32,
    /// Tells a later stall from this one.
    pub(crate) stamp: u64,
}

impl Live {
    /// The machine that this way leads to.
    pub(crate) fn receiver(&self, way: Way) -> Option<Machine> {
        match way {
            Way::ToServer => self.server,
            Way::ToClient => Some(self.client),
        }
    }

    /// The end that this way leads to.
    pub(crate) fn receiving_end(&self, way: Way) -> End {
        match way {
            Way::ToServer => self.server_end,
            Way::ToClient => self.client_end,
        }
    }

    /// A random time within the bounds, from the flow's own stream.
    pub(crate) fn draw(&mut self, latency: Latency) -> Duration {
        let spread = latency.most.saturating_sub(latency.least).as_micros();
        match u64::try_from(spread) {
            Ok(0) | Err(_) => latency.least,
            Ok(spread) => latency.least + Duration::from_micros(self.draws.below(spread + 1)),
        }
    }

    /// A reset as the sender of `way` would send it now.
    pub(crate) fn reset(&self, way: Way, seq: u32) -> TcpSegment {
        let end = self.receiving_end(way);
        TcpSegment {
            src_port: end.remote.port(),
            dst_port: end.local.port(),
            seq,
            ack: self.ways[way.back()].arrived_to.unwrap_or(0),
            flags: TcpFlags { rst: true, ack: true, ..TcpFlags::default() },
            window: 0,
            payload: bytes::Bytes::new(),
        }
    }
}

/// All connections that are not over yet.
#[derive(Default)]
pub(crate) struct Flows {
    live: BTreeMap<FlowId, Live>,
    ends: BTreeMap<End, (FlowId, Way)>,
    wire: BTreeMap<(SocketAddr, SocketAddr), (FlowId, Way)>,
    opened: FlowId,
}

impl Flows {
    pub(crate) fn next_id(&mut self) -> FlowId {
        self.opened += 1;
        self.opened
    }

    pub(crate) fn insert(&mut self, id: FlowId, flow: Live) {
        for end in [flow.client_end, flow.server_end] {
            if let Some((old, _)) = self.ends.get(&end).copied() {
                self.remove(old);
            }
        }
        self.ends.insert(flow.client_end, (id, Way::ToServer));
        self.ends.insert(flow.server_end, (id, Way::ToClient));
        let (client, server) = (flow.on_wire[Way::ToClient], flow.on_wire[Way::ToServer]);
        self.wire.insert((client, server), (id, Way::ToServer));
        self.wire.insert((server, client), (id, Way::ToClient));
        self.live.insert(id, flow);
    }

    pub(crate) fn remove(&mut self, id: FlowId) -> Option<Live> {
        let flow = self.live.remove(&id)?;
        self.ends.remove(&flow.client_end);
        self.ends.remove(&flow.server_end);
        let (client, server) = (flow.on_wire[Way::ToClient], flow.on_wire[Way::ToServer]);
        for key in [(client, server), (server, client)] {
            if self.wire.get(&key).is_some_and(|(owner, _)| *owner == id) {
                self.wire.remove(&key);
            }
        }
        Some(flow)
    }

    /// Lets another machine answer.
    pub(crate) fn change_server(&mut self, id: FlowId, server: Machine, end: End) {
        if let Some(flow) = self.live.get_mut(&id) {
            self.ends.remove(&flow.server_end);
            flow.server = Some(server);
            flow.server_end = end;
            flow.diverted = true;
            self.ends.insert(end, (id, Way::ToClient));
        }
    }

    pub(crate) fn of_sender(&self, end: End) -> Option<(FlowId, Way)> {
        self.ends.get(&end).copied()
    }

    pub(crate) fn on_wire(&self, from: SocketAddr, to: SocketAddr) -> Option<(FlowId, Way)> {
        self.wire.get(&(from, to)).copied()
    }

    pub(crate) fn is_taken(&self, end: End) -> bool {
        self.ends.contains_key(&end)
    }

    pub(crate) fn get(&self, id: FlowId) -> Option<&Live> {
        self.live.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: FlowId) -> Option<&mut Live> {
        self.live.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (FlowId, &Live)> {
        self.live.iter().map(|(id, flow)| (*id, flow))
    }
}

/// A segment's flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flags {
    /// Opens.
    pub syn: bool,
    /// The acknowledgement counts.
    pub ack: bool,
    /// Closes its way.
    pub fin: bool,
    /// Ends the connection at once.
    pub rst: bool,
    /// Data to hand over.
    pub psh: bool,
}

impl From<TcpFlags> for Flags {
    fn from(flags: TcpFlags) -> Self {
        let TcpFlags { syn, ack, fin, rst, psh, .. } = flags;
        Self { syn, ack, fin, rst, psh }
    }
}

impl From<Flags> for TcpFlags {
    fn from(flags: Flags) -> Self {
        let Flags { syn, ack, fin, rst, psh } = flags;
        Self { syn, ack, fin, rst, psh, urg: false }
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [(self.syn, "S"), (self.ack, "A"), (self.fin, "F"), (self.rst, "R"), (self.psh, "P")];
        all.iter().filter(|(set, _)| *set).try_for_each(|(_, letter)| f.write_str(letter))
    }
}
