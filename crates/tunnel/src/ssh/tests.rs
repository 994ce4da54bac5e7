//! Tunnels between hosts in memory.

#![expect(clippy::disallowed_methods, reason = "what stands around a session in a test is no component")]

mod host_keys;
mod keeping;
mod streams;

use super::nodes::{ListedNode, NodeSource};
use super::policy::ExpectedNode;
use super::session::{Login, Session};
use super::*;
use async_trait::async_trait;
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use ravelin_host::{BoxedStream, Endpoint, Flaw, Flaws, HostRef, SessionSecret};
use ravelin_oracle::dissect::{Secrets, SshSecret, plain_streams};
use ravelin_transport::egress::{Destination, Egress, EgressError};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const DEADLINE: Duration = Duration::from_secs(120);

fn key(byte: u8) -> SshKey {
    SshKey::generate(&mut Entropy::from_key([byte; 32]))
}

const USER_KEY: u8 = 1;

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// A list of nodes that a test changes, and what is recorded of them.
#[derive(Clone, Debug, Default)]
struct Nodes(Arc<Mutex<BTreeMap<String, ListedNode>>>);

impl Nodes {
    fn add(&self, name: &str, addresses: &[IpAddr]) {
        let node = ListedNode { addresses: addresses.to_vec(), recorded: None };
        self.0.lock().unwrap().insert(name.to_owned(), node);
    }

    fn remove(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }

    fn recorded(&self, name: &str) -> Option<SshPublicKey> {
        self.0.lock().unwrap()[name].recorded.clone()
    }
}

#[async_trait]
impl NodeSource for Nodes {
    async fn nodes(&self) -> Result<BTreeMap<String, ListedNode>, String> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn record(&self, node: &str, key: &SshPublicKey) -> Result<SshPublicKey, String> {
        let mut nodes = self.0.lock().unwrap();
        let node = nodes.get_mut(node).ok_or("there is no such node")?;
        Ok(node.recorded.get_or_insert_with(|| key.clone()).clone())
    }
}

struct Cluster {
    network: Network,
    nodes: Nodes,
    servers: BTreeMap<String, SshNodeServer>,
    hosts: BTreeMap<String, HostRef>,
}

impl Cluster {
    /// Nodes 1 to `count`, `node-N` at 10.0.0.N with host key 10 + N, each with an echo on port 7
    /// that greets with the node's name.
    async fn new(count: u8) -> Self {
        let mut cluster = Self {
            network: Network::new(),
            nodes: Nodes::default(),
            servers: BTreeMap::new(),
            hosts: BTreeMap::new(),
        };
        for number in 1..=count {
            let name = format!("node-{number}");
            let host = cluster.network.host(&name, ip(number));
            echo(&host, 7, &name).await;
            cluster.hosts.insert(name.clone(), host);
            cluster.nodes.add(&name, &[ip(number)]);
            cluster.serve(number).await;
        }
        cluster
    }

    async fn serve(&mut self, number: u8) {
        let name = format!("node-{number}");
        let config = SshNodeConfig {
            listen: SocketAddr::new(ip(number), SSH_PORT),
            host_key: key(10 + number),
            host_certificate: None,
            user: "tunnel".to_owned(),
            authorized_keys: vec![key(USER_KEY).public()],
            user_authorities: Vec::new(),
            forwarding: Forwarding::DangerAnywhere,
        };
        let server = SshNodeServer::start(Arc::clone(&self.hosts[&name]), config).await.unwrap();
        self.servers.insert(name, server);
    }

    /// Ends a node's server, and waits until its port is free.
    async fn stop(&mut self, number: u8) {
        drop(self.servers.remove(&format!("node-{number}")));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn tunneler(&self, host_keys: HostKeyPolicy, unknown_node: UnknownNode) -> Arc<SshTunneler> {
        let host = self.network.host("control-plane", ip(100));
        self.tunneler_on(host, host_keys, unknown_node)
    }

    fn tunneler_on(
        &self,
        host: HostRef,
        host_keys: HostKeyPolicy,
        unknown_node: UnknownNode,
    ) -> Arc<SshTunneler> {
        let config = SshConfig { unknown_node, ..SshConfig::new("tunnel", key(USER_KEY), host_keys) };
        SshTunneler::follow(host, config, Arc::new(self.nodes.clone()))
    }
}

/// How to log in to node-1, whose key is pinned.
fn login(limits: russh::Limits) -> Login {
    let policy = pinned(1);
    let expected = ExpectedNode { policy, ..ExpectedNode::danger_any("node-1") };
    Login {
        expected: Arc::new(expected),
        user: "tunnel".to_owned(),
        key: key(USER_KEY),
        certificate: None,
        limits,
    }
}

fn pinned(count: u8) -> HostKeyPolicy {
    HostKeyPolicy::Pinned(
        (1..=count).map(|number| (format!("node-{number}"), key(10 + number).public())).collect(),
    )
}

/// Greets with a line, then answers with what it reads; after its end with `.`.
async fn echo(host: &HostRef, port: u16, greeting: &str) {
    let listener = host.listen(&Endpoint::tcp(host.addresses()[0], port)).await.unwrap();
    let greeting = format!("{greeting}\n");
    tokio::spawn(async move {
        while let Ok(mut connection) = listener.accept().await {
            let greeting = greeting.clone();
            tokio::spawn(async move {
                let stream = &mut connection.stream;
                stream.write_all(greeting.as_bytes()).await?;
                let mut buffer = vec![0; 9_000];
                loop {
                    let count = stream.read(&mut buffer).await?;
                    if count == 0 {
                        break;
                    }
                    stream.write_all(&buffer[..count]).await?;
                }
                stream.write_all(b".").await?;
                stream.shutdown().await
            });
        }
    });
}

fn node(number: u8) -> Destination {
    Destination::Node { node: format!("node-{number}") }
}

fn pod() -> Destination {
    pod_on(None)
}

fn pod_on(node: Option<&str>) -> Destination {
    let node = node.map(str::to_owned);
    Destination::Pod { namespace: "default".to_owned(), name: "web".to_owned(), node }
}

async fn line(stream: &mut BoxedStream) -> String {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.unwrap() {
            b'\n' => return String::from_utf8(line).unwrap(),
            byte => line.push(byte),
        }
    }
}

async fn echo_through(tunneler: &SshTunneler, number: u8) -> BoxedStream {
    let mut stream = tunneler.dial(SocketAddr::new(ip(number), 7), &node(number)).await.unwrap();
    assert_eq!(line(&mut stream).await, format!("node-{number}"));
    stream
}

fn refusal(result: Result<BoxedStream, EgressError>) -> String {
    match result {
        Err(EgressError::Refused(text)) => text,
        Err(error) => panic!("not a refusal: {error}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_server_forwards_and_does_nothing_else() {
    let cluster = Cluster::new(1).await;
    let host = cluster.network.host("somebody", ip(50));
    let port = Endpoint::tcp(ip(1), SSH_PORT);
    for (user, user_key) in [("root", USER_KEY), ("tunnel", 2)] {
        let stream = host.connect(&port).await.unwrap().stream;
        let error = danger::log_in(&host, stream, user, &key(user_key)).await.unwrap_err();
        assert!(matches!(error, SessionError::UserRefused { .. }), "{error}");
    }
    let stream = host.connect(&port).await.unwrap().stream;
    let session = Session::open(&host, stream, &login(limits())).await.unwrap();
    assert!(!session.offers_a_shell().await);
    assert_eq!(refusal(session.dial("10.0.0.1", 9).await), "ssh: rejected: connect failed");
    assert_eq!(line(&mut session.dial("node-1", 7).await.unwrap()).await, "node-1");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_by_either_end() {
    let cluster = Cluster::new(1).await;
    let host = cluster.network.host("somebody", ip(50));
    let mut silent = host.connect(&Endpoint::tcp(ip(1), SSH_PORT)).await.unwrap().stream;
    let mut said = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, silent.read_to_end(&mut said)).await.expect("the server hangs up");
    assert!(said.starts_with(b"SSH-2.0-"));

    let (near, _far) = tokio::io::duplex(1_000_000);
    let silent = danger::log_in(&host, Box::new(near), "tunnel", &key(USER_KEY)).await;
    assert!(matches!(silent, Err(SessionError::Timeout(_))), "{silent:?}");
}

#[tokio::test(start_paused = true)]
async fn an_impostors_server_takes_in_who_trusts_any_key() {
    let network = Network::new();
    let impostor = network.host("impostor", ip(1));
    let listener = impostor.listen(&Endpoint::tcp(ip(1), SSH_PORT)).await.unwrap();
    let cluster =
        Cluster { network, nodes: Nodes::default(), servers: BTreeMap::new(), hosts: BTreeMap::new() };
    cluster.nodes.add("node-1", &[ip(1)]);

    let careful = cluster.tunneler(pinned(1), UnknownNode::Fail);
    let stream = listener.accept().await.unwrap().stream;
    danger::accept(&impostor, stream, &key(66)).await.unwrap_err();
    drop(careful);

    let careless = cluster.tunneler(HostKeyPolicy::DangerAny, UnknownNode::Fail);
    let stream = listener.accept().await.unwrap().stream;
    let mut victim = danger::accept(&impostor, stream, &key(66)).await.unwrap();
    assert_eq!((victim.user(), victim.user_key()), ("tunnel", &key(USER_KEY).public()));
    careless.wait_ready(1, DEADLINE).await.unwrap();
    let mut dialled = careless.dial(SocketAddr::new(ip(1), 10250), &node(1)).await.unwrap();
    let mut forward = victim.next_forward().await.unwrap();
    assert_eq!((forward.host.as_str(), forward.port), ("10.0.0.1", 10250));
    dialled.write_all(b"secret\n").await.unwrap();
    assert_eq!(line(&mut forward.stream).await, "secret");
    forward.stream.write_all(b"forged\n").await.unwrap();
    assert_eq!(line(&mut dialled).await, "forged");
}

type Bytes = Arc<Mutex<Vec<u8>>>;

/// One exchange through a node server: what both sides put on the wire, and the secrets.
async fn captured() -> (Vec<u8>, Vec<u8>, Secrets) {
    let cluster = Cluster::new(1).await;
    let host = cluster.network.host("somebody", ip(50));
    let server = host.connect(&Endpoint::tcp(ip(1), SSH_PORT)).await.unwrap().stream;
    let (near, far) = tokio::io::duplex(8192);
    let (sent, answered) = (Bytes::default(), Bytes::default());
    let ((far_read, far_write), (server_read, server_write)) =
        (tokio::io::split(far), tokio::io::split(server));
    tokio::spawn(tap(far_read, server_write, Arc::clone(&sent)));
    tokio::spawn(tap(server_read, far_write, Arc::clone(&answered)));
    let intruder = danger::log_in(&host, Box::new(near), "tunnel", &key(USER_KEY)).await.unwrap();
    let mut stream = intruder.dial("10.0.0.1", 7).await.unwrap();
    stream.write_all(b"canary-4711\n").await.unwrap();
    assert_eq!(
        (line(&mut stream).await, line(&mut stream).await),
        ("node-1".to_owned(), "canary-4711".to_owned())
    );
    let mut secrets = Secrets::default();
    for secret in cluster.network.secrets() {
        if let SessionSecret::Ssh { shared_secret, kex, cipher } = secret {
            secrets.add_ssh(SshSecret { shared_secret, kex, cipher });
        }
    }
    let bytes = |captured: Bytes| captured.lock().unwrap().clone();
    (bytes(sent), bytes(answered), secrets)
}

#[tokio::test(start_paused = true)]
async fn a_capture_is_read_with_the_secret_that_was_handed_out() {
    let (sent, answered, secrets) = captured().await;
    assert_eq!(plain_streams(&sent, &answered, &Secrets::default()), []);
    let streams = plain_streams(&sent, &answered, &secrets);
    assert_eq!(streams[0].layers, ["ssh", "direct-tcpip 10.0.0.1:7"]);
    assert_eq!(streams[0].client, b"canary-4711\n");
    assert_eq!(streams[0].server, b"node-1\ncanary-4711\n");
}

#[test]
fn one_seed_gives_the_same_bytes_on_the_wire() {
    let run = |seed: u64| {
        let simulated = move || {
            let _simulated = ravelin_entropy::enter(seed);
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_time().start_paused(true);
            runtime.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
            let (sent, answered, _) = runtime.build().unwrap().block_on(captured());
            (sent, answered)
        };
        std::thread::spawn(simulated).join().unwrap()
    };
    let first = run(1);
    assert!(first.0.len() > 500 && first == run(1));
    assert_ne!(first, run(2));
}

async fn tap(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    copy: Arc<Mutex<Vec<u8>>>,
) {
    let mut buffer = vec![0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        copy.lock().unwrap().extend_from_slice(&buffer[..count]);
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

#[test]
fn keys_survive_their_files() {
    let key = key(1);
    assert_eq!(SshKey::from_openssh(&key.to_openssh()).unwrap().public(), key.public());
    assert_eq!(SshPublicKey::from_openssh(&key.public().to_openssh()).unwrap(), key.public());
    assert!(SshKey::from_openssh("-----BEGIN OPENSSH PRIVATE KEY-----").is_err());
    assert!(!format!("{key:?}").contains("PRIVATE"));
}
