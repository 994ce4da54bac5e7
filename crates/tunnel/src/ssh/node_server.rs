//! A node's SSH server: it forwards connections, and does nothing else.

use super::channel;
use super::wire::wire;
use super::{HANDSHAKE_TIMEOUT, SshKey, SshPublicKey};
use ravelin_host::{Connection, Endpoint, HostRef, Listener, Task, field};
use russh::keys::PublicKey;
use russh::server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, VerifiedPublicKey};
use russh::{Channel, ChannelOpenFailure, MethodKind, MethodSet, SshId};
use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// How long the dial to a target may take; less than the client waits, so that it hears why.
const TARGET_TIMEOUT: Duration = Duration::from_secs(8);
const MAX_CONNECTIONS: usize = 256;
const MAX_CHANNELS: usize = 1024;
const MAX_AUTH_ATTEMPTS: usize = 3;
/// A pause after a failed accept, so that an error that lasts does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What a node's SSH server is told.
#[derive(Clone, Debug)]
pub struct SshNodeConfig {
    /// Where to listen: port 22 of the node.
    pub listen: SocketAddr,
    /// The node's own key.
    pub host_key: SshKey,
    /// The only user.
    pub user: String,
    /// The keys that this user may log in with.
    pub authorized_keys: Vec<SshPublicKey>,
}

/// A running server; it ends with all its sessions when this is dropped.
#[derive(Debug)]
pub struct SshNodeServer(#[expect(dead_code, reason = "held for its drop")] Task);

impl SshNodeServer {
    /// Starts listening.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub async fn start(host: HostRef, config: SshNodeConfig) -> io::Result<Self> {
        let listener = host.listen(&Endpoint::Tcp(config.listen)).await?;
        let accepting = accept_all(Arc::clone(&host), listener, Arc::new(config));
        Ok(Self(host.spawn("ssh.server", Box::pin(accepting))))
    }
}

async fn accept_all(host: HostRef, listener: Box<dyn Listener>, config: Arc<SshNodeConfig>) {
    let russh_config = Arc::new(server_config(&config.host_key));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Held here, so that they end with this task.
    let mut sessions: Vec<Task> = Vec::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok(connection) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        sessions.retain(|session| !session.is_finished());
        let (host, config, russh_config) =
            (Arc::clone(&host), Arc::clone(&config), Arc::clone(&russh_config));
        let spawner = Arc::clone(&host);
        let serving = async move {
            serve(host, connection, config, russh_config).await;
            drop(place);
        };
        sessions.push(spawner.spawn("ssh.session", Box::pin(serving)));
    }
}

/// Settings that every server of this crate shares.
pub(crate) fn server_config(host_key: &SshKey) -> server::Config {
    server::Config {
        server_id: SshId::Standard(Cow::Borrowed(super::SOFTWARE)),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        keys: vec![(*host_key.private()).clone()],
        limits: super::limits(),
        window_size: super::WINDOW_BYTES,
        preferred: super::algorithms(),
        max_auth_attempts: MAX_AUTH_ATTEMPTS,
        inactivity_timeout: None,
        keepalive_interval: Some(super::KEEPALIVE_INTERVAL),
        keepalive_max: super::KEEPALIVE_MAX,
        ..server::Config::default()
    }
}

async fn serve(
    host: HostRef,
    connection: Connection,
    config: Arc<SshNodeConfig>,
    russh_config: Arc<server::Config>,
) {
    let peer = connection.peer;
    let (stream, cut) = wire(connection.stream);
    let (authenticated, accepted) = oneshot::channel();
    let node = Node {
        host: Arc::clone(&host),
        config,
        authenticated: Some(authenticated),
        channels: Arc::default(),
    };
    let handshake = async {
        let running = server::run_stream(russh_config, stream, node).await.ok()?;
        accepted.await.ok()?;
        Some(running)
    };
    let running = timeout(HANDSHAKE_TIMEOUT, handshake).await.ok().flatten();
    let outcome = if running.is_some() { "authenticated" } else { "refused" };
    host.observe("ssh.session", &[field("peer", &peer), field("outcome", outcome)]);
    if let Some(running) = running {
        let _ = running.await;
    }
    drop(cut);
}

/// russh's view of this end: one for each session.
struct Node {
    host: HostRef,
    config: Arc<SshNodeConfig>,
    authenticated: Option<oneshot::Sender<()>>,
    channels: Arc<AtomicUsize>,
}

impl Node {
    fn judge(&self, user: &str, key: &PublicKey) -> Auth {
        let known = self.config.authorized_keys.contains(&SshPublicKey::new(key));
        if known && user == self.config.user { Auth::Accept } else { Auth::reject() }
    }
}

/// Counts a channel while it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Option<Self> {
        let counted = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < MAX_CHANNELS).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// What is not answered here russh refuses: passwords, shells, forwarded ports, other channels.
impl server::Handler for Node {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(self.judge(user, offer.public_key))
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(self.judge(user, key.public_key))
    }

    async fn auth_succeeded(&mut self, _session: &mut server::Session) -> Result<(), russh::Error> {
        if let Some(authenticated) = self.authenticated.take() {
            let _ = authenticated.send(());
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut server::Session,
    ) -> Result<(), russh::Error> {
        let Some(counted) = Counted::new(&self.channels) else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let (host, target) = (Arc::clone(&self.host), host_to_connect.to_owned());
        let forward = async move {
            let dialled = match timeout(TARGET_TIMEOUT, dial(&host, &target, port_to_connect)).await {
                Ok(dialled) => dialled,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            let outcome = dialled.as_ref().err().map_or("open".to_owned(), ToString::to_string);
            let to = format!("{target}:{port_to_connect}");
            host.observe("ssh.forward", &[field("to", to), field("outcome", outcome)]);
            match dialled {
                Ok(connection) => {
                    reply.accept().await;
                    channel::join(channel, connection.stream, std::future::pending()).await;
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
            drop(counted);
        };
        self.host.spawn("ssh.forward", Box::pin(forward)).detach();
        Ok(())
    }
}

async fn dial(host: &HostRef, target: &str, port: u32) -> io::Result<Connection> {
    let port = u16::try_from(port).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let address = match target.parse() {
        Ok(address) => address,
        Err(_) => host.resolve(target).await?.into_iter().next().ok_or(io::ErrorKind::NotFound)?,
    };
    host.connect(&Endpoint::tcp(address, port)).await
}
