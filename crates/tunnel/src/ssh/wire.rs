//! The connection under a session, as russh is given it: it can be cut from outside, and writing
//! to it never waits.
//!
//! russh's session writes and reads in turns. Two sessions that wait for room to write to each
//! other would never read again, so writes go to a buffer that is emptied whenever the session
//! reads. What it can hold is bounded by the windows of the session's channels. russh reads each packet
//! in two pieces, so what is there is taken at once, and given to it from here.

use ravelin_host::BoxedStream;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Beyond this the session fails: its peer does not read.
const MAX_BUFFERED_BYTES: usize = 64 * 1024 * 1024;
/// What is read at once while much comes: two packets.
const READ_BYTES: usize = 64 * 1024;
/// What is read at once otherwise.
const LOOK_BYTES: usize = 4 * 1024;

#[derive(Default)]
struct State {
    cut: bool,
    /// The session's task: the only one that uses the connection.
    session: Option<Waker>,
}

/// Dropping it cuts the connection: reads and writes fail from then on.
pub(crate) struct Cut(Arc<Mutex<State>>);

impl Drop for Cut {
    fn drop(&mut self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.cut = true;
        let session = state.session.take();
        drop(state);
        session.into_iter().for_each(Waker::wake);
    }
}

/// The connection.
pub(crate) struct Wire {
    stream: BoxedStream,
    state: Arc<Mutex<State>>,
    outgoing: VecDeque<u8>,
    incoming: Incoming,
}

/// What has come and was not asked for yet. An idle connection holds no memory for it.
#[derive(Default)]
struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    /// Gives as much as there is room for; `false` where there is nothing.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let count = buffer.remaining().min(self.end - self.start);
        buffer.put_slice(&self.bytes[self.start..self.start + count]);
        self.start += count;
        count > 0
    }

    /// Takes what is there.
    fn take(&mut self, stream: &mut BoxedStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end < LOOK_BYTES {
            return self.look(stream, context);
        }
        self.bytes.resize(READ_BYTES, 0);
        let mut buffer = ReadBuf::new(&mut self.bytes);
        let polled = Pin::new(stream).poll_read(context, &mut buffer);
        (self.start, self.end) = (0, buffer.filled().len());
        if polled.is_pending() {
            self.bytes = Vec::new();
        }
        polled
    }

    /// The same without a buffer of its own: sessions ask often, and mostly nothing has come.
    fn look(&mut self, stream: &mut BoxedStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; LOOK_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        self.bytes = buffer.filled().to_vec();
        (self.start, self.end) = (0, self.bytes.len());
        Poll::Ready(Ok(()))
    }
}

/// Takes over a connection.
pub(crate) fn wire(stream: BoxedStream) -> (Wire, Cut) {
    let state = Arc::<Mutex<State>>::default();
    let (outgoing, incoming) = (VecDeque::new(), Incoming::default());
    (Wire { stream, state: Arc::clone(&state), outgoing, incoming }, Cut(state))
}

impl Wire {
    /// Fails if the connection was cut, else remembers whom to wake when it is.
    fn intact(&self, context: &Context<'_>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.session = Some(context.waker().clone());
        Ok(())
    }

    /// Writes what waits; ready when nothing does any more.
    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let (front, _) = self.outgoing.as_slices();
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, front))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.drain(..written);
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.intact(context)?;
        if let Poll::Ready(Err(error)) = self.poll_empty(context) {
            return Poll::Ready(Err(error));
        }
        let Self { stream, incoming, .. } = &mut *self;
        if incoming.give(buffer) || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if buffer.remaining() >= READ_BYTES {
            return Pin::new(stream).poll_read(context, buffer);
        }
        ready!(incoming.take(stream, context))?;
        incoming.give(buffer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.intact(context)?;
        if self.outgoing.len() + bytes.len() > MAX_BUFFERED_BYTES {
            return Poll::Ready(Err(io::Error::other("the peer of the SSH session does not read")));
        }
        let mut written = 0;
        if self.outgoing.is_empty() {
            // Most of the time there is room, and nothing has to be kept.
            match Pin::new(&mut self.stream).poll_write(context, bytes) {
                Poll::Ready(Ok(count)) => written = count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        self.outgoing.extend(&bytes[written..]);
        match self.poll_empty(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.intact(context)?;
        match self.poll_empty(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The next read goes on with it.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.intact(context).is_ok() {
            ready!(self.poll_empty(context))?;
        }
        // Also where it is cut: the other end should hear of it.
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
