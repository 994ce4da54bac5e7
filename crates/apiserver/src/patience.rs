//! Bodies from peers that may fall silent.

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use ravelin_transport::{Body, BoxError};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// Ends a body with an error when nothing of it has come for `idle`, so that a silent peer cannot
/// hold a request for good.
pub(crate) fn not_idle_for(body: Body, idle: Duration) -> Body {
    Impatient { body, idle, deadline: Box::pin(sleep(idle)) }.boxed()
}

struct Impatient {
    body: Body,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl HttpBody for Impatient {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let again = Instant::now() + self.idle;
            self.deadline.as_mut().reset(again);
            return Poll::Ready(frame);
        }
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err("the sender fell silent".into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
