//! The man in the middle: the path's new connections end at the attacker's machine.

use crate::notes::Notes;
use crate::target::{Target, Transport};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use ravelin_host::{BoxedStream, Connection, Endpoint, Listener};
use ravelin_oracle::{Property, Protection};
use ravelin_sim::{Divert, DivertGuard};
use ravelin_tunnel::SshKey;
use ravelin_tunnel::danger::{self, Victim};
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

/// What an SSH client that verifies host keys keeps from whoever takes the server's place.
const HOST_KEY_AIMS: &[Property] = &[
    Property::RequestSecret,
    Property::ResponseSecret,
    Property::ResponseAuthentic,
    Property::RequestAuthentic,
    Property::AccessControlled,
];

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

/// The SSH connections that ended at the attacker's machine.
struct Tunnels<'a> {
    key: SshKey,
    nodes: BTreeSet<SocketAddr>,
    working: RefCell<FuturesUnordered<LocalBoxFuture<'a, Step>>>,
    ready: RefCell<VecDeque<Intercepted>>,
}

/// What became of an SSH connection.
enum Step {
    /// The client logged in, or wants another connection.
    Open(Box<Victim>, Option<Intercepted>, SocketAddr),
    /// It has ended.
    Over,
}

impl<'a> Interception<'a> {
    /// Takes the place of the path's servers, and of the SSH servers before them: tunnels that are
    /// open where the attacker is are cut, and opened again towards it.
    pub async fn start(notes: &'a Notes<'a>, target: &Target) -> Self {
        let field = notes.field();
        let mut at = target.servers.clone();
        let tunnels = match &target.transport {
            Transport::Direct => None,
            Transport::Ssh(nodes) => {
                at.extend(nodes);
                let key = SshKey::generate(&mut field.host().entropy("forged-host-key"));
                Some(Tunnels {
                    key,
                    nodes: nodes.clone(),
                    working: RefCell::default(),
                    ready: RefCell::default(),
                })
            }
        };
        let guards = at.iter().map(|to| field.wire().divert(rule(to))).collect();
        let interception = Self { tunnels, guards: RefCell::new(guards), ..Self::idle(notes) };
        if let Some(tunnels) = &interception.tunnels {
            let cut = field.cut(target);
            notes.tell(format!("cut {} SSH connections", cut.len()));
            interception.wait_for_tunnels(tunnels, cut.len()).await;
            // The impostor knows of a login before its victim does.
            tokio::time::sleep(SETTLING).await;
        }
        interception
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
            match &self.tunnels {
                None => {
                    if let Some(taken) = self.diverted().await {
                        return taken;
                    }
                }
                Some(tunnels) => {
                    let ready = tunnels.ready.borrow_mut().pop_front();
                    match ready {
                        Some(taken) => return taken,
                        None => _ = self.step(tunnels).await,
                    }
                }
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

    async fn diverted(&self) -> Option<Intercepted> {
        let diverted = self.notes.field().wire().diverted().accept().await.ok()?;
        let (source, original) = (diverted.source, diverted.original);
        let original = self.genuine.get(&original).copied().unwrap_or(original);
        self.notes.tell(format!("{source} > {original}: took the server's place"));
        Some(Intercepted { stream: diverted.connection.stream, original, source })
    }

    async fn wait_for_tunnels(&self, tunnels: &Tunnels<'a>, wanted: usize) {
        let waiting = async {
            let mut open = 0;
            while open < wanted {
                open += usize::from(self.step(tunnels).await);
            }
        };
        // Whoever did not come by then does not come: the probe will tell.
        let _ = tokio::time::timeout(REOPENING, waiting).await;
    }

    /// Waits for something to happen on the SSH connections; true where a client logged in.
    async fn step(&self, tunnels: &Tunnels<'a>) -> bool {
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
                Step::Over => false,
                Step::Open(victim, forward, node) => {
                    let logged_in = forward.is_none();
                    tunnels.ready.borrow_mut().extend(forward);
                    tunnels.working.borrow_mut().push(Box::pin(forwards(victim, node)));
                    logged_in
                }
            },
            taken = self.diverted() => {
                let Some(taken) = taken else { return false };
                if !tunnels.nodes.contains(&taken.original) {
                    // What comes out of a tunnel and goes on over the network.
                    tunnels.ready.borrow_mut().push_back(taken);
                } else {
                    let login = log_in(self.notes, tunnels.key.clone(), taken);
                    tunnels.working.borrow_mut().push(Box::pin(login));
                }
                false
            }
        }
    }
}

fn rule(to: &SocketAddr) -> Divert {
    Divert { sources: None, to: Some(to.ip()), port: Some(to.port()) }
}

/// Plays the SSH server to one client.
async fn log_in(notes: &Notes<'_>, key: SshKey, taken: Intercepted) -> Step {
    let flow = format!("{} > {} (the impostor)", taken.source, taken.original);
    match danger::accept(notes.field().host(), taken.stream, &key).await {
        Ok(victim) => {
            notes.tell(format!("{flow}: the client accepted the forged host key and logged in"));
            Step::Open(Box::new(victim), None, taken.original)
        }
        Err(refused) => {
            notes.refused(&flow, Protection::HostKey, refused.to_string(), HOST_KEY_AIMS);
            Step::Over
        }
    }
}

/// The next connection that the client wants to have forwarded.
async fn forwards(mut victim: Box<Victim>, node: SocketAddr) -> Step {
    let Some(forward) = victim.next_forward().await else { return Step::Over };
    let Ok(host) = forward.host.parse() else { return Step::Open(victim, None, node) };
    let original = SocketAddr::new(host, forward.port);
    Step::Open(victim, Some(Intercepted { stream: forward.stream, original, source: node }), node)
}
