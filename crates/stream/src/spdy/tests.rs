//! Bytes of SPDY, as a Go peer sends them or made up.

use super::*;
use crate::session::{MAX_ANSWER_BYTES, MAX_CONNECTION_BYTES, MAX_STREAM_BYTES, MAX_UNSENT_BYTES};
use crate::{Reading, Session, Violation, Writing};
use proptest::prelude::*;

const ERROR_STREAM: &[(&str, &str)] = &[("streamType", "error"), ("port", "80"), ("requestID", "0")];

/// Two ends, and what is under way between them.
struct Pair {
    client: Connection,
    server: Connection,
}

impl Pair {
    fn new() -> Self {
        Self { client: Connection::new(Role::Client), server: Connection::new(Role::Server) }
    }

    /// Carries bytes both ways until there are none, in pieces of this many.
    fn carry(&mut self, piece: usize) {
        loop {
            let (mut to_server, mut to_client) =
                (self.client.transmit().to_vec(), self.server.transmit().to_vec());
            if to_server.is_empty() && to_client.is_empty() {
                return;
            }
            for bytes in to_server.chunks_mut(piece) {
                self.server.receive(bytes).unwrap();
            }
            for bytes in to_client.chunks_mut(piece) {
                self.client.receive(bytes).unwrap();
            }
        }
    }
}

fn read_all(connection: &mut Connection, stream: u32) -> (Vec<u8>, Reading) {
    let mut all = Vec::new();
    loop {
        let mut buffer = [0; 1000];
        match connection.read(stream, &mut buffer) {
            Reading::Bytes(length) => all.extend(&buffer[..length]),
            end => return (all, end),
        }
    }
}

fn violation(bytes: &[u8]) -> SpdyError {
    let mut connection = Connection::new(Role::Server);
    match connection.receive(&mut bytes.to_vec()) {
        Err(Violation::Spdy(error)) => {
            assert!(!connection.wants_input(), "nothing more is read");
            error
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_is_opened_used_and_ended_in_any_pieces() {
    for piece in [1, 7, 100_000] {
        let mut pair = Pair::new();
        let stream = pair.client.open(ERROR_STREAM).unwrap();
        assert_eq!((stream, pair.client.replied(stream)), (1, None));
        pair.carry(piece);
        assert_eq!(pair.client.replied(stream), Some(true));
        let (accepted, headers) = pair.server.accept().unwrap();
        assert_eq!(accepted, 1);
        // Names are lower case on the wire (SPDY/3 section 2.6.10).
        assert_eq!(headers[0], ("streamtype".to_owned(), "error".to_owned()));
        assert_eq!(headers[2], ("requestid".to_owned(), "0".to_owned()));
        assert_eq!(pair.client.write(1, b"to the server"), Writing::Taken(13));
        pair.client.finish(1);
        assert_eq!(pair.client.write(1, b"more"), Writing::Closed);
        pair.carry(piece);
        assert_eq!(read_all(&mut pair.server, 1), (b"to the server".to_vec(), Reading::End));
        // The other half is still open.
        assert_eq!(pair.server.write(1, b"to the client"), Writing::Taken(13));
        pair.carry(piece);
        assert_eq!(read_all(&mut pair.client, 1), (b"to the client".to_vec(), Reading::Waiting));
        pair.server.finish(1);
        pair.carry(piece);
        assert_eq!(read_all(&mut pair.client, 1).1, Reading::End);
    }
}

/// Two blocks one after the other as zlib itself compresses them, with `requestid` 0 and 1.
#[test]
fn blocks_of_another_zlib_are_read_one_after_the_other() {
    let first = hex(
        "78f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45a024cc64610024398b209198094adc8c0600000000ffff",
    );
    let second = hex("225fab21000000ffff");
    let mut inflater = Inflater::new();
    for (block, request) in [(&first, "0"), (&second, "1")] {
        let headers = inflater.inflate(block).unwrap();
        assert_eq!(headers[0], ("streamtype".to_owned(), "error".to_owned()));
        assert_eq!(headers[2], ("requestid".to_owned(), request.to_owned()));
    }
    assert_eq!(Inflater::new().inflate(&second).unwrap_err(), SpdyError::Compression, "out of its place");
    let mut deflater = Deflater::new();
    let blocks = [deflater.deflate(ERROR_STREAM), deflater.deflate(ERROR_STREAM)];
    assert_eq!(&blocks[0][2..6], [0xe3, 0xc6, 0xa7, 0xc2], "the dictionary's name");
    assert!(blocks[1].len() < blocks[0].len(), "one context for both");
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// What kubectl 1.28 sent for `kubectl exec p -c c -- ls`; it took these answers, byte for byte.
#[test]
fn a_recorded_kubectl_opens_its_streams() {
    let sent = [
        (
            "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff",
            "error",
        ),
        ("800300010000001900000003000000000000c22ac5565c92925f5a02000000ffff", "stdout"),
        ("800300010000001500000005000000000000c229975a5404000000ffff", "stderr"),
    ];
    let mut server = Connection::new(Role::Server);
    let mut answers = Vec::new();
    for (frame, kind) in sent {
        server.receive(&mut hex(frame)).unwrap();
        let (_, headers) = server.accept().unwrap();
        assert_eq!(headers, [("streamtype".to_owned(), kind.to_owned())]);
        answers.push(server.transmit().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    assert_eq!(
        answers,
        [
            "80030002000000180000000178bbe3c6a7c2000400fbff00000000000000ffff",
            "800300020000001200000003000400fbff00000000000000ffff",
            "800300020000001200000005000400fbff00000000000000ffff",
        ]
    );
}

#[test]
fn frames_have_the_bytes_that_the_draft_gives_them() {
    let mut connection = Connection::new(Role::Client);
    connection.ping();
    assert_eq!(connection.transmit()[..], hex("800300060000000400000001"));
    let stream = connection.open(&[]).unwrap();
    let syn = connection.transmit();
    assert_eq!(syn[..4], hex("80030001"));
    assert_eq!(syn[8..18], hex("00000001000000000000"));
    connection.write(stream, b"abc");
    connection.finish(stream);
    assert_eq!(connection.transmit()[..], hex("00000001000000036162630000000101000000"));
    connection.release(stream);
    assert_eq!(connection.transmit()[..], hex("80030003000000080000000100000005"));
    connection.close();
    assert_eq!(connection.transmit()[..], hex("80030007000000080000000000000000"));
}

#[test]
fn a_ping_of_the_peer_is_answered_and_our_own_is_not() {
    let mut server = Connection::new(Role::Server);
    server.receive(&mut hex("800300060000000400000007")).unwrap();
    assert_eq!(server.transmit()[..], hex("800300060000000400000007"));
    server.receive(&mut hex("800300060000000400000002")).unwrap();
    assert!(server.transmit().is_empty());
}

#[test]
fn what_the_peer_announces_is_checked_before_it_is_believed() {
    // CVE-2026-35469: more settings than the frame has room for.
    assert_eq!(violation(&hex("8003000400000004ffffffff")), SpdyError::Malformed("SETTINGS"));
    assert_eq!(violation(&hex("8003000400000000")), SpdyError::Malformed("SETTINGS"));
    assert_eq!(violation(&hex("8003000100ffffff")), SpdyError::FrameTooLong(0xff_ffff));
    assert_eq!(violation(&hex("8002000100000000")), SpdyError::Version(2));
    assert_eq!(violation(&hex("800300030000000400000001")), SpdyError::Malformed("RST_STREAM"));
    assert_eq!(violation(&hex("00000000000000ff")), SpdyError::Malformed("data on stream 0"));
    assert_eq!(violation(&hex("800300010000000e00000001000000000000deadbeef")), SpdyError::Compression);
}

/// A SYN_STREAM with these bytes as its headers, compressed.
fn syn_stream(stream: u32, plain: &[u8], compress: &mut flate2::Compress) -> Vec<u8> {
    let mut block = Vec::with_capacity(plain.len() + 1000);
    compress.compress_vec(plain, &mut block, flate2::FlushCompress::Sync).unwrap();
    let mut frame = hex("80030001");
    frame.extend((block.len() as u32 + 10).to_be_bytes());
    frame.extend(stream.to_be_bytes());
    frame.extend([0; 6]);
    frame.extend(block);
    frame
}

fn compress() -> flate2::Compress {
    let mut compress = flate2::Compress::new(flate2::Compression::best(), true);
    compress.set_dictionary(dictionary::dictionary()).unwrap();
    compress
}

#[test]
fn a_bomb_of_headers_is_refused_before_it_is_inflated() {
    let mut plain = hex("00000001000000016100400000");
    plain.extend(vec![b'x'; 4 * 1024 * 1024]);
    let bomb = syn_stream(1, &plain, &mut compress());
    assert!(bomb.len() < MAX_CONTROL_FRAME_BYTES, "{}", bomb.len());
    assert_eq!(violation(&bomb), SpdyError::HeadersTooLong);
    // Counts and lengths that the block does not have.
    for plain in ["ffffffff", "00000001ffffffff61", "0000000100000001610000ffff62", "000000410000"] {
        let refused = violation(&syn_stream(1, &hex(plain), &mut compress()));
        assert!(matches!(refused, SpdyError::HeadersTooLong | SpdyError::Malformed("headers")), "{plain}");
    }
    // Upper case and the same name twice.
    for plain in ["00000001000000014100000000", "0000000200000001610000000000000001610000000000"] {
        let refused = violation(&syn_stream(1, &hex(plain), &mut compress()));
        assert_eq!(refused, SpdyError::Malformed("headers"));
    }
}

#[test]
fn streams_beyond_the_bound_are_refused_one_by_one() {
    let mut server = Connection::new(Role::Server);
    let mut compress = compress();
    for index in 0..MAX_STREAMS as u32 {
        server.receive(&mut syn_stream(index * 2 + 1, &[0; 4], &mut compress)).unwrap();
        server.transmit();
    }
    let last = MAX_STREAMS as u32 * 2 + 1;
    server.receive(&mut syn_stream(last, &[0; 4], &mut compress)).unwrap();
    let mut refused = hex("8003000300000008");
    refused.extend(last.to_be_bytes());
    refused.extend(status::REFUSED_STREAM.to_be_bytes());
    assert_eq!(server.transmit()[..], refused);
    // One that was released makes room.
    server.release(1);
    server.transmit();
    server.receive(&mut syn_stream(last + 2, &[0; 4], &mut compress)).unwrap();
    assert_eq!(server.transmit()[..4], hex("80030002"));
}

#[test]
fn headers_of_open_streams_have_a_bound_together() {
    let (mut client, mut server) = (Connection::new(Role::Client), Connection::new(Role::Server));
    let value = "v".repeat(4000);
    let most = MAX_HEADERS_BYTES / 4000;
    let ids: Vec<u32> = (0..most * 2).map(|_| client.open(&[("x", &value)]).unwrap()).collect();
    server.receive(&mut client.transmit().to_vec()).unwrap();
    client.receive(&mut server.transmit().to_vec()).unwrap();
    let taken = ids.iter().filter(|id| client.replied(**id) == Some(true)).count();
    assert!((most / 2..=most).contains(&taken), "{taken} streams of {most}");
    while let Some((id, _)) = server.accept() {
        server.release(id);
    }
    let again = client.open(&[("x", &value)]).unwrap();
    server.receive(&mut client.transmit().to_vec()).unwrap();
    client.receive(&mut server.transmit().to_vec()).unwrap();
    assert_eq!(client.replied(again), Some(true), "what is released makes room");
}

#[test]
fn a_number_that_is_not_the_peers_to_give_is_refused() {
    let mut server = Connection::new(Role::Server);
    let mut compress = compress();
    for (stream, taken) in [(2, false), (5, true), (5, false), (3, false), (7, true)] {
        server.receive(&mut syn_stream(stream, &[0; 4], &mut compress)).unwrap();
        let answer = server.transmit()[3];
        assert_eq!(answer, if taken { 2 } else { 3 }, "{stream}");
        assert_eq!(server.accept().is_some(), taken);
    }
}

#[test]
fn input_is_refused_while_too_much_waits() {
    let mut pair = Pair::new();
    let stream = pair.client.open(ERROR_STREAM).unwrap();
    pair.carry(100_000);
    let mut sent = 0;
    while pair.server.wants_input() {
        assert_eq!(pair.client.write(stream, &[7; 100_000]), Writing::Taken(32 * 1024));
        sent += 32 * 1024;
        pair.carry(100_000);
        assert!(sent <= MAX_STREAM_BYTES, "{sent}");
    }
    assert_eq!(pair.server.buffered_bytes(), sent);
    let mut buffer = [0; 1];
    assert_eq!(pair.server.read(1, &mut buffer), Reading::Bytes(1));
    assert!(pair.server.wants_input());
    // A stream that nobody reads any more holds up nothing.
    pair.server.ignore(1);
    assert_eq!(pair.server.buffered_bytes(), 0);
    for _ in 0..100 {
        pair.client.write(stream, &[7; 100_000]);
        pair.carry(100_000);
    }
    assert!(pair.server.wants_input());
}

#[test]
fn all_streams_together_hold_no_more_than_the_connection_may() {
    let mut pair = Pair::new();
    let streams: Vec<u32> = (0..100).map(|_| pair.client.open(&[]).unwrap()).collect();
    pair.carry(100_000);
    let mut rounds = 0;
    while pair.server.wants_input() {
        for stream in &streams {
            pair.client.write(*stream, &[1; 1000]);
        }
        pair.carry(100_000);
        rounds += 1;
    }
    assert!(rounds > 5 && pair.server.buffered_bytes() < MAX_CONNECTION_BYTES + 100 * 1000);
}

#[test]
fn writers_wait_while_too_much_is_unsent() {
    let mut client = Connection::new(Role::Client);
    let stream = client.open(&[]).unwrap();
    let mut taken = 0;
    while let Writing::Taken(length) = client.write(stream, &[0; 100_000]) {
        taken += length;
    }
    assert_eq!(client.write(stream, &[0; 100_000]), Writing::Full);
    assert!((MAX_UNSENT_BYTES..=MAX_UNSENT_BYTES + 40_000).contains(&taken), "{taken}");
    client.transmit();
    assert!(matches!(client.write(stream, &[0; 100]), Writing::Taken(100)));
}

#[test]
fn a_flood_of_pings_stops_the_reading_and_not_the_bound() {
    let mut server = Connection::new(Role::Server);
    let ping = hex("800300060000000400000001");
    let mut pings = 0;
    while server.wants_input() {
        server.receive(&mut ping.clone()).unwrap();
        pings += 1;
        assert!(pings <= MAX_ANSWER_BYTES);
    }
    assert_eq!(server.transmit().len(), pings * 12);
    assert!(server.wants_input());
}

#[test]
fn what_was_sent_before_a_reset_is_read_and_then_it_is_cut_off() {
    let mut pair = Pair::new();
    let stream = pair.client.open(&[]).unwrap();
    pair.carry(1000);
    pair.client.write(stream, b"half");
    pair.client.release(stream);
    pair.carry(1000);
    assert_eq!(read_all(&mut pair.server, stream), (b"half".to_vec(), Reading::Reset));
    assert_eq!(pair.server.write(stream, b"x"), Writing::Closed);
}

#[test]
fn a_connection_that_ends_breaks_its_streams_and_opens_no_more() {
    let mut pair = Pair::new();
    let stream = pair.client.open(&[]).unwrap();
    pair.carry(1000);
    pair.server.write(stream, b"half");
    pair.carry(1000);
    pair.client.receive_end();
    assert_eq!(read_all(&mut pair.client, stream), (b"half".to_vec(), Reading::Broken));
    assert_eq!(pair.client.write(stream, b"x"), Writing::Closed);
    assert_eq!(pair.client.open(&[]), None);
    // Goodbye alone breaks nothing.
    pair.server.close();
    let mut goodbye = pair.server.transmit().to_vec();
    let mut client = Connection::new(Role::Client);
    let stream = client.open(&[]).unwrap();
    client.receive(&mut goodbye).unwrap();
    assert_eq!(client.read(stream, &mut [0; 9]), Reading::Waiting);
    assert_eq!(client.open(&[]), None);
    assert!(!client.is_over());
    client.release(stream);
    assert!(client.is_over());
}

/// A conversation's bytes, to be mutated.
fn conversation() -> Vec<u8> {
    let mut client = Connection::new(Role::Client);
    let mut bytes = Vec::new();
    for index in 0..4 {
        let stream = client.open(ERROR_STREAM).unwrap();
        client.write(stream, &vec![index; 300]);
        client.finish(stream);
        client.ping();
        bytes.extend(client.transmit());
    }
    bytes.extend(hex("800300040000000c00000001000000040000006480030009000000080000000100000064"));
    bytes
}

/// Feeds bytes, and checks what must hold whatever they are.
fn survives(bytes: &[u8], piece: usize) -> usize {
    let mut server = Connection::new(Role::Server);
    let mut fed = 0;
    for bytes in bytes.to_vec().chunks_mut(piece.max(1)) {
        if !server.wants_input() {
            break;
        }
        fed += bytes.len();
        let ended = server.receive(bytes).is_err();
        assert!(server.buffered_bytes() <= MAX_CONNECTION_BYTES + MAX_UNSENT_BYTES + 2 * piece);
        server.take_touched();
        while let Some((stream, headers)) = server.accept() {
            assert!(headers.len() <= MAX_HEADERS);
            let _ = server.write(stream, b"answer");
            let _ = server.read(stream, &mut [0; 10]);
        }
        if ended {
            break;
        }
        server.transmit();
    }
    fed
}

#[test]
fn an_honest_conversation_is_read_to_its_end() {
    let bytes = conversation();
    assert_eq!(survives(&bytes, 13), bytes.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), piece in 1_usize..300) {
        survives(&bytes, piece);
    }

    #[test]
    fn mutated_conversations_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        piece in 1_usize..300,
    ) {
        let mut bytes = conversation();
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        survives(&bytes, piece);
    }

    #[test]
    fn headers_come_back_as_they_were_sent(
        headers in prop::collection::btree_map("[a-z][a-z0-9-]{0,20}", "[ -~]{0,100}", 0..20),
        again in 1_usize..4,
    ) {
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
        let given: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        for _ in 0..again {
            let back = inflater.inflate(&deflater.deflate(&given)).unwrap();
            prop_assert!(back.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(given.iter().copied()));
        }
    }

    #[test]
    fn bytes_arrive_in_order_whatever_the_pieces(
        writes in prop::collection::vec((0_usize..3, prop::collection::vec(any::<u8>(), 0..500)), 1..30),
        piece in 1_usize..600,
    ) {
        let mut pair = Pair::new();
        let streams: Vec<u32> = (0..3).map(|_| pair.client.open(&[]).unwrap()).collect();
        pair.carry(piece);
        let mut sent = vec![Vec::new(); 3];
        for (index, bytes) in &writes {
            prop_assert_eq!(pair.client.write(streams[*index], bytes), Writing::Taken(bytes.len()));
            sent[*index].extend(bytes);
        }
        for stream in &streams {
            pair.client.finish(*stream);
        }
        pair.carry(piece);
        for (stream, sent) in streams.iter().zip(sent) {
            prop_assert_eq!(read_all(&mut pair.server, *stream), (sent, Reading::End));
        }
    }
}
