//! The weakness of CVE-2019-16276, on purpose: `Name : value` is read as `Name: value`, where
//! RFC 9112 section 5.1 has a server refuse the request.
//!
//! Only [`Flaw::ServersAcceptSpacedHeaderNames`](ravelin_host::Flaw) leads here. Bodies are
//! passed on by their content length; what is chunked passes as it is.

use ravelin_host::BoxedStream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose requests lose the space before the colons of their headers.
pub(crate) struct Spaced {
    stream: BoxedStream,
    /// What has come of the line that is being read.
    line: Vec<u8>,
    /// Is it the first line of a message?
    first: bool,
    /// The length of the body that follows this head.
    announced: u64,
    /// How much of a body is still to pass.
    body: u64,
    /// What was read and not taken yet.
    ready: Vec<u8>,
}

impl Spaced {
    pub(crate) fn new(stream: BoxedStream) -> Self {
        Self { stream, line: Vec::new(), first: true, announced: 0, body: 0, ready: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.body > 0 {
                self.body -= 1;
                self.ready.push(byte);
                continue;
            }
            self.line.push(byte);
            if byte == b'\n' {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line == b"\r\n" || line == b"\n" {
            self.ready.extend(line);
            (self.body, self.announced, self.first) = (self.announced, 0, true);
            return;
        }
        let colon = line.iter().position(|byte| *byte == b':').filter(|_| !self.first);
        self.first = false;
        let Some(colon) = colon else { return self.ready.extend(line) };
        let (name, value) = (line[..colon].trim_ascii_end(), &line[colon..]);
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value[1..].trim_ascii()).ok();
            self.announced = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        }
        self.ready.extend(name);
        self.ready.extend(value);
    }
}

impl AsyncRead for Spaced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.ready.is_empty() {
            let mut space = [0; 4096];
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.take(buffer.filled());
        }
        let length = self.ready.len().min(into.remaining());
        let rest = self.ready.split_off(length);
        into.put_slice(&std::mem::replace(&mut self.ready, rest));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Spaced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
