//! Loopback sockets that stand for ports of the cluster, and the connections to them.

use super::network::{Door, Shared};
use crate::{Connection, Endpoint, Listener};
use async_trait::async_trait;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpSocket;

/// A loopback port of the operating system's choice.
const ANY_LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
/// After so long a silence, and each time again, a peer is asked whether it is still there
/// (`KeepAlive` of the dialer in client-go's `transport/cache.go`).
const KEEP_ALIVE: Duration = Duration::from_secs(30);

#[allow(clippy::disallowed_types, reason = "this is what is beneath Host::listen and Host::connect")]
pub(super) type RealListener = tokio::net::TcpListener;
#[allow(clippy::disallowed_types, reason = "this is what is beneath Host::listen and Host::connect")]
pub(super) type RealStream = tokio::net::TcpStream;

/// A listening loopback socket.
pub(super) fn private() -> io::Result<RealListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(ANY_LOOPBACK)?;
    socket.listen(BACKLOG)
}

/// Answers are sent at once, and a peer that is gone without a word is found out.
pub(super) fn set_up(stream: &RealStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let asking = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
    SockRef::from(stream).set_tcp_keepalive(&asking)
}

/// A socket that listens at a real address.
pub(super) fn public(on: SocketAddr) -> io::Result<RealListener> {
    let socket = if on.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As every server does: connections that linger do not keep its successor from the port.
    socket.set_reuseaddr(true)?;
    socket.bind(on)?;
    socket.listen(BACKLOG)
}

/// Listens for a port of the cluster: on a loopback socket for the cluster's own, and where the port
/// was published also on that.
pub(super) struct Doorway {
    pub(super) shared: Arc<Shared>,
    /// Which ports of the cluster it is, and the number of this listener.
    pub(super) doors: (Vec<Door>, u64),
    /// The cluster's address.
    pub(super) local: SocketAddr,
    pub(super) private: RealListener,
    pub(super) public: Option<Arc<RealListener>>,
}

impl Doorway {
    /// The next connection, and whether it came from outside the cluster.
    async fn next(&self) -> io::Result<(RealStream, SocketAddr, bool)> {
        let inside = self.private.accept();
        let Some(public) = &self.public else {
            let (stream, peer) = inside.await?;
            return Ok((stream, peer, false));
        };
        tokio::select! {
            biased;
            accepted = inside => accepted.map(|(stream, peer)| (stream, peer, false)),
            accepted = public.accept() => accepted.map(|(stream, peer)| (stream, peer, true)),
        }
    }
}

#[async_trait]
impl Listener for Doorway {
    async fn accept(&self) -> io::Result<Connection> {
        loop {
            let (stream, real_peer, from_outside) = self.next().await?;
            let peer = if from_outside { Some(real_peer) } else { self.shared.client_at(real_peer) };
            // Other programs of this computer have no address in the cluster, and no business here.
            let Some(peer) = peer else { continue };
            set_up(&stream)?;
            return Ok(Connection { stream: Box::new(stream), local: self.local.into(), peer: peer.into() });
        }
    }

    fn local(&self) -> Endpoint {
        self.local.into()
    }
}

impl Drop for Doorway {
    fn drop(&mut self) {
        self.shared.close(&self.doors.0, self.doors.1);
    }
}

/// A listener at a real address.
pub(super) struct RealDoor(pub(super) RealListener, pub(super) SocketAddr);

#[async_trait]
impl Listener for RealDoor {
    async fn accept(&self) -> io::Result<Connection> {
        let (stream, peer) = self.0.accept().await?;
        set_up(&stream)?;
        let local = stream.local_addr()?;
        Ok(Connection { stream: Box::new(stream), local: local.into(), peer: peer.into() })
    }

    fn local(&self) -> Endpoint {
        self.1.into()
    }
}

/// The loopback port of a client in the cluster, for as long as its connection lasts.
struct Claim {
    shared: Arc<Shared>,
    real: SocketAddr,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.forget_client(self.real);
    }
}

/// A client's end of a connection within the cluster. The claim goes first: once the socket is
/// closed, another may have its port.
struct Claimed {
    _claim: Claim,
    stream: RealStream,
}

impl AsyncRead for Claimed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Claimed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Connects to a port of the cluster behind a loopback socket, as a client whose address in the
/// cluster is `source`.
pub(super) async fn enter(
    shared: &Arc<Shared>,
    door: SocketAddr,
    source: std::net::IpAddr,
) -> io::Result<Connection> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(ANY_LOOPBACK)?;
    let real = socket.local_addr()?;
    let local = SocketAddr::new(source, real.port());
    // Before the server can see the connection.
    shared.remember_client(real, local);
    let claim = Claim { shared: Arc::clone(shared), real };
    let stream = socket.connect(door).await?;
    set_up(&stream)?;
    Ok(Connection {
        stream: Box::new(Claimed { _claim: claim, stream }),
        local: local.into(),
        peer: door.into(),
    })
}

/// Connects to a real address.
pub(super) async fn connect(to: SocketAddr) -> io::Result<Connection> {
    let stream = RealStream::connect(to).await?;
    set_up(&stream)?;
    let local = stream.local_addr()?;
    Ok(Connection { stream: Box::new(stream), local: local.into(), peer: to.into() })
}
