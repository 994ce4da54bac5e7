//! An SSH channel as a stream of bytes: half-close, back-pressure, and a limit to it.
//!
//! Slow readers are `flow`'s subject.

use super::flow::{self, Filled, MAX_STALL, Outlet, Side};
use bytes::BytesMut;
use ravelin_host::{BoxedStream, HostRef};
use russh::{Channel, ChannelWriteHalf};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// How long bytes that were written before a stream was dropped may take to go out.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
const PIPE_BYTES: usize = 64 * 1024;
const COPY_BYTES: usize = 32 * 1024;

/// Why a channel broke off, once it has: what came before is not all there was to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// The session ended before the channel did.
    Lost,
    /// Its reader read nothing for [`MAX_STALL`], and the other end did not pause.
    Stalled,
}

type Fate = Arc<OnceLock<Broken>>;

/// The stream of a channel. Dropping it closes the channel, after what was written has gone out.
struct ChannelPipe {
    pipe: DuplexStream,
    /// Who is at the other end of the session.
    peer: String,
    fate: Fate,
    _gone: oneshot::Sender<()>,
}

impl ChannelPipe {
    /// A stream that broke off ends with an error, so that nobody takes a part for the whole.
    fn broken(&self) -> Option<io::Error> {
        let peer = &self.peer;
        self.fate.get().map(|broken| match broken {
            Broken::Lost => {
                let text = format!("the SSH tunnel to {peer} was lost");
                io::Error::new(io::ErrorKind::ConnectionAborted, text)
            }
            Broken::Stalled => {
                let seconds = MAX_STALL.as_secs();
                let text = format!(
                    "nothing was read for {seconds} s: the SSH tunnel to {peer} goes on without this"
                );
                io::Error::new(io::ErrorKind::ConnectionAborted, text)
            }
        })
    }

    /// What became of a write, with the reason where the channel broke off.
    fn explained<T>(&self, written: io::Result<T>) -> io::Result<T> {
        written.map_err(|error| self.broken().unwrap_or(error))
    }
}

/// Makes a stream of a channel, served by a task of this host; `peer` is who is at the other end of
/// the session, for errors.
pub(crate) fn stream<S>(host: &HostRef, channel: Channel<S>, peer: &str) -> BoxedStream
where
    S: Side,
{
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let (dropped, gone) = oneshot::channel();
    let fate = Fate::default();
    let told = Arc::clone(&fate);
    let serve = async move {
        let gone = async {
            let _ = gone.await;
        };
        carry(channel, (Box::new(ours), told), gone).await;
    };
    host.spawn("ssh.channel", Box::pin(serve)).detach();
    Box::new(ChannelPipe { pipe: theirs, peer: peer.to_owned(), fate, _gone: dropped })
}

/// Carries bytes between a channel and a stream until both directions have ended, either side is
/// closed, or `gone`; then the channel is closed.
pub(crate) async fn join<S>(channel: Channel<S>, stream: BoxedStream, gone: impl Future<Output = ()>)
where
    S: Side,
{
    carry(channel, (stream, Fate::default()), gone).await;
}

/// As [`join`]; `fate` is told before the stream's end where the channel broke off.
async fn carry<S>(channel: Channel<S>, (stream, fate): (BoxedStream, Fate), gone: impl Future<Output = ()>)
where
    S: Side,
{
    let (from_channel, to_channel) = channel.split();
    let (from_stream, to_stream) = tokio::io::split(stream);
    let (ended, end_seen) = oneshot::channel();
    let (inlet, outlet, to_ask, paused) = flow::cushion();
    let mut gone = pin!(gone);
    let filling = async { inlet.fill(from_channel).await };
    let delivering = deliver((filling, fate), (outlet, to_stream), ended);
    let mut down = pin!(async {
        tokio::select! {
            biased;
            () = delivering => {}
            () = flow::ask(&to_channel, to_ask) => {}
        }
    });
    let mut up = pin!(send(from_stream, &to_channel, paused));
    tokio::select! {
        biased;
        () = &mut down => {}
        () = &mut up => {
            tokio::select! {
                biased;
                _ = end_seen => {}
                () = &mut down => {}
                () = &mut gone => {}
            }
        }
        () = &mut gone => {
            let _ = timeout(DRAIN_TIMEOUT, &mut up).await;
        }
    }
    let _ = timeout(DRAIN_TIMEOUT, to_channel.close()).await;
}

/// From the channel to the stream, until the channel is closed. `ended` is told when the channel's
/// end has been passed on.
async fn deliver(
    (filling, fate): (impl Future<Output = Filled>, Fate),
    (mut outlet, to): (Outlet, impl AsyncWrite + Unpin),
    ended: oneshot::Sender<()>,
) {
    let mut filling = pin!(async {
        let broken = match filling.await {
            Filled::Closed => return,
            Filled::Lost => Broken::Lost,
            Filled::Stalled => Broken::Stalled,
        };
        let _ = fate.set(broken);
    });
    let mut pouring = pin!(async {
        let all = outlet.pour(to).await;
        if all {
            let _ = ended.send(());
        }
        all
    });
    tokio::select! {
        biased;
        () = &mut filling => {
            let _ = timeout(MAX_STALL, &mut pouring).await;
        }
        all = &mut pouring => {
            if all {
                // Both sides may still close the channel in their own time.
                filling.await;
            }
        }
    }
}

/// From the stream to the channel, until the stream ends; with pauses where the other end asks for
/// them.
async fn send<S>(
    mut from: impl AsyncRead + Unpin,
    to: &ChannelWriteHalf<S>,
    mut paused: watch::Receiver<bool>,
) where
    S: Side,
{
    loop {
        // Where nobody can ask any more, nobody has to wait.
        let _ = paused.wait_for(|paused| !paused).await;
        let mut buffer = BytesMut::with_capacity(COPY_BYTES);
        match from.read_buf(&mut buffer).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
        if to.data_bytes(buffer).await.is_err() {
            return;
        }
    }
    let _ = to.eof().await;
}

impl AsyncRead for ChannelPipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(context, buffer))?;
        let ended = buffer.filled().len() == before && buffer.remaining() > 0;
        Poll::Ready(self.broken().filter(|_| ended).map_or(Ok(()), Err))
    }
}

impl AsyncWrite for ChannelPipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.pipe).poll_write(context, bytes));
        Poll::Ready(self.explained(written))
    }

    // A TLS client that refuses its server writes once before it goes: its alert must be in that write.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.pipe).poll_write_vectored(context, buffers));
        Poll::Ready(self.explained(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.pipe.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}
