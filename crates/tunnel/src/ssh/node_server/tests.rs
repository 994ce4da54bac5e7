//! A node's server, and a client that asks for everything.

#![expect(clippy::disallowed_methods, reason = "what stands around a server in a test is no component")]

use super::super::{NodeTargets, SshClaim};
use super::*;
use ipnet::IpNet;
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use russh::client::{self, Handle};
use russh::keys::{Algorithm, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use std::sync::Mutex;
use tokio::io::AsyncWriteExt;

const DEADLINE: Duration = Duration::from_secs(120);

fn key(byte: u8) -> SshKey {
    SshKey::generate(&mut Entropy::from_key([byte; 32]))
}

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// `node` at 10.0.0.1 with a kubelet on 10250 and something else on 22 and 7; its pod at 10.0.1.9,
/// another node at 10.0.0.2, a service at 10.96.0.9; and somebody at 10.0.0.50.
struct Stage {
    network: Network,
    somebody: HostRef,
    _server: SshNodeServer,
}

impl Stage {
    async fn new(change: impl FnOnce(&mut SshNodeConfig)) -> Self {
        let network = Network::new();
        let node = network.host("node", ip(1));
        let (pod, other) = (network.host("pod", [10, 0, 1, 9]), network.host("other", ip(2)));
        let service = network.host("service", [10, 96, 0, 9]);
        for (host, port) in [(&node, 10_250), (&node, 7), (&pod, 80), (&other, 10_250), (&service, 443)] {
            greet(host, port).await;
        }
        let mut config = SshNodeConfig {
            listen: SocketAddr::new(ip(1), 22),
            host_key: key(10),
            host_certificate: None,
            user: "tunnel".to_owned(),
            authorized_keys: vec![key(1).public()],
            user_authorities: vec![key(9).public()],
            forwarding: Forwarding::To(NodeTargets {
                kubelet_ports: vec![10_250],
                pods: vec!["10.0.1.0/24".parse().unwrap()],
                services: vec!["10.96.0.0/16".parse().unwrap()],
            }),
        };
        change(&mut config);
        let server = SshNodeServer::start(node, config).await.unwrap();
        Self { somebody: network.host("somebody", ip(50)), network, _server: server }
    }

    /// A client that has not logged in.
    async fn knock(&self) -> Result<Handle<Asker>, russh::Error> {
        let connection = self.somebody.connect(&Endpoint::tcp(ip(1), 22)).await.unwrap();
        let mut config =
            client::Config { preferred: super::super::algorithms(), ..client::Config::default() };
        config.preferred.host_key_certificates = Cow::Borrowed(&[Algorithm::Ed25519]);
        client::connect_stream(Arc::new(config), connection.stream, Asker::default()).await
    }

    async fn logged_in(&self) -> Handle<Asker> {
        let mut client = self.knock().await.unwrap();
        assert!(with_key(&mut client, ("tunnel", 1)).await);
        client
    }

    async fn with_certificate(&self, change: impl FnOnce(&mut SshClaim)) -> (bool, Handle<Asker>) {
        let mut claim = claim(&self.somebody);
        change(&mut claim);
        let certificate = SshCertificate::issue(&key(9), &claim, &mut Entropy::from_key([3; 32]));
        let mut client = self.knock().await.unwrap();
        let key = key(2).private();
        let answer = client.authenticate_openssh_cert("tunnel", key, certificate.inner().clone()).await;
        (answer.is_ok_and(|answer| answer.success()), client)
    }
}

/// The key 2 is the user's, for a hundred years: russh looks at the computer's own clock as well.
fn claim(host: &HostRef) -> SshClaim {
    let year = jiff::SignedDuration::from_hours(365 * 24);
    SshClaim {
        kind: SshCertificateKind::User,
        key: key(2).public(),
        key_id: "two".to_owned(),
        principals: vec!["tunnel".to_owned()],
        from: host.now() - year,
        until: host.now() + year * 100,
        sources: Vec::new(),
    }
}

async fn with_key(client: &mut Handle<Asker>, (user, number): (&str, u8)) -> bool {
    let key = PrivateKeyWithHashAlg::new(key(number).private(), None);
    client.authenticate_publickey(user, key).await.is_ok_and(|answer| answer.success())
}

async fn greet(host: &HostRef, port: u16) {
    let listener = host.listen(&Endpoint::tcp(host.addresses()[0], port)).await.unwrap();
    let name = host.name().to_owned();
    tokio::spawn(async move {
        while let Ok(mut connection) = listener.accept().await {
            let _ = connection.stream.write_all(name.as_bytes()).await;
        }
    });
}

/// A client that takes any host key, and remembers a certificate that it was shown.
#[derive(Clone, Default)]
struct Asker(Arc<Mutex<Option<Certificate>>>);

impl client::Handler for Asker {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        if let PublicKeyOrCertificate::Certificate(certificate) = shown {
            *self.0.lock().unwrap() = Some(certificate.clone());
        }
        Ok(true)
    }
}

async fn reached(client: &Handle<Asker>, (target, port): (&str, u32)) -> Result<String, ChannelOpenFailure> {
    match client.channel_open_direct_tcpip(target, port, "127.0.0.1", 0).await {
        Ok(channel) => {
            let mut greeting = String::new();
            let mut stream = channel.into_stream();
            tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut greeting).await.unwrap();
            Ok(greeting)
        }
        Err(russh::Error::ChannelOpenFailure(why)) => Err(why),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_tunnels_are_for_is_reached() {
    let stage = Stage::new(|_| {}).await;
    let client = stage.logged_in().await;
    for (to, greeting) in [
        (("10.0.0.1", 10_250), "node"),
        (("node", 10_250), "node"),
        (("10.0.1.9", 80), "pod"),
        (("10.96.0.9", 443), "service"),
        (("service", 443), "service"),
    ] {
        assert_eq!(reached(&client, to).await, Ok(greeting.to_owned()), "{to:?}");
    }
    for to in [("10.0.0.1", 7), ("node", 7), ("10.0.0.1", 22), ("10.0.0.2", 10_250), ("other", 10_250)] {
        assert_eq!(reached(&client, to).await, Err(ChannelOpenFailure::AdministrativelyProhibited), "{to:?}");
    }
    for to in [("0.0.0.0", 22), ("::ffff:10.0.0.2", 10_250), ("10.0.0.1", 70_000), ("10.0.0.1", 0)] {
        assert_eq!(reached(&client, to).await, Err(ChannelOpenFailure::AdministrativelyProhibited), "{to:?}");
    }
    for to in [("10.0.1.9", 81), ("nobody", 80)] {
        assert_eq!(reached(&client, to).await, Err(ChannelOpenFailure::ConnectFailed), "{to:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_legacy_far_end_forwards_anywhere() {
    let stage = Stage::new(|config| config.forwarding = Forwarding::DangerAnywhere).await;
    let client = stage.logged_in().await;
    for (to, greeting) in [(("10.0.0.1", 7), "node"), (("other", 10_250), "other")] {
        assert_eq!(reached(&client, to).await, Ok(greeting.to_owned()), "{to:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_shell_no_other_channel_and_no_way_back() {
    let stage = Stage::new(|_| {}).await;
    let client = stage.logged_in().await;
    let refused = |error: Option<russh::Error>| match error {
        Some(russh::Error::ChannelOpenFailure(why)) => why,
        other => panic!("{other:?}"),
    };
    let prohibited = ChannelOpenFailure::AdministrativelyProhibited;
    assert_eq!(refused(client.channel_open_session().await.err()), prohibited);
    assert_eq!(refused(client.channel_open_x11("127.0.0.1", 0).await.err()), prohibited);
    let streamlocal = client.channel_open_direct_streamlocal("/run/containerd.sock").await;
    assert_eq!(refused(streamlocal.err()), prohibited);
    assert!(client.tcpip_forward("0.0.0.0", 8080).await.is_err());
    assert!(client.streamlocal_forward("/tmp/back").await.is_err());
    assert_eq!(reached(&client, ("10.0.0.1", 10_250)).await, Ok("node".to_owned()), "the session goes on");
}

#[tokio::test(start_paused = true)]
async fn keys_and_certificates_let_in_whom_they_name() {
    let stage = Stage::new(|_| {}).await;
    for who in [("root", 1), ("tunnel", 2), ("tunnel", 9)] {
        assert!(!with_key(&mut stage.knock().await.unwrap(), who).await, "{who:?}");
    }
    let (taken, client) = stage.with_certificate(|_| {}).await;
    assert!(taken);
    assert_eq!(reached(&client, ("10.0.0.1", 10_250)).await, Ok("node".to_owned()));
    let there: IpNet = "10.0.0.48/28".parse().unwrap();
    assert!(stage.with_certificate(|claim| claim.sources = vec![there]).await.0);
    let elsewhere: IpNet = "192.0.2.0/24".parse().unwrap();
    assert!(!stage.with_certificate(|claim| claim.sources = vec![elsewhere]).await.0);
    assert!(!stage.with_certificate(|claim| claim.principals = vec!["root".to_owned()]).await.0);
    assert!(!stage.with_certificate(|claim| claim.kind = SshCertificateKind::Host).await.0);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_ends_by_the_hosts_own_clock() {
    let stage = Stage::new(|_| {}).await;
    let now = stage.somebody.now();
    assert!(stage.with_certificate(|_| {}).await.0);
    for years in [-2, 101] {
        stage.network.set_clock(now + jiff::SignedDuration::from_hours(years * 365 * 24));
        let valid = |claim: &mut SshClaim| {
            claim.from = now - jiff::SignedDuration::from_hours(365 * 24);
            claim.until = now + jiff::SignedDuration::from_hours(100 * 365 * 24);
        };
        assert!(!stage.with_certificate(valid).await.0, "{years} years later");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_permits_no_forwarding_forwards_nothing() {
    let stage = Stage::new(|_| {}).await;
    // What `ssh-keygen -s ca -I none -n tunnel -V -1d:+36500d -O clear key.pub` writes.
    let now = u64::try_from(stage.somebody.now().as_second()).unwrap();
    let data = key(2).public().key_data().clone();
    let mut builder =
        russh::keys::ssh_key::certificate::Builder::new([7; 32], data, now - 9, now * 3).unwrap();
    builder.valid_principal("tunnel").unwrap();
    let certificate = builder.sign(&*key(9).private()).unwrap();
    let mut client = stage.knock().await.unwrap();
    let answer = client.authenticate_openssh_cert("tunnel", key(2).private(), certificate).await;
    assert!(answer.unwrap().success());
    let refused = reached(&client, ("10.0.0.1", 10_250)).await;
    assert_eq!(refused, Err(ChannelOpenFailure::AdministrativelyProhibited));
}

#[tokio::test(start_paused = true)]
async fn a_host_certificate_is_shown_to_who_asks_for_one() {
    drop(Stage::new(|_| {}).await.knock().await.expect("a bare key is shown where there is no certificate"));
    let stage = Stage::new(|config| {
        let host: HostRef = Network::new().host("authority", ip(99));
        let claim = SshClaim {
            kind: SshCertificateKind::Host,
            key: config.host_key.public(),
            principals: vec!["node".to_owned()],
            ..claim(&host)
        };
        let certificate = SshCertificate::issue(&key(8), &claim, &mut Entropy::from_key([4; 32]));
        config.host_certificate = Some(certificate);
    })
    .await;
    let shown = Asker::default();
    let connection = stage.somebody.connect(&Endpoint::tcp(ip(1), 22)).await.unwrap();
    let mut config = client::Config { preferred: super::super::algorithms(), ..client::Config::default() };
    config.preferred.host_key_certificates = Cow::Borrowed(&[Algorithm::Ed25519]);
    let client = client::connect_stream(Arc::new(config), connection.stream, shown.clone()).await.unwrap();
    let certificate = shown.0.lock().unwrap().clone().expect("a certificate was shown");
    let expected = Expected {
        kind: SshCertificateKind::Host,
        authorities: &[key(8).public()],
        names: &["node".to_owned()],
        now: stage.somebody.now(),
        source: None,
    };
    assert_eq!(SshCertificate::of(&certificate).check(&expected), Ok(()));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn who_guesses_is_soon_not_listened_to() {
    let stage = Stage::new(|_| {}).await;
    let mut listened = 0;
    for _ in 0..30 {
        let Ok(mut client) = stage.knock().await else { break };
        assert!(!with_key(&mut client, ("root", 66)).await);
        listened += 1;
        drop(client);
        // The server takes note once the connection has ended.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!((5..=12).contains(&listened), "{listened}");
    tokio::time::sleep(DEADLINE).await;
    stage.logged_in().await;
}
