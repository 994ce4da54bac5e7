//! Services' addresses as sockets that the other programs of this computer can reach.
//!
//! To redirect another program's packets takes the system administrator's rights, which nothing here
//! asks for. A computer that carries listens instead, and copies what comes to an endpoint, as the
//! `userspace` mode of kube-proxy did: at the service's own address where that is one of this
//! computer's (node ports are, and cluster addresses where the range is routed to it), else at a
//! loopback socket that [`Carried`] tells.

use super::network::Shared;
use super::socket::{self, RealListener, RealStream};
use crate::{Redirect, Scope, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// More addresses than this have no socket.
const MAX_ADDRESSES: usize = 4096;
/// More connections than this are not carried at a time; further ones are closed at once.
const MAX_CONNECTIONS: usize = 8192;
/// How long an endpoint may take to accept a connection (`EndpointDialTimeouts` of the userspace
/// proxy ended there, after four tries).
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after an accept that failed, so that a persistent failure does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Which real socket stands for which address of the table, as it is now.
#[derive(Clone, Debug)]
pub struct Carried(watch::Receiver<BTreeMap<SocketAddr, SocketAddr>>);

impl Carried {
    /// The service address and the real one, which are the same where it could be listened on.
    pub fn sockets(&self) -> BTreeMap<SocketAddr, SocketAddr> {
        self.0.borrow().clone()
    }

    /// Waits for the next change; `false` when there will be none any more.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// The sockets of a computer's table.
pub(super) struct Carrier {
    sockets: Mutex<BTreeMap<SocketAddr, Open>>,
    connections: Arc<Mutex<Vec<Task>>>,
    told: watch::Sender<BTreeMap<SocketAddr, SocketAddr>>,
}

struct Open {
    real: SocketAddr,
    _accepting: Task,
}

/// The addresses of a table that lead somewhere. What leads nowhere has no socket: the operating
/// system refuses it, also where packets would be dropped.
pub(super) fn served(table: &[Redirect]) -> BTreeSet<SocketAddr> {
    table.iter().filter(|redirect| !redirect.to.is_empty()).map(|redirect| redirect.from).collect()
}

impl Carrier {
    pub(super) fn new() -> (Self, Carried) {
        let (told, receiver) = watch::channel(BTreeMap::new());
        let carrier = Self { sockets: Mutex::default(), connections: Arc::default(), told };
        (carrier, Carried(receiver))
    }

    fn sockets(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Open>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens and closes sockets until there is one for each of these addresses. Connections that are
    /// being carried stay.
    pub(super) fn follow(&self, of: (&Arc<Shared>, IpAddr), served: BTreeSet<SocketAddr>) {
        let mut sockets = self.sockets();
        sockets.retain(|address, _| served.contains(address));
        for address in served {
            if sockets.len() >= MAX_ADDRESSES {
                break;
            }
            if sockets.contains_key(&address) {
                continue;
            }
            let Ok((listener, real)) = socket_for(address) else { continue };
            let accepting = Accepting {
                shared: Arc::downgrade(of.0),
                machine: of.1,
                address,
                connections: Arc::clone(&self.connections),
            };
            let accepting = spawn(accepting.run(listener));
            sockets.insert(address, Open { real, _accepting: accepting });
        }
        let now = sockets.iter().map(|(address, open)| (*address, open.real)).collect();
        drop(sockets);
        self.told.send_if_modified(|told| {
            let is_new = *told != now;
            *told = now;
            is_new
        });
    }
}

/// A listening socket at the address itself, or else at a loopback port.
fn socket_for(address: SocketAddr) -> io::Result<(RealListener, SocketAddr)> {
    let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let listener = socket::public(address).or_else(|_| socket::public(loopback))?;
    let real = listener.local_addr()?;
    Ok((listener, real))
}

fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Task {
    #[expect(clippy::disallowed_methods, reason = "this is beneath the host")]
    Task::new(tokio::spawn(future).abort_handle())
}

/// What accepts for one address.
struct Accepting {
    shared: Weak<Shared>,
    machine: IpAddr,
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Task>>>,
}

impl Accepting {
    async fn run(self, listener: RealListener) {
        loop {
            let Ok((stream, peer)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(shared) = self.shared.upgrade() else { return };
            // Who speaks from the address that it speaks to is this computer.
            let own = stream.local_addr().is_ok_and(|local| local.ip() == peer.ip());
            let (client, way) = match own || peer.ip().is_loopback() {
                true => (self.machine, Scope::Opened),
                false => (peer.ip(), Scope::Arriving),
            };
            let Ok(endpoint) = shared.carried(self.machine, (client, self.address, way)) else { continue };
            let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections.retain(|task| !task.is_finished());
            if connections.len() < MAX_CONNECTIONS {
                connections.push(spawn(carry(stream, endpoint)));
            }
        }
    }
}

/// Copies until both directions have ended. What goes wrong at one end is an end at the other.
async fn carry(mut stream: RealStream, endpoint: SocketAddr) {
    let dialled = tokio::time::timeout(DIAL_TIMEOUT, socket::connect(endpoint)).await;
    let Ok(Ok(mut connection)) = dialled else { return };
    if socket::set_up(&stream).is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut connection.stream).await;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "folders for the tests' own files")]
mod tests {
    use super::super::{Computer, carrying};
    use super::*;
    use crate::{Endpoint, HostRef};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn this_computer() -> (HostRef, Carried) {
        let (name, address) = ("here".to_owned(), [127, 0, 0, 1].into());
        carrying(Computer { name, address, files: std::env::temp_dir(), places: vec![], observer: None })
    }

    /// A server that says its name and then what it was sent.
    async fn serve(host: &HostRef, name: &'static [u8]) -> (SocketAddr, Task) {
        let listener = host.listen(&Endpoint::tcp([127, 0, 0, 1], 0)).await.unwrap();
        let at = listener.local().socket_addr().unwrap();
        let serving = async move {
            while let Ok(mut connection) = listener.accept().await {
                let mut sent = Vec::new();
                connection.stream.read_to_end(&mut sent).await.unwrap();
                connection.stream.write_all(name).await.unwrap();
                connection.stream.write_all(&sent).await.unwrap();
                connection.stream.shutdown().await.unwrap();
            }
        };
        (at, host.spawn("server", Box::pin(serving)))
    }

    /// What another program gets at a real address: it half-closes, and reads to the end.
    async fn asked(at: SocketAddr) -> io::Result<Vec<u8>> {
        let mut connection = socket::connect(at).await?;
        connection.stream.write_all(b" hears").await?;
        connection.stream.shutdown().await?;
        let mut answer = Vec::new();
        connection.stream.read_to_end(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn other_programs_reach_a_services_endpoints_at_its_socket() {
        let (host, carried) = this_computer();
        let ((first, _one), (second, _two)) = (serve(&host, b"first").await, serve(&host, b"second").await);
        let service: SocketAddr = "10.96.0.9:80".parse().unwrap();
        host.set_redirects(vec![Redirect::new(service, vec![first])]);
        let real = carried.sockets()[&service];
        assert!(real.ip().is_loopback(), "the address is none of this computer's");
        assert_eq!(asked(real).await.unwrap(), b"first hears");
        host.set_redirects(vec![Redirect::new(service, vec![second])]);
        assert_eq!(carried.sockets()[&service], real, "it keeps its socket");
        assert_eq!(asked(real).await.unwrap(), b"second hears");
        host.set_redirects(vec![Redirect::new(service, vec![])]);
        assert!(carried.sockets().is_empty());
        for _ in 0..100 {
            if asked(real).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("a service without endpoints is still listened for");
    }

    #[tokio::test]
    async fn an_address_of_this_computer_is_listened_on_itself() {
        let (host, mut carried) = this_computer();
        let (endpoint, _server) = serve(&host, b"web").await;
        let free = socket::private().unwrap().local_addr().unwrap();
        host.set_redirects(vec![Redirect { masquerade: true, ..Redirect::new(free, vec![endpoint]) }]);
        assert!(carried.changed().await);
        assert_eq!(carried.sockets()[&free], free);
        assert_eq!(asked(free).await.unwrap(), b"web hears");
    }

    #[tokio::test]
    async fn sockets_and_connections_end_with_the_computer() {
        let (host, carried) = this_computer();
        let (endpoint, _server) = serve(&host, b"web").await;
        let service: SocketAddr = "10.96.0.9:80".parse().unwrap();
        host.set_redirects(vec![Redirect::new(service, vec![endpoint])]);
        let real = carried.sockets()[&service];
        let mut open = socket::connect(real).await.unwrap();
        open.stream.write_all(b"x").await.unwrap();
        drop((host, _server));
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), open.stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "its connection is closed or reset");
        assert!(asked(real).await.is_err());
    }
}
