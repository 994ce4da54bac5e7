//! Requests over a Unix socket, from clients that name the socket as their `:authority`.
//!
//! `grpc-go` sends the path, percent-encoded (`encodeAuthority` of its `clientconn.go`), and so does
//! every kube-apiserver that reaches a Konnectivity server so. RFC 3986 knows no such authority, and
//! the library under hyper resets the stream. There is nothing to decide by it on a Unix socket, so
//! its value is replaced before anybody reads it.
//!
//! Header blocks are walked, not decoded (RFC 7541 section 6): what is not understood is passed on as
//! it is. The new value is one byte long, so that no entry leaves the reader's dynamic table before
//! it leaves the writer's.

use super::MAX_FRAME_BYTES;
use ravelin_host::BoxedStream;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What an HTTP/2 client says first (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;
const FRAME_HEAD_BYTES: usize = 9;
const HEADERS: u8 = 1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_BYTES: usize = 5;
/// The index of `:authority` in the static table (RFC 7541, appendix A).
const AUTHORITY: usize = 1;
/// A literal of one byte that every authority may be, without Huffman coding.
const REPLACEMENT: [u8; 2] = [1, b'u'];

/// A connection whose requests have an authority that can be read.
pub(super) struct Readable {
    stream: BoxedStream,
    parsed: Parsed,
}

impl Readable {
    pub(super) fn boxed(stream: BoxedStream) -> BoxedStream {
        Box::new(Self { stream, parsed: Parsed::default() })
    }
}

/// What has come of a connection.
#[derive(Default)]
struct Parsed {
    /// The preface has passed.
    begun: bool,
    /// The bytes of a part that is not whole yet; never more than a frame of headers.
    held: Vec<u8>,
    /// How much of the present frame passes unseen.
    passing: usize,
    /// What may be read.
    ready: VecDeque<u8>,
}

impl Parsed {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.passing > 0 {
                let (now, rest) = bytes.split_at(self.passing.min(bytes.len()));
                self.ready.extend(now);
                (self.passing, bytes) = (self.passing - now.len(), rest);
                continue;
            }
            if !self.begun {
                (self.begun, self.passing) = (true, PREFACE_BYTES);
                continue;
            }
            let wanted = self.wanted() - self.held.len();
            let (now, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.held.extend_from_slice(now);
            bytes = rest;
            if now.len() == wanted {
                self.advance();
            }
        }
    }

    /// How long the part is that is being held.
    fn wanted(&self) -> usize {
        match self.held.get(..FRAME_HEAD_BYTES) {
            Some(head) => FRAME_HEAD_BYTES + length(head),
            None => FRAME_HEAD_BYTES,
        }
    }

    /// The head of a frame, or a whole frame of headers, is held.
    fn advance(&mut self) {
        let (payload, kind) = (length(&self.held), self.held[3]);
        let is_whole = self.held.len() > FRAME_HEAD_BYTES;
        // One that is too long is for its reader to refuse.
        if !is_whole && kind == HEADERS && (1..=MAX_FRAME_BYTES as usize).contains(&payload) {
            return;
        }
        let held = std::mem::take(&mut self.held);
        if is_whole {
            self.ready.extend(replaced(&held).unwrap_or(held));
        } else {
            self.ready.extend(held);
            self.passing = payload;
        }
    }
}

/// The length of a frame's payload.
fn length(head: &[u8]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

/// A frame of headers with another authority; `None` where it has none, or cannot be walked.
fn replaced(frame: &[u8]) -> Option<Vec<u8>> {
    let (head, payload) = frame.split_at(FRAME_HEAD_BYTES);
    let flags = head[4];
    let mut before = 0;
    let mut padding = 0;
    if flags & PADDED != 0 {
        padding = usize::from(*payload.first()?);
        before += 1;
    }
    if flags & PRIORITY != 0 {
        before += PRIORITY_BYTES;
    }
    let end = payload.len().checked_sub(padding)?;
    let block = payload.get(before..end)?;
    let (from, to) = authority(block)?;
    let new = [&payload[..before], &block[..from], &REPLACEMENT, &block[to..], &payload[end..]].concat();
    let size = u32::try_from(new.len()).ok()?.to_be_bytes();
    Some([&size[1..], &head[3..], &new].concat())
}

/// Where the value of `:authority` is in a header block, with its length.
fn authority(block: &[u8]) -> Option<(usize, usize)> {
    let mut at = 0;
    while let Some(first) = block.get(at) {
        let bits = match first {
            0x80.. => 7,
            0x40.. => 6,
            0x20.. => 5,
            _ => 4,
        };
        let index = integer(block, &mut at, bits)?;
        // An indexed field, or a new size of the table: nothing follows.
        if matches!(first, 0x80.. | 0x20..=0x3f) {
            continue;
        }
        if index == 0 {
            string(block, &mut at)?;
        }
        let from = at;
        string(block, &mut at)?;
        if index == AUTHORITY && at - from > REPLACEMENT.len() {
            return Some((from, at));
        }
    }
    None
}

/// Skips a string (RFC 7541 section 5.2).
fn string(block: &[u8], at: &mut usize) -> Option<()> {
    let length = integer(block, at, 7)?;
    *at = at.checked_add(length).filter(|end| *end <= block.len())?;
    Some(())
}

/// Reads an integer whose prefix has so many bits (RFC 7541 section 5.1).
fn integer(block: &[u8], at: &mut usize, bits: u32) -> Option<usize> {
    let most = (1_usize << bits) - 1;
    let mut value = usize::from(*block.get(*at)?) & most;
    *at += 1;
    if value < most {
        return Some(value);
    }
    // Nothing here is longer than a frame: three bytes are more than enough.
    for shift in [0, 7, 14] {
        let byte = usize::from(*block.get(*at)?);
        *at += 1;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

impl AsyncRead for Readable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.parsed.ready.is_empty() {
            let mut piece = [0; 4096];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
            if piece.filled().is_empty() {
                // What is held is a frame that will never be whole.
                let held = std::mem::take(&mut this.parsed.held);
                if held.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                this.parsed.ready.extend(held);
            } else {
                this.parsed.take(piece.filled());
            }
        }
        let (front, _) = this.parsed.ready.as_slices();
        let count = front.len().min(buffer.remaining());
        buffer.put_slice(&front[..count]);
        this.parsed.ready.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Readable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kube-apiserver 1.36 sends first over a Unix socket named `k.sock` far down in a folder:
    /// the preface, its settings, and a call whose authority is the path.
    fn sent() -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        bytes.extend(frame(&[&[0x83, 0x86, 0x41], &text("%2Frun%2Fk.sock")[..], &[0x82]].concat(), 4));
        bytes.extend([0, 0, 3, 0, 1, 0, 0, 0, 1, b'a', b'b', b'c']);
        bytes
    }

    fn text(text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len()).expect("it is short");
        [&[length], text.as_bytes()].concat()
    }

    fn frame(payload: &[u8], flags: u8) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("it is short");
        [&[0, 0, length, HEADERS, flags, 0, 0, 0, 1], payload].concat()
    }

    fn read(bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut parsed = Parsed::default();
        bytes.chunks(piece).for_each(|piece| parsed.take(piece));
        parsed.ready.into_iter().collect()
    }

    #[test]
    fn the_path_of_a_socket_is_no_authority_however_it_is_cut() {
        let expected = {
            let mut bytes = sent()[..33].to_vec();
            bytes.extend(frame(&[0x83, 0x86, 0x41, 1, b'u', 0x82], 4));
            bytes.extend([0, 0, 3, 0, 1, 0, 0, 0, 1, b'a', b'b', b'c']);
            bytes
        };
        for piece in [1, 2, 9, 33, 40, 1000] {
            assert_eq!(read(&sent(), piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn padding_priority_and_names_of_their_own_are_stepped_over() {
        let named = [&[0][..], &text("name"), &text("value"), &[0x3f, 0xe1, 0x1f]].concat();
        let block = [&named[..], &[0x11], &text("host.example"), &named].concat();
        let payload = [&[3, 0, 0, 0, 0, 16], &block[..], &[0, 0, 0]].concat();
        let changed = replaced(&frame(&payload, 4 | PADDED | PRIORITY)).unwrap();
        let block = [&named[..], &[0x11, 1, b'u'], &named].concat();
        let payload = [&[3, 0, 0, 0, 0, 16], &block[..], &[0, 0, 0]].concat();
        assert_eq!(changed, frame(&payload, 4 | PADDED | PRIORITY));
    }

    #[test]
    fn what_cannot_be_walked_passes_as_it_is() {
        for payload in [
            &[0x41][..],
            &[0x41, 0x7f, 0xff, 0xff, 0xff, 0xff],
            &[0x41, 9, b'x'],
            &[0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x00, 0x7f],
            &[],
        ] {
            for flags in [0, 4, PADDED, PRIORITY, PADDED | PRIORITY] {
                let whole = [&sent()[..33], &frame(payload, flags)].concat();
                assert_eq!(read(&whole, 7), whole, "{payload:x?} {flags:x}");
            }
        }
    }
}
