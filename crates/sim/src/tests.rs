//! The network's promises, each shown on a small topology.

use crate::topology::MASQUERADE_V4;
use crate::*;
use ravelin_host::{Connection, Endpoint, Redirect, field};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

mod held;
mod translated;

type Scenario<T> = Pin<Box<dyn Future<Output = T>>>;

const APISERVER: &str = "10.0.0.10:6443";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn topology() -> Topology {
    let machine = |name: &str, addresses: &[&str], place| MachineSpec {
        name: name.to_owned(),
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        place,
    };
    Topology {
        machines: vec![
            machine("control-plane", &["10.0.0.10", "fd00::10"], Place::ControlPlane),
            machine("controllers", &["10.0.0.11"], Place::ControlPlane),
            machine("node-1", &["10.0.1.1"], Place::Node(1)),
            machine("node-2", &["10.0.1.2"], Place::Node(2)),
            machine("pod-1", &["10.244.1.2"], Place::Pod { node: 1 }),
            machine("pod-2", &["10.244.2.2"], Place::Pod { node: 2 }),
            machine("user", &["10.9.0.1", "fd00::9"], Place::Access),
            machine("attacker", &["10.66.0.66"], Place::Attacker),
        ],
        names: BTreeMap::from([("kubernetes".to_owned(), vec![ip("10.0.0.10")])]),
    }
}

/// 2 ms on access, 3 ms on the fabric, 0.1 ms elsewhere.
fn config(seed: u64) -> SimConfig {
    let mut config = SimConfig::new(seed);
    config.conditions.access = Latency::exactly_us(2000);
    config.conditions.fabric = Latency::exactly_us(3000);
    config
}

fn play<T: Send + 'static>(
    config: SimConfig,
    scenario: impl FnOnce(World) -> Scenario<T> + Send + 'static,
) -> Finished<T> {
    run(config, topology(), scenario).unwrap()
}

async fn connect(world: &World, from: &str, to: &str) -> io::Result<Connection> {
    world.host(from).connect(&at(to).into()).await
}

/// Answers every connection with what it says. Who connected is noted.
async fn echo(world: &World, on: &str, address: &str) -> Arc<Mutex<Vec<Endpoint>>> {
    let host = world.host(on);
    let listener = host.listen(&at(address).into()).await.unwrap();
    let peers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&peers);
    let inner = world.host(on);
    let accept = async move {
        while let Ok(connection) = listener.accept().await {
            seen.lock().unwrap().push(connection.peer.clone());
            let talk = async move {
                let (mut read, mut write) = tokio::io::split(connection.stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            };
            inner.spawn("talk", Box::pin(talk)).detach();
        }
    };
    host.spawn("echo", Box::pin(accept)).detach();
    peers
}

async fn say(connection: &mut Connection, text: &str) -> io::Result<String> {
    connection.stream.write_all(text.as_bytes()).await?;
    let mut answer = vec![0; text.len()];
    connection.stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

/// Waits for a condition, a simulated minute at most.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came to be that {what}");
}

#[test]
fn latencies_are_exact_on_every_segment() {
    let times = play(config(1), |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            echo(&world, "pod-1", "10.244.1.2:80").await;
            let mut times = Vec::new();
            for (from, to) in [
                ("controllers", APISERVER),
                ("user", APISERVER),
                ("node-1", APISERVER),
                ("node-1", "10.244.1.2:80"),
                ("pod-2", "10.244.1.2:80"),
            ] {
                let start = world.elapsed();
                let mut connection = connect(&world, from, to).await.unwrap();
                let connected = world.elapsed();
                assert_eq!(say(&mut connection, "hello").await.unwrap(), "hello");
                times.push((connected - start, world.elapsed() - connected));
            }
            times
        })
    })
    .value;
    let each = times.iter().map(|(connect, talk)| {
        assert_eq!(connect, talk, "both take one round trip");
        connect.as_micros()
    });
    assert_eq!(each.collect::<Vec<_>>(), [200, 4000, 4000, 200, 6000]);
}

/// A little of everything, with jitter, loss and entropy.
fn busy(seed: u64) -> Finished<u64> {
    let mut config = SimConfig::new(seed);
    config.conditions.loss = 0.05;
    play(config, |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            world.enter_cell("first");
            for name in ["node-1", "pod-1", "user"] {
                let mut connection = connect(&world, name, APISERVER).await.unwrap();
                for turn in 0..20 {
                    let text = world.host(name).entropy("text").word(50 + turn);
                    assert_eq!(say(&mut connection, &text).await.unwrap(), text);
                }
            }
            world.note("end", &[field("at", world.now())]);
            world.host("node-1").entropy("last").number()
        })
    })
}

#[test]
fn one_seed_gives_one_trace_in_parallel_too() {
    let runs: Vec<_> = [7, 7, 8].map(|seed| std::thread::spawn(move || busy(seed))).into();
    let runs: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
    assert!(runs[0].trace.iter().count() > 200);
    assert_eq!(runs[0].trace, runs[1].trace);
    assert_eq!(runs[0].value, runs[1].value);
    assert_eq!(runs[0].simulated, runs[1].simulated);
    assert_ne!(runs[0].trace.sha256(), runs[2].trace.sha256());
}

#[test]
fn a_service_address_leads_to_its_endpoint() {
    play(config(2), |world| {
        Box::pin(async move {
            let peers = echo(&world, "control-plane", APISERVER).await;
            let own = echo(&world, "pod-1", "10.244.1.2:80").await;
            world.host("node-1").set_redirects(vec![
                Redirect::new(at("10.96.0.1:443"), vec![at(APISERVER)]),
                Redirect::new(at("10.96.0.2:80"), vec![at("10.244.1.2:80")]),
                Redirect::new(at("10.96.0.3:80"), vec![]),
            ]);
            for from in ["node-1", "pod-1"] {
                let mut connection = connect(&world, from, "10.96.0.1:443").await.unwrap();
                assert_eq!(connection.peer, at("10.96.0.1:443").into());
                assert_eq!(say(&mut connection, "hi").await.unwrap(), "hi");
                assert_eq!(peers.lock().unwrap().last(), Some(&connection.local));
            }
            let mut hairpin = connect(&world, "pod-1", "10.96.0.2:80").await.unwrap();
            assert_eq!(say(&mut hairpin, "me").await.unwrap(), "me");
            let seen = own.lock().unwrap()[0].socket_addr().unwrap();
            assert_eq!(seen.ip(), MASQUERADE_V4);
            let refused = connect(&world, "pod-1", "10.96.0.3:80").await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let start = world.elapsed();
            let lost = connect(&world, "pod-2", "10.96.0.1:443").await.unwrap_err();
            assert_eq!(lost.kind(), io::ErrorKind::TimedOut, "node 2 has no table");
            assert_eq!((world.elapsed() - start).as_secs(), 10);
            assert!(world.network.state().flows.iter().all(|(_, flow)| flow.server.is_some()));
            let closed = connect(&world, "user", "10.0.0.10:1").await.unwrap_err();
            assert_eq!(closed.kind(), io::ErrorKind::ConnectionRefused);
        })
    });
}

#[test]
fn a_diverted_connection_can_be_relayed_in_the_victims_name() {
    let (flows, peers) = play(config(3), |world| {
        Box::pin(async move {
            let peers = echo(&world, "control-plane", APISERVER).await;
            let wire = world.wire();
            let rule = Divert { to: Some(ip("10.0.0.10")), ..Divert::default() };
            let guard = wire.divert(rule);
            let (intercepted, relay) = (wire.diverted(), wire.clone());
            let attack = async move {
                let mut diverted = intercepted.accept().await.unwrap();
                assert_eq!(diverted.original, at(APISERVER));
                assert_eq!(diverted.source.ip(), ip("10.0.1.1"));
                let mut onward =
                    relay.connect_as(Some(diverted.source.ip()), diverted.original).await.unwrap();
                let (victim, server) = (&mut diverted.connection.stream, &mut onward.stream);
                let _ = tokio::io::copy_bidirectional(victim, server).await;
            };
            world.host("attacker").spawn("attack", Box::pin(attack)).detach();
            let mut victim = connect(&world, "node-1", APISERVER).await.unwrap();
            assert_eq!(victim.peer, at(APISERVER).into());
            assert_eq!(say(&mut victim, "secret").await.unwrap(), "secret");
            drop(guard);
            let mut safe = connect(&world, "node-2", APISERVER).await.unwrap();
            assert_eq!(say(&mut safe, "again").await.unwrap(), "again");
            let lan = connect(&world, "controllers", APISERVER).await;
            assert!(lan.is_ok(), "the LAN is not the attacker's");
            (wire.flows(), peers.lock().unwrap().clone())
        })
    })
    .value;
    assert!(peers.iter().any(|peer| peer.socket_addr().unwrap().ip() == ip("10.0.1.1")));
    let kinds: Vec<_> = flows.iter().map(|flow| (flow.diverted, flow.by_attacker)).collect();
    assert_eq!(kinds, [(true, false), (false, true), (false, false)]);
    for (flow, text) in flows.iter().zip(["secret", "secret", "again"]) {
        assert_eq!(flow.from_client, text.as_bytes());
        assert_eq!(flow.from_server, text.as_bytes());
    }
}

#[test]
fn a_borrowed_name_is_answered_only_across_untrusted_segments() {
    play(config(3), |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            let wire = world.wire();
            let heard = wire.connect_as(Some(ip("10.244.1.2")), at(APISERVER)).await;
            assert_eq!(say(&mut heard.unwrap(), "hi").await.unwrap(), "hi");
            for trusted in ["10.0.0.11", "10.0.0.10"] {
                let deaf = wire.connect_as(Some(ip(trusted)), at(APISERVER)).await.unwrap_err();
                assert_eq!(deaf.kind(), io::ErrorKind::TimedOut, "{trusted}");
            }
        })
    });
}

#[test]
fn an_eavesdropper_sees_untrusted_segments_only() {
    play(config(4), |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            echo(&world, "pod-1", "10.244.1.2:80").await;
            world.enter_cell("cell");
            let big = "x".repeat(100_000);
            for (from, to, text) in [
                ("user", APISERVER, big.as_str()),
                ("controllers", APISERVER, "on the LAN"),
                ("node-1", "10.244.1.2:80", "on the node"),
            ] {
                let mut connection = connect(&world, from, to).await.unwrap();
                let (mut read, mut write) = tokio::io::split(&mut connection.stream);
                let mut answer = vec![0; text.len()];
                let (sent, received) =
                    tokio::join!(write.write_all(text.as_bytes()), read.read_exact(&mut answer));
                sent.unwrap();
                received.unwrap();
                drop((read, write));
            }
            let flows = world.wire().flows_of_cell("cell");
            assert_eq!(flows.len(), 1);
            assert_eq!(flows[0].client.ip(), ip("10.9.0.1"));
            assert_eq!(flows[0].from_client, big.as_bytes());
            assert_eq!(flows[0].from_server, big.as_bytes());
            assert_eq!(flows[0].in_cell("cell"), (big.as_bytes(), big.as_bytes()));
            assert_eq!(flows[0].in_cell("other"), (&b""[..], &b""[..]));
            let lan = |packet: &&PacketRecord| packet.segment == Segment::ControlPlaneLan;
            assert!(world.wire().packets().iter().filter(lan).count() > 5, "but all are counted");
        })
    });
}

#[test]
fn a_partition_holds_until_it_heals() {
    play(config(5), |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            let mut cut = connect(&world, "node-1", APISERVER).await.unwrap();
            let mut other = connect(&world, "node-2", APISERVER).await.unwrap();
            world.faults().partition("node-1", "control-plane");
            let start = world.elapsed();
            let healing = async {
                assert_eq!(say(&mut other, "through").await.unwrap(), "through");
                let new = connect(&world, "node-1", APISERVER).await.unwrap_err();
                assert_eq!(new.kind(), io::ErrorKind::TimedOut);
                world.faults().heal();
            };
            let (answer, ()) = tokio::join!(say(&mut cut, "late"), healing);
            assert_eq!(answer.unwrap(), "late");
            assert!(world.elapsed() - start > Duration::from_secs(10));
            world.faults().isolate("control-plane");
            let given_up = say(&mut cut, "never").await.unwrap_err();
            assert_eq!(given_up.kind(), io::ErrorKind::ConnectionReset);
        })
    });
}

#[test]
fn a_crash_is_silence_and_then_a_reset() {
    play(config(6), |world| {
        Box::pin(async move {
            echo(&world, "node-1", "10.0.1.1:10250").await;
            echo(&world, "pod-1", "10.244.1.2:80").await;
            world.host("node-1").disk().write("key", b"kept").unwrap();
            let mut open = connect(&world, "control-plane", "10.0.1.1:10250").await.unwrap();
            let mut idle = connect(&world, "control-plane", "10.244.1.2:80").await.unwrap();
            assert_eq!(say(&mut open, "up").await.unwrap(), "up");
            world.faults().crash("node-1");
            let silence = tokio::time::timeout(Duration::from_secs(5), say(&mut open, "down"));
            assert!(silence.await.is_err());
            assert_eq!(world.sockets("node-1"), 0, "it has forgotten them");
            world.faults().restart("node-1");
            let reset = open.stream.read_u8().await.unwrap_err();
            assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
            let reset = say(&mut idle, "anybody?").await.unwrap_err();
            assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
            let closed = connect(&world, "control-plane", "10.0.1.1:10250").await.unwrap_err();
            assert_eq!(closed.kind(), io::ErrorKind::ConnectionRefused, "nothing was started");
            echo(&world, "node-1", "10.0.1.1:10250").await;
            let mut again = connect(&world, "control-plane", "10.0.1.1:10250").await.unwrap();
            assert_eq!(say(&mut again, "up").await.unwrap(), "up");
            assert_eq!(world.host("node-1").disk().read("key").unwrap(), b"kept");
        })
    });
}

#[test]
fn a_forged_reset_needs_the_exact_number() {
    play(config(7), |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            let mut victim = connect(&world, "node-1", APISERVER).await.unwrap();
            assert_eq!(say(&mut victim, "one").await.unwrap(), "one");
            let wire = world.wire();
            let packets = wire.packets();
            let last = packets.iter().rfind(|packet| packet.source == at(APISERVER)).unwrap();
            let next = last.seq.wrapping_add(last.payload_len as u32);
            let forged = Forged {
                source: last.source,
                destination: last.destination,
                seq: next,
                ack: last.ack,
                flags: Flags { rst: true, ..Flags::default() },
                payload: Vec::new(),
            };
            for off in [1, 1000, u32::MAX, 1 << 31] {
                let seq = next.wrapping_add(off);
                assert!(wire.inject(Forged { seq, ..forged.clone() }));
            }
            let data = Flags { ack: true, ..Flags::default() };
            let blind = Forged { flags: data, ack: 1, payload: b"evil".into(), ..forged.clone() };
            wire.inject(blind);
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(say(&mut victim, "two").await.unwrap(), "two", "all were ignored");
            let seq = next.wrapping_add(3);
            wire.inject(Forged { seq, ..forged });
            tokio::time::sleep(Duration::from_millis(10)).await;
            let reset = say(&mut victim, "three").await.unwrap_err();
            assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
        })
    });
}

/// An attacker that owns these machines and is on no path, or on these.
fn owning(seed: u64, owned: &[&str], on_path: bool) -> SimConfig {
    let mut config = config(seed);
    config.owned = owned.iter().map(|name| (*name).to_owned()).collect();
    config.on_path = on_path;
    config
}

#[test]
fn ports_and_numbers_on_the_wire_cannot_be_guessed() {
    play(config(7), |world| {
        Box::pin(async move {
            let peers = echo(&world, "control-plane", APISERVER).await;
            for turn in 0..20 {
                let connection = connect(&world, "node-1", APISERVER).await.unwrap();
                until("it is accepted", || peers.lock().unwrap().len() > turn).await;
                assert_eq!(peers.lock().unwrap()[turn], connection.local, "both see the wire's");
            }
            let packets = world.wire().packets();
            let first: Vec<_> = packets.iter().filter(|packet| packet.flags.syn).collect();
            assert_eq!(first.len(), 40, "and their answers");
            for pair in first.windows(3) {
                assert!(pair[0].seq.abs_diff(pair[2].seq) > 1 << 17);
            }
            let ports: Vec<_> = first.iter().step_by(2).map(|packet| packet.source.port()).collect();
            let in_steps = ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 10).count();
            assert!(in_steps < 3, "{ports:?}");
        })
    });
}

#[test]
fn an_attacker_on_the_path_can_insert_data() {
    play(config(7), |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            let mut victim = connect(&world, "node-1", APISERVER).await.unwrap();
            assert_eq!(say(&mut victim, "one").await.unwrap(), "one");
            let wire = world.wire();
            let packets = wire.packets();
            let last = packets.iter().rfind(|packet| packet.source == at(APISERVER)).unwrap();
            wire.inject(Forged {
                source: last.source,
                destination: last.destination,
                seq: last.seq.wrapping_add(last.payload_len as u32),
                ack: last.ack,
                flags: Flags { ack: true, psh: true, ..Flags::default() },
                payload: b"evil".into(),
            });
            tokio::time::sleep(Duration::from_millis(10)).await;
            // The genuine answer lies in the same place of the stream: what is new of it follows.
            assert_eq!(say(&mut victim, "genuine").await.unwrap(), "eviline");
        })
    });
}

#[test]
fn a_hook_drops_delays_rewrites_and_diverts() {
    play(config(8), |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            let mut victim = connect(&world, "node-1", APISERVER).await.unwrap();
            let wire = world.wire();
            let mut dropped = 0;
            wire.set_hook(Some(Box::new(move |packet: &PacketView| match &packet.payload[..] {
                b"gone" if dropped < 2 => {
                    dropped += 1;
                    Action::Drop
                }
                b"slow" if packet.destination == at(APISERVER) => Action::Delay(Duration::from_secs(1)),
                b"true" if packet.source == at(APISERVER) => Action::Rewrite(b"fake".into()),
                _ if packet.flags.syn => Action::Divert,
                _ => Action::Pass,
            })));
            let mut timed = Vec::new();
            for text in ["gone", "slow", "true"] {
                let start = world.elapsed();
                let answer = say(&mut victim, text).await.unwrap();
                timed.push((answer, (world.elapsed() - start).as_millis()));
            }
            let expected = [("gone", 604), ("slow", 1004), ("fake", 4)];
            assert_eq!(timed, expected.map(|(text, ms)| (text.to_owned(), ms)));
            let _client = connect(&world, "user", APISERVER).await.unwrap();
            let diverted = wire.diverted().accept().await.unwrap();
            assert_eq!(diverted.source.ip(), ip("10.9.0.1"));
        })
    });
}

#[test]
fn a_megabyte_each_way_passes_a_slow_reader() {
    let mut config = SimConfig::new(9);
    config.conditions.loss = 0.02;
    let finished = play(config, |world| {
        Box::pin(async move {
            let host = world.host("control-plane");
            let listener = host.listen(&at(APISERVER).into()).await.unwrap();
            let mut client = connect(&world, "user", APISERVER).await.unwrap();
            let mut server = listener.accept().await.unwrap();
            let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
            let through = |mut stream: ravelin_host::BoxedStream, sent: Vec<u8>| async move {
                let (mut read, mut write) = tokio::io::split(&mut stream);
                let writing = write.write_all(&sent);
                let reading = async {
                    let mut got = Vec::new();
                    let mut piece = [0; 1000];
                    while got.len() < sent.len() {
                        let n = read.read(&mut piece).await.unwrap();
                        assert!(n > 0);
                        got.extend_from_slice(&piece[..n]);
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    got == sent
                };
                let (written, same) = tokio::join!(writing, reading);
                written.unwrap();
                same
            };
            let empty = || Box::new(tokio::io::empty());
            let client = std::mem::replace(&mut client.stream, empty());
            let server = std::mem::replace(&mut server.stream, empty());
            let (one, other) = tokio::join!(through(client, sent.clone()), through(server, sent));
            one && other
        })
    });
    assert!(finished.value);
}

#[test]
fn a_writer_learns_that_its_peer_is_gone() {
    play(config(10), |world| {
        Box::pin(async move {
            let host = world.host("control-plane");
            let listener = host.listen(&at(APISERVER).into()).await.unwrap();
            let mut client = connect(&world, "user", APISERVER).await.unwrap();
            drop(listener.accept().await.unwrap());
            let block = [0; 10_000];
            let writing = async { while client.stream.write_all(&block).await.is_ok() {} };
            tokio::time::timeout(Duration::from_secs(1), writing).await.unwrap();
            drop(client);
            until("all sockets are gone", || world.sockets("control-plane") + world.sockets("user") == 0)
                .await;
        })
    });
}

#[test]
fn a_listener_can_be_replaced_while_connections_live() {
    play(config(11), |world| {
        Box::pin(async move {
            let host = world.host("control-plane");
            let first = host.listen(&at(APISERVER).into()).await.unwrap();
            let mut old = connect(&world, "user", APISERVER).await.unwrap();
            let mut old_server = first.accept().await.unwrap();
            let taken = host.listen(&at("0.0.0.0:6443").into()).await.err().unwrap();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
            drop(first);
            let second = host.listen(&at("0.0.0.0:6443").into()).await.unwrap();
            for from in ["user", "control-plane"] {
                let mut new = connect(&world, from, APISERVER).await.unwrap();
                let mut accepted = second.accept().await.unwrap();
                assert_eq!(accepted.local, at(APISERVER).into());
                new.stream.write_all(b"2").await.unwrap();
                assert_eq!(accepted.stream.read_u8().await.unwrap(), b'2');
            }
            old.stream.write_all(b"1").await.unwrap();
            assert_eq!(old_server.stream.read_u8().await.unwrap(), b'1');
        })
    });
}

#[test]
fn five_hundred_connections_live_at_once_and_idle_costs_nothing() {
    let finished = play(SimConfig::new(12), |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            let mut all = Vec::new();
            for turn in 0..500 {
                let from = ["node-1", "node-2", "pod-1", "user"][turn % 4];
                all.push(connect(&world, from, APISERVER).await.unwrap());
            }
            for (turn, connection) in all.iter_mut().enumerate() {
                let text = format!("connection {turn}");
                assert_eq!(say(connection, &text).await.unwrap(), text);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let before = world.wire().packet_count();
            tokio::time::sleep(Duration::from_secs(3000)).await;
            assert_eq!(world.wire().packet_count(), before);
            drop(all);
            until("all are closed", || world.sockets("control-plane") == 0).await;
            assert_eq!(world.network.state().flows.iter().count(), 0, "and forgotten");
        })
    });
    assert!(finished.simulated > Duration::from_secs(3000));
}

#[test]
fn cells_do_not_change_each_other() {
    let jitter = |cells: &'static [&'static str]| {
        play(SimConfig::new(13), move |world| {
            Box::pin(async move {
                echo(&world, "control-plane", APISERVER).await;
                let mut kept = connect(&world, "node-1", APISERVER).await.unwrap();
                let mut last = Vec::new();
                for cell in cells {
                    world.enter_cell(cell);
                    let start = world.elapsed();
                    last.clear();
                    for _ in 0..5 {
                        say(&mut kept, "kept").await.unwrap();
                        let mut new = connect(&world, "user", APISERVER).await.unwrap();
                        say(&mut new, "new").await.unwrap();
                        last.push((world.elapsed() - start, new.local));
                    }
                }
                last
            })
        })
        .value
    };
    assert_eq!(jitter(&["a", "b", "c"]), jitter(&["c"]));
    assert_ne!(jitter(&["a"]), jitter(&["c"]));
}

#[test]
fn unix_sockets_names_clocks_and_pods_work() {
    play(config(14), |world| {
        Box::pin(async move {
            let host = world.host("control-plane");
            let path = Endpoint::Unix("/run/konnectivity.sock".to_owned());
            assert!(host.connect(&path).await.is_err());
            let listener = host.listen(&path).await.unwrap();
            let mut client = host.connect(&path).await.unwrap();
            let mut server = listener.accept().await.unwrap();
            client.stream.write_all(b"u").await.unwrap();
            assert_eq!(server.stream.read_u8().await.unwrap(), b'u');
            assert!(world.host("controllers").connect(&path).await.is_err());
            drop(listener);
            assert!(host.connect(&path).await.is_err());

            assert_eq!(host.resolve("kubernetes").await.unwrap(), [ip("10.0.0.10")]);
            assert!(host.resolve("nowhere").await.is_err());
            world.faults().set_clock_offset("node-1", 3600);
            let ahead = world.host("node-1").now().as_second() - host.now().as_second();
            assert_eq!(ahead, 3600);
            assert_eq!(world.host("node-1").pod(ip("10.244.1.2")).unwrap().name(), "pod-1");
            assert!(world.host("node-1").pod(ip("10.244.2.2")).is_err());
        })
    });
}

#[test]
fn an_attacker_on_the_fabric_does_not_touch_access() {
    let mut config = config(17);
    config.untrusted = Untrusted::FABRIC;
    play(config, |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            echo(&world, "pod-1", "10.244.1.2:80").await;
            let wire = world.wire();
            let _all = wire.divert(Divert::default());
            let mut user = connect(&world, "user", APISERVER).await.unwrap();
            assert_eq!(say(&mut user, "safe").await.unwrap(), "safe");
            let direct = connect(&world, "attacker", APISERVER).await.unwrap_err();
            assert_eq!(direct.kind(), io::ErrorKind::TimedOut);
            assert!(wire.flows().is_empty());
            let _pod = connect(&world, "pod-2", "10.244.1.2:80").await.unwrap();
            assert_eq!(wire.diverted().accept().await.unwrap().source.ip(), ip("10.244.2.2"));
        })
    });
}

#[test]
fn a_reset_of_a_machine_reaches_both_ends() {
    play(config(18), |world| {
        Box::pin(async move {
            let host = world.host("control-plane");
            let listener = host.listen(&at(APISERVER).into()).await.unwrap();
            let mut client = connect(&world, "node-1", APISERVER).await.unwrap();
            let mut server = listener.accept().await.unwrap();
            world.faults().reset_connections("control-plane");
            for end in [&mut client, &mut server] {
                let reset = end.stream.read_u8().await.unwrap_err();
                assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
            }
            assert!(connect(&world, "node-1", APISERVER).await.is_ok());
        })
    });
}

#[test]
fn a_hook_can_replace_itself_and_use_the_wire() {
    play(config(19), |world| {
        Box::pin(async move {
            echo(&world, "control-plane", APISERVER).await;
            let (wire, seen) = (world.wire(), Arc::new(Mutex::new(0)));
            let (inside, count) = (wire.clone(), Arc::clone(&seen));
            wire.set_hook(Some(Box::new(move |_: &PacketView| {
                *count.lock().unwrap() += inside.packet_count();
                inside.set_hook(None);
                Action::Pass
            })));
            let mut client = connect(&world, "node-1", APISERVER).await.unwrap();
            assert_eq!(say(&mut client, "hi").await.unwrap(), "hi");
            assert_eq!(*seen.lock().unwrap(), 1, "it was asked once, about the first packet");
        })
    });
}

#[test]
fn ipv6_works_as_ipv4_does() {
    play(config(16), |world| {
        Box::pin(async move {
            let peers = echo(&world, "control-plane", "[::]:6443").await;
            let mut connection = connect(&world, "user", "[fd00::10]:6443").await.unwrap();
            assert_eq!(say(&mut connection, "six").await.unwrap(), "six");
            let seen = peers.lock().unwrap()[0].socket_addr().unwrap();
            assert_eq!(seen.ip(), ip("fd00::9"));
            assert_eq!(world.wire().flows()[0].from_client, b"six");
        })
    });
}

#[test]
fn what_goes_wrong_is_told() {
    let panicked = run(config(15), topology(), |world| {
        Box::pin(async move {
            world.note("before", &[]);
            let task = Box::pin(async { panic!("broken component") });
            world.host("node-1").spawn("kubelet", task).detach();
            tokio::time::sleep(Duration::from_secs(1)).await;
        })
    });
    let panicked = panicked.unwrap_err();
    assert!(matches!(&panicked, SimError::Panicked { trace, .. } if trace.iter().count() == 1));
    let said = panicked.to_string();
    assert!(said.ends_with("kubelet on node-1: broken component"), "{said}");
    let hung = run(config(15), topology(), |_| Box::pin(std::future::pending::<()>()));
    assert!(matches!(hung, Err(SimError::Hung { .. })));
    let mut twice = topology();
    twice.machines[1].addresses = twice.machines[0].addresses.clone();
    let wrong = run(config(15), twice, |_| Box::pin(async {}));
    assert!(matches!(wrong, Err(SimError::Topology(_))));
    let wrong = run(owning(15, &["nobody"], true), topology(), |_| Box::pin(async {}));
    assert!(matches!(wrong, Err(SimError::Topology(_))));
}
