//! HTTP/2 (RFC 9113), as far as the content of its streams goes.
//!
//! Read are DATA frames only: what headers say (HPACK) is not needed to tell whether a canary
//! passed.

use super::cursor::Cursor;
use std::collections::BTreeMap;

/// What a client begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const PADDED: u8 = 0x08;
/// The highest bit of a stream's number is reserved (section 4.1).
const STREAM_BITS: usize = 0x7fff_ffff;

/// The content of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http2Stream {
    /// Its number.
    pub id: u32,
    /// What the side sent that opened the connection.
    pub client: Vec<u8>,
    /// What the other side sent.
    pub server: Vec<u8>,
}

/// Does a client's side begin as HTTP/2 does, where both know beforehand that it will?
pub(super) fn looks_like(client: &[u8]) -> bool {
    client.starts_with(PREFACE)
}

/// Every stream that had content, in the order of their numbers; what is cut off in its last frame
/// is kept as far as it goes.
pub(super) fn read(client: &[u8], server: &[u8]) -> Vec<Http2Stream> {
    let mut streams = BTreeMap::<u32, Http2Stream>::new();
    let of_client = content(client.strip_prefix(PREFACE).unwrap_or(client));
    let of_server = content(server);
    for (id, bytes) in of_client {
        stream(&mut streams, id).client.extend_from_slice(bytes);
    }
    for (id, bytes) in of_server {
        stream(&mut streams, id).server.extend_from_slice(bytes);
    }
    streams.into_values().collect()
}

fn stream(streams: &mut BTreeMap<u32, Http2Stream>, id: u32) -> &mut Http2Stream {
    streams.entry(id).or_insert_with(|| Http2Stream { id, ..Http2Stream::default() })
}

/// The content of each DATA frame, and the number of its stream.
fn content(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut cursor = Cursor(bytes);
    let frames = std::iter::from_fn(move || frame(&mut cursor));
    frames.filter(|(kind, ..)| *kind == DATA).filter_map(|(_, flags, id, payload)| {
        let content = if flags & PADDED == 0 { payload } else { without_padding(payload)? };
        Some((id, content))
    })
}

/// Type, flags, stream and payload of the next frame.
fn frame<'a>(cursor: &mut Cursor<'a>) -> Option<(u8, u8, u32, &'a [u8])> {
    let length = cursor.number(3)?;
    let (kind, flags) = (cursor.byte()?, cursor.byte()?);
    let id = u32::try_from(cursor.number(4)? & STREAM_BITS).ok()?;
    let payload = cursor.take(length.min(cursor.0.len()))?;
    Some((kind, flags, id, payload))
}

/// Section 6.1: the length of the padding comes first, and the padding last.
fn without_padding(payload: &[u8]) -> Option<&[u8]> {
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, (id, payload): (u32, &[u8])) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags], &id.to_be_bytes(), payload].concat()
    }

    #[test]
    fn content_is_put_together_by_stream_without_padding_and_other_frames() {
        let client = [
            PREFACE.to_vec(),
            frame(4, 0, (0, &[0, 3, 0, 0, 0, 100])),
            frame(1, 4, (1, b"headers")),
            frame(DATA, 0, (1, b"he")),
            frame(DATA, PADDED, (3, &[2, b'e', b'l', b's', b'e', 0, 0])),
            frame(DATA, 1, (0x8000_0001, b"llo")),
            frame(DATA, 0, (3, b"cut off"))[..12].to_vec(),
        ];
        let server = [frame(4, 1, (0, b"")), frame(DATA, PADDED, (1, &[0, b'h', b'i']))].concat();
        let found = read(&client.concat(), &server);
        let expected = [
            Http2Stream { id: 1, client: b"hello".to_vec(), server: b"hi".to_vec() },
            Http2Stream { id: 3, client: b"elsecut".to_vec(), server: Vec::new() },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn padding_longer_than_the_frame_gives_nothing() {
        let client = [PREFACE.to_vec(), frame(DATA, PADDED, (1, &[9, b'x']))].concat();
        assert!(read(&client, &frame(DATA, PADDED, (1, b""))).is_empty());
    }
}
