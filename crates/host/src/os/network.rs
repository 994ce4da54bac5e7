//! The cluster on this computer: which loopback socket stands for which of its ports.

use super::carry::Carrier;
use super::host::OsHost;
use super::socket::{self, Doorway, RealListener};
use crate::journey::{Journey, Tables};
use crate::unix::UnixSockets;
use crate::{Disk, Field, HostRef, MemoryDisk, Scope, Translation};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Who is told what components say of themselves: the host's name, the kind, the fields.
pub type Observer = Arc<dyn Fn(&str, &'static str, &[Field]) + Send + Sync>;

/// A node's pods: the addresses that they may have.
pub type NodePods = Vec<IpAddr>;

/// The hosts of a cluster on this computer.
#[derive(Clone)]
pub struct Network(pub(super) Arc<Shared>);

/// What the hosts share.
pub(super) struct Shared {
    state: Mutex<State>,
    began: Instant,
    pub(super) observer: Option<Observer>,
}

#[derive(Default)]
struct State {
    machines: BTreeMap<IpAddr, Arc<Machine>>,
    names: BTreeMap<String, IpAddr>,
    tables: Tables,
    doors: BTreeMap<Door, Open>,
    /// Sockets that are open to the outside, for ports of the cluster.
    published: BTreeMap<SocketAddr, Arc<RealListener>>,
    /// The clients of the cluster that have a connection, by their loopback address.
    clients: BTreeMap<SocketAddr, SocketAddr>,
    opened: u64,
}

/// A port of one of the cluster's machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Door {
    machine: IpAddr,
    /// Is it a port of the machine's own loopback?
    loopback: bool,
    port: u16,
}

/// A port that is listened on.
#[derive(Clone, Copy)]
struct Open {
    real: SocketAddr,
    listener: u64,
}

/// One computer, pod or not.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) address: IpAddr,
    /// Does it speak with real addresses?
    pub(super) is_real: bool,
    pub(super) disk: Box<dyn Disk>,
    pub(super) unix: UnixSockets,
    /// Its pods' addresses, or a test for them.
    pub(super) pods: Pods,
    /// Who carries what other programs send to services, where somebody does.
    pub(super) carrier: Option<Carrier>,
}

/// Which pods a computer may have.
pub(super) enum Pods {
    None,
    These(NodePods),
    /// Any that is no address of the computer: its component chooses them.
    Any,
}

impl Machine {
    fn may_have(&self, pod: IpAddr) -> bool {
        match &self.pods {
            Pods::None => false,
            Pods::These(pods) => pods.contains(&pod),
            Pods::Any => pod != self.address && !pod.is_loopback() && !pod.is_unspecified(),
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Network {
    /// A network without hosts, and who is told what its components say of themselves.
    pub fn new(observer: Option<Observer>) -> Self {
        let state = Mutex::new(State::default());
        Self(Arc::new(Shared { state, began: Instant::now(), observer }))
    }

    /// A new host, and the addresses that its pods may have.
    pub fn host(&self, name: &str, address: impl Into<IpAddr>, pods: NodePods) -> HostRef {
        self.add(Machine {
            name: name.to_owned(),
            address: address.into(),
            is_real: false,
            disk: Box::new(MemoryDisk::default()),
            unix: UnixSockets::default(),
            pods: if pods.is_empty() { Pods::None } else { Pods::These(pods) },
            carrier: None,
        })
    }

    /// Opens a port of the cluster to the outside: whoever listens on `port` of the cluster gets what
    /// comes to the real address `at` too. Returns that address, with the port that was chosen where
    /// it had none.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub fn publish(&self, port: SocketAddr, at: SocketAddr) -> io::Result<SocketAddr> {
        let listener = socket::public(at)?;
        let at = listener.local_addr()?;
        self.0.state().published.insert(port, Arc::new(listener));
        Ok(at)
    }

    pub(super) fn add(&self, machine: Machine) -> HostRef {
        let machine = Arc::new(machine);
        let mut state = self.0.state();
        state.tables.add(machine.address, Translation::default());
        if let Pods::These(pods) = &machine.pods {
            for pod in pods {
                state.tables.keep(*pod, machine.address);
            }
        }
        state.names.insert(machine.name.clone(), machine.address);
        state.machines.insert(machine.address, Arc::clone(&machine));
        drop(state);
        OsHost::of(&self.0, machine)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is there a computer here that speaks with real addresses?
    pub(super) fn reaches_out(&self) -> bool {
        self.state().machines.values().any(|machine| machine.is_real)
    }

    /// Changes the tables of translation.
    pub(super) fn with_tables(&self, change: impl FnOnce(&mut Tables)) {
        change(&mut self.state().tables);
    }

    /// Where a connection from `client` to `to` leads.
    pub(super) fn journey(&self, client: IpAddr, to: SocketAddr) -> io::Result<Journey> {
        let now = self.began.elapsed();
        Ok(self.state().tables.journey((client, to), now, one_of)?)
    }

    /// Where a connection leads that reached the machine's socket for an address.
    pub(super) fn carried(
        &self,
        machine: IpAddr,
        opened: (IpAddr, SocketAddr, Scope),
    ) -> io::Result<SocketAddr> {
        let now = self.began.elapsed();
        Ok(self.state().tables.carried(machine, opened, now, one_of)?)
    }

    /// The loopback socket that stands for an address as a machine sees it. `None` where the address
    /// is no machine's, or a real one.
    pub(super) fn door(&self, machine: IpAddr, to: SocketAddr) -> Option<io::Result<SocketAddr>> {
        let loopback = to.ip().is_loopback() || to.ip().is_unspecified();
        let owner = if loopback { machine } else { to.ip() };
        let state = self.state();
        state.machines.get(&owner).filter(|machine| !machine.is_real)?;
        let open = state.doors.get(&Door { machine: owner, loopback, port: to.port() });
        Some(open.map(|open| open.real).ok_or_else(|| io::ErrorKind::ConnectionRefused.into()))
    }

    /// Listens on a port of a machine.
    pub(super) fn listen(self: &Arc<Self>, machine: IpAddr, on: SocketAddr) -> io::Result<Doorway> {
        let private = socket::private()?;
        let real = private.local_addr()?;
        let port = if on.port() == 0 { real.port() } else { on.port() };
        let door = |loopback| Door { machine, loopback, port };
        let doors = match on.ip() {
            ip if ip.is_unspecified() => vec![door(false), door(true)],
            ip if ip.is_loopback() => vec![door(true)],
            ip if ip == machine => vec![door(false)],
            _ => return Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        let mut state = self.state();
        if doors.iter().any(|door| state.doors.contains_key(door)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.opened += 1;
        let listener = state.opened;
        for door in &doors {
            state.doors.insert(*door, Open { real, listener });
        }
        let local = if on.ip().is_loopback() { on.ip() } else { machine };
        let local = SocketAddr::new(local, port);
        let public = state.published.get(&SocketAddr::new(machine, port)).cloned();
        drop(state);
        let (shared, doors) = (Arc::clone(self), (doors, listener));
        Ok(Doorway { shared, doors, local, private, public })
    }

    pub(super) fn close(&self, doors: &[Door], listener: u64) {
        let mut state = self.state();
        for door in doors {
            if state.doors.get(door).is_some_and(|open| open.listener == listener) {
                state.doors.remove(door);
            }
        }
    }

    /// The addresses of a name.
    pub(super) fn named(&self, name: &str) -> Option<IpAddr> {
        self.state().names.get(name).copied()
    }

    /// The host of a machine's pod.
    pub(super) fn pod(self: &Arc<Self>, node: &Machine, address: IpAddr) -> io::Result<HostRef> {
        if !node.may_have(address) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut state = self.state();
        state.tables.keep(address, node.address);
        let made = || {
            Arc::new(Machine {
                name: format!("pod-{address}"),
                address,
                is_real: false,
                disk: Box::new(MemoryDisk::default()),
                unix: UnixSockets::default(),
                pods: Pods::None,
                carrier: None,
            })
        };
        let machine = Arc::clone(state.machines.entry(address).or_insert_with(made));
        drop(state);
        Ok(OsHost::of(self, machine))
    }

    /// Who in the cluster has this loopback address.
    pub(super) fn client_at(&self, real: SocketAddr) -> Option<SocketAddr> {
        self.state().clients.get(&real).copied()
    }

    pub(super) fn remember_client(&self, real: SocketAddr, client: SocketAddr) {
        self.state().clients.insert(real, client);
    }

    pub(super) fn forget_client(&self, real: SocketAddr) {
        self.state().clients.remove(&real);
    }
}

/// One of so many, at random.
fn one_of(many: usize) -> usize {
    usize::try_from(ravelin_entropy::stream(&["endpoints"]).below(many as u64)).unwrap_or(0)
}
