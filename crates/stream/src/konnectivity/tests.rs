//! Packets byte by byte, written down from `client.proto` by hand, and packets that somebody tampered
//! with.

use super::*;
use proptest::prelude::*;

/// Each packet and its bytes: a field is its number times eight plus its kind (0 a varint, 2 a length),
/// fields of zero are left out.
fn vectors() -> Vec<(Packet, Vec<u8>)> {
    let text = String::from;
    vec![
        (
            Packet::DialRequest { protocol: text("tcp"), address: text("10.0.0.1:10250"), random: 300 },
            [
                &[0x12, 24][..],
                &[0x0a, 3],
                b"tcp",
                &[0x12, 14],
                b"10.0.0.1:10250",
                // 300 = 0b10_0101100
                &[0x18, 0xac, 0x02],
            ]
            .concat(),
        ),
        (
            Packet::DialResponse { error: String::new(), connect_id: 7, random: 300 },
            vec![0x08, 1, 0x1a, 5, 0x10, 7, 0x18, 0xac, 0x02],
        ),
        (
            Packet::DialResponse { error: text("no"), connect_id: 0, random: 1 },
            vec![0x08, 1, 0x1a, 6, 0x0a, 2, b'n', b'o', 0x18, 1],
        ),
        (Packet::CloseRequest { connect_id: 7 }, vec![0x08, 2, 0x2a, 2, 0x08, 7]),
        (
            Packet::CloseResponse { error: text("x"), connect_id: 7 },
            vec![0x08, 3, 0x32, 5, 0x0a, 1, b'x', 0x10, 7],
        ),
        (
            Packet::data(1, Bytes::from_static(b"hello")),
            [&[0x08, 4, 0x22, 9, 0x08, 1, 0x1a, 5][..], b"hello"].concat(),
        ),
        // A negative number takes ten bytes.
        (Packet::CloseDial { random: -1 }, [&[0x08, 5, 0x3a, 11, 0x08][..], &[0xff; 9], &[0x01]].concat()),
        (Packet::Drain, vec![0x08, 6, 0x42, 0]),
        // 1001 * 8 + 2 = 8010 = 0b111110_1001010, and 1001 = 0b111_1101001.
        (
            Packet::Credit { connect_id: 7, bytes: 300 },
            vec![0x08, 0xe9, 0x07, 0xca, 0x3e, 5, 0x08, 7, 0x10, 0xac, 0x02],
        ),
        (Packet::Eof { connect_id: 7 }, vec![0x08, 0xea, 0x07, 0xd2, 0x3e, 2, 0x08, 7]),
        (Packet::Unknown(99), vec![0x08, 99]),
    ]
}

#[test]
fn every_packet_is_written_and_read_as_the_protocol_has_it() {
    for (packet, bytes) in vectors() {
        assert_eq!(packet.encode(), bytes, "{packet:?}");
        assert_eq!(Packet::decode(Bytes::from(bytes)), Ok(packet));
    }
    assert_eq!(Packet::Drain.frame()[..], [0, 0, 0, 0, 4, 0x08, 6, 0x42, 0]);
}

#[test]
fn what_is_missing_is_zero_and_what_is_new_is_ignored() {
    let decode = |bytes: &[u8]| Packet::decode(Bytes::copy_from_slice(bytes)).unwrap();
    // An empty message is a request to dial nothing: 0 is not sent.
    let nothing = Packet::DialRequest { protocol: String::new(), address: String::new(), random: 0 };
    assert_eq!(decode(&[]), nothing);
    assert_eq!(decode(&[0x08, 3]), Packet::CloseResponse { error: String::new(), connect_id: 0 });
    // The payload of another type.
    assert_eq!(decode(&[0x08, 2, 0x3a, 2, 0x08, 9]), Packet::CloseRequest { connect_id: 0 });
    // A field 15 that nobody knows yet.
    assert_eq!(decode(&[0x08, 6, 0x7a, 1, b'?', 0x42, 0]), Packet::Drain);
}

#[test]
fn broken_messages_are_errors() {
    let broken: [&[u8]; 5] = [
        &[0x08],
        &[0x12, 5, 0x0a, 3, b't'],
        &[0x08, 3, 0x32, 3, 0x0a, 1, 0xff],
        &[0x0a, 1, 1],
        &[0x08, 4, 0x22, 6, 0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ];
    for bytes in broken {
        let error = Packet::decode(Bytes::copy_from_slice(bytes)).unwrap_err().to_string();
        assert!(error.starts_with("grpc: failed to unmarshal the received message: "), "{error}");
    }
}

#[test]
fn identifiers_are_a_query() {
    let text = "host=node-1&ipv4=10.0.0.1&ipv4=10.0.0.2&ipv6=fd00%3A%3A1&cidr=10.0.0.0%2F8&new=1&\
                default-route=true&default-route=false";
    let found = AgentIdentifiers::parse(text).unwrap();
    assert_eq!(found.ipv4.iter().collect::<Vec<_>>(), ["10.0.0.1", "10.0.0.2"]);
    assert!(found.ipv6.contains("fd00::1") && found.host.contains("node-1") && found.default_route);
    let encoded = found.encode();
    assert_eq!(
        encoded,
        "cidr=10.0.0.0%2F8&default-route=true&host=node-1&ipv4=10.0.0.1&ipv4=10.0.0.2&ipv6=fd00%3A%3A1"
    );
    assert_eq!(AgentIdentifiers::parse(&encoded), Ok(found));
    assert_eq!(AgentIdentifiers::parse(""), Ok(AgentIdentifiers::default()));
    assert!(!AgentIdentifiers::parse("default-route=yes").unwrap().default_route);
    for wrong in ["ipv4=%", "ipv4=%4", "ipv4=%zz", "a;b=1", "host=%ff"] {
        let error = AgentIdentifiers::parse(wrong).unwrap_err().to_string();
        assert!(error.starts_with("fail to parse url encoded string: "), "{error}");
    }
    assert!(AgentIdentifiers::parse(&"host=a&".repeat(MAX_IDENTIFIERS + 1)).is_err());
}

fn packets() -> impl Strategy<Value = Packet> {
    let id = || any::<i64>();
    prop_oneof![
        (".{0,8}", ".{0,20}", id()).prop_map(|(protocol, address, random)| Packet::DialRequest {
            protocol,
            address,
            random
        }),
        (".{0,8}", id(), id()).prop_map(|(error, connect_id, random)| Packet::DialResponse {
            error,
            connect_id,
            random
        }),
        id().prop_map(|connect_id| Packet::CloseRequest { connect_id }),
        (".{0,8}", id()).prop_map(|(error, connect_id)| Packet::CloseResponse { error, connect_id }),
        (id(), prop::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(id, data)| Packet::data(id, Bytes::from(data))),
        id().prop_map(|random| Packet::CloseDial { random }),
        Just(Packet::Drain),
        (id(), any::<u64>()).prop_map(|(connect_id, bytes)| Packet::Credit { connect_id, bytes }),
        id().prop_map(|connect_id| Packet::Eof { connect_id }),
    ]
}

fn held(packet: &Packet) -> usize {
    match packet {
        Packet::DialRequest { protocol, address, .. } => protocol.len() + address.len(),
        Packet::DialResponse { error, .. } | Packet::CloseResponse { error, .. } => error.len(),
        Packet::Data { error, data, .. } => error.len() + data.len(),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_survive_the_wire(packet in packets()) {
        prop_assert_eq!(Packet::decode(Bytes::from(packet.encode())), Ok(packet));
    }

    #[test]
    fn no_message_panics_or_holds_more_than_it_has(
        packet in packets(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = packet.encode();
        if !bytes.is_empty() {
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        let length = bytes.len();
        if let Ok(read) = Packet::decode(Bytes::from(bytes)) {
            prop_assert!(held(&read) <= length);
        }
    }
}
