//! The man in the middle: the path's new connections end at the attacker's machine.

use crate::agent;
use crate::field::Field;
use crate::gate::{Gate, HostKey, Step, log_in};
use crate::notes::Notes;
use crate::target::{Target, Transport};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use ravelin_host::{BoxedStream, Connection, Endpoint, Listener};
use ravelin_oracle::Property;
use ravelin_sim::{Divert, DivertGuard};
use ravelin_tunnel::SshKey;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// How long the impostor waits for cut tunnels to be opened again, towards itself.
const REOPENING: Duration = Duration::from_secs(20);

/// How long victims get to learn that they are logged in.
const SETTLING: Duration = Duration::from_secs(1);

/// A connection of the path that ended at the attacker's machine.
pub struct Intercepted {
    /// Its bytes.
    pub stream: BoxedStream,
    /// Where it was meant to go.
    pub original: SocketAddr,
    /// Who opened it.
    pub source: SocketAddr,
}

/// The man in the middle at work: diverts while it lives.
pub struct Interception<'a> {
    notes: &'a Notes<'a>,
    guards: RefCell<Vec<DivertGuard>>,
    tunnels: Option<Tunnels<'a>>,
    /// Where connections come by themselves, and the genuine servers that they are meant for.
    own: Vec<(Box<dyn Listener>, SocketAddr)>,
    /// The genuine servers of diverted connections to the attacker's own addresses.
    genuine: BTreeMap<SocketAddr, SocketAddr>,
    /// How many connections were taken.
    taken: Cell<usize>,
}

/// The tunnels that end at the attacker's machine.
#[derive(Default)]
struct Tunnels<'a> {
    /// The host key to show in the place of each SSH server.
    nodes: BTreeMap<SocketAddr, HostKey>,
    aims: Vec<Property>,
    working: RefCell<FuturesUnordered<LocalBoxFuture<'a, Step>>>,
    ready: RefCell<VecDeque<Intercepted>>,
}

impl<'a> Interception<'a> {
    /// Takes the place of the path's servers, and of what stands before them. SSH tunnels that are
    /// open where the attacker is are cut, and opened again towards it. Of a Konnectivity server it
    /// becomes an agent, if that takes it for one.
    /// `aims` is all that this would break if nobody refused.
    pub async fn start(notes: &'a Notes<'a>, target: &Target, aims: &[Property]) -> Self {
        let (field, mut waiting) = (notes.field(), Self::idle(notes));
        let nodes = match &target.transport {
            Transport::Ssh(nodes) => host_keys(field, nodes),
            Transport::Direct | Transport::Konnectivity(_) => BTreeMap::new(),
        };
        let at = target.servers.iter().chain(nodes.keys());
        waiting.guards = RefCell::new(at.map(|to| field.wire().divert(rule(to))).collect());
        match &target.transport {
            Transport::Direct => {}
            Transport::Ssh(_) => {
                let tunnels =
                    waiting.tunnels.insert(Tunnels { nodes, aims: aims.to_vec(), ..Tunnels::default() });
                let cut = field.cut(target);
                notes.tell(format!("cut {} SSH connections", cut.len()));
                let servers = cut.iter().map(|(_, server)| *server).collect();
                wait_for_tunnels(notes, tunnels, servers).await;
                // The impostor knows of a login before its victim does.
                tokio::time::sleep(SETTLING).await;
            }
            Transport::Konnectivity(_) => {
                let tunnels = waiting.tunnels.insert(Tunnels::default());
                for (server, impostor) in agent::join(notes, target, aims).await {
                    let gate = Gate::Konnectivity(Box::new(impostor), server);
                    tunnels.working.borrow_mut().push(Box::pin(gate.next()));
                }
            }
        }
        waiting
    }

    fn idle(notes: &'a Notes<'a>) -> Self {
        let (guards, genuine) = (RefCell::default(), BTreeMap::new());
        Self { notes, guards, tunnels: None, own: Vec::new(), genuine, taken: Cell::default() }
    }

    /// Waits at the attacker's own address for connections that were led there; each port stands
    /// for a genuine server.
    pub async fn await_at(notes: &'a Notes<'a>, genuine: &BTreeMap<u16, SocketAddr>) -> Self {
        let (field, mut waiting) = (notes.field(), Self::idle(notes));
        let Some(here) = field.holdings().address() else { return waiting };
        for (port, server) in genuine {
            let at = SocketAddr::new(here, *port);
            if field.holdings().place.is_none() {
                // Where it cannot listen, nobody will come.
                let listener = field.host().listen(&at.into()).await.ok();
                waiting.own.extend(listener.map(|listener| (listener, *server)));
            } else {
                // It owns the packets of that machine, whoever listens there.
                waiting.guards.borrow_mut().push(field.wire().divert(rule(&at)));
                waiting.genuine.insert(at, *server);
            }
        }
        waiting
    }

    /// Takes no further connection.
    pub fn stop(&self) {
        self.guards.borrow_mut().clear();
    }

    /// How many connections were taken so far.
    pub fn taken(&self) -> usize {
        self.taken.get()
    }

    /// The next connection of the path.
    pub async fn next(&self) -> Intercepted {
        let taken = self.wait().await;
        self.taken.set(self.taken.get() + 1);
        taken
    }

    async fn wait(&self) -> Intercepted {
        if !self.own.is_empty() {
            return self.arrived().await;
        }
        loop {
            let Some(tunnels) = &self.tunnels else {
                match diverted(self.notes, &self.genuine).await {
                    Some(taken) => return taken,
                    None => continue,
                }
            };
            let ready = tunnels.ready.borrow_mut().pop_front();
            match ready {
                Some(taken) => return taken,
                None => _ = step(self.notes, tunnels).await,
            }
        }
    }

    /// The next connection to one of the attacker's own ports.
    async fn arrived(&self) -> Intercepted {
        loop {
            let accepting = self
                .own
                .iter()
                .map(|(listener, genuine)| Box::pin(async move { (listener.accept().await, *genuine) }));
            let (accepted, genuine) = futures_util::future::select_all(accepting).await.0;
            if let Ok(Connection { stream, peer: Endpoint::Tcp(source), .. }) = accepted {
                self.notes.tell(format!("{source} > {genuine}: the connection was led to the attacker"));
                return Intercepted { stream, original: genuine, source };
            }
        }
    }
}

async fn diverted(notes: &Notes<'_>, genuine: &BTreeMap<SocketAddr, SocketAddr>) -> Option<Intercepted> {
    let diverted = notes.field().wire().diverted().accept().await.ok()?;
    let (source, original) = (diverted.source, diverted.original);
    let original = genuine.get(&original).copied().unwrap_or(original);
    notes.tell(format!("{source} > {original}: took the server's place"));
    Some(Intercepted { stream: diverted.connection.stream, original, source })
}

/// Waits until each of these servers' clients has come, and has logged in or would not.
async fn wait_for_tunnels<'a>(notes: &'a Notes<'a>, tunnels: &Tunnels<'a>, mut wanted: BTreeSet<SocketAddr>) {
    let waiting = async {
        while !wanted.is_empty() {
            if let Some(came) = step(notes, tunnels).await {
                wanted.remove(&came);
            }
        }
    };
    // Whoever did not come by then does not come: the probe will tell.
    let _ = tokio::time::timeout(REOPENING, waiting).await;
}

/// Waits for something to happen on the tunnels; gives the server whose client logged in, or would
/// not.
async fn step<'a>(notes: &'a Notes<'a>, tunnels: &Tunnels<'a>) -> Option<SocketAddr> {
    let progress = std::future::poll_fn(|context| {
        let mut working = tunnels.working.borrow_mut();
        match working.poll_next_unpin(context) {
            std::task::Poll::Ready(Some(step)) => std::task::Poll::Ready(step),
            // With nothing to work on, only a new connection brings anything.
            _ => std::task::Poll::Pending,
        }
    });
    tokio::select! {
        biased;
        step = progress => match step {
            Step::Over => None,
            Step::Refused(server) => Some(server),
            Step::Open(gate, forward) => {
                let came = forward.is_none().then(|| gate.server());
                tunnels.ready.borrow_mut().extend(forward);
                tunnels.working.borrow_mut().push(Box::pin(gate.next()));
                came
            }
        },
        taken = diverted(notes, NOTHING) => {
            let taken = taken?;
            match tunnels.nodes.get(&taken.original) {
                // What comes out of a tunnel and goes on over the network.
                None => tunnels.ready.borrow_mut().push_back(taken),
                Some(key) => {
                    let login = log_in(notes, (key.clone(), tunnels.aims.clone()), taken);
                    tunnels.working.borrow_mut().push(Box::pin(login));
                }
            }
            None
        }
    }
}

/// No connection was led to the attacker's own address.
const NOTHING: &BTreeMap<SocketAddr, SocketAddr> = &BTreeMap::new();

/// What to show in the place of each node's SSH server: the node's own key where the attacker owns
/// the node, else one that it makes.
fn host_keys(field: &Field, nodes: &BTreeSet<SocketAddr>) -> BTreeMap<SocketAddr, HostKey> {
    let forged = SshKey::generate(&mut field.host().entropy("forged-host-key"));
    let holdings = field.holdings();
    let own = holdings.host_key.as_ref().filter(|_| holdings.place.is_some());
    let shown = |node: &SocketAddr| match own.filter(|_| holdings.place == Some(node.ip())) {
        Some(key) => HostKey { key: key.clone(), genuine: true },
        None => HostKey { key: forged.clone(), genuine: false },
    };
    nodes.iter().map(|node| (*node, shown(node))).collect()
}

fn rule(to: &SocketAddr) -> Divert {
    Divert { sources: None, to: Some(to.ip()), port: Some(to.port()) }
}
