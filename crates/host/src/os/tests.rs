//! Real loopback sockets behind the cluster's addresses, and this computer as a host.

use super::{Computer, Network, computer, own_address_towards};
use crate::{Connection, Endpoint, HostRef, Listener, PortMap, Redirect};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NODE: [u8; 4] = [198, 18, 0, 1];
const OTHER: [u8; 4] = [198, 18, 0, 2];
const POD: [u8; 4] = [10, 244, 0, 2];

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A node with one pod, and another computer.
fn network() -> (Network, HostRef, HostRef) {
    let network = Network::default();
    let node = network.host("node-1", NODE, vec![POD.into()]);
    let other = network.host("other", OTHER, vec![]);
    (network, node, other)
}

async fn listen(host: &HostRef, on: &str) -> Box<dyn Listener> {
    host.listen(&at(on).into()).await.unwrap()
}

/// Both ends of a connection.
async fn both(
    connecting: impl Future<Output = std::io::Result<Connection>>,
    server: &dyn Listener,
) -> (Connection, Connection) {
    let both = async { tokio::try_join!(connecting, server.accept()) };
    tokio::time::timeout(Duration::from_secs(10), both).await.expect("in time").expect("it is accepted")
}

/// What a server sees of a connection: the client's address without its port, and its own.
async fn seen(client: &HostRef, to: &str, server: &dyn Listener) -> (IpAddr, SocketAddr) {
    let to: Endpoint = at(to).into();
    let (mut opened, mut accepted) = both(client.connect(&to), server).await;
    assert_eq!(opened.peer, to, "a client sees whom it asked for");
    assert_eq!(opened.local, accepted.peer, "both see the same client");
    opened.stream.write_all(b"ping").await.unwrap();
    let mut got = [0; 4];
    accepted.stream.read_exact(&mut got).await.unwrap();
    accepted.stream.write_all(b"pong").await.unwrap();
    opened.stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"pong");
    (accepted.peer.socket_addr().unwrap().ip(), accepted.local.socket_addr().unwrap())
}

async fn refused(client: &HostRef, to: &str) -> ErrorKind {
    client.connect(&at(to).into()).await.expect_err("nobody is there").kind()
}

#[tokio::test]
async fn servers_see_the_clusters_addresses() {
    let (_network, node, other) = network();
    let pod = node.pod(POD.into()).unwrap();
    let server = listen(&other, "0.0.0.0:6443").await;
    assert_eq!(server.local(), at("198.18.0.2:6443").into());
    assert_eq!(seen(&node, "198.18.0.2:6443", &*server).await, (NODE.into(), at("198.18.0.2:6443")));
    assert_eq!(seen(&pod, "198.18.0.2:6443", &*server).await.0, IpAddr::from(POD));
    assert_eq!(seen(&other, "127.0.0.1:6443", &*server).await.0, IpAddr::from(OTHER));
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_refused_and_a_port_has_one_listener() {
    let (_network, node, other) = network();
    for nowhere in ["198.18.0.2:80", "198.18.9.9:80", "8.8.8.8:80", "127.0.0.1:80"] {
        assert_eq!(refused(&node, nowhere).await, ErrorKind::ConnectionRefused, "{nowhere}");
    }
    let server = listen(&other, "198.18.0.2:80").await;
    for taken in ["198.18.0.2:80", "0.0.0.0:80"] {
        let again = other.listen(&at(taken).into()).await.err().expect("it is taken");
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
    }
    let foreign = other.listen(&at("198.18.0.1:81").into()).await.err().expect("it is another's");
    assert_eq!(foreign.kind(), ErrorKind::AddrNotAvailable);
    drop(server);
    assert_eq!(refused(&node, "198.18.0.2:80").await, ErrorKind::ConnectionRefused);
    let again = listen(&other, "0.0.0.0:80").await;
    assert_eq!(seen(&node, "198.18.0.2:80", &*again).await.0, IpAddr::from(NODE));
}

#[tokio::test]
async fn a_loopback_port_is_the_machines_own() {
    let (_network, node, other) = network();
    let pod = node.pod(POD.into()).unwrap();
    let server = listen(&node, "127.0.0.1:10248").await;
    for stranger in [&other, &pod] {
        assert_eq!(refused(stranger, "198.18.0.1:10248").await, ErrorKind::ConnectionRefused);
        assert_eq!(refused(stranger, "127.0.0.1:10248").await, ErrorKind::ConnectionRefused);
    }
    assert_eq!(refused(&node, "198.18.0.1:10248").await, ErrorKind::ConnectionRefused);
    assert_eq!(seen(&node, "127.0.0.1:10248", &*server).await.0, IpAddr::from(NODE));
}

#[tokio::test]
async fn connections_pass_the_tables_of_who_opens_them_and_of_where_they_arrive() {
    let (_network, node, other) = network();
    let pod = node.pod(POD.into()).unwrap();
    let (server, web) = (listen(&other, "0.0.0.0:6443").await, listen(&pod, "0.0.0.0:8080").await);
    let service = Redirect::new(at("10.96.0.1:443"), vec![at("198.18.0.2:6443")]);
    node.set_redirects(vec![
        service,
        Redirect { masquerade: true, ..Redirect::new(at("198.18.0.1:30080"), vec![at("10.244.0.2:8080")]) },
        Redirect::new(at("10.96.0.2:80"), vec![]),
    ]);
    node.set_port_maps(vec![PortMap { address: None, port: 80, to: at("10.244.0.2:8080") }]);
    assert_eq!(seen(&pod, "10.96.0.1:443", &*server).await.0, IpAddr::from(POD));
    assert_eq!(seen(&node, "10.96.0.1:443", &*server).await.0, IpAddr::from(NODE));
    assert_eq!(refused(&other, "10.96.0.1:443").await, ErrorKind::ConnectionRefused, "it has no table");
    assert_eq!(refused(&pod, "10.96.0.2:80").await, ErrorKind::ConnectionRefused, "no endpoints");
    assert_eq!(seen(&other, "198.18.0.1:30080", &*web).await.0, IpAddr::from(NODE), "masqueraded");
    assert_eq!(seen(&other, "198.18.0.1:80", &*web).await.0, IpAddr::from(OTHER), "a host port");
}

#[tokio::test]
async fn only_a_published_port_is_open_to_other_programs() {
    let (network, node, other) = network();
    let open = network.publish(at("198.18.0.2:6443"), at("127.0.0.1:0")).unwrap();
    let server = listen(&other, "0.0.0.0:6443").await;
    let stranger = std::env::temp_dir();
    let stranger = computer(Computer {
        name: "stranger".into(),
        address: [127, 0, 0, 1].into(),
        files: stranger,
        places: vec![],
        observer: None,
    });
    let open: Endpoint = open.into();
    let (opened, accepted) = both(stranger.connect(&open), &*server).await;
    assert_eq!(opened.local, accepted.peer, "its own address");
    // The private socket of the same port gives a program without an address in the cluster nothing.
    let private = network.0.door(NODE.into(), at("198.18.0.2:6443")).unwrap().unwrap();
    let mut intruder = stranger.connect(&private.into()).await.unwrap();
    assert_eq!(seen(&node, "198.18.0.2:6443", &*server).await.0, IpAddr::from(NODE));
    let mut nothing = Vec::new();
    // Closed, or reset where it was closed before anything was read.
    let read = intruder.stream.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty(), "{read:?}");
}

#[tokio::test]
async fn a_client_is_known_for_as_long_as_its_connection_lasts() {
    let (network, node, other) = network();
    let server = listen(&other, "0.0.0.0:80").await;
    let opened = node.connect(&at("198.18.0.2:80").into()).await.unwrap();
    let port = opened.local.socket_addr().unwrap().port();
    let real = SocketAddr::new([127, 0, 0, 1].into(), port);
    assert_eq!(network.0.client_at(real), Some(SocketAddr::new(NODE.into(), port)));
    drop(opened);
    assert_eq!(network.0.client_at(real), None);
    drop(server);
}

#[tokio::test]
async fn a_nodes_pods_are_its_own_and_keep_what_they_have() {
    let (_network, node, other) = network();
    assert!(node.pod([10, 244, 0, 3].into()).is_err(), "no address of its");
    assert!(other.pod(POD.into()).is_err(), "another's");
    node.pod(POD.into()).unwrap().disk().write("token", b"t").unwrap();
    assert_eq!(node.pod(POD.into()).unwrap().disk().read("token").as_deref(), Some(&b"t"[..]));
    assert_eq!(node.disk().read("token"), None);
    let unix = Endpoint::Unix("/run/x.sock".into());
    let server = node.listen(&unix).await.unwrap();
    assert!(other.connect(&unix).await.is_err());
    both(node.connect(&unix), &*server).await;
}

/// A folder of its own for one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        Self(std::env::temp_dir().join(format!("ravelin-host-{test}-{}", std::process::id())))
    }

    fn computer(&self) -> HostRef {
        let (name, address) = ("here".to_owned(), IpAddr::from([127, 0, 0, 1]));
        let places = vec![("/var/lib/kubelet/pki".to_owned(), self.0.join("certificates"))];
        computer(Computer { name, address, files: self.0.clone(), places, observer: None })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A test that failed says more than its leavings.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_computer_speaks_with_real_addresses_and_its_pods_with_it() {
    let folder = Folder::new("real");
    let host = folder.computer();
    let server = listen(&host, "127.0.0.1:0").await;
    let real = server.local().to_string();
    assert_eq!(seen(&host, &real, &*server).await.0, IpAddr::from([127, 0, 0, 1]));
    let service = Redirect::new(at("10.96.0.1:443"), vec![at(&real)]);
    host.set_redirects(vec![service]);
    assert_eq!(seen(&host, "10.96.0.1:443", &*server).await.0, IpAddr::from([127, 0, 0, 1]));
    let pod = host.pod(POD.into()).unwrap();
    let web = listen(&pod, "0.0.0.0:8080").await;
    assert_eq!(seen(&host, "10.244.0.2:8080", &*web).await.0, IpAddr::from([127, 0, 0, 1]));
    assert_eq!(refused(&host, "10.244.0.2:8081").await, ErrorKind::ConnectionRefused);
    let through: Endpoint = at("10.96.0.1:443").into();
    both(pod.connect(&through), &*server).await;
    assert_eq!(refused(&pod, "127.0.0.1:8081").await, ErrorKind::ConnectionRefused, "its own loopback");
}

#[test]
fn files_are_the_owners_alone_and_stay_in_their_folder() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("files");
    let host = folder.computer();
    let disk = host.disk();
    assert_eq!(disk.read("/pki/a.pem"), None);
    disk.write("/pki/a.pem", b"one").unwrap();
    disk.write("pki/a.pem", b"two").unwrap();
    disk.write("/var/lib/kubelet/pki/b.pem", b"three").unwrap();
    assert_eq!(std::fs::read(folder.0.join("certificates/b.pem")).unwrap(), b"three");
    disk.write("/var/lib/kubelet/pkix", b"four").unwrap();
    assert!(folder.0.join("var/lib/kubelet/pkix").exists(), "only whole names of folders");
    disk.append("log", b"a").unwrap();
    disk.append("log", b"b").unwrap();
    assert_eq!(disk.read("/pki/a.pem").as_deref(), Some(&b"two"[..]));
    assert_eq!(disk.read("log").as_deref(), Some(&b"ab"[..]));
    for (file, mode) in [("pki", 0o700), ("pki/a.pem", 0o600), ("log", 0o600)] {
        let found = std::fs::metadata(folder.0.join(file)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{file}");
    }
    let there = std::fs::read_dir(folder.0.join("pki")).unwrap().count();
    assert_eq!(there, 1, "nothing half-written is left");
    assert_eq!(own_address_towards(at("127.0.0.1:1")).unwrap(), IpAddr::from([127, 0, 0, 1]));
    for outside in ["/var/lib/kubelet/pki/../x", "../x", "/pki/../../x", "", "/"] {
        assert!(disk.write(outside, b"x").is_err(), "{outside}");
        assert_eq!(disk.read(outside), None, "{outside}");
    }
    disk.remove("log").unwrap();
    disk.remove("log").unwrap();
    assert_eq!(disk.read("log"), None);
}

#[tokio::test]
async fn the_clock_runs() {
    let (_network, node, _) = network();
    let before = node.now();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(node.now() > before);
    assert!(node.flaws().iter().next().is_none());
}

#[tokio::test]
async fn other_programs_reach_a_unix_socket_and_one_left_behind_gives_way() {
    let folder = Folder::new("unix-socket");
    std::fs::create_dir_all(&folder.0).unwrap();
    let path = folder.0.join("a.sock").to_str().unwrap().to_owned();
    let on = Endpoint::Unix(path.clone());
    drop(folder.computer().listen(&on).await.unwrap());
    assert!(folder.computer().connect(&on).await.is_err(), "nobody listens");
    let (server, client) = (folder.computer(), folder.computer());
    let listener = server.listen(&on).await.unwrap();
    let (mut ours, mut theirs) = both(client.connect(&on), &*listener).await;
    ours.stream.write_all(b"hello").await.unwrap();
    let mut read = [0; 5];
    theirs.stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
    let file = folder.0.join("b.sock");
    std::fs::write(&file, "not a socket").unwrap();
    let on = Endpoint::Unix(file.to_str().unwrap().to_owned());
    assert_eq!(server.listen(&on).await.err().unwrap().kind(), ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a socket");
}
