//! What CVE-2018-1002105 is made of: a server's connection that is handed over before anything was
//! said on it, so that somebody else's answer comes first.
//!
//! Only [`Flaw::ApiserverSplicesRefusedUpgrades`](ravelin_host::Flaw) leads here. Every other server
//! announces a switch, by an answer with the status 101, before it hands a connection over.

use crate::{Response, upgrade};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use ravelin_host::BoxedStream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// By this the answer that is not to be sent is known.
const MARK: &str = "x-ravelin-unannounced";

/// The answer that switches without a word, on a server with the flaw.
pub fn danger_unannounced() -> Response {
    upgrade::switching(
        "nothing",
        HeaderMap::from_iter([(HeaderName::from_static(MARK), HeaderValue::from_static("1"))]),
    )
}

/// A stream over which the head of such an answer is not sent.
pub(crate) struct Bare(BoxedStream);

impl Bare {
    pub(crate) fn new(stream: BoxedStream) -> Self {
        Self(stream)
    }
}

/// The length of a head at the beginning that is not to be sent: hyper writes one at once.
fn unannounced(bytes: &[u8]) -> Option<usize> {
    let head = bytes.strip_prefix(b"HTTP/1.1 101 ")?;
    let end = head.windows(4).position(|window| window == b"\r\n\r\n")?;
    let name = MARK.as_bytes();
    let is_marked = head[..end].windows(name.len()).any(|window| window.eq_ignore_ascii_case(name));
    is_marked.then_some(bytes.len() - head.len() + end + 4)
}

impl AsyncRead for Bare {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Bare {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match unannounced(bytes) {
            Some(length) => Poll::Ready(Ok(length)),
            None => Pin::new(&mut self.0).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_head_is_kept_back() {
        let marked = b"HTTP/1.1 101 Switching Protocols\r\nX-Ravelin-Unannounced: 1\r\n\r\nrest";
        assert_eq!(unannounced(marked), Some(marked.len() - 4));
        for other in [
            &b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\nx-ravelin-unannounced"[..],
            b"HTTP/1.1 200 OK\r\nx-ravelin-unannounced: 1\r\n\r\n",
            b"x",
        ] {
            assert_eq!(unannounced(other), None, "{}", String::from_utf8_lossy(other));
        }
    }
}
