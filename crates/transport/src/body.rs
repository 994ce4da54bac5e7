//! Bodies of requests and responses.

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::Frame;
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

/// Any error that a body can end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request or a response.
pub type Body = http_body_util::combinators::BoxBody<Bytes, BoxError>;

/// The longest silence within a body that is being collected.
pub const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a body could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than its reader allows.
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
    /// It ended before its end.
    #[error("the body ended early: {0}")]
    Truncated(String),
    /// Nothing came for too long.
    #[error("timed out reading the body")]
    Timeout,
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A body without bytes.
pub fn empty() -> Body {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed()
}

/// A body that is sent as it comes. An error in it cuts the connection, so that the peer can see
/// that the body is not whole.
pub fn stream(chunks: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Body {
    Chunks(Mutex::new(Box::pin(chunks))).boxed()
}

/// The whole body.
///
/// # Errors
/// Where it is longer than `max_bytes`, ends early, or stops coming for [`BODY_IDLE_TIMEOUT`].
pub async fn collect(mut body: Body, max_bytes: usize) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    loop {
        let frame =
            tokio::time::timeout(BODY_IDLE_TIMEOUT, body.frame()).await.map_err(|_| BodyError::Timeout)?;
        let Some(frame) = frame else { return Ok(whole.freeze()) };
        let frame = frame.map_err(|error| BodyError::Truncated(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > max_bytes {
                return Err(BodyError::TooLong(max_bytes));
            }
            whole.extend_from_slice(&data);
        }
    }
}

type ChunkStream = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// The lock is never taken: it makes a stream shareable that is only ever polled by its owner.
struct Chunks(Mutex<ChunkStream>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Ok(chunks) = self.0.get_mut() else {
            return Poll::Ready(Some(Err("the body's source failed".into())));
        };
        chunks.as_mut().poll_next(cx).map(|next| next.map(|chunk| chunk.map(Frame::data)))
    }
}
