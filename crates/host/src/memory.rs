//! Computers in memory, for the tests of single components: no packets, no latency, no attacker.
//!
//! A [`Network`] joins hosts by name and address over tokio's in-memory pipes. Redirects apply at
//! connect, to the first endpoint: first those of the host that connects, then those of the one at
//! which the connection arrives. For anything about the wire use the simulator.

use crate::disk::MemoryDisk;
use crate::journey::Tables;
use crate::{
    Connection, Disk, Endpoint, Field, Flaw, Flaws, Host, HostRef, Listener, PortMap, Redirect,
    SessionSecret, Task, Translation,
};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use ravelin_entropy::Entropy;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

const PIPE_BYTES: usize = 64 * 1024;
const BACKLOG: usize = 1024;

type Accepting = mpsc::Sender<Connection>;

/// Hosts that reach each other.
#[derive(Clone, Default)]
pub struct Network(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    clock: jiff::Timestamp,
    names: BTreeMap<String, IpAddr>,
    hosts: BTreeMap<IpAddr, HostRef>,
    tables: Tables,
    listening: BTreeMap<(IpAddr, u16), Accepting>,
    listening_unix: BTreeMap<(String, String), Accepting>,
    secrets: Vec<SessionSecret>,
    next_port: u16,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    /// A network whose clock stands at 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        let network = Self::default();
        network.set_clock(jiff::Timestamp::constant(1_767_225_600, 0));
        lock(&network.0).next_port = 40_000;
        network
    }

    /// Sets every host's wall clock; it stands still otherwise.
    pub fn set_clock(&self, now: jiff::Timestamp) {
        lock(&self.0).clock = now;
    }

    /// A new host without flaws.
    pub fn host(&self, name: &str, address: impl Into<IpAddr>) -> HostRef {
        self.flawed_host(name, address, Flaws::none())
    }

    /// A new host with flaws.
    pub fn flawed_host(&self, name: &str, address: impl Into<IpAddr>, flaws: Flaws) -> HostRef {
        let address = address.into();
        let mut table = Translation::default();
        if flaws.has(Flaw::HostPortsBeforeServices) {
            table.danger_ports_first();
        }
        let host: HostRef = Arc::new(MemoryHost {
            name: name.to_owned(),
            address,
            network: self.clone(),
            disk: MemoryDisk::default(),
            flaws,
        });
        let mut state = lock(&self.0);
        state.tables.add(address, table);
        state.names.insert(name.to_owned(), address);
        state.hosts.insert(address, Arc::clone(&host));
        host
    }

    /// The session secrets that hosts handed out so far.
    pub fn secrets(&self) -> Vec<SessionSecret> {
        lock(&self.0).secrets.clone()
    }
}

struct MemoryHost {
    name: String,
    address: IpAddr,
    network: Network,
    disk: MemoryDisk,
    flaws: Flaws,
}

struct MemoryListener {
    local: Endpoint,
    incoming: AsyncMutex<mpsc::Receiver<Connection>>,
}

#[async_trait]
impl Listener for MemoryListener {
    async fn accept(&self) -> io::Result<Connection> {
        let next = self.incoming.lock().await.recv().await;
        next.ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
    }

    fn local(&self) -> Endpoint {
        self.local.clone()
    }
}

impl MemoryHost {
    /// The listener's queue, and the two ends' endpoints as the connecting and accepting side
    /// see them.
    fn route(&self, to: &Endpoint) -> io::Result<(Accepting, Endpoint, Endpoint)> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        match to {
            Endpoint::Unix(path) => {
                let state = lock(&self.network.0);
                let key = (self.name.clone(), path.clone());
                let queue = state.listening_unix.get(&key).cloned().ok_or_else(refused)?;
                Ok((queue, Endpoint::Unix(String::new()), to.clone()))
            }
            Endpoint::Tcp(address) => {
                let asked = (self.address, *address);
                let journey = lock(&self.network.0).tables.journey(asked, Duration::ZERO, |_| 0)?;
                let (mut target, source) = (journey.to, journey.source);
                if target.ip().is_loopback() {
                    target.set_ip(self.address);
                }
                let mut state = lock(&self.network.0);
                state.next_port = state.next_port.checked_add(1).unwrap_or(40_000);
                let local = Endpoint::tcp(source, state.next_port);
                let queue = state.listening.get(&(target.ip(), target.port())).cloned();
                Ok((queue.ok_or_else(refused)?, local, Endpoint::Tcp(target)))
            }
        }
    }
}

#[async_trait]
impl Host for MemoryHost {
    fn name(&self) -> &str {
        &self.name
    }

    fn addresses(&self) -> Vec<IpAddr> {
        vec![self.address]
    }

    async fn connect(&self, to: &Endpoint) -> io::Result<Connection> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (queue, local, accepted_at) = self.route(to)?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let accepted = Connection { stream: Box::new(theirs), local: accepted_at, peer: local.clone() };
        queue.send(accepted).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Connection { stream: Box::new(ours), local, peer: to.clone() })
    }

    async fn listen(&self, on: &Endpoint) -> io::Result<Box<dyn Listener>> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let mut state = lock(&self.network.0);
        let local = match on {
            Endpoint::Unix(path) => {
                state.listening_unix.insert((self.name.clone(), path.clone()), sender);
                on.clone()
            }
            Endpoint::Tcp(address) => {
                let mut address = *address;
                if address.ip().is_unspecified() || address.ip().is_loopback() {
                    address.set_ip(self.address);
                }
                let key = (address.ip(), address.port());
                if state.listening.get(&key).is_some_and(|queue| !queue.is_closed()) {
                    return Err(io::ErrorKind::AddrInUse.into());
                }
                state.listening.insert(key, sender);
                Endpoint::Tcp(address)
            }
        };
        Ok(Box::new(MemoryListener { local, incoming: AsyncMutex::new(receiver) }))
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let address = lock(&self.network.0).names.get(name).copied();
        address.map(|address| vec![address]).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn now(&self) -> jiff::Timestamp {
        lock(&self.network.0).clock
    }

    fn entropy(&self, label: &str) -> Entropy {
        ravelin_entropy::stream(&[&self.name, label])
    }

    fn spawn(&self, _label: &str, future: BoxFuture<'static, ()>) -> Task {
        #[expect(clippy::disallowed_methods, reason = "this is the seam's own way to spawn")]
        let handle = tokio::spawn(future);
        Task::new(handle.abort_handle())
    }

    fn disk(&self) -> &dyn Disk {
        &self.disk
    }

    fn set_redirects(&self, table: Vec<Redirect>) {
        lock(&self.network.0).tables.set_services(self.address, table);
    }

    fn set_port_maps(&self, maps: Vec<PortMap>) {
        lock(&self.network.0).tables.set_ports(self.address, maps);
    }

    fn pod(&self, address: IpAddr) -> io::Result<HostRef> {
        let found = lock(&self.network.0).hosts.get(&address).cloned();
        match found {
            Some(host) => Ok(host),
            None => Ok(self.network.flawed_host(&format!("pod-{address}"), address, self.flaws.clone())),
        }
    }

    fn observe(&self, _kind: &'static str, _fields: &[Field]) {}

    fn session_secret(&self, secret: SessionSecret) {
        lock(&self.network.0).secrets.push(secret);
    }

    fn flaws(&self) -> &Flaws {
        &self.flaws
    }
}
