//! Connections over which nothing passes for too long (`streamingConnectionIdleTimeout`).

use ravelin_host::BoxedStream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Longer than anything lasts.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A stream that fails once nothing has passed in either direction for so long.
pub(super) struct Idle {
    stream: BoxedStream,
    timeout: Duration,
    last: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Idle {
    /// A timeout of zero is none.
    pub(super) fn new(stream: BoxedStream, timeout: Duration) -> Self {
        let timeout = if timeout.is_zero() { FOR_EVER } else { timeout };
        let last = Instant::now();
        Self { stream, timeout, last, timer: Box::pin(tokio::time::sleep(timeout)) }
    }

    fn passed<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(result, Poll::Ready(Ok(_))) {
            self.last = Instant::now();
        }
        result
    }

    /// Is it over? The timer is only moved when it rings, not with each byte.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        while self.timer.as_mut().poll(cx).is_ready() {
            let until = self.last + self.timeout;
            if Instant::now() >= until {
                return true;
            }
            self.timer.as_mut().reset(until);
        }
        false
    }
}

impl AsyncRead for Idle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if read.is_pending() && self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.passed(read)
    }
}

impl AsyncWrite for Idle {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, data);
        self.passed(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_when_nothing_passes_either_way() {
        let minute = Duration::from_secs(60);
        let (near, mut far) = tokio::io::duplex(64);
        let (mut reader, mut writer) = tokio::io::split(Idle::new(Box::new(near), minute));
        let begun = Instant::now();
        let mut buffer = [0; 8];
        let keep = async {
            for _ in 0..3 {
                tokio::time::sleep(minute / 2).await;
                writer.write_all(b"x").await.unwrap();
            }
            tokio::time::sleep(minute / 2).await;
            far.write_all(b"y").await.unwrap();
        };
        let (read, ()) = tokio::join!(reader.read(&mut buffer), keep);
        assert_eq!((read.unwrap(), begun.elapsed()), (1, minute * 2));
        let error = reader.read(&mut buffer).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 180));
    }
}
