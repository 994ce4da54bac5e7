//! The two halves of one stream.

use super::StreamError;
use super::driver::{Link, Side, State};
use ravelin_stream::{Reading, Session, Writing};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What bytes are read from.
pub type BoxedReader = Box<dyn AsyncRead + Send + Unpin>;

/// What bytes are written to. `shutdown` ends it in order.
pub type BoxedWriter = Box<dyn AsyncWrite + Send + Unpin>;

/// A hold on one stream; the last that is dropped releases it.
pub(super) struct Held<S: Session + 'static> {
    pub(super) link: Link<S>,
    pub(super) id: u32,
}

impl<S: Session + 'static> Held<S> {
    pub(super) fn new(link: &Link<S>, id: u32) -> Arc<Self> {
        Arc::new(Self { link: link.clone(), id })
    }
}

impl<S: Session + 'static> Drop for Held<S> {
    fn drop(&mut self) {
        self.link.with(|session| session.release(self.id));
    }
}

/// What dropping a writer that was not shut down means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// The stream was cut off: nobody may take what came for the whole.
    Reset,
    /// The stream ended: whether it is whole is told elsewhere (by a command's outcome).
    Finish,
}

/// The half that is read. Dropping it throws away what still comes.
pub(super) struct Reader<S: Session + 'static> {
    held: Arc<Held<S>>,
    reset_is_end: bool,
}

impl<S: Session + 'static> Reader<S> {
    pub(super) fn new(held: Arc<Held<S>>) -> Self {
        Self { held, reset_is_end: false }
    }

    /// For a command's output: a real kubelet that is done may cut off all streams (`Close` of Go's
    /// SPDY connection does) instead of ending them. Whether all went well, the outcome tells.
    pub(super) fn lenient(held: Arc<Held<S>>) -> Self {
        Self { held, reset_is_end: true }
    }
}

impl<S: Session + 'static> Drop for Reader<S> {
    fn drop(&mut self) {
        self.held.link.with(|session| session.ignore(self.held.id));
    }
}

impl<S: Session + 'static> AsyncRead for Reader<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let Held { link, id } = &*self.held;
        link.poll(cx, (*id, Side::Read), |state| match state.session.read(*id, into.initialize_unfilled()) {
            Reading::Bytes(length) => {
                into.advance(length);
                Poll::Ready(Ok(()))
            }
            Reading::Waiting => Poll::Pending,
            Reading::End => Poll::Ready(Ok(())),
            Reading::Reset if self.reset_is_end => Poll::Ready(Ok(())),
            Reading::Reset => Poll::Ready(Err(StreamError::Reset.into())),
            Reading::Broken => Poll::Ready(Err(why(state).into())),
        })
    }
}

fn why<S>(state: &State<S>) -> StreamError {
    state.ended.clone().unwrap_or(StreamError::Lost)
}

/// The half that is written.
pub(super) struct Writer<S: Session + 'static> {
    held: Arc<Held<S>>,
    dropped: Dropped,
    finished: bool,
}

impl<S: Session + 'static> Writer<S> {
    pub(super) fn new(held: Arc<Held<S>>, dropped: Dropped) -> Self {
        Self { held, dropped, finished: false }
    }
}

impl<S: Session + 'static> Drop for Writer<S> {
    fn drop(&mut self) {
        if !self.finished {
            let id = self.held.id;
            self.held.link.with(|session| match self.dropped {
                Dropped::Reset => session.reset(id),
                Dropped::Finish => session.finish(id),
            });
        }
    }
}

impl<S: Session + 'static> AsyncWrite for Writer<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let Held { link, id } = &*self.held;
        link.poll(cx, (*id, Side::Write), |state| match state.session.write(*id, data) {
            Writing::Taken(length) => Poll::Ready(Ok(length)),
            Writing::Full => Poll::Pending,
            Writing::Closed => Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, why(state)))),
        })
    }

    /// What was taken is on its way; only the connection's end waits for it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            self.finished = true;
            let Held { link, id } = &*self.held;
            link.with(|session| session.finish(*id));
        }
        Poll::Ready(Ok(()))
    }
}
