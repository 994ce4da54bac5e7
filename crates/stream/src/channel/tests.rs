//! Names, channels, outcomes.

use super::*;
use crate::session::MAX_STREAM_BYTES;
use crate::websocket::Role;
use crate::{Reading, Session, Sizes, TerminalSize, Writing};
use proptest::prelude::*;

fn client(protocol: WebSocketProtocol) -> Channels {
    let readable = [Channel::Stdout, Channel::Stderr, Channel::Error];
    Channels::new(Role::Client(Box::new(|| [1, 2, 3, 4])), protocol, &readable)
}

fn server(protocol: WebSocketProtocol) -> Channels {
    Channels::new(Role::Server, protocol, &[Channel::Stdin, Channel::Resize])
}

fn carry(from: &mut Channels, to: &mut Channels) {
    for bytes in from.transmit().to_vec().chunks_mut(11) {
        to.receive(bytes).unwrap();
    }
}

fn read(session: &mut Channels, channel: Channel) -> (Vec<u8>, Reading) {
    let mut all = Vec::new();
    loop {
        let mut buffer = [0; 100];
        match session.read(channel as u32, &mut buffer) {
            Reading::Bytes(length) => all.extend(&buffer[..length]),
            end => return (all, end),
        }
    }
}

#[test]
fn each_protocol_carries_each_channel() {
    use WebSocketProtocol::{V1, V1Base64, V4, V4Base64, V5};
    for protocol in [V5, V4, V4Base64, V1, V1Base64] {
        assert_eq!(WebSocketProtocol::parse(protocol.name()), Some(protocol));
        let (mut near, mut far) = (client(protocol), server(protocol));
        assert_eq!(near.write(0, b"in\0\xff"), Writing::Taken(4));
        carry(&mut near, &mut far);
        assert_eq!(read(&mut far, Channel::Stdin), (b"in\0\xff".to_vec(), Reading::Waiting));
        for (channel, text) in
            [(Channel::Stdout, b"out"), (Channel::Stderr, b"err"), (Channel::Error, b"end")]
        {
            far.write(channel as u32, text);
            carry(&mut far, &mut near);
            assert_eq!(read(&mut near, channel), (text.to_vec(), Reading::Waiting));
        }
        far.close();
        carry(&mut far, &mut near);
        assert_eq!(read(&mut near, Channel::Stdout).1, Reading::End);
        assert_eq!(near.write(0, b"late"), Writing::Closed);
    }
    assert_eq!(WebSocketProtocol::parse(""), Some(V1));
    assert_eq!(WebSocketProtocol::parse("v6.channel.k8s.io"), None);
}

#[test]
fn the_bytes_of_v5_are_those_of_kubectl() {
    let mut far = server(WebSocketProtocol::V5);
    far.announce(Channel::Stdout);
    far.write(1, b"a");
    assert_eq!(far.transmit()[..], [0x82, 1, 1, 0x82, 2, 1, b'a']);
    // `kubectl` at the end of its input: 255, 0.
    let mut near = client(WebSocketProtocol::V5);
    near.finish(0);
    near.finish(0);
    let mut bytes = near.transmit().to_vec();
    assert_eq!(bytes, [0x82, 0x82, 1, 2, 3, 4, 255 ^ 1, 2]);
    far.receive(&mut bytes).unwrap();
    assert_eq!(read(&mut far, Channel::Stdin).1, Reading::End);
    far.close();
    assert_eq!(far.transmit()[..], [0x88, 2, 0x03, 0xe8]);
}

#[test]
fn before_v5_nothing_closes_one_channel() {
    let (mut near, mut far) = (client(WebSocketProtocol::V4), server(WebSocketProtocol::V4));
    near.finish(0);
    assert!(!near.has_unsent());
    far.receive(&mut [0x82, 0x82, 0, 0, 0, 0, 255, 0]).unwrap();
    assert_eq!(read(&mut far, Channel::Stdin).1, Reading::Waiting);
    // A server never says it, not even in v5.
    let mut far = server(WebSocketProtocol::V5);
    far.finish(1);
    assert!(!far.has_unsent());
}

#[test]
fn channels_that_nobody_asked_for_are_thrown_away() {
    let mut far = server(WebSocketProtocol::V5);
    for channel in [1, 2, 3, 5, 77, 254] {
        far.receive(&mut [0x82, 0x83, 0, 0, 0, 0, channel, b'x', b'y']).unwrap();
    }
    far.receive(&mut [0x82, 0x80, 0, 0, 0, 0]).unwrap();
    far.receive(&mut [0x82, 0x82, 0, 0, 0, 0, 255, 200]).unwrap();
    far.receive(&mut [0x82, 0x81, 0, 0, 0, 0, 255]).unwrap();
    assert_eq!(far.buffered_bytes(), 0);
    assert_eq!(read(&mut far, Channel::Stdin).1, Reading::Waiting);
    // What follows on a channel that is there still arrives, also after base64 that is none.
    far.receive(&mut [0x82, 0x82, 0, 0, 0, 0, 0, b'x']).unwrap();
    assert_eq!(read(&mut far, Channel::Stdin).0, b"x");
    let mut far = server(WebSocketProtocol::V4Base64);
    far.receive(&mut [0x81, 0x82, 0, 0, 0, 0, b'0', b'%']).unwrap();
    far.receive(&mut [0x81, 0x85, 0, 0, 0, 0, b'0', b'e', b'A', b'=', b'=']).unwrap();
    assert_eq!(read(&mut far, Channel::Stdin).0, b"x");
}

#[test]
fn input_is_refused_while_a_channel_is_full() {
    let (mut near, mut far) = (client(WebSocketProtocol::V5), server(WebSocketProtocol::V5));
    let mut sent = 0;
    while far.wants_input() {
        near.write(0, &[1; 40_000]);
        carry(&mut near, &mut far);
        sent += 32 * 1024;
    }
    assert_eq!((far.buffered_bytes(), sent), (MAX_STREAM_BYTES, MAX_STREAM_BYTES));
    far.ignore(0);
    assert!(far.wants_input());
    assert_eq!(far.buffered_bytes(), 0);
}

#[test]
fn a_tunnel_is_bytes_until_it_is_closed() {
    let mut near = Channels::tunnel(Role::Client(Box::new(|| [1, 2, 3, 4])));
    let mut far = Channels::tunnel(Role::Server);
    near.write(0, b"\xff\0spdy");
    carry(&mut near, &mut far);
    assert_eq!(read(&mut far, Channel::Stdin), (b"\xff\0spdy".to_vec(), Reading::Waiting));
    near.finish(0);
    carry(&mut near, &mut far);
    assert_eq!(read(&mut far, Channel::Stdin).1, Reading::End);
    // Dropped and not closed, it is broken.
    let mut near = Channels::tunnel(Role::Client(Box::new(|| [1, 2, 3, 4])));
    let mut far = Channels::tunnel(Role::Server);
    near.abandon();
    carry(&mut near, &mut far);
    assert_eq!(read(&mut far, Channel::Stdin).1, Reading::Broken);
}

#[test]
fn the_first_protocol_of_the_client_that_the_server_takes_is_agreed_on() {
    let accepted = ["v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io"];
    let agreed = |offered: &[&str]| negotiate(offered.iter().copied(), &accepted);
    assert_eq!(
        agreed(&["v5.channel.k8s.io", "v3.channel.k8s.io,v4.channel.k8s.io"]),
        Ok("v3.channel.k8s.io")
    );
    assert_eq!(agreed(&[" v4.channel.k8s.io ,"]), Ok("v4.channel.k8s.io"));
    assert_eq!(
        agreed(&[]).unwrap_err().to_string(),
        "unable to upgrade: X-Stream-Protocol-Version is required"
    );
    assert_eq!(
        agreed(&["a", "b"]).unwrap_err().to_string(),
        "unable to upgrade: unable to negotiate protocol: client supports [a b], \
         server accepts [v4.channel.k8s.io v3.channel.k8s.io channel.k8s.io]"
    );
}

#[test]
fn versions_differ_as_kubernetes_has_them() {
    let facts: Vec<_> =
        StreamProtocol::OFFER.iter().map(|v| (v.name(), v.has_resize(), v.has_status())).collect();
    assert_eq!(
        facts,
        [
            ("v5.channel.k8s.io", true, true),
            ("v4.channel.k8s.io", true, true),
            ("v3.channel.k8s.io", true, false),
            ("v2.channel.k8s.io", false, false),
            ("channel.k8s.io", false, false),
        ]
    );
    for version in StreamProtocol::OFFER {
        assert_eq!(StreamProtocol::parse(version.name()), Some(version));
    }
}

#[test]
fn outcomes_are_read_as_client_go_reads_them() {
    assert_eq!(Outcome::parse(b"", true), Outcome::Success);
    assert_eq!(Outcome::parse(b"", false), Outcome::Success);
    assert_eq!(Outcome::parse(SUCCESS_STATUS.as_bytes(), true), Outcome::Success);
    assert_eq!(Outcome::parse(exit_status(7).as_bytes(), true), Outcome::Exited(7));
    assert_eq!(Outcome::parse(b"no such thing", false), Outcome::Failed("no such thing".into()));
    for odd in [
        r#"{"status":"Failure","reason":"InternalError"}"#,
        r#"{"status":"Failure","reason":"NonZeroExitCode"}"#,
        r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"x"}]}}"#,
        r#"{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"0"}]}}"#,
        "7",
        "[]",
        "{",
        "null",
    ] {
        assert_eq!(Outcome::parse(odd.as_bytes(), true), Outcome::Failed(odd.into()));
    }
}

#[test]
fn sizes_are_read_from_any_pieces_until_one_is_none() {
    let size = TerminalSize { width: 80, height: 24 };
    assert_eq!(size.to_json(), "{\"Width\":80,\"Height\":24}\n");
    let mut sizes = Sizes::default();
    assert_eq!(sizes.receive(b"{\"Width\":80,"), []);
    assert_eq!(
        sizes.receive(b"\"height\":24}\n{\"Width\":1}{"),
        [size, TerminalSize { width: 1, height: 0 }]
    );
    assert_eq!(sizes.receive(b"\"Width\":70000}"), []);
    assert_eq!(sizes.receive(size.to_json().as_bytes()), [], "nothing is read after it");
    let mut sizes = Sizes::default();
    assert_eq!(sizes.receive(&[b' '; 2000]), []);
    assert_eq!(sizes.receive(size.to_json().as_bytes()), []);
}

/// A client's conversation over channels, or through a tunnel, to be mutated.
fn conversation(base64: bool) -> Vec<u8> {
    let mut sender = client(if base64 { WebSocketProtocol::V4Base64 } else { WebSocketProtocol::V5 });
    for length in [0, 1, 7, 300, 70_000] {
        sender.write(Channel::Stdin as u32, &vec![b'x'; length]);
        sender.write(Channel::Resize as u32, b"{\"Width\":80,\"Height\":24}");
        sender.ping();
    }
    sender.finish(Channel::Stdin as u32);
    sender.close();
    sender.transmit().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_conversations_never_panic_nor_hold_too_much(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        piece in 1_usize..5000,
        shape in 0_u8..3,
    ) {
        let mut bytes = conversation(shape == 1);
        // Most of what decides stands before the long message.
        let changeable = 600.min(bytes.len());
        for (index, value) in &changes {
            bytes[index.index(changeable)] = *value;
        }
        let mut far = match shape {
            0 => server(WebSocketProtocol::V5),
            1 => server(WebSocketProtocol::V4Base64),
            _ => Channels::tunnel(Role::Server),
        };
        let mut fed = 0;
        for piece in bytes.chunks_mut(piece) {
            if !far.wants_input() || far.receive(piece).is_err() {
                break;
            }
            fed += piece.len();
            prop_assert!(far.buffered_bytes() <= crate::session::MAX_CONNECTION_BYTES + 2 * piece.len() + 65_536);
            let _ = far.read(Channel::Stdin as u32, &mut [0; 16]);
            far.take_touched();
            far.transmit();
        }
        prop_assert!(!changes.is_empty() || fed > 1000, "an honest one is read");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_of_any_bytes_never_panic(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..40),
        base64 in any::<bool>(),
    ) {
        let protocol = if base64 { WebSocketProtocol::V4Base64 } else { WebSocketProtocol::V5 };
        let mut far = server(protocol);
        for message in messages {
            let mut frame = vec![0x82, 0x80 | message.len() as u8, 0, 0, 0, 0];
            frame.extend(&message);
            far.receive(&mut frame).unwrap();
            prop_assert!(far.buffered_bytes() <= 40 * 20);
            far.take_touched();
        }
        Sizes::default().receive(&far.transmit());
    }
}
