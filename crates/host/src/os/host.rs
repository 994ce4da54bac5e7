//! A computer of the cluster, or this computer itself, as the component that runs on it sees it.

use super::carry::{Carried, Carrier};
use super::folder::Folder;
use super::network::{Machine, Network, Observer, Pods, Shared};
use super::socket::{self, RealDoor};
use super::unix_socket;
use crate::unix::UnixSockets;
use crate::{
    Connection, Disk, Endpoint, Field, Flaws, Host, HostRef, Listener, PortMap, Redirect, SessionSecret, Task,
};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use ravelin_entropy::Entropy;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection is tried that nobody answers (Linux with `tcp_syn_retries` 6).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);

/// A computer, and no flaws.
pub(super) struct OsHost {
    shared: Arc<Shared>,
    machine: Arc<Machine>,
    flaws: Flaws,
}

/// This computer, for one component.
pub struct Computer {
    /// Its name.
    pub name: String,
    /// The address that it says is its own.
    pub address: IpAddr,
    /// Where its small files are.
    pub files: PathBuf,
    /// Files whose names begin so are elsewhere, such as `/var/lib/kubelet`; the first that fits counts.
    pub places: Vec<(String, PathBuf)>,
    /// Who is told what its component says of itself.
    pub observer: Option<Observer>,
}

/// This computer as a host: addresses are real ones, its pods have loopback sockets, its small files
/// are in a folder.
pub fn computer(computer: Computer) -> HostRef {
    started(computer, None)
}

/// The same, and what its other programs send to the services of its table is carried to their
/// endpoints: see [`Carried`].
pub fn carrying(computer: Computer) -> (HostRef, Carried) {
    let (carrier, carried) = Carrier::new();
    (started(computer, Some(carrier)), carried)
}

fn started(computer: Computer, carrier: Option<Carrier>) -> HostRef {
    let Computer { name, address, files, places, observer } = computer;
    Network::new(observer).add(Machine {
        name,
        address,
        is_real: true,
        disk: Box::new(Folder::new(files, places)),
        unix: UnixSockets::default(),
        pods: Pods::Any,
        carrier,
    })
}

/// The address that this computer speaks from towards another. Nothing is sent.
///
/// # Errors
/// Where there is no way to it.
pub fn own_address_towards(to: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    #[allow(clippy::disallowed_types, reason = "its connect only looks up the route")]
    let socket = std::net::UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

impl OsHost {
    pub(super) fn of(shared: &Arc<Shared>, machine: Arc<Machine>) -> HostRef {
        Arc::new(Self { shared: Arc::clone(shared), machine, flaws: Flaws::none() })
    }

    async fn connect_tcp(&self, to: SocketAddr) -> io::Result<Connection> {
        let journey = match self.shared.journey(self.machine.address, to) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                tokio::time::sleep(CONNECT_TIMEOUT).await;
                return Err(error);
            }
            journey => journey?,
        };
        // An endpoint on a loopback address is this computer's, also for its pods; what a pod itself
        // asks of its loopback is not.
        let is_translated = journey.to != to && journey.to.ip().is_loopback();
        let door = match is_translated && self.shared.reaches_out() {
            true => None,
            false => self.shared.door(self.machine.address, journey.to),
        };
        let mut connection = match door {
            Some(door) => socket::enter(&self.shared, door?, journey.source).await?,
            None if self.shared.reaches_out() => socket::connect(journey.to).await?,
            None => return Err(io::ErrorKind::ConnectionRefused.into()),
        };
        connection.peer = to.into();
        Ok(connection)
    }
}

#[async_trait]
impl Host for OsHost {
    fn name(&self) -> &str {
        &self.machine.name
    }

    fn addresses(&self) -> Vec<IpAddr> {
        vec![self.machine.address]
    }

    async fn connect(&self, to: &Endpoint) -> io::Result<Connection> {
        match to {
            Endpoint::Tcp(to) => self.connect_tcp(*to).await,
            Endpoint::Unix(path) if self.machine.is_real => unix_socket::connect(path).await,
            Endpoint::Unix(path) => self.machine.unix.connect(path),
        }
    }

    async fn listen(&self, on: &Endpoint) -> io::Result<Box<dyn Listener>> {
        Ok(match on {
            Endpoint::Tcp(on) if self.machine.is_real => {
                let listener = socket::public(*on)?;
                let at = listener.local_addr()?;
                Box::new(RealDoor(listener, at))
            }
            Endpoint::Tcp(on) => Box::new(self.shared.listen(self.machine.address, *on)?),
            Endpoint::Unix(path) if self.machine.is_real => Box::new(unix_socket::listen(path)?),
            Endpoint::Unix(path) => Box::new(self.machine.unix.listen(path)?),
        })
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        if let Some(address) = self.shared.named(name) {
            return Ok(vec![address]);
        }
        if !self.shared.reaches_out() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }

    fn now(&self) -> jiff::Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is what is beneath Host::now")]
        jiff::Timestamp::now()
    }

    fn entropy(&self, label: &str) -> Entropy {
        ravelin_entropy::stream(&["computer", &self.machine.name, label])
    }

    fn spawn(&self, _label: &str, future: BoxFuture<'static, ()>) -> Task {
        #[expect(clippy::disallowed_methods, reason = "this is what is beneath Host::spawn")]
        let handle = tokio::spawn(future);
        Task::new(handle.abort_handle())
    }

    fn disk(&self) -> &dyn Disk {
        &*self.machine.disk
    }

    fn set_redirects(&self, table: Vec<Redirect>) {
        let carrier = self.machine.carrier.as_ref();
        let served = carrier.map(|_| super::carry::served(&table));
        self.shared.with_tables(|tables| tables.set_services(self.machine.address, table));
        if let (Some(carrier), Some(served)) = (carrier, served) {
            carrier.follow((&self.shared, self.machine.address), served);
        }
    }

    fn set_port_maps(&self, maps: Vec<PortMap>) {
        self.shared.with_tables(|tables| tables.set_ports(self.machine.address, maps));
    }

    fn pod(&self, address: IpAddr) -> io::Result<HostRef> {
        self.shared.pod(&self.machine, address)
    }

    fn observe(&self, kind: &'static str, fields: &[Field]) {
        if let Some(observer) = &self.shared.observer {
            observer(self.name(), kind, fields);
        }
    }

    fn session_secret(&self, _secret: SessionSecret) {}

    fn flaws(&self) -> &Flaws {
        &self.flaws
    }
}
