//! Determinism broken on purpose: a single draw that the seed does not decide gives two runs two
//! traces, so the checks of this folder would see one.

use futures_util::future::join;
use ravelin_entropy::Entropy;
use ravelin_host::{Endpoint, HostRef};
use ravelin_sim::{MachineSpec, Place, SimConfig, Topology, World, run};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the two machines send, and how long they wait first.
type Draw = fn(&HostRef) -> (u64, Duration);

fn seeded(host: &HostRef) -> (u64, Duration) {
    let mut entropy = host.entropy("test");
    (entropy.number(), Duration::from_micros(entropy.below(1_000_000)))
}

fn unseeded_payload(host: &HostRef) -> (u64, Duration) {
    (Entropy::operating_system().number(), seeded(host).1)
}

fn unseeded_delay(host: &HostRef) -> (u64, Duration) {
    (seeded(host).0, Duration::from_micros(Entropy::operating_system().below(1_000_000_000)))
}

/// What a library does that hashes on a thread of its own.
fn order_of_a_map(host: &HostRef) -> (u64, Duration) {
    let hash = std::thread::spawn(|| RandomState::new().hash_one(7)).join().expect("it cannot fail");
    (hash, seeded(host).1)
}

#[test]
fn a_seeded_draw_repeats() {
    assert_eq!(trace(seeded), trace(seeded));
}

#[test]
fn an_unseeded_payload_shows() {
    assert_ne!(trace(unseeded_payload), trace(unseeded_payload));
}

#[test]
fn an_unseeded_delay_shows() {
    assert_ne!(trace(unseeded_delay), trace(unseeded_delay));
}

#[test]
fn a_hash_from_another_thread_shows() {
    assert_ne!(trace(order_of_a_map), trace(order_of_a_map));
}

/// The hash of the trace of one exchange between two machines.
fn trace(draw: Draw) -> String {
    let machine = |name: &str, last: u8, node| MachineSpec {
        name: name.to_owned(),
        addresses: vec![IpAddr::from([10, 0, 0, last])],
        place: Place::Node(node),
    };
    let topology =
        Topology { machines: vec![machine("one", 1, 0), machine("two", 2, 1)], ..Topology::default() };
    let finished = run(SimConfig::new(5), topology, move |world| Box::pin(exchange(world, draw)));
    let finished = finished.expect("the exchange ends");
    assert_eq!(finished.value, 8, "the bytes arrived");
    assert!(finished.trace.as_str().contains("\"len\":8"), "the bytes crossed a segment");
    finished.trace.sha256()
}

async fn exchange(world: World, draw: Draw) -> usize {
    let (one, two) = (world.host("one"), world.host("two"));
    let at = Endpoint::from(SocketAddr::from(([10, 0, 0, 2], 80)));
    let listener = two.listen(&at).await.expect("nothing listens there");
    let (payload, delay) = draw(&one);
    let send = async {
        tokio::time::sleep(delay).await;
        let mut stream = one.connect(&at).await.expect("it listens").stream;
        stream.write_all(&payload.to_be_bytes()).await.expect("it reads");
        stream.shutdown().await.expect("it reads");
    };
    let receive = async {
        let mut stream = listener.accept().await.expect("it connects").stream;
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.expect("it ends");
        received.len()
    };
    join(send, receive).await.1
}
