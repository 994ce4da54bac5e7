//! What the writer wrote, as an independent reader reads it.

use super::pcapng;
use super::reader::{Packet, Read, read};
use crate::example::report;
use ravelin_assess::model::{Capture, CapturedPacket};
use std::net::SocketAddr;
use std::time::Duration;

const KUBELET: &str = "198.18.0.1:10250";
const APISERVER: &str = "192.0.2.10:40000";
const BEGAN_NS: u64 = 1_767_225_600_000_000_000;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn packet(at_us: u64, (source, destination): (&str, &str), payload: &[u8]) -> CapturedPacket {
    CapturedPacket {
        at: Duration::from_micros(at_us),
        segment: 0,
        source: at(source),
        destination: at(destination),
        flags: 0x18,
        seq: 1000,
        ack: 2000,
        window: 65_535,
        payload: payload.to_vec().into(),
        note: None,
    }
}

/// A request, its answer, an acknowledgement, and what belongs to no evidence.
fn capture(simulation: &str) -> Capture {
    let (there, back) = ((APISERVER, KUBELET), (KUBELET, APISERVER));
    let mut reset = packet(5_000_000, (KUBELET, "192.0.2.10:40001"), b"");
    (reset.flags, reset.seq) = (0x14, 0);
    Capture {
        simulation: simulation.to_owned(),
        began_unix_ns: BEGAN_NS,
        names: vec![
            ("192.0.2.10".parse().unwrap(), "control-plane".to_owned()),
            ("198.18.0.1".parse().unwrap(), "node-1".to_owned()),
            ("fd00::1".parse().unwrap(), "six".to_owned()),
        ],
        segments: vec!["lan".to_owned(), "access".to_owned()],
        packets: vec![
            CapturedPacket { note: Some("led away"), ..packet(4_010_123, there, b"GET /") },
            CapturedPacket { segment: 1, ..packet(4_012_999, back, b"200 OK!") },
            packet(4_012_999, there, b""),
            packet(4_012_999, ("[fd00::1]:7", "[fd00::2]:8"), b"odd"),
            packet(4_013_000, back, b"later"),
            reset,
        ],
        secrets: vec!["CLIENT_TRAFFIC_SECRET_0 00 01".to_owned(), "SERVER_TRAFFIC_SECRET_0 00 02".to_owned()],
    }
}

fn written() -> Read {
    read(&pcapng(&report(), &[capture("impostor"), capture("eavesdropper")]))
}

#[test]
fn every_packet_is_read_back_as_it_was() {
    let (read, wanted) = (written(), capture("impostor"));
    assert_eq!(read.packets.len(), 2 * wanted.packets.len());
    for (found, wanted) in read.packets.iter().zip(&wanted.packets) {
        let Packet { comments, .. } = found.clone();
        let expected = Packet {
            interface: wanted.segment as u32,
            at_ns: BEGAN_NS + wanted.at.as_nanos() as u64,
            source: wanted.source,
            destination: wanted.destination,
            seq: wanted.seq,
            ack: wanted.ack,
            flags: wanted.flags,
            window: wanted.window,
            payload: wanted.payload.to_vec(),
            comments,
        };
        assert_eq!(*found, expected);
    }
}

#[test]
fn simulations_have_their_own_interfaces_and_numbers() {
    let read = written();
    let names = ["impostor/lan", "impostor/access", "eavesdropper/lan", "eavesdropper/access"];
    assert_eq!(read.interfaces.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(read.interfaces.iter().map(|(_, told)| *told).collect::<Vec<_>>(), [false, false, true, true]);
    let (first, second) = read.packets.split_at(6);
    let moved = second[0].seq.wrapping_sub(first[0].seq);
    assert_ne!(moved, 0);
    for (one, other) in first.iter().zip(second) {
        assert_eq!(other.interface, one.interface + 2);
        assert_eq!(other.ack.wrapping_sub(one.ack), moved);
        let fixed = one.seq == 0;
        assert_eq!(other.seq.wrapping_sub(one.seq), if fixed { 0 } else { moved });
    }
    let names = read.names.iter().map(|(address, name)| (address.to_string(), name.as_str()));
    let wanted = [("192.0.2.10", "control-plane"), ("198.18.0.1", "node-1"), ("fd00::1", "six")];
    assert_eq!(names.collect::<Vec<_>>(), wanted.map(|(address, name)| (address.to_owned(), name)));
    assert!(read.section_options.iter().any(|(code, text)| *code == 4 && text.starts_with(b"ravelin")));
    assert!(read.section_options.iter().any(|(code, text)| *code == 1 && text.starts_with(b"seed 42")));
}

#[test]
fn secrets_come_before_the_packets_that_need_them() {
    let lines = "CLIENT_TRAFFIC_SECRET_0 00 01\nSERVER_TRAFFIC_SECRET_0 00 02\n".to_owned();
    assert_eq!(written().secrets, [(0, lines.clone()), (6, lines)]);
    assert_eq!(format!("{:?}", capture("impostor")), "Capture(impostor, 6 packets)", "and are not shown");
}

/// The report's evidence is of millisecond 4,012, of `control-plane > node-1:10250`.
#[test]
fn evidence_is_at_the_last_packet_that_goes_its_way_and_carries_data() {
    let read = written();
    let commented: Vec<usize> =
        (0..read.packets.len()).filter(|number| !read.packets[*number].comments.is_empty()).collect();
    assert_eq!(commented, [0, 1, 6], "the eavesdropper's properties have no evidence");
    let name = "(apiserver-to-kubelet/logs/impostor@direct)";
    let told = [
        "led away".to_owned(),
        format!("evidence: request_secret broken by false-kubelet: read the request's canary {name}"),
        format!("evidence: request_secret broken by false-kubelet: more of the same {name}"),
    ];
    assert_eq!(read.packets[0].comments, told);
    let forged = "the caller was handed a forged log";
    let told = format!("evidence: response_authentic broken by false-kubelet: {forged} {name}");
    assert_eq!(read.packets[1].comments[0], told);
}

#[test]
fn what_is_too_long_for_a_packet_is_written_as_two() {
    let mut long = capture("impostor");
    let payload: Vec<u8> = (0..65_535_u32).map(|n| n as u8).collect();
    long.packets = vec![packet(1, (APISERVER, KUBELET), &payload)];
    let mut report = report();
    report.verdicts.clear();
    let packets = read(&pcapng(&report, &[long])).packets;
    let [first, second] = &packets[..] else { panic!("{} packets", packets.len()) };
    assert_eq!(second.seq, first.seq + first.payload.len() as u32);
    assert_eq!([&first.payload[..], &second.payload].concat(), payload);
    assert_eq!((first.flags, second.flags), (0x10, 0x18), "the last one pushes");
}

#[test]
fn an_address_stands_for_any_port_where_evidence_names_none() {
    let mut report = report();
    for verdict in &mut report.verdicts {
        for found in verdict.properties.values_mut() {
            for evidence in &mut found.evidence {
                evidence.flow = "attacker > 198.18.0.1 (the impostor)".to_owned();
                evidence.at_ms = 6_000;
            }
        }
    }
    let packets = read(&pcapng(&report, &[capture("impostor")])).packets;
    let told = |what: &str| {
        let is_it = |comment: &String| comment.starts_with(&format!("evidence: {what}"));
        packets.iter().position(|packet| packet.comments.iter().any(is_it))
    };
    assert_eq!(told("request_secret"), Some(0), "to that address");
    assert_eq!(told("response_authentic"), Some(4), "from there, an older one with data, none without");
}
