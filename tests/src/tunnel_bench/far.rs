//! The far end: services that send, receive and echo, on one thread; our node's SSH server on another.

use super::{free_port, near};
use anyhow::{Context, Result};
use ravelin_entropy::Entropy;
use ravelin_host::{Connection, Endpoint, HostRef};
use ravelin_tunnel::{Forwarding, NodeTargets, SshKey, SshNodeConfig, SshNodeServer};
use std::any::Any;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

/// How long the far end may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is written and read at a time.
const CHUNK: usize = 64 * 1024;

/// What listens.
pub(super) struct Far {
    /// Reads how many bytes are wanted (8 bytes), and sends them.
    pub(super) source: u16,
    /// Reads to the end, and answers how many bytes there were (8 bytes).
    pub(super) sink: u16,
    /// Answers every byte.
    pub(super) echo: u16,
    /// Where our node's SSH server is.
    pub(super) ssh: SocketAddr,
    /// Its user's key.
    pub(super) user: SshKey,
    _threads: [Threaded; 2],
}

impl Far {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let (tell, told) = mpsc::channel();
        let services = Threaded::start(folder.to_owned(), move |host| {
            Box::pin(async move {
                let source = serve(&host, send).await?;
                let sink = serve(&host, receive).await?;
                let echo = serve(&host, echo).await?;
                // Who started it waits for this.
                let _ = tell.send([source, sink, echo]);
                Ok(Box::new(()) as Box<dyn Any>)
            })
        });
        let [source, sink, echo] = told.recv_timeout(PATIENCE).context("the services do not start")?;
        let entropy = &mut Entropy::operating_system();
        let (user, ssh) = (SshKey::generate(entropy), free_port()?);
        let targets = NodeTargets { kubelet_ports: vec![source, sink, echo], ..NodeTargets::default() };
        let config = node(ssh, (SshKey::generate(entropy), &user), Forwarding::To(targets));
        let (tell, told) = mpsc::channel();
        let server = Threaded::start(folder.to_owned(), move |host| {
            Box::pin(async move {
                let server = SshNodeServer::start(host, config).await?;
                // Who started it waits for this.
                let _ = tell.send(());
                Ok(Box::new(server) as Box<dyn Any>)
            })
        });
        told.recv_timeout(PATIENCE).context("the node's server does not start")?;
        Ok(Self { source, sink, echo, ssh, user, _threads: [services, server] })
    }
}

/// What a node's server is told.
pub(super) fn node(
    listen: SocketAddr,
    (host_key, user): (SshKey, &SshKey),
    forwarding: Forwarding,
) -> SshNodeConfig {
    SshNodeConfig {
        listen,
        host_key,
        host_certificate: None,
        user: "tunnel".to_owned(),
        authorized_keys: vec![user.public()],
        user_authorities: Vec::new(),
        forwarding,
    }
}

type Started = Pin<Box<dyn Future<Output = io::Result<Box<dyn Any>>>>>;

/// A thread with a runtime, until this is dropped.
pub(super) struct Threaded(Option<oneshot::Sender<()>>, Option<JoinHandle<()>>);

impl Threaded {
    pub(super) fn start(folder: PathBuf, start: impl FnOnce(HostRef) -> Started + Send + 'static) -> Self {
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async move {
                let _running = start(near(&folder)).await.expect("what listens can start");
                let _ = ended.await;
            });
        });
        Self(Some(end), Some(thread))
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        drop(self.0.take());
        if let Some(thread) = self.1.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// A service on a free port.
async fn serve<F>(host: &HostRef, service: impl Fn(Connection) -> F + Send + 'static) -> io::Result<u16>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = host.listen(&Endpoint::tcp(Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local().socket_addr().ok_or(io::ErrorKind::AddrNotAvailable)?.port();
    let spawner = HostRef::clone(host);
    let accept = async move {
        while let Ok(connection) = listener.accept().await {
            let serving = service(connection);
            // A client that went away shows at the client's end.
            let answer = async move { serving.await.unwrap_or_default() };
            spawner.spawn("bench", Box::pin(answer)).detach();
        }
    };
    host.spawn("bench", Box::pin(accept)).detach();
    Ok(port)
}

async fn send(mut connection: Connection) -> io::Result<()> {
    let wanted = connection.stream.read_u64().await?;
    let chunk = [0x2a; CHUNK];
    let mut left = usize::try_from(wanted).unwrap_or(usize::MAX);
    while left > 0 {
        let length = left.min(CHUNK);
        connection.stream.write_all(&chunk[..length]).await?;
        left -= length;
    }
    connection.stream.shutdown().await
}

async fn receive(mut connection: Connection) -> io::Result<()> {
    let (mut buffer, mut came) = (vec![0; CHUNK], 0_u64);
    loop {
        match connection.stream.read(&mut buffer).await? {
            0 => break,
            length => came += length as u64,
        }
    }
    connection.stream.write_u64(came).await?;
    connection.stream.shutdown().await
}

async fn echo(mut connection: Connection) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match connection.stream.read(&mut buffer).await? {
            0 => return connection.stream.shutdown().await,
            length => connection.stream.write_all(&buffer[..length]).await?,
        }
    }
}
