//! A node's SSH server: it forwards connections to what tunnels are for, and does nothing else.
//!
//! No shell, no command, no subsystem, no agent, no X11, no forwarding back: whatever is not a
//! `direct-tcpip` channel to an allowed target is refused, and who is refused hears so in SSH's own
//! words. Which keys and certificates are taken, and where connections lead, [`SshNodeConfig`] says.

use super::certificate::Expected;
use super::guard::{Guard, Starting};
use super::wire::{Cut, wire};
use super::{
    Forwarding, HANDSHAKE_TIMEOUT, SshCertificate, SshCertificateKind, SshKey, SshPublicKey, channel,
};
use ravelin_host::{Connection, Endpoint, HostRef, Listener, Task, field};
use russh::keys::{Certificate, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, RunningSession, VerifiedPublicKey};
use russh::{Channel, ChannelOpenFailure, MethodKind, MethodSet, SshId};
use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// How long the dial to a target may take; less than the client waits, so that it hears why.
const TARGET_TIMEOUT: Duration = Duration::from_secs(8);
/// Sessions of those who have logged in.
const MAX_SESSIONS: usize = 256;
/// Channels of one session, those that are being opened included.
const MAX_CHANNELS: usize = 1024;
const MAX_AUTH_ATTEMPTS: usize = 3;
/// Addresses of a name that are looked at.
const MAX_RESOLVED: usize = 16;
/// A pause after a failed accept, so that an error that lasts does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What a node's SSH server is told.
#[derive(Clone, Debug)]
pub struct SshNodeConfig {
    /// Where to listen: port 22 of the node.
    pub listen: SocketAddr,
    /// The node's own key.
    pub host_key: SshKey,
    /// What an authority says of that key; it is shown to clients that ask for it.
    pub host_certificate: Option<SshCertificate>,
    /// The only user.
    pub user: String,
    /// The keys that this user may log in with.
    pub authorized_keys: Vec<SshPublicKey>,
    /// Whose certificates this user may log in with (`TrustedUserCAKeys` of OpenSSH).
    pub user_authorities: Vec<SshPublicKey>,
    /// Where it forwards to.
    pub forwarding: Forwarding,
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
    let mut russh_config = server_config(&config.host_key);
    russh_config.preferred = super::old_peers::server(&host, russh_config.preferred);
    russh_config.certificates = config.host_certificate.iter().map(|own| own.inner().clone()).collect();
    let server = Server {
        host: Arc::clone(&host),
        config,
        russh_config: Arc::new(russh_config),
        guard: Guard::default(),
        places: Arc::new(Semaphore::new(MAX_SESSIONS)),
    };
    // Held here, so that they end with this task.
    let mut sessions: Vec<Task> = Vec::new();
    loop {
        let Ok(connection) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        sessions.retain(|session| !session.is_finished());
        let from = connection.peer.socket_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        match server.guard.admit(from) {
            Ok(starting) => {
                let serving = server.clone().serve(connection, from, starting);
                sessions.push(host.spawn("ssh.session", Box::pin(serving)));
            }
            Err(why) => server.tell(&connection.peer, why),
        }
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
        // The first question of OpenSSH's client, "none", is no guess: it asks what there is.
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        keepalive_interval: Some(super::KEEPALIVE_INTERVAL),
        keepalive_max: super::KEEPALIVE_MAX,
        ..server::Config::default()
    }
}

#[derive(Clone)]
struct Server {
    host: HostRef,
    config: Arc<SshNodeConfig>,
    russh_config: Arc<server::Config>,
    guard: Guard,
    places: Arc<Semaphore>,
}

impl Server {
    async fn serve(self, connection: Connection, from: IpAddr, starting: Starting) {
        let peer = connection.peer;
        let (stream, cut) = wire(connection.stream);
        let (authenticated, accepted) = oneshot::channel();
        let tried = Arc::<AtomicBool>::default();
        let node = Node {
            host: Arc::clone(&self.host),
            config: Arc::clone(&self.config),
            from,
            tried: Arc::clone(&tried),
            login: None,
            may_forward: true,
            authenticated: Some(authenticated),
            channels: Arc::default(),
        };
        let handshake = async {
            let running = server::run_stream(Arc::clone(&self.russh_config), stream, node).await.ok()?;
            Some((running, accepted.await.ok()?))
        };
        let session = timeout(HANDSHAKE_TIMEOUT, handshake).await.ok().flatten();
        drop(starting);
        match session {
            Some((running, login)) => self.keep(peer, (running, cut), &login).await,
            None => {
                // Who did not try is a health check or a scan, and guesses nothing.
                if tried.load(Ordering::Relaxed) {
                    self.guard.failed(from);
                }
                self.tell(&peer, "refused");
            }
        }
    }

    /// A session lives, if there is a place for it.
    async fn keep(&self, peer: Endpoint, (running, cut): (RunningSession<Node>, Cut), login: &str) {
        let Ok(place) = self.places.try_acquire() else { return self.tell(&peer, "too many sessions") };
        let fields = [field("peer", &peer), field("outcome", "authenticated"), field("by", login)];
        self.host.observe("ssh.session", &fields);
        let _ = running.await;
        drop((cut, place));
    }

    fn tell(&self, peer: &Endpoint, outcome: &str) {
        self.host.observe("ssh.session", &[field("peer", peer), field("outcome", outcome)]);
    }
}

/// russh's view of this end: one for each session.
struct Node {
    host: HostRef,
    config: Arc<SshNodeConfig>,
    from: IpAddr,
    /// Was a key or a certificate tried that is not taken?
    tried: Arc<AtomicBool>,
    /// Which key or certificate was taken.
    login: Option<String>,
    /// Does the certificate that was taken permit to forward?
    may_forward: bool,
    authenticated: Option<oneshot::Sender<String>>,
    channels: Arc<AtomicUsize>,
}

impl Node {
    fn knows(&self, user: &str, key: &PublicKey) -> bool {
        user == self.config.user && self.config.authorized_keys.contains(&SshPublicKey::new(key))
    }

    fn refuse(&self, why: impl ToString) -> Auth {
        self.tried.store(true, Ordering::Relaxed);
        self.host.observe("ssh.auth", &[field("from", self.from), field("refused", why)]);
        Auth::reject()
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

    /// A certificate is offered here as the bare key within it, so that with authorities any key may
    /// be the key of one; who offers it has to prove first that it holds it.
    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        let may_be_certified = user == self.config.user && !self.config.user_authorities.is_empty();
        let is_worth_a_proof = may_be_certified || self.knows(user, offer.public_key);
        Ok(if is_worth_a_proof { Auth::Accept } else { self.refuse("the key is not known for this user") })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        if !self.knows(user, key.public_key) {
            return Ok(self.refuse("the key is not known for this user"));
        }
        self.login = Some(SshPublicKey::new(key.public_key).fingerprint());
        Ok(Auth::Accept)
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, russh::Error> {
        let certificate = SshCertificate::of(certificate);
        if user != self.config.user {
            return Ok(self.refuse("the user is not known"));
        }
        let expected = Expected {
            kind: SshCertificateKind::User,
            authorities: &self.config.user_authorities,
            names: std::slice::from_ref(&self.config.user),
            now: self.host.now(),
            source: Some(self.from),
        };
        Ok(match certificate.check(&expected) {
            Ok(()) => {
                self.may_forward = certificate.may_forward();
                self.login = Some(format!("certificate {:?}", certificate.key_id()));
                Auth::Accept
            }
            Err(why) => self.refuse(format!("certificate {:?}: {why}", certificate.key_id())),
        })
    }

    async fn auth_succeeded(&mut self, _session: &mut server::Session) -> Result<(), russh::Error> {
        if let Some(authenticated) = self.authenticated.take() {
            let _ = authenticated.send(self.login.take().unwrap_or_default());
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
        let (host, name) = (Arc::clone(&self.host), host_to_connect.to_owned());
        let (config, may_forward) = (Arc::clone(&self.config), self.may_forward);
        let forward = async move {
            let forwarding = may_forward.then_some(&config.forwarding);
            let opened =
                match timeout(TARGET_TIMEOUT, open(&host, forwarding, (&name, port_to_connect))).await {
                    Ok(opened) => opened,
                    Err(_) => Err(Closed::Unreachable(io::ErrorKind::TimedOut.into())),
                };
            let (outcome, rule) = match &opened {
                Ok((_, rule)) => ("open".to_owned(), *rule),
                Err(Closed::Refused(rule)) => ("refused".to_owned(), *rule),
                Err(Closed::Unreachable(error)) => (error.to_string(), ""),
            };
            let to = format!("{name}:{port_to_connect}");
            host.observe("ssh.forward", &[field("to", to), field("outcome", outcome), field("rule", rule)]);
            match opened {
                Ok((connection, _)) => {
                    reply.accept().await;
                    channel::join(channel, connection.stream, std::future::pending()).await;
                }
                Err(Closed::Refused(_)) => reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await,
                Err(Closed::Unreachable(_)) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
            drop(counted);
        };
        self.host.spawn("ssh.forward", Box::pin(forward)).detach();
        Ok(())
    }
}

/// Why a target is not connected.
enum Closed {
    /// By this rule.
    Refused(&'static str),
    /// The dial failed.
    Unreachable(io::Error),
}

/// Dials a target that may be forwarded to. A name is looked up once, and what was allowed is what is
/// dialled.
async fn open(
    host: &HostRef,
    forwarding: Option<&Forwarding>,
    (name, port): (&str, u32),
) -> Result<(Connection, &'static str), Closed> {
    let forwarding = forwarding.ok_or(Closed::Refused("the certificate does not permit to forward ports"))?;
    let port = u16::try_from(port).map_err(|_| Closed::Refused("no port"))?;
    let addresses = match name.parse() {
        Ok(address) => vec![address],
        Err(_) => host.resolve(name).await.map_err(Closed::Unreachable)?,
    };
    let mut refused = "its name has no address";
    for address in addresses.into_iter().take(MAX_RESOLVED) {
        let to = SocketAddr::new(address, port);
        match forwarding.judge(&host.addresses(), to) {
            Ok(rule) => {
                let connection = host.connect(&Endpoint::Tcp(to)).await.map_err(Closed::Unreachable)?;
                return Ok((connection, rule));
            }
            Err(rule) => refused = rule,
        }
    }
    Err(Closed::Refused(refused))
}

#[cfg(test)]
mod tests;
