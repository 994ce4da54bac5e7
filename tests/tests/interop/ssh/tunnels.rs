//! An apiserver's tunnels of ours and a real `sshd`.

use super::{Folder, LATE, PATIENCE, free_port, new_key, program, serve_echo, this_computer};
use crate::commands::sha256_of;
use ravelin_apiserver::{Apiserver, ApiserverConfig, Running};
use ravelin_client::{Client, ClientConfig, Credential};
use ravelin_entropy::Entropy;
use ravelin_host::{BoxedStream, HostRef};
use ravelin_pki::{KeyPair, ServerTrust};
use ravelin_tests::apiserver::{Authorities, configured};
use ravelin_tests::openssh::{Sshd, user};
use ravelin_transport::egress::{Destination, Egress, EgressError};
use ravelin_tunnel::{HostKeyPolicy, KnownHosts, SshCertificate, SshConfig, SshPublicKey, SshTunneler};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An apiserver of ours that lists `node-1` at 127.0.0.1, an `sshd` there, an echo that it may be
/// asked for, and one that it may not.
struct Stage {
    folder: Folder,
    host: HostRef,
    sshd: Sshd,
    at: SocketAddr,
    /// The client of the apiserver that the tunnels follow the nodes with.
    client: ClientConfig,
    echo: u16,
    closed: u16,
    prohibited: u16,
    _api: Running,
}

impl Stage {
    /// `prepare` writes what `sshd` reads, and says more for its configuration. The user's key is
    /// `user`, the node's `host`. `None` where the machine has no `sshd`.
    async fn new(test: &str, prepare: impl FnOnce(&Folder) -> String) -> Option<Self> {
        let folder = Folder::new(test);
        let host = this_computer(&folder);
        let key = folder.key("user");
        folder.write("authorized_keys", &(key.public().to_openssh() + "\n"));
        folder.keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "host"]);
        let (echo, prohibited) =
            (serve_echo(&host, Duration::ZERO).await, serve_echo(&host, Duration::ZERO).await);
        let closed = free_port();
        let permit = format!("PermitOpen 127.0.0.1:{echo} 127.0.0.1:{closed}\n");
        let (program, at) = (program("sshd")?, SocketAddr::new(LOCALHOST, free_port()));
        let more = permit + &prepare(&folder);
        let sshd = Sshd::start(&program, (&folder.0, at), &more);
        let (api, client) = apiserver(&host).await;
        Some(Self { folder, host, sshd, at, client, echo, closed, prohibited, _api: api })
    }

    /// Starts `sshd` again at the same place; only the echo is permitted.
    fn restart(&mut self) {
        let program = program("sshd").expect("it was there before");
        let permit = format!("PermitOpen 127.0.0.1:{}\n", self.echo);
        self.sshd = Sshd::start(&program, (&self.folder.0, self.at), &permit);
    }

    fn config(&self, host_keys: HostKeyPolicy) -> SshConfig {
        let key = ravelin_tunnel::SshKey::from_openssh(&self.folder.read("user")).expect("it is our own");
        SshConfig { port: self.at.port(), ..SshConfig::new(user(), key, host_keys) }
    }

    fn start(&self, config: SshConfig) -> Arc<SshTunneler> {
        SshTunneler::start(HostRef::clone(&self.host), config, self.client.clone())
    }

    /// Tunnels that know the node's key.
    async fn tunnels(&self) -> Arc<SshTunneler> {
        let key = SshPublicKey::from_openssh(&self.folder.read("host.pub")).expect("it is ssh-keygen's");
        let pinned = HostKeyPolicy::Pinned([("node-1".to_owned(), key)].into());
        let tunnels = self.start(self.config(pinned));
        if let Err(why) = tunnels.wait_ready(1, PATIENCE).await {
            panic!("{why}\n{}", self.sshd.said());
        }
        tunnels
    }

    /// Why these tunnels do not open.
    async fn refused(&self, config: SshConfig) -> String {
        let tunnels = self.start(config);
        tunnels.wait_ready(1, Duration::from_secs(5)).await.expect_err("the tunnel opened").to_string()
    }

    async fn opens(&self, config: SshConfig) {
        let tunnels = self.start(config);
        if let Err(why) = tunnels.wait_ready(1, PATIENCE).await {
            panic!("{why}\n{}", self.sshd.said());
        }
        let mut stream = dial(&tunnels, self.echo).await.expect("the echo may be asked for");
        stream.write_all(b"hello").await.expect("it is read");
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.expect("it answers");
        assert_eq!(&heard, b"hello");
    }
}

async fn apiserver(host: &HostRef) -> (Running, ClientConfig) {
    let authorities = Authorities::made(host.now());
    let key = Arc::new(KeyPair::generate(&mut Entropy::operating_system()));
    let at = SocketAddr::new(LOCALHOST, free_port());
    let config = ApiserverConfig {
        secure: at,
        advertise: at,
        tls: authorities.server(&authorities.clients, Authorities::at(LOCALHOST)),
        ..configured(&authorities, (host, &key))
    };
    let api = Apiserver::start(HostRef::clone(host), config).await.expect("the port is free");
    let client = ClientConfig {
        server: at,
        server_name: LOCALHOST.to_string(),
        trust: ServerTrust::Anchors(authorities.anchors()),
        credential: Credential::Certificate(authorities.client("cert", "admin").expect("it is a kind")),
        request_timeout: PATIENCE,
    };
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"},
        "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]},
    });
    Client::new(HostRef::clone(host), client.clone())
        .create("/api/v1/nodes", &node)
        .await
        .expect("it is new");
    (api, client)
}

async fn dial(tunnels: &SshTunneler, port: u16) -> Result<BoxedStream, EgressError> {
    let node = Destination::Node { node: "node-1".to_owned() };
    tunnels.dial(SocketAddr::new(LOCALHOST, port), &node).await
}

/// Sends so many bytes while it reads them back, and compares their hashes.
async fn echoed(stream: BoxedStream, count: usize) {
    let sent: Vec<u8> = (0..count).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (mut read, mut write) = tokio::io::split(stream);
    let mut heard = Vec::with_capacity(count);
    let writing = async {
        write.write_all(&sent).await?;
        write.shutdown().await
    };
    let (wrote, came) = tokio::join!(biased; writing, read.read_to_end(&mut heard));
    wrote.expect("it is read");
    came.expect("it ends well");
    assert_eq!(sha256_of(&heard), sha256_of(&sent));
}

/// Runs a test on real sockets, within [`PATIENCE`] twice.
fn play(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let limited = async { timeout(PATIENCE * 2, test).await };
    runtime.expect("a runtime can be made").block_on(limited).expect("it ends in time");
}

#[test]
fn sshd_opens_what_it_permits_and_nothing_else() {
    play(async {
        let Some(stage) = Stage::new("permit", |_| String::new()).await else { return };
        let tunnels = stage.tunnels().await;
        echoed(dial(&tunnels, stage.echo).await.expect("it is permitted"), 8_000_000).await;
        let prohibited = dial(&tunnels, stage.prohibited).await.err().expect("it is not permitted");
        assert_eq!(prohibited.to_string(), "refused: ssh: rejected: administratively prohibited");
        let closed = dial(&tunnels, stage.closed).await.err().expect("nobody listens there");
        assert_eq!(closed.to_string(), "refused: ssh: rejected: connect failed");
        echoed(dial(&tunnels, stage.echo).await.expect("the session goes on"), 1_000).await;
    });
}

/// `sshd` is asked to pause, which it does not know: nothing is lost by that.
#[test]
fn a_reader_that_is_late_gets_everything_from_sshd() {
    play(async {
        let Some(stage) = Stage::new("late", |_| String::new()).await else { return };
        let tunnels = stage.tunnels().await;
        let stream = dial(&tunnels, stage.echo).await.expect("it is permitted");
        let (mut read, mut write) = tokio::io::split(stream);
        let sent: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_be_bytes).collect();
        let writing = async {
            write.write_all(&sent).await?;
            write.shutdown().await
        };
        let mut heard = Vec::new();
        let reading = async {
            sleep(LATE).await;
            read.read_to_end(&mut heard).await
        };
        let (wrote, came) = tokio::join!(biased; writing, reading);
        wrote.expect("it is read");
        came.expect("it ends well");
        assert_eq!(sha256_of(&heard), sha256_of(&sent));
        echoed(dial(&tunnels, stage.echo).await.expect("the session goes on"), 1_000).await;
    });
}

#[test]
fn many_connections_through_sshd_do_not_mix() {
    play(async {
        let Some(stage) = Stage::new("many", |_| String::new()).await else { return };
        let tunnels = stage.tunnels().await;
        let connections = (0..100_u8).map(|number| {
            let tunnels = Arc::clone(&tunnels);
            async move {
                let mut stream = dial(&tunnels, stage.echo).await.expect("it is permitted");
                for _ in 0..20 {
                    stream.write_all(&[number; 5_000]).await.expect("it is read");
                    let mut heard = [0; 5_000];
                    stream.read_exact(&mut heard).await.expect("it answers");
                    assert!(heard.iter().all(|byte| *byte == number), "connection {number}");
                }
            }
        });
        futures_util::future::join_all(connections).await;
    });
}

#[test]
fn keys_are_exchanged_anew_by_sshd_during_a_long_stream() {
    play(async {
        let Some(stage) = Stage::new("rekey", |_| "RekeyLimit 1M\nLogLevel DEBUG1\n".to_owned()).await else {
            return;
        };
        let tunnels = stage.tunnels().await;
        let count = if crate::is_deep() { 200_000_000 } else { 24_000_000 };
        echoed(dial(&tunnels, stage.echo).await.expect("it is permitted"), count).await;
        let connections = (0..30).map(|_| async {
            echoed(dial(&tunnels, stage.echo).await.expect("it is permitted"), 1_000_000).await;
        });
        futures_util::future::join_all(connections).await;
        let exchanges = stage.sshd.said().matches("SSH2_MSG_NEWKEYS received").count();
        assert!(exchanges > 20, "{exchanges}");
    });
}

/// Our own limit is a GiB.
#[test]
fn keys_are_exchanged_anew_by_us_during_a_long_stream() {
    if !crate::is_deep() {
        return;
    }
    play(async {
        let Some(stage) = Stage::new("our-rekey", |_| "LogLevel DEBUG1\n".to_owned()).await else { return };
        let tunnels = stage.tunnels().await;
        echoed(dial(&tunnels, stage.echo).await.expect("it is permitted"), 1_300_000_000).await;
        let exchanges = stage.sshd.said().matches("SSH2_MSG_NEWKEYS received").count();
        assert!(exchanges >= 2, "{exchanges}");
    });
}

#[test]
fn a_host_key_that_is_not_the_nodes_is_refused() {
    play(async {
        let Some(stage) = Stage::new("host-key", |_| String::new()).await else { return };
        let other = new_key().public();
        let wrong = HostKeyPolicy::Pinned([("node-1".to_owned(), other.clone())].into());
        let said = stage.refused(stage.config(wrong)).await;
        assert!(said.contains("the host key of node-1 was refused"), "{said}");
        let known = |key: &str| {
            let line = format!("[127.0.0.1]:{} {key}\n", stage.at.port());
            HostKeyPolicy::KnownHosts(Arc::new(KnownHosts::parse(&line).expect("it is a line of it")))
        };
        let said = stage.refused(stage.config(known(&other.to_openssh()))).await;
        assert!(said.contains("the host key of node-1 was refused"), "{said}");
        assert!(!stage.sshd.said().contains("Accepted publickey"), "{}", stage.sshd.said());
        stage.opens(stage.config(known(stage.folder.read("host.pub").trim()))).await;
    });
}

#[test]
fn the_first_key_of_a_node_is_kept() {
    play(async {
        let Some(mut stage) = Stage::new("first-use", |_| String::new()).await else { return };
        stage.opens(stage.config(HostKeyPolicy::TrustOnFirstUse)).await;
        stage.opens(stage.config(HostKeyPolicy::TrustOnFirstUse)).await;
        stage.sshd.kill();
        for file in ["host", "host.pub"] {
            std::fs::remove_file(stage.folder.file(file)).expect("it is there");
        }
        stage.folder.key("host");
        stage.restart();
        let said = stage.refused(stage.config(HostKeyPolicy::TrustOnFirstUse)).await;
        assert!(said.contains("is not the one that was recorded at first contact"), "{said}");
    });
}

/// What `ssh-keygen` is told of the host's certificate, and whether the tunnel opens.
const HOSTS: [(&[&str], bool); 4] = [
    (&["-h", "-n", "node-1", "-V", "-1h:+1h"], true),
    (&["-h", "-n", "node-2", "-V", "-1h:+1h"], false),
    (&["-h", "-n", "node-1", "-V", "-2h:-1h"], false),
    (&["-n", "node-1", "-V", "-1h:+1h"], false),
];

#[test]
fn a_host_certificate_must_be_the_nodes() {
    for (options, taken) in HOSTS {
        play(async {
            let certify = |folder: &Folder| {
                folder.key("authority");
                folder.keygen(&[&["-s", "authority", "-I", "id"], options, &["host.pub"]].concat());
                format!("HostCertificate {}\n", folder.file("host-cert.pub"))
            };
            let Some(stage) = Stage::new("host-certificate", certify).await else { return };
            let authority = SshPublicKey::from_openssh(&stage.folder.read("authority.pub")).unwrap();
            let config = stage.config(HostKeyPolicy::CertificateAuthority(vec![authority]));
            if taken {
                stage.opens(config).await;
                let other = HostKeyPolicy::CertificateAuthority(vec![new_key().public()]);
                let said = stage.refused(stage.config(other)).await;
                assert!(said.contains("is not trusted"), "{said}");
            } else {
                let said = stage.refused(config).await;
                assert!(said.contains("the host key of node-1 was refused"), "{options:?}: {said}");
            }
        });
    }
}

#[test]
fn a_user_certificate_logs_in_where_the_key_is_not_known() {
    play(async {
        let trust = |folder: &Folder| {
            folder.key("authority");
            let name = user();
            folder.keygen(&["-s", "authority", "-I", "tunnels", "-n", &name, "-V", "-1h:+1h", "user.pub"]);
            folder.write("authorized_keys", "");
            format!("TrustedUserCAKeys {}\n", folder.file("authority.pub"))
        };
        let Some(stage) = Stage::new("user-certificate", trust).await else { return };
        let any = || HostKeyPolicy::DangerAny;
        let said = stage.refused(stage.config(any())).await;
        assert!(said.contains("node-1 refused the key of user"), "{said}");
        let certificate = SshCertificate::from_openssh(&stage.folder.read("user-cert.pub")).unwrap();
        stage.opens(SshConfig { certificate: Some(certificate), ..stage.config(any()) }).await;
        assert!(stage.sshd.said().contains("ED25519-CERT"), "{}", stage.sshd.said());
    });
}

#[test]
fn streams_end_with_an_error_when_sshd_is_killed_and_the_tunnel_comes_back() {
    play(async {
        let Some(mut stage) = Stage::new("killed", |_| String::new()).await else { return };
        let tunnels = stage.tunnels().await;
        let mut stream = dial(&tunnels, stage.echo).await.expect("it is permitted");
        stream.write_all(b"hello").await.expect("it is read");
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.expect("it answers");
        stage.sshd.kill();
        let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
        let error = ended.expect("it ends at once").expect_err("a part is not taken for the whole");
        assert!(error.to_string().contains("the SSH tunnel to node-1 was lost"), "{error}");
        let error = dial(&tunnels, stage.echo).await.err().expect("there is no tunnel");
        assert!(matches!(error, EgressError::Unavailable(_)), "{error}");
        stage.restart();
        let back = async {
            while dial(&tunnels, stage.echo).await.is_err() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, back).await.expect("the tunnel is opened again");
    });
}
