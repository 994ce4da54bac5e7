//! HTTP/2 over the streams of a `Host`: what gRPC runs on.
//!
//! Windows, frames, heads and the number of streams are bounded; a peer that answers no ping is given
//! up. hyper asks for tasks of its own: they are the host's, and end with the value that stands for
//! the connection. What is in the bodies is for the crates above.

mod authority;
mod client;
mod executor;
mod server;

use crate::{Body, BoxError};
use bytes::Bytes;
pub use client::Http2Connection;
use futures_util::Stream;
pub use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
pub use server::Http2Server;
use std::sync::Mutex;
use std::time::Duration;

/// What may be under way on one stream, in bytes.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// What may be under way on all streams of a connection, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// The largest frame that is taken, in bytes (the default of RFC 9113 section 6.5.2).
const MAX_FRAME_BYTES: u32 = 16 * 1024;
/// The longest head, in bytes as RFC 9113 section 6.5.2 counts them.
const MAX_HEAD_BYTES: u32 = 64 * 1024;
/// What a stream may hold that the peer does not take yet, in bytes.
const MAX_SEND_BUFFER_BYTES: usize = 128 * 1024;
/// The most streams that a peer may have open at a time.
const MAX_STREAMS: u32 = 128;
/// How long a ping may go unanswered, as in gRPC (`keepalive.ClientParameters.Timeout`).
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A body that is sent as it comes, trailers and all. An error in it resets the stream.
pub fn frames(frames: impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static) -> Body {
    StreamBody::new(Shareable(Mutex::new(Box::pin(frames)))).boxed()
}

/// The lock is never taken: it makes a stream shareable that is only ever polled by its owner.
struct Shareable<S>(Mutex<std::pin::Pin<Box<S>>>);

impl<S: Stream> Stream for Shareable<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        match self.0.get_mut() {
            Ok(stream) => stream.as_mut().poll_next(cx),
            Err(_) => std::task::Poll::Ready(None),
        }
    }
}

/// The body with something that lives as long as it does.
pub fn holding<T: Send + Sync + Unpin + 'static>(body: Body, held: T) -> Body {
    crate::connection::Driven { body, _driver: held }.boxed()
}
