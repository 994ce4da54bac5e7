//! Bytes of WebSockets, as in RFC 6455 section 5.7 or made up.

use super::*;
use crate::session::{MAX_ANSWER_BYTES, MAX_CONNECTION_BYTES};
use crate::{Session, Violation, Writing};
use bytes::BytesMut;
use proptest::prelude::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn client() -> Messages {
    Messages::new(Role::Client(Box::new(|| MASK)), 1 << 20)
}

fn server() -> Messages {
    Messages::new(Role::Server, 1 << 20)
}

fn refused(session: &mut Messages, bytes: &[u8]) -> FrameError {
    match session.receive(&mut bytes.to_vec()) {
        Err(Violation::WebSocket(error)) => {
            assert!(!session.wants_input());
            error
        }
        other => panic!("{other:?}"),
    }
}

fn text(session: &mut Messages) -> String {
    let message = session.take_message().expect("a message");
    String::from_utf8(message.bytes.to_vec()).unwrap()
}

#[test]
fn the_frames_of_the_rfc_are_read_and_written() {
    let mut from_server = client();
    from_server.receive(&mut [0x81, 5, b'H', b'e', b'l', b'l', b'o']).unwrap();
    assert_eq!(text(&mut from_server), "Hello");
    let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let mut from_client = server();
    for byte in masked {
        from_client.receive(&mut [byte]).unwrap();
    }
    assert_eq!(text(&mut from_client), "Hello");
    let mut out = BytesMut::new();
    encode(&mut out, Opcode::Text, Some(MASK), &[b"He", b"llo"]);
    assert_eq!(out[..], masked);
    // In fragments, with a ping between them.
    from_server.receive(&mut [0x01, 3, b'H', b'e', b'l', 0x89, 1, b'!', 0x80, 2, b'l', b'o']).unwrap();
    assert_eq!(text(&mut from_server), "Hello");
    assert_eq!(from_server.transmit()[..], [0x8a, 0x81, 0x37, 0xfa, 0x21, 0x3d, b'!' ^ 0x37]);
}

#[test]
fn the_handshake_of_the_rfc_is_answered() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    assert!(is_key("dGhlIHNhbXBsZSBub25jZQ==") && !is_key("dGhl") && !is_key("%"));
    assert_eq!(offered_protocols(["v5.a, v4.a", "", "b"]), ["v5.a", "v4.a", "b"]);
}

#[test]
fn lengths_are_written_as_short_as_they_can_be_and_read_so() {
    for (length, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        let mut sender = server();
        sender.send(Kind::Binary, &vec![9; length]);
        let mut bytes = sender.transmit().to_vec();
        assert_eq!(bytes.len(), length + head);
        let mut receiver = client();
        receiver.receive(&mut bytes).unwrap();
        assert_eq!(receiver.take_message().unwrap().bytes, vec![9; length]);
    }
    assert_eq!(refused(&mut client(), &[0x82, 126, 0, 125]), FrameError::Length);
    assert_eq!(refused(&mut client(), &[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255]), FrameError::Length);
}

#[test]
fn what_breaks_the_protocol_is_refused_with_its_code() {
    assert_eq!(refused(&mut server(), &[0x81, 5]), FrameError::Mask);
    assert_eq!(refused(&mut client(), &[0x81, 0x85]), FrameError::Mask);
    assert_eq!(refused(&mut client(), &[0xc1, 0]), FrameError::ReservedBits);
    assert_eq!(refused(&mut client(), &[0x83, 0]), FrameError::Opcode(3));
    assert_eq!(refused(&mut client(), &[0x80, 0]), FrameError::Fragmentation);
    assert_eq!(refused(&mut client(), &[0x01, 1, b'a', 0x81, 0]), FrameError::Fragmentation);
    assert_eq!(refused(&mut client(), &[0x09, 0]), FrameError::Control);
    assert_eq!(refused(&mut client(), &[0x89, 126, 0, 126]), FrameError::Control);
    assert_eq!(refused(&mut client(), &[0x88, 1, 3]), FrameError::Control);
    assert_eq!(refused(&mut client(), &[0x88, 2, 3, 0xed]), FrameError::Control);
    let mut broken = server();
    refused(&mut broken, &[0x81, 5]);
    assert_eq!(broken.transmit()[..], [0x88, 2, 0x03, 0xea], "1002");
    let long = [0x82, 127, 0, 0, 0, 0, 0xff, 0, 0, 0];
    let mut broken = client();
    assert_eq!(refused(&mut broken, &long), FrameError::TooLong(MAX_FRAME_BYTES));
    assert_eq!(broken.buffered_bytes(), 8, "the close frame alone");
}

#[test]
fn a_message_longer_than_allowed_is_refused_when_it_is_seen() {
    let mut small = Messages::new(Role::Client(Box::new(|| MASK)), 10);
    small.receive(&mut [0x02, 6, 0, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(refused(&mut small, &[0x00, 6, 0, 0, 0, 0, 0]), FrameError::TooLong(10));
}

#[test]
fn a_close_is_answered_once_and_ends_the_sending() {
    let mut session = client();
    session.receive(&mut [0x88, 4, 0x03, 0xe8, 0xff, 0xfe]).unwrap();
    assert_eq!(session.closed(), Some(Close::Normal), "the reason is no UTF-8, and does not matter");
    assert_eq!(session.transmit().len(), 8);
    assert_eq!(session.send(Kind::Text, b"late"), Writing::Closed);
    session.close();
    assert!(session.transmit().is_empty());
    let mut session = client();
    session.receive(&mut [0x88, 0]).unwrap();
    assert_eq!(session.closed(), Some(Close::Code(1005)));
    let mut session = client();
    session.receive_end();
    assert_eq!(session.closed(), Some(Close::Lost));
}

#[test]
fn input_is_refused_while_too_much_waits() {
    let mut receiver = client();
    let mut sender = server();
    let mut rounds = 0;
    while receiver.wants_input() {
        sender.send(Kind::Binary, &[1; 50_000]);
        receiver.receive(&mut sender.transmit().to_vec()).unwrap();
        rounds += 1;
    }
    assert!(rounds > 10 && receiver.buffered_bytes() < MAX_CONNECTION_BYTES + 50_000);
    receiver.take_message();
    assert!(receiver.wants_input());
    // Empty messages cost memory too.
    let mut receiver = client();
    let mut messages = 0;
    while receiver.wants_input() {
        receiver.receive(&mut [0x82, 0]).unwrap();
        messages += 1;
    }
    assert_eq!(messages, MAX_QUEUED_MESSAGES);
    let mut pinged = client();
    while pinged.wants_input() {
        pinged.receive(&mut [0x89, 0]).unwrap();
    }
    assert!(pinged.buffered_bytes() < MAX_ANSWER_BYTES + 10);
}

/// A conversation's bytes, to be mutated.
fn conversation() -> Vec<u8> {
    let mut sender = client();
    for length in [0, 5, 125, 126, 300] {
        sender.send(Kind::Binary, &vec![3; length]);
        sender.ping();
    }
    sender.close();
    sender.transmit().to_vec()
}

fn survives(bytes: &[u8], piece: usize) -> usize {
    let mut session = Messages::new(Role::Server, 1000);
    let mut messages = 0;
    for bytes in bytes.to_vec().chunks_mut(piece) {
        if !session.wants_input() || session.receive(bytes).is_err() {
            break;
        }
        assert!(session.buffered_bytes() <= 1000 + 2 * MAX_ANSWER_BYTES + piece);
        while let Some(message) = session.take_message() {
            assert!(message.bytes.len() <= 1000);
            messages += 1;
        }
        session.transmit();
    }
    messages
}

#[test]
fn an_honest_conversation_is_read_to_its_end() {
    assert_eq!(survives(&conversation(), 7), 5);
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
    fn masks_come_off_wherever_the_bytes_are_cut(
        mask in any::<[u8; 4]>(),
        payload in prop::collection::vec(any::<u8>(), 0..400),
        piece in 1_usize..50,
    ) {
        let mut sender = Messages::new(Role::Client(Box::new(move || mask)), 1000);
        sender.send(Kind::Binary, &payload);
        let mut receiver = server();
        for bytes in sender.transmit().to_vec().chunks_mut(piece) {
            receiver.receive(bytes).unwrap();
        }
        prop_assert_eq!(&receiver.take_message().unwrap().bytes[..], &payload[..]);
    }
}
