//! Bytes between a connection of a call and a stream.
//!
//! Each direction ends by itself where the peer's protocol can say so. The originals' cannot: there, the
//! end of a stream closes the connection, in both directions.

use super::channels::{Channel, Ending, Received};
use bytes::BytesMut;
use ravelin_host::BoxedStream;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::oneshot;

const READ_BYTES: usize = super::call::MAX_DATA_BYTES;
const PIPE_BYTES: usize = 64 * 1024;

/// How a relay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Relayed {
    /// Both directions had ended, or the stream did, and the peer is to be told.
    Done,
    /// The stream failed, and the peer is to be told.
    StreamFailed(String),
    /// The connection ended.
    Ended(Ending),
}

/// Carries bytes both ways until both directions have ended or one side fails.
pub(super) async fn relay(channel: &Channel, stream: BoxedStream) -> Relayed {
    let (from, to) = tokio::io::split(stream);
    let mut up = pin!(upwards(channel, from));
    let mut down = pin!(downwards(channel, to));
    let half = tokio::select! {
        biased;
        ended = &mut down => ended,
        ended = &mut up => {
            return match ended {
                Some(ended) => ended,
                None => down.await.unwrap_or(Relayed::Done),
            };
        }
    };
    match half {
        Some(ended) => ended,
        None => up.await.unwrap_or(Relayed::Done),
    }
}

/// From the stream to the connection. `None`: this direction has ended, and only this.
async fn upwards(channel: &Channel, mut from: impl AsyncRead + Unpin) -> Option<Relayed> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_BYTES);
        let read = tokio::select! {
            biased;
            ending = channel.ended() => match ending {
                // What the peer sent before it closed is delivered by the other direction.
                Ending::ByPeer(_) => return None,
                failed @ Ending::Failed(_) => return Some(Relayed::Ended(failed)),
            },
            read = from.read_buf(&mut buffer) => read,
        };
        match read {
            Ok(0) => return if channel.send_eof() { None } else { Some(Relayed::Done) },
            Ok(_) => {
                if let Err(ending) = channel.send(buffer.split().freeze()).await {
                    return match ending {
                        Ending::ByPeer(_) => None,
                        failed @ Ending::Failed(_) => Some(Relayed::Ended(failed)),
                    };
                }
            }
            Err(error) => return Some(Relayed::StreamFailed(error.to_string())),
        }
    }
}

/// From the connection to the stream.
async fn downwards(channel: &Channel, mut to: impl AsyncWrite + Unpin) -> Option<Relayed> {
    loop {
        match channel.receive().await {
            Received::Data(data) => {
                let write = async {
                    to.write_all(&data).await?;
                    to.flush().await
                };
                let written = tokio::select! {
                    biased;
                    written = write => written,
                    ending = channel.abandoned() => return Some(Relayed::Ended(ending)),
                };
                if let Err(error) = written {
                    return Some(Relayed::StreamFailed(error.to_string()));
                }
            }
            Received::Eof => {
                return match to.shutdown().await {
                    Ok(()) => None,
                    Err(error) => Some(Relayed::StreamFailed(error.to_string())),
                };
            }
            Received::Ended(ending) => {
                if ending.error().is_empty() {
                    // An orderly end; whoever reads is told so.
                    let _ = to.shutdown().await;
                }
                return Some(Relayed::Ended(ending));
            }
        }
    }
}

/// What is told to the reader of a [`Pipe`] instead of its end.
#[derive(Clone, Default)]
pub(super) struct Verdict(Arc<Mutex<Option<String>>>);

impl Verdict {
    /// The stream did not end in order.
    pub(super) fn failed(&self, why: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    fn told(&self) -> Option<io::Error> {
        let why = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(io::Error::new(io::ErrorKind::ConnectionReset, why))
    }
}

/// One end of a pipe whose other end a task serves. Dropping it tells that task.
pub(super) struct Pipe {
    pipe: DuplexStream,
    verdict: Verdict,
    _gone: oneshot::Sender<()>,
}

/// A pipe: the end that is handed out, the end to be served, its verdict, and what tells that the
/// first was dropped.
pub(super) fn pipe() -> (Pipe, DuplexStream, Verdict, oneshot::Receiver<()>) {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let (dropped, gone) = oneshot::channel();
    let verdict = Verdict::default();
    (Pipe { pipe: theirs, verdict: verdict.clone(), _gone: dropped }, ours, verdict, gone)
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.pipe).poll_read(context, buffer);
        let ended = matches!(result, Poll::Ready(Ok(()))) && buffer.filled().len() == before;
        match self.verdict.told() {
            Some(error) if ended && buffer.remaining() > 0 => Poll::Ready(Err(error)),
            _ => result,
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.pipe).poll_write(context, bytes);
        self.explained(result)
    }

    // A TLS client that refuses its server writes once before it goes: its alert must be in that write.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.pipe).poll_write_vectored(context, buffers);
        self.explained(result)
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

impl Pipe {
    /// A write that failed says what the verdict says.
    fn explained(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match (result, self.verdict.told()) {
            (Poll::Ready(Err(_)), Some(error)) => Poll::Ready(Err(error)),
            (result, _) => result,
        }
    }
}
