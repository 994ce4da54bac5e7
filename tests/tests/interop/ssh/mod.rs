//! SSH at the other end of real programs: OpenSSH's client and server, and `ssh-audit`.
//!
//! Everything is on the loopback of this computer, on free ports, with files in a folder of the test's
//! own; no user's or system's configuration of SSH is read.

mod audit;
mod node;
mod tunnels;

use ravelin_entropy::Entropy;
use ravelin_host::os::{Computer, computer};
use ravelin_host::{BoxedStream, Endpoint, HostRef};
use ravelin_tunnel::{Forwarding, NodeTargets, SshKey, SshNodeConfig, SshNodeServer};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long who is late reads nothing.
const LATE: Duration = Duration::from_secs(2);

/// A program of OpenSSH. Under `CI` it must be there.
///
/// # Panics
/// Where it is not, under `CI`.
fn program(name: &str) -> Option<PathBuf> {
    let found = ravelin_tests::openssh::program(name);
    #[allow(clippy::disallowed_methods, reason = "whether programs may be missing is decided outside")]
    let required = std::env::var_os("CI").is_some();
    assert!(found.is_some() || !required, "{name} is not there, and this is CI");
    if found.is_none() {
        eprintln!("not tried: {name} is not there");
    }
    found
}

/// A folder of a test's own, which is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("ssh-{test}-{}-{number}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the tests' own folder can be written");
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Writes a file that only its owner reads, as OpenSSH wants it for keys.
    fn write(&self, name: &str, content: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("the tests' own folder can be written");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("it is the tests' own");
        path.display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    /// A new key, and its files `NAME` and `NAME.pub` in the form of OpenSSH.
    fn key(&self, name: &str) -> SshKey {
        let key = new_key();
        self.write(name, &key.to_openssh());
        self.write(&format!("{name}.pub"), &(key.public().to_openssh() + "\n"));
        key
    }

    /// `ssh-keygen` in this folder.
    fn keygen(&self, arguments: &[&str]) {
        let program = program("ssh-keygen").expect("it comes with ssh");
        let ran = super::rig::finished(
            Command::new(program).args(arguments).current_dir(&self.0).stdin(Stdio::null()),
            b"",
        );
        assert!(ran.status.success(), "{arguments:?}: {}", errors(&ran));
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn errors(ran: &Output) -> String {
    String::from_utf8_lossy(&ran.stderr).into_owned()
}

fn new_key() -> SshKey {
    SshKey::generate(&mut Entropy::operating_system())
}

/// A port that nobody listens on now.
#[allow(clippy::disallowed_types, reason = "the port is for another process")]
fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    socket.local_addr().expect("it is bound").port()
}

/// This computer, as 127.0.0.1.
fn this_computer(folder: &Folder) -> HostRef {
    computer(Computer {
        name: "this".to_owned(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        files: folder.0.clone(),
        places: Vec::new(),
        observer: None,
    })
}

/// Answers with what it is sent, until that ends.
async fn echo(mut stream: BoxedStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.shutdown().await,
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}

/// An echo on a free port of 127.0.0.1 that begins to read after a pause; it is over with the runtime.
async fn serve_echo(host: &HostRef, pause: Duration) -> u16 {
    let listener = host.listen(&Endpoint::tcp(Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let port = listener.local().socket_addr().expect("it is TCP").port();
    let spawner = HostRef::clone(host);
    let accept = async move {
        while let Ok(connection) = listener.accept().await {
            let answer = async move {
                tokio::time::sleep(pause).await;
                // Who hangs up early shows at its own end.
                let _ = echo(connection.stream).await;
            };
            spawner.spawn("echo", Box::pin(answer)).detach();
        }
    };
    host.spawn("echo", Box::pin(accept)).detach();
    port
}

/// A node of ours with its SSH server, on a thread of its own: a kubelet's port that echoes, and
/// another that echoes too. It ends when this is dropped.
struct Node {
    folder: Folder,
    /// Where its SSH server is.
    port: u16,
    kubelet: u16,
    /// Its kubelet's, too, but slow to read.
    late: u16,
    other: u16,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Node {
    /// A node; `folder` gets the user's key as `user`, and `known_hosts`.
    fn start(test: &str, change: impl FnOnce(&Folder, &mut SshNodeConfig)) -> Self {
        let folder = Folder::new(test);
        let (user, host_key, port) = (folder.key("user"), folder.key("host"), free_port());
        folder.write("known_hosts", &format!("[127.0.0.1]:{port} {}\n", host_key.public().to_openssh()));
        let mut config = SshNodeConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            host_key,
            host_certificate: None,
            user: "tunnel".to_owned(),
            authorized_keys: vec![user.public()],
            user_authorities: Vec::new(),
            forwarding: Forwarding::To(NodeTargets::default()),
        };
        change(&folder, &mut config);
        let host = move |folder: &Folder| this_computer(folder);
        let (end, ended) = tokio::sync::oneshot::channel();
        let (tell, told) = mpsc::channel();
        let path = Folder(folder.0.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async move {
                let host = host(&path);
                // The folder is the node's, and goes with it.
                std::mem::forget(path);
                let kubelet = serve_echo(&host, Duration::ZERO).await;
                let late = serve_echo(&host, LATE).await;
                let other = serve_echo(&host, Duration::ZERO).await;
                if let Forwarding::To(targets) = &mut config.forwarding {
                    targets.kubelet_ports.extend([kubelet, late]);
                }
                let server = SshNodeServer::start(host, config).await.expect("the port is free");
                tell.send((kubelet, late, other)).expect("it is waited for");
                let _ = ended.await;
                drop(server);
            });
        });
        let (kubelet, late, other) = told.recv_timeout(PATIENCE).expect("the node starts");
        Self { folder, port, kubelet, late, other, end: Some(end), thread: Some(thread) }
    }

    /// `ssh` to it, with the user's key and nothing of the surroundings.
    fn ssh(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("ssh").expect("it was asked for before"));
        command.args(["-F", "none", "-T", "-p", &self.port.to_string(), "-i", &self.folder.file("user")]);
        let known = format!("UserKnownHostsFile={}", self.folder.file("known_hosts"));
        for option in [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=none",
            "UpdateHostKeys=no",
            "ExitOnForwardFailure=yes",
            "ConnectTimeout=20",
            known.as_str(),
        ] {
            command.args(["-o", option]);
        }
        command.args(arguments);
        command
    }

    /// What a call of `ssh` to it comes to.
    fn ran(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.ssh(arguments);
        super::rig::finished(command.arg("tunnel@127.0.0.1").stdin(Stdio::piped()), input)
    }

    /// The same, but with a command to run there.
    fn executed(&self, arguments: &[&str], command: &[&str]) -> Output {
        let mut ssh = self.ssh(arguments);
        super::rig::finished(ssh.arg("tunnel@127.0.0.1").args(command).stdin(Stdio::null()), b"")
    }

    /// `127.0.0.1:PORT`.
    fn at(port: u16) -> String {
        format!("127.0.0.1:{port}")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}
