//! Port-forward over a WebSocket (KEP-4006): the bytes of a SPDY connection in binary messages.

use super::PING_PERIOD;
use super::driver::Link;
use super::half::{Dropped, Held, Reader, Writer};
use super::websocket::client_role;
use ravelin_host::{BoxedStream, HostRef};
use ravelin_stream::channel::Channels;
use ravelin_stream::websocket::Role;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes within the WebSocket that a client opened. `shutdown` closes it (there is no half-close).
pub fn tunnel_server(host: &HostRef, stream: BoxedStream) -> BoxedStream {
    Tunnel::boxed(&Link::drive(host, stream, Channels::tunnel(Role::Server)))
}

/// The bytes within the WebSocket that we opened; it is pinged every [`PING_PERIOD`].
pub fn tunnel_client(host: &HostRef, stream: BoxedStream) -> BoxedStream {
    let link = Link::drive(host, stream, Channels::tunnel(client_role(host)));
    link.ping_every(PING_PERIOD);
    Tunnel::boxed(&link)
}

struct Tunnel {
    reader: Reader<Channels>,
    writer: Writer<Channels>,
}

impl Tunnel {
    fn boxed(link: &Link<Channels>) -> BoxedStream {
        let held = Held::new(link, 0);
        let writer = Writer::new(Arc::clone(&held), Dropped::Reset);
        Box::new(Self { reader: Reader::new(held), writer })
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, into)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
