//! An SSH channel as a stream of bytes: half-close, back-pressure, and a limit to it.
//!
//! All channels of a session share one connection, and russh grants a channel more window when
//! bytes arrive, not when they are read. So a reader that stops reading would in the end stop the
//! whole session. Hence a cushion of [`CUSHION_BYTES`] for each channel; once it is full, its reader
//! has [`MAX_STALL`] to go on, or its channel is closed, and the others live.

use ravelin_host::{BoxedStream, HostRef};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long one channel's reader may hold up all others.
const MAX_STALL: Duration = Duration::from_secs(60);
/// How long bytes that were written before a stream was dropped may take to go out.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// What may wait for one channel's reader without holding up others.
const CUSHION_BYTES: usize = 16 * 1024 * 1024;
const PIPE_BYTES: usize = 64 * 1024;
const COPY_BYTES: usize = 32 * 1024;

/// The stream of a channel. Dropping it closes the channel, after what was written has gone out.
struct ChannelPipe {
    pipe: DuplexStream,
    _gone: oneshot::Sender<()>,
}

/// Makes a stream of a channel, served by a task of this host.
pub(crate) fn stream<S>(host: &HostRef, channel: Channel<S>) -> BoxedStream
where
    S: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
{
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let (dropped, gone) = oneshot::channel();
    let serve = async move {
        let gone = async {
            let _ = gone.await;
        };
        join(channel, Box::new(ours), gone).await;
    };
    host.spawn("ssh.channel", Box::pin(serve)).detach();
    Box::new(ChannelPipe { pipe: theirs, _gone: dropped })
}

/// Carries bytes between a channel and a stream until both directions have ended, either side is
/// closed, or `gone`; then the channel is closed.
pub(crate) async fn join<S>(channel: Channel<S>, stream: BoxedStream, gone: impl Future<Output = ()>)
where
    S: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
{
    let (from_channel, to_channel) = channel.split();
    let (from_stream, to_stream) = tokio::io::split(stream);
    let (ended, end_seen) = oneshot::channel();
    let mut gone = pin!(gone);
    let mut down = pin!(deliver(from_channel, to_stream, ended));
    let mut up = pin!(send(from_stream, &to_channel));
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
async fn deliver(from: ChannelReadHalf, to: impl AsyncWrite + Unpin, ended: oneshot::Sender<()>) {
    let (cushion, waiting) = tokio::io::duplex(CUSHION_BYTES);
    let mut fill = pin!(fill(from, cushion));
    let mut pour = pin!(pour(waiting, to, ended));
    tokio::select! {
        biased;
        () = &mut fill => {
            let _ = timeout(MAX_STALL, &mut pour).await;
        }
        read_no_more = &mut pour => match read_no_more {
            // Both sides may still close the channel in their own time.
            Poured::All => fill.await,
            Poured::Broken => {}
        }
    }
}

/// How pouring ended.
enum Poured {
    /// With the channel's end.
    All,
    /// The stream takes no more.
    Broken,
}

/// From the channel to its cushion, until the channel is closed or its reader has stalled.
async fn fill(mut from: ChannelReadHalf, mut cushion: DuplexStream) {
    while let Some(message) = from.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                let filled = timeout(MAX_STALL, cushion.write_all(&data)).await;
                if !matches!(filled, Ok(Ok(()))) {
                    return;
                }
            }
            ChannelMsg::Eof => {
                let _ = cushion.shutdown().await;
            }
            ChannelMsg::Close => return,
            _ => {}
        }
    }
}

/// From the cushion to the stream, until the cushion's end.
async fn pour(
    mut waiting: DuplexStream,
    mut to: impl AsyncWrite + Unpin,
    ended: oneshot::Sender<()>,
) -> Poured {
    let all = tokio::io::copy(&mut waiting, &mut to).await.is_ok() && to.shutdown().await.is_ok();
    if !all {
        return Poured::Broken;
    }
    let _ = ended.send(());
    Poured::All
}

/// From the stream to the channel, until the stream ends.
async fn send<S>(mut from: impl AsyncRead + Unpin, to: &ChannelWriteHalf<S>)
where
    S: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
{
    let mut buffer = vec![0; COPY_BYTES];
    let mut writer = pin!(to.make_writer());
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if writer.write_all(&buffer[..count]).await.is_err() {
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
        Pin::new(&mut self.pipe).poll_read(context, buffer)
    }
}

impl AsyncWrite for ChannelPipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(context, bytes)
    }

    // A TLS client that refuses its server writes once before it goes: its alert must be in that write.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write_vectored(context, buffers)
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
