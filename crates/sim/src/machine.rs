//! A machine as the component that runs on it sees it.

use crate::Place;
use crate::network::Network;
use crate::stream::{SimListener, dial};
use crate::topology::Machine;
use crate::trace::Event;
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ravelin_entropy::Entropy;
use ravelin_host::unix::UnixSockets;
use ravelin_host::{
    Connection, Disk, Endpoint, Field, Flaws, Host, HostRef, Listener, PortMap, Redirect, SessionSecret,
    Task, listed,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::AbortHandle;

/// How many ended tasks of a machine may be remembered.
const REMEMBERED_TASKS: usize = 64;

/// What a machine has besides its network.
#[derive(Default)]
pub(crate) struct Belongings {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    unix: UnixSockets,
}

impl Disk for Belongings {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(name.to_owned(), content.to_owned());
        Ok(())
    }

    fn append(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.entry(name.to_owned()).or_default().extend_from_slice(content);
        Ok(())
    }

    fn list(&self, folder: &str) -> Option<Vec<String>> {
        listed(self.files.lock().unwrap_or_else(PoisonError::into_inner).keys(), folder)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }
}

/// One machine's host.
pub(crate) struct SimHost {
    network: Arc<Network>,
    machine: Machine,
}

impl SimHost {
    pub(crate) fn of(network: &Arc<Network>, machine: Machine) -> HostRef {
        Arc::new(Self { network: Arc::clone(network), machine })
    }

    fn belongings(&self) -> &Belongings {
        &self.network.belongings[self.machine]
    }

    async fn connect_tcp(&self, to: SocketAddr) -> io::Result<Connection> {
        let is_own = |ip: IpAddr| ip.is_loopback() || self.addresses().contains(&ip);
        let mut in_stack = to;
        if is_own(to.ip()) {
            // Such packets never leave the stack: what is translated of them is so here.
            in_stack = self.network.translated_at_home(self.machine, to)?;
        }
        if is_own(in_stack.ip()) {
            in_stack.set_port(self.network.port_in_stack(self.machine, in_stack));
        }
        let mut connection = dial(&self.network, self.machine, in_stack).await?;
        connection.peer = to.into();
        Ok(connection)
    }
}

#[async_trait]
impl Host for SimHost {
    fn name(&self) -> &str {
        self.network.map.name(self.machine)
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.network.map.machines[self.machine].addresses.clone()
    }

    async fn connect(&self, to: &Endpoint) -> io::Result<Connection> {
        match to {
            Endpoint::Tcp(to) => self.connect_tcp(*to).await,
            Endpoint::Unix(path) => self.belongings().unix.connect(path),
        }
    }

    async fn listen(&self, on: &Endpoint) -> io::Result<Box<dyn Listener>> {
        Ok(match on {
            Endpoint::Tcp(on) => Box::new(SimListener::bind(&self.network, self.machine, *on)?),
            Endpoint::Unix(path) => Box::new(self.belongings().unix.listen(path)?),
        })
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        self.network.map.names.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn now(&self) -> jiff::Timestamp {
        self.network.now(self.machine)
    }

    fn entropy(&self, label: &str) -> Entropy {
        ravelin_entropy::stream(&["machine", self.name(), label])
    }

    fn spawn(&self, label: &str, future: BoxFuture<'static, ()>) -> Task {
        let name = format!("{} on {}", label, self.name());
        let network = Arc::clone(&self.network);
        let guarded = AssertUnwindSafe(future).catch_unwind();
        let handle = spawn_here(async move {
            if let Err(panic) = guarded.await {
                network.failed(&name, &*panic);
                std::panic::resume_unwind(panic);
            }
        });
        let mut state = self.network.state();
        let machine = &mut state.machines[self.machine];
        if machine.crashed {
            handle.abort();
        } else {
            if machine.tasks.len() >= REMEMBERED_TASKS.max(machine.remembered * 2) {
                machine.tasks.retain(|task| !task.is_finished());
                machine.remembered = machine.tasks.len();
            }
            machine.tasks.push(handle.clone());
        }
        Task::new(handle)
    }

    fn disk(&self) -> &dyn Disk {
        self.belongings()
    }

    fn set_redirects(&self, table: Vec<Redirect>) {
        self.network.state().machines[self.machine].translation.set_services(table);
    }

    fn set_port_maps(&self, maps: Vec<PortMap>) {
        self.network.state().machines[self.machine].translation.set_ports(maps);
    }

    fn pod(&self, address: IpAddr) -> io::Result<HostRef> {
        let map = &self.network.map;
        let pod = map.owner(address).filter(|owner| match (map.place(self.machine), map.place(*owner)) {
            (Place::Node(node), Place::Pod { node: of }) => node == of,
            _ => false,
        });
        let pod = pod.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self::of(&self.network, pod))
    }

    fn observe(&self, kind: &'static str, fields: &[Field]) {
        self.network.record(&Event { kind, machine: Some(self.name()), fields });
    }

    fn session_secret(&self, secret: SessionSecret) {
        self.network.state().secrets.push(secret);
    }

    fn flaws(&self) -> &Flaws {
        &self.network.config.flaws
    }
}

/// Starts a task on the simulation's runtime.
#[expect(clippy::disallowed_methods, reason = "this is what is beneath Host::spawn")]
pub(crate) fn spawn_here(future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::spawn(future).abort_handle()
}

impl Network {
    /// A machine's wall clock.
    pub(crate) fn now(&self, machine: Machine) -> jiff::Timestamp {
        let offset = self.state().machines[machine].offset_seconds;
        let offset = jiff::SignedDuration::from_secs(offset);
        let elapsed = jiff::SignedDuration::try_from(self.elapsed()).expect("it is not centuries");
        self.config.epoch + elapsed + offset
    }

    /// The first panic of a machine's task.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, task: &str, panic: &(dyn std::any::Any + Send)) {
        let message = format!("{task}: {}", crate::run::panic_text(panic));
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }
}
