//! What an attacker touches that owns machines, and what one can do that sees nothing.

use super::{APISERVER, at, connect, echo, ip, owning, play, say, until};
use crate::*;
use ravelin_host::{Flaw, Flaws};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

#[test]
fn who_owns_a_machine_touches_its_packets_on_trusted_segments_too() {
    play(owning(23, &["controllers", "node-1"], false), |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            echo(&world, "pod-1", "10.244.1.2:80").await;
            world.enter_cell("cell");
            let mut kept = Vec::new();
            for from in ["controllers", "node-1", "pod-1", "node-2", "user"] {
                let mut connection = connect(&world, from, APISERVER).await.unwrap();
                assert_eq!(say(&mut connection, from).await.unwrap(), from, "its components run on");
                kept.push(connection);
            }
            let mut to_pod = connect(&world, "pod-2", "10.244.1.2:80").await.unwrap();
            assert_eq!(say(&mut to_pod, "accepted").await.unwrap(), "accepted");
            let flows = world.wire().flows_of_cell("cell");
            let copied: Vec<_> = flows.iter().map(|flow| flow.from_client.as_slice()).collect();
            assert_eq!(copied, [&b"controllers"[..], b"node-1", b"pod-1", b"accepted"]);
            let packets = world.wire().packets();
            for (from, touched) in [("10.0.0.11", true), ("10.244.1.2", true), ("10.0.1.2", false)] {
                let of_it = packets.iter().filter(|p| p.source.ip() == ip(from));
                let each: Vec<bool> = of_it.map(|packet| packet.touched).collect();
                assert!(each.len() > 2 && each.iter().all(|each| *each == touched), "{from}: {each:?}");
            }
            assert!(packets.iter().all(|packet| !packet.by_attacker));
        })
    });
}

#[test]
fn connections_of_owned_machines_can_be_read_cut_rewritten_and_diverted() {
    play(owning(24, &["controllers"], false), |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            echo(&world, "controllers", "10.0.0.11:10257").await;
            let wire = world.wire();
            wire.set_hook(Some(Box::new(|packet: &PacketView| match &packet.payload[..] {
                b"true" if packet.source.ip() == ip("10.0.0.10") => Action::Rewrite(b"fake".into()),
                _ => Action::Pass,
            })));
            for (from, answer) in [("controllers", "fake"), ("node-1", "true")] {
                let mut connection = connect(&world, from, APISERVER).await.unwrap();
                assert_eq!(say(&mut connection, "true").await.unwrap(), answer, "{from}");
            }
            wire.set_hook(Some(Box::new(|_: &PacketView| Action::Drop)));
            let cut = connect(&world, "control-plane", "10.0.0.11:10257").await.unwrap_err();
            assert_eq!(cut.kind(), io::ErrorKind::TimedOut);
            wire.set_hook(None);
            let _all = wire.divert(Divert::default());
            let _other = connect(&world, "node-1", APISERVER).await.unwrap();
            let _accepted = connect(&world, "control-plane", "10.0.0.11:10257").await.unwrap();
            let _opened = connect(&world, "controllers", APISERVER).await.unwrap();
            for (source, original) in [("10.0.0.10", "10.0.0.11:10257"), ("10.0.0.11", APISERVER)] {
                let diverted = wire.diverted().accept().await.unwrap();
                assert_eq!((diverted.source.ip(), diverted.original), (ip(source), at(original)));
            }
        })
    });
}

#[test]
fn an_unheard_borrowed_name_is_never_answered() {
    let heard = |config: SimConfig| {
        play(config, |world| {
            Box::pin(async move {
                let peers = echo(&world, "control-plane", APISERVER).await;
                let mut heard = Vec::new();
                // A node, a pod, a machine on the LAN, nobody, the server itself.
                for source in ["10.0.1.1", "10.244.2.2", "10.0.0.11", "10.0.7.7", "10.0.0.10"] {
                    match world.wire().connect_as(Some(ip(source)), at(APISERVER)).await {
                        Ok(_) => heard.push(source),
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{source}"),
                    }
                }
                until("what was heard is accepted", || peers.lock().unwrap().len() >= heard.len()).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                assert_eq!(peers.lock().unwrap().len(), heard.len(), "and nothing else is");
                heard
            })
        })
        .value
    };
    assert_eq!(heard(owning(25, &[], true)), ["10.0.1.1", "10.244.2.2", "10.0.7.7"]);
    assert_eq!(heard(owning(25, &[], false)), [""; 0]);
    assert_eq!(heard(owning(25, &["pod-2"], false)), ["10.244.2.2"]);
    assert_eq!(heard(owning(25, &["node-2", "controllers"], false)), ["10.244.2.2", "10.0.0.11"]);
    let mut fabric = owning(25, &["node-1"], true);
    fabric.untrusted = Untrusted::FABRIC;
    assert_eq!(heard(fabric), ["10.0.1.1"], "through the owned node");
}

/// A connection of a node to the apiserver, and what is forged of it in turn: who sends it, how far
/// its port, number and acknowledgement are off, its flags and data. Gives what was accepted and
/// whether the connection still works.
type Off = (bool, u16, u32, u32, Flags, &'static [u8]);

fn forging(flaws: Flaws, forged: Vec<Off>) -> (Vec<bool>, Option<io::Result<String>>) {
    let mut config = owning(26, &[], false);
    config.flaws = flaws;
    play(config, move |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            let mut victim = connect(&world, "node-1", APISERVER).await.unwrap();
            assert_eq!(say(&mut victim, "one").await.unwrap(), "one");
            tokio::time::sleep(Duration::from_millis(10)).await;
            let wire = world.wire();
            assert!(wire.predict(ip("10.0.1.2"), at(APISERVER)).is_none(), "that node has none");
            let Some(known) = wire.predict(ip("10.0.1.1"), at(APISERVER)) else { return (vec![], None) };
            assert_eq!(victim.local, known.client.into());
            for (from_server, port, seq, ack, flags, payload) in &forged {
                let client = SocketAddr::new(known.client.ip(), known.client.port() ^ port);
                let (mut ends, mut numbers) = ((client, at(APISERVER)), (known.client_seq, known.server_seq));
                if *from_server {
                    (ends, numbers) = ((ends.1, ends.0), (numbers.1, numbers.0));
                }
                wire.inject(Forged {
                    source: ends.0,
                    destination: ends.1,
                    seq: numbers.0.wrapping_add(*seq),
                    ack: numbers.1.wrapping_add(*ack),
                    flags: *flags,
                    payload: payload.to_vec(),
                });
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let accepted: Vec<bool> = wire.forgeries().iter().map(|forgery| forgery.accepted).collect();
            assert_eq!(accepted.len(), forged.len());
            // What was forged before a reset may still be read.
            let _ = say(&mut victim, "two").await;
            (accepted, Some(say(&mut victim, "three").await))
        })
    })
    .value
}

#[test]
fn a_blind_segment_needs_the_port_and_both_numbers_either_way() {
    let flawed = || Flaws::danger([Flaw::PredictableSequenceNumbers]);
    let rst = Flags { rst: true, ..Flags::default() };
    let data = Flags { ack: true, psh: true, ..Flags::default() };
    let fin = Flags { ack: true, fin: true, ..Flags::default() };
    let syn = Flags { syn: true, ..Flags::default() };
    let old = 0_u32.wrapping_sub(70_000);
    for from_server in [true, false] {
        let refused: Vec<Off> = vec![
            (from_server, 1, 0, 0, rst, b""),
            (from_server, 0, 1, 0, rst, b""),
            (from_server, 0, 1000, 0, rst, b""),
            (from_server, 0, 1 << 31, 0, rst, b""),
            (from_server, 0, u32::MAX, 0, rst, b""),
            (from_server, 0, 0, 0, syn, b""),
            (from_server, 1, 0, 0, data, b"evil"),
            (from_server, 0, 1, 0, data, b"evil"),
            (from_server, 0, u32::MAX, 0, data, b"evil"),
            (from_server, 0, 0, 1, data, b"evil"),
            (from_server, 0, 0, old, data, b"evil"),
            (from_server, 0, 0, 0, Flags::default(), b"evil"),
            (from_server, 0, 1, 0, fin, b""),
        ];
        let (accepted, works) = forging(flawed(), refused.clone());
        assert_eq!(accepted, vec![false; refused.len()], "from the server: {from_server}");
        assert_eq!(works.unwrap().unwrap(), "three");
        let taken: Vec<Off> = vec![
            (from_server, 0, 0, 0_u32.wrapping_sub(2), data, b"evil"),
            (from_server, 0, 4, 0, rst, b""),
            (from_server, 0, 4, 0, rst, b""),
        ];
        let (accepted, works) = forging(flawed(), taken);
        assert_eq!(accepted, [true, true, false], "from the server: {from_server}");
        assert_eq!(works.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
    let (accepted, unknown) = forging(Flaws::none(), vec![]);
    assert!(accepted.is_empty() && unknown.is_none(), "without the flaw nothing is known");
}

#[test]
fn an_owned_machines_name_is_used_from_where_it_stands() {
    play(owning(27, &["pod-1"], false), |world| {
        Box::pin(async move {
            echo(&world, "node-1", "10.0.1.1:10250").await;
            for (source, segment) in [("10.244.1.2", Segment::Node(1)), ("10.66.0.66", Segment::Access)] {
                let mut own = world.wire().connect_as(Some(ip(source)), at("10.0.1.1:10250")).await.unwrap();
                assert_eq!(say(&mut own, "here").await.unwrap(), "here");
                let packets = world.wire().packets();
                let mut of_it = packets.iter().filter(|packet| packet.source.ip() == ip(source)).peekable();
                assert!(of_it.peek().is_some() && of_it.all(|packet| packet.segment == segment), "{source}");
            }
        })
    });
}
