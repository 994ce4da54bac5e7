//! Sockets of a machine: each pins its machine's stack before every call and before it is dropped,
//! so that it does not matter which task uses it.

use crate::flow::End;
use crate::network::Network;
use crate::topology::Machine;
use async_trait::async_trait;
use futures_util::FutureExt;
use ravelin_host::{Connection, Endpoint, Listener};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};

/// A connection attempt that nobody answers ends after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What is read at once. The stack announces a new window only after a read of half its buffer.
const READ_SIZE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_SIZE]);
}

/// The simulation is over.
fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// Opens a connection of a machine; `to` is an address of its stack.
pub(crate) async fn dial(network: &Arc<Network>, machine: Machine, to: SocketAddr) -> io::Result<Connection> {
    let connecting =
        Pinned { network: Arc::clone(network), machine, inner: Some(Box::pin(TcpStream::connect(to))) };
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(stream) => stream?,
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    if !network.enter(machine) {
        return Err(gone());
    }
    let end = End { local: stream.local_addr()?, remote: stream.peer_addr()? };
    let shown = network.shown_client(end);
    Ok(Connection {
        stream: Box::new(SimStream::new(network, machine, (stream, end))),
        local: shown.into(),
        peer: end.remote.into(),
    })
}

/// A future of a machine's stack.
struct Pinned<T> {
    network: Arc<Network>,
    machine: Machine,
    inner: Option<Pin<Box<dyn Future<Output = io::Result<T>> + Send>>>,
}

impl<T> Future for Pinned<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.network.enter(self.machine) {
            return Poll::Ready(Err(gone()));
        }
        self.network.touch();
        match &mut self.inner {
            Some(inner) => inner.as_mut().poll(context),
            None => Poll::Ready(Err(gone())),
        }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        if self.network.enter(self.machine) {
            self.network.touch();
            self.inner = None;
        } else {
            std::mem::forget(self.inner.take());
        }
    }
}

/// A TCP stream of a machine.
struct SimStream {
    network: Arc<Network>,
    machine: Machine,
    end: End,
    /// There until this is dropped.
    inner: Option<TcpStream>,
    /// Read from the stack, not yet by the owner.
    read: Vec<u8>,
    taken: usize,
}

impl SimStream {
    fn new(network: &Arc<Network>, machine: Machine, (stream, end): (TcpStream, End)) -> Self {
        Self { network: Arc::clone(network), machine, end, inner: Some(stream), read: Vec::new(), taken: 0 }
    }

    /// Reads all that the stack holds; what does not fit stays here.
    fn fill(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.network.enter(self.machine) {
            return Poll::Ready(Err(gone()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut all = ReadBuf::new(scratch);
            let inner = self.inner.as_mut().ok_or_else(gone)?;
            let polled = Pin::new(inner).poll_read(context, &mut all);
            if let Poll::Ready(Ok(())) = &polled {
                self.network.touch();
                let now = all.filled().len().min(into.remaining());
                into.put_slice(&all.filled()[..now]);
                self.read.clear();
                self.read.extend_from_slice(&all.filled()[now..]);
                self.taken = 0;
            }
            polled
        })
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let kept = &this.read[this.taken..];
        if kept.is_empty() {
            return this.fill(context, into);
        }
        let now = kept.len().min(into.remaining());
        into.put_slice(&kept[..now]);
        this.taken += now;
        if this.taken == this.read.len() {
            this.read = Vec::new();
            this.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.network.enter(self.machine) {
            return Poll::Ready(Err(gone()));
        }
        self.network.touch();
        Pin::new(self.inner.as_mut().ok_or_else(gone)?).poll_write(context, from)
    }

    /// All buffers in one write, as the sockets of real systems take them: rustls counts on it when
    /// it writes an alert and gives up the stream.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let whole: Vec<u8> = from.iter().flat_map(|part| part.iter().copied()).collect();
        self.poll_write(context, &whole)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.network.enter(self.machine) {
            return Poll::Ready(Err(gone()));
        }
        self.network.touch();
        Pin::new(self.inner.as_mut().ok_or_else(gone)?).poll_shutdown(context)
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        if self.network.enter(self.machine) {
            self.network.closed(self.end);
            self.network.touch();
            self.inner = None;
        } else {
            std::mem::forget(self.inner.take());
        }
    }
}

/// A listening socket of a machine.
pub(crate) struct SimListener {
    network: Arc<Network>,
    machine: Machine,
    inner: Option<TcpListener>,
    /// Where it listens for all others.
    shown: SocketAddr,
    /// Its port in the stack.
    port: u16,
}

impl SimListener {
    /// Listens on an address of the machine.
    pub(crate) fn bind(network: &Arc<Network>, machine: Machine, on: SocketAddr) -> io::Result<Self> {
        if !network.enter(machine) {
            return Err(gone());
        }
        if network.is_listening(machine, on) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        // What an earlier listener accepted keeps the port in the stack: then this one gets
        // another, and the network translates.
        let inner = match bind_now(on) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && on.port() != 0 => {
                bind_now(SocketAddr::new(on.ip(), 0))?
            }
            bound => bound?,
        };
        let port = inner.local_addr()?.port();
        let shown = SocketAddr::new(on.ip(), if on.port() == 0 { port } else { on.port() });
        network.state().listeners.insert((machine, shown.ip(), shown.port()), port);
        Ok(Self { network: Arc::clone(network), machine, inner: Some(inner), shown, port })
    }

    /// The next connection and its ends in the stack.
    pub(crate) async fn next(&self) -> io::Result<(Connection, End)> {
        let (stream, _) = poll_fn(|context| {
            if !self.network.enter(self.machine) {
                return Poll::Ready(Err(gone()));
            }
            let inner = self.inner.as_ref().ok_or_else(gone)?;
            inner.poll_accept(context)
        })
        .await?;
        let end = End { local: stream.local_addr()?, remote: stream.peer_addr()? };
        let local = SocketAddr::new(end.local.ip(), self.shown.port());
        let stream = Box::new(SimStream::new(&self.network, self.machine, (stream, end)));
        let connection = Connection { stream, local: local.into(), peer: end.remote.into() };
        Ok((connection, end))
    }
}

#[async_trait]
impl Listener for SimListener {
    async fn accept(&self) -> io::Result<Connection> {
        Ok(self.next().await?.0)
    }

    fn local(&self) -> Endpoint {
        self.shown.into()
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let key = (self.machine, self.shown.ip(), self.shown.port());
        if self.network.enter(self.machine) {
            let mut state = self.network.state();
            if state.listeners.get(&key) == Some(&self.port) {
                state.listeners.remove(&key);
            }
            drop(state);
            self.network.touch();
            self.inner = None;
        } else {
            std::mem::forget(self.inner.take());
        }
    }
}

fn bind_now(on: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(on).now_or_never().expect("binding a simulated socket never waits")
}

impl Network {
    /// The port in the machine's stack of what listens on this address.
    pub(crate) fn port_in_stack(&self, machine: Machine, address: SocketAddr) -> u16 {
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let state = self.state();
        [address.ip(), any]
            .iter()
            .find_map(|ip| state.listeners.get(&(machine, *ip, address.port())).copied())
            .unwrap_or(address.port())
    }

    fn is_listening(&self, machine: Machine, on: SocketAddr) -> bool {
        let every = on.ip().is_unspecified();
        on.port() != 0
            && self.state().listeners.keys().any(|(owner, ip, port)| {
                let same = every || ip.is_unspecified() || *ip == on.ip();
                *owner == machine && *port == on.port() && same && ip.is_ipv4() == on.is_ipv4()
            })
    }

    /// A client's own address as others see it.
    fn shown_client(&self, end: End) -> SocketAddr {
        let state = self.state();
        match state.flows.of_sender(end).and_then(|(id, _)| state.flows.get(id)) {
            Some(flow) => flow.on_wire[crate::flow::Way::ToClient],
            None => end.local,
        }
    }

    /// The owner of a stream has dropped it.
    fn closed(&self, end: End) {
        let mut state = self.state();
        if let Some((id, way)) = state.flows.of_sender(end)
            && let Some(flow) = state.flows.get_mut(id)
        {
            flow.ways[way.back()].receiver_gone = true;
        }
    }
}
