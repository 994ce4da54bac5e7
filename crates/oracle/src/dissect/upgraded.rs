//! What an upgraded connection carried: the bytes inside WebSocket (RFC 6455) and SPDY/3.1 frames.
//!
//! Kubernetes speaks these for exec, attach and port-forward. Read are the payloads, put together
//! again message by message and stream by stream; SPDY's header blocks, which are compressed and
//! hold no more than the kind of a stream, are not.

use super::cursor::Cursor;
use super::{Exchange, Message};
use std::collections::BTreeMap;

/// The subprotocol that carries SPDY in binary messages.
const TUNNEL: &str = "SPDY/3.1+";

/// The control bit of a SPDY frame (draft-mbelshe-httpbis-spdy-00 section 2.2).
const CONTROL: usize = 1 << 31;

impl Exchange {
    /// What passed once the connection had been upgraded, without its framing: each channel or stream
    /// of each side on its own. Empty where it was not upgraded, or to something that is not known
    /// here.
    pub fn carried(&self) -> Vec<Vec<u8>> {
        let (Some((client, server)), Some(response)) = (&self.upgraded, &self.response) else {
            return Vec::new();
        };
        let to = response.header("upgrade").unwrap_or_default().to_ascii_lowercase();
        let read: fn(&[u8]) -> Vec<Vec<u8>> = match to.as_str() {
            "websocket" if is_tunnel(response) => |bytes| data_by_stream(&messages(bytes).concat()),
            "websocket" => |bytes| by_channel(messages(bytes)),
            "spdy/3.1" => data_by_stream,
            _ => return Vec::new(),
        };
        [client, server].into_iter().flat_map(|side| read(side)).filter(|bytes| !bytes.is_empty()).collect()
    }
}

fn is_tunnel(response: &Message) -> bool {
    response.header("sec-websocket-protocol").is_some_and(|chosen| chosen.starts_with(TUNNEL))
}

/// The data messages of one side of a WebSocket; one that ends early is given as far as it goes.
fn messages(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut cursor, mut found) = (Cursor(bytes), Vec::new());
    while let Some((opcode, payload)) = frame(&mut cursor) {
        match opcode {
            0 => match found.last_mut() {
                Some(message) => Vec::extend(message, payload),
                None => found.push(payload),
            },
            1 | 2 => found.push(payload),
            _ => {}
        }
    }
    found
}

/// One frame (RFC 6455 section 5.2): its opcode, and its payload without the mask.
fn frame(cursor: &mut Cursor<'_>) -> Option<(u8, Vec<u8>)> {
    let (first, second) = (cursor.byte()?, cursor.byte()?);
    let length = match second & 0x7f {
        126 => cursor.number(2)?,
        127 => match (cursor.number(4)?, cursor.number(4)?) {
            (0, length) => length,
            // Longer than anything that was captured.
            _ => usize::MAX,
        },
        short => usize::from(short),
    };
    let mask = if second & 0x80 == 0 { None } else { Some(cursor.take(4)?) };
    let length = length.min(cursor.0.len());
    let mut payload = cursor.take(length)?.to_vec();
    if let Some(mask) = mask {
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
    Some((first & 0x0f, payload))
}

/// The payloads of each channel in a row: the first byte of a message is its channel.
fn by_channel(messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut channels: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    for message in messages {
        if let Some((channel, payload)) = message.split_first() {
            channels.entry(*channel).or_default().extend_from_slice(payload);
        }
    }
    channels.into_values().collect()
}

/// The data of each stream of one side of a SPDY connection.
fn data_by_stream(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut cursor, mut streams) = (Cursor(bytes), BTreeMap::<usize, Vec<u8>>::new());
    while let (Some(first), Some(second)) = (cursor.number(4), cursor.number(4)) {
        let length = (second & 0x00ff_ffff).min(cursor.0.len());
        let Some(payload) = cursor.take(length) else { break };
        if first & CONTROL == 0 {
            streams.entry(first).or_default().extend_from_slice(payload);
        }
    }
    streams.into_values().collect()
}

#[cfg(test)]
mod tests {
    use crate::dissect::exchanges;

    const CANARY: &[u8] = b"cnry-7f3k9w2m5q8z";

    /// A masked text or binary frame, final or not.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x1f, 0x80, 0x33, 0x07];
        let length = u8::try_from(payload.len()).expect("short");
        assert!(length < 126);
        let mut frame = vec![first, 0x80 | length];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn data(stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short");
        [&stream.to_be_bytes()[..], &length.to_be_bytes()[..], payload].concat()
    }

    /// A control frame of any type.
    fn control(length: u32) -> Vec<u8> {
        [&[0x80, 3, 0, 1][..], &length.to_be_bytes()[..], &vec![9; length as usize][..]].concat()
    }

    fn carried(answer: &str, client: &[u8], server: &[u8]) -> Vec<Vec<u8>> {
        let request = [&b"POST /exec HTTP/1.1\r\nconnection: Upgrade\r\n\r\n"[..], client].concat();
        let head = format!("HTTP/1.1 101 Switching Protocols\r\n{answer}\r\n\r\n");
        let exchanges = exchanges(&request, &[head.as_bytes(), server].concat());
        exchanges.iter().flat_map(crate::dissect::Exchange::carried).collect()
    }

    #[test]
    fn masked_and_fragmented_messages_are_put_together_by_channel() {
        let (one, other) = CANARY.split_at(5);
        let client = [
            masked(0x02, &[&[0][..], one].concat()),
            masked(0x89, b"ping"),
            masked(0x80, &other[..3]),
            masked(0x82, &[&[0][..], &other[3..]].concat()),
            masked(0x82, b"\x04{\"Width\":80}"),
        ];
        let server = [vec![0x82, 3, 1, b'h', b'i'], vec![0x82, 126, 0, 9, 3, b'{']];
        let found = carried("Upgrade: websocket", &client.concat(), &server.concat());
        assert_eq!(found, [CANARY, b"{\"Width\":80}", b"hi", b"{"], "also what ends early");
    }

    #[test]
    fn spdy_data_is_put_together_by_stream_bare_and_in_a_websocket() {
        let (one, other) = CANARY.split_at(7);
        let frames = [control(12), data(1, one), data(3, b"else"), control(0), data(1, other)].concat();
        assert_eq!(carried("Upgrade: SPDY/3.1", &frames, &data(5, b"out")), [CANARY, b"else", b"out"]);
        let (first, rest) = frames.split_at(29);
        let wrapped = [masked(0x82, first), masked(0x82, rest)].concat();
        let tunnel = "Upgrade: websocket\r\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io";
        assert_eq!(carried(tunnel, &wrapped, b""), [CANARY, b"else"]);
    }

    #[test]
    fn what_is_not_known_or_not_upgraded_carries_nothing() {
        assert!(carried("Upgrade: foo", b"abc", b"def").is_empty());
        let plain = exchanges(b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(plain[0].carried().is_empty());
    }
}
