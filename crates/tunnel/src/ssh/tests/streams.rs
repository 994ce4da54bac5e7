//! What passes through a tunnel, and how it ends.

use super::*;
use jiff::ToSpan;
use ravelin_host::Connection;
use ravelin_pki::{Authority, KeyPair, Profile, San, ServerTrust, Subject, TrustAnchors, Usage};
use ravelin_transport::{TlsClient, TlsError};

#[tokio::test(start_paused = true)]
async fn bytes_pass_both_ways_and_halves_close_alone() {
    let cluster = Cluster::new(2).await;
    let tunneler = cluster.tunneler(pinned(2), UnknownNode::Fail);
    tunneler.wait_ready(2, DEADLINE).await.unwrap();
    let stream = echo_through(&tunneler, 2).await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (mut read, mut write) = tokio::io::split(stream);
    let mut received = Vec::new();
    let writing = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let both = async { tokio::join!(writing, read.read_to_end(&mut received)).1.unwrap() };
    tokio::time::timeout(DEADLINE, both).await.expect("neither end waits for the other for good");
    assert_eq!(received.pop(), Some(b'.'), "the target saw the end and answered after it");
    assert!(received == sent);
}

#[tokio::test(start_paused = true)]
async fn channels_do_not_mix_nor_end_together() {
    let cluster = Cluster::new(1).await;
    let tunneler = cluster.tunneler(pinned(1), UnknownNode::Fail);
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
    let (mut first, mut second) = (echo_through(&tunneler, 1).await, echo_through(&tunneler, 1).await);
    first.write_all(b"one\n").await.unwrap();
    second.write_all(b"two\n").await.unwrap();
    assert_eq!((line(&mut second).await, line(&mut first).await), ("two".to_owned(), "one".to_owned()));
    drop(first);
    second.write_all(b"three\n").await.unwrap();
    assert_eq!(line(&mut second).await, "three");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_before_a_drop_arrives() {
    let cluster = Cluster::new(1).await;
    let sink = cluster.hosts["node-1"].listen(&Endpoint::tcp(ip(1), 9)).await.unwrap();
    let tunneler = cluster.tunneler(pinned(1), UnknownNode::Fail);
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
    let mut stream = tunneler.dial(SocketAddr::new(ip(1), 9), &node(1)).await.unwrap();
    stream.write_all(&[7; 200_000]).await.unwrap();
    drop(stream);
    let mut received = Vec::new();
    sink.accept().await.unwrap().stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, [7; 200_000]);
}

/// Sends the numbers from 0 on, for ever.
async fn count_up(mut stream: BoxedStream) {
    for number in 0_u32.. {
        let chunk: Vec<u8> = (0..250).flat_map(|_| number.to_be_bytes()).collect();
        if stream.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

/// Nothing is missing and nothing is twice.
async fn counted(stream: &mut BoxedStream, from: u32, until: u32) {
    for number in from..until {
        for _ in 0..250 {
            assert_eq!(stream.read_u32().await.unwrap(), number);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_holds_up_nobody_and_loses_nothing() {
    let cluster = Cluster::new(1).await;
    let flood = cluster.hosts["node-1"].listen(&Endpoint::tcp(ip(1), 9)).await.unwrap();
    tokio::spawn(async move { count_up(flood.accept().await.unwrap().stream).await });
    let tunneler = cluster.tunneler(pinned(1), UnknownNode::Fail);
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
    let mut other = echo_through(&tunneler, 1).await;
    let mut stalled = tunneler.dial(SocketAddr::new(ip(1), 9), &node(1)).await.unwrap();
    for round in 0..10 {
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            other.write_all(b"still here\n").await.unwrap();
            let answer = tokio::time::timeout(Duration::from_secs(1), line(&mut other)).await;
            assert_eq!(answer.expect("the session goes on"), "still here");
        }
        counted(&mut stalled, round * 4_000, (round + 1) * 4_000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_read_holds_up_nobody() {
    let cluster = Cluster::new(1).await;
    let sink = cluster.hosts["node-1"].listen(&Endpoint::tcp(ip(1), 9)).await.unwrap();
    let tunneler = cluster.tunneler(pinned(1), UnknownNode::Fail);
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
    let mut other = echo_through(&tunneler, 1).await;
    let full = tunneler.dial(SocketAddr::new(ip(1), 9), &node(1)).await.unwrap();
    let mut target = sink.accept().await.unwrap().stream;
    tokio::spawn(count_up(full));
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        other.write_all(b"still here\n").await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(1), line(&mut other)).await;
        assert_eq!(answer.expect("the session goes on"), "still here");
    }
    counted(&mut target, 0, 20_000).await;
}

/// An alert is the last thing that a client writes: the impostor is to see why it was refused.
#[tokio::test(start_paused = true)]
async fn the_last_words_of_a_client_reach_an_impostor() {
    let network = Network::new();
    let impostor = network.host("impostor", ip(1));
    let listener = impostor.listen(&Endpoint::tcp(ip(1), SSH_PORT)).await.unwrap();
    let cluster =
        Cluster { network, nodes: Nodes::default(), servers: BTreeMap::new(), hosts: BTreeMap::new() };
    cluster.nodes.add("node-1", &[ip(1)]);
    let careless = cluster.tunneler(HostKeyPolicy::DangerAny, UnknownNode::Fail);
    let stream = listener.accept().await.unwrap().stream;
    let mut victim = danger::accept(&impostor, stream, &key(66)).await.unwrap();
    careless.wait_ready(1, DEADLINE).await.unwrap();
    let mut dialled = careless.dial(SocketAddr::new(ip(1), 10250), &node(1)).await.unwrap();
    let mut forward = victim.next_forward().await.unwrap();
    dialled.write_all(b"hello\n").await.unwrap();
    assert_eq!(line(&mut forward.stream).await, "hello");
    forward.stream.write_all(b"forged\n").await.unwrap();
    assert_eq!(line(&mut dialled).await, "forged");
    dialled.write_all(b"unknown CA").await.unwrap();
    drop(dialled);
    let mut heard = Vec::new();
    forward.stream.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"unknown CA");
}

/// A TLS client that refuses its server says so in its last write, which is a vectored one.
#[tokio::test(start_paused = true)]
async fn a_tls_alert_within_a_tunnel_reaches_the_impostor() {
    let network = Network::new();
    let (near, impostor) = (network.host("control-plane", ip(100)), network.host("impostor", ip(1)));
    let listener = impostor.listen(&Endpoint::tcp(ip(1), SSH_PORT)).await.unwrap();
    let nodes = Nodes::default();
    nodes.add("node-1", &[ip(1)]);
    let config = SshConfig::new("tunnel", key(USER_KEY), HostKeyPolicy::DangerAny);
    let careless = SshTunneler::follow(Arc::clone(&near), config, Arc::new(nodes));
    let stream = listener.accept().await.unwrap().stream;
    let mut victim = danger::accept(&impostor, stream, &key(66)).await.unwrap();
    careless.wait_ready(1, DEADLINE).await.unwrap();

    let authority = |seed: u8| {
        let (from, until) = (near.now() - 1.hours(), near.now() + 24.hours());
        let mut entropy = Entropy::from_key([seed; 32]);
        Authority::new("kubernetes", KeyPair::generate(&mut entropy), from, until, &mut entropy)
    };
    let forged = authority(2).identity(
        &Profile {
            subject: Subject::new("kubelet", &[]),
            sans: vec![San::Ip(ip(1))],
            usages: vec![Usage::Server],
            not_before: near.now() - 1.hours(),
            not_after: near.now() + 1.hours(),
        },
        &mut Entropy::from_key([3; 32]),
    );
    let anchors = TrustAnchors::new([authority(1).certificate()]).unwrap();
    let client =
        TlsClient { trust: ServerTrust::Anchors(anchors), identity: None, server_name: ip(1).to_string() };
    let dialled = careless.dial(SocketAddr::new(ip(1), 10250), &node(1)).await.unwrap();
    let forward = victim.next_forward().await.unwrap();
    let connection = Connection {
        stream: forward.stream,
        local: Endpoint::tcp(ip(1), 10250),
        peer: Endpoint::tcp(ip(100), 40_000),
    };
    let (refused, heard) = tokio::join!(
        client.connect(&near, dialled),
        ravelin_transport::danger::accept(&impostor, forged, connection)
    );
    assert!(matches!(refused, Err(TlsError::PeerRefused { .. })));
    let heard = heard.unwrap_err();
    assert_eq!((heard.alert.as_str(), heard.by_peer), ("UnknownCA", true));
}

/// Keys are exchanged anew every 200 kB, and both ends see that nothing is lost or mixed up.
#[tokio::test(start_paused = true)]
async fn channels_survive_the_renewal_of_keys() {
    let cluster = Cluster::new(1).await;
    let host = cluster.network.host("somebody", ip(50));
    let stream = host.connect(&Endpoint::tcp(ip(1), SSH_PORT)).await.unwrap().stream;
    let often = russh::Limits { rekey_write_limit: 200_000, rekey_read_limit: 200_000, ..limits() };
    let session = Session::open(&host, stream, &login(often)).await.unwrap();
    let before = cluster.network.secrets().len();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let exchange = |stream: BoxedStream| async {
        let (mut read, mut write) = tokio::io::split(stream);
        let mut received = Vec::new();
        let writing = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        tokio::join!(writing, read.read_to_end(&mut received)).1.unwrap();
        received
    };
    let (first, second) =
        (session.dial("10.0.0.1", 7).await.unwrap(), session.dial("10.0.0.1", 7).await.unwrap());
    let expected = [&b"node-1\n"[..], &sent, b"."].concat();
    let both = async { tokio::join!(exchange(first), exchange(second)) };
    let (first, second) = tokio::time::timeout(DEADLINE, both).await.expect("they go on");
    assert!(first == expected && second == expected);
    let renewals = cluster.network.secrets().len() - before;
    assert!(renewals >= 10, "keys were exchanged {renewals} times");
}

#[tokio::test(start_paused = true)]
async fn keys_are_renewed_every_hour_under_an_open_stream() {
    let cluster = Cluster::new(1).await;
    let tunneler = cluster.tunneler(pinned(1), UnknownNode::Fail);
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
    let mut stream = echo_through(&tunneler, 1).await;
    let before = cluster.network.secrets().len();
    for hour in 1..=5 {
        tokio::time::sleep(Duration::from_secs(3601)).await;
        stream.write_all(b"still here\n").await.unwrap();
        assert_eq!(line(&mut stream).await, "still here", "after {hour} hours");
    }
    // Both ends hand out each secret.
    assert_eq!(cluster.network.secrets().len() - before, 5);
}

#[tokio::test(start_paused = true)]
async fn ipv6_reaches_nodes_and_targets() {
    let network = Network::new();
    let address: IpAddr = "fd00::1".parse().unwrap();
    let host = network.host("node-1", address);
    echo(&host, 7, "node-1").await;
    let config = SshNodeConfig {
        listen: SocketAddr::new(address, SSH_PORT),
        host_key: key(11),
        host_certificate: None,
        user: "tunnel".to_owned(),
        authorized_keys: vec![key(USER_KEY).public()],
        user_authorities: Vec::new(),
        forwarding: Forwarding::DangerAnywhere,
    };
    let _server = SshNodeServer::start(host, config).await.unwrap();
    let nodes = Nodes::default();
    nodes.add("node-1", &[address]);
    let near = network.host("control-plane", ip(100));
    let config = SshConfig::new("tunnel", key(USER_KEY), pinned(1));
    let tunneler = SshTunneler::follow(near, config, Arc::new(nodes));
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
    let mut stream = tunneler.dial(SocketAddr::new(address, 7), &node(1)).await.unwrap();
    assert_eq!(line(&mut stream).await, "node-1");
}
