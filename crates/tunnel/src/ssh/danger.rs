//! What attackers need: an SSH server that takes anybody in, and a client that asks no questions.

use super::node_server::server_config;
use super::policy::ExpectedNode;
use super::session::{Login, Session};
use super::wire::{Cut, wire};
use super::{HANDSHAKE_TIMEOUT, SessionError, SshKey, SshPublicKey, channel};
use ravelin_host::{BoxedStream, HostRef};
use ravelin_transport::egress::EgressError;
use russh::Channel;
use russh::server::{self, Auth, ChannelOpenHandle, Msg, RunningSession, VerifiedPublicKey};
use std::fmt;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Channels that wait to be taken; more are refused.
const MAX_WAITING: usize = 64;

/// The client did not log in: it refused the host key, or went away before it judged it. From this
/// side both look the same, a connection that ends before authentication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client ended the session before authentication: {reason}")]
pub struct HostKeyRefused {
    /// How the session ended, as seen from here.
    pub reason: String,
}

/// A client that took this server for genuine and logged in.
pub struct Victim {
    user: String,
    user_key: SshPublicKey,
    forwards: mpsc::Receiver<Forward>,
    _cut: Cut,
}

impl fmt::Debug for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Victim({}, {:?})", self.user, self.user_key)
    }
}

/// A connection that a client wanted to be forwarded.
pub struct Forward {
    /// The target's host, as asked for.
    pub host: String,
    /// The target's port, as asked for.
    pub port: u16,
    /// What the client takes for the target.
    pub stream: BoxedStream,
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forward({}:{})", self.host, self.port)
    }
}

impl Victim {
    /// The user name that the client gave.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The key that the client proved to hold. It cannot be used elsewhere: the proof is bound to
    /// this session.
    pub fn user_key(&self) -> &SshPublicKey {
        &self.user_key
    }

    /// The next connection that the client wants forwarded, already accepted; `None` once the
    /// session has ended.
    pub async fn next_forward(&mut self) -> Option<Forward> {
        self.forwards.recv().await
    }
}

/// Serves one connection with this host key, and lets in whoever comes.
///
/// # Errors
/// Where the client ended the session, or did nothing for 30 s, before it logged in.
pub async fn accept(
    host: &HostRef,
    stream: BoxedStream,
    host_key: &SshKey,
) -> Result<Victim, HostKeyRefused> {
    let refused = |reason: &str| HostKeyRefused { reason: reason.to_owned() };
    let (stream, cut) = wire(stream);
    let (login, mut logged_in) = oneshot::channel();
    let (sender, forwards) = mpsc::channel(MAX_WAITING);
    let trap = Trap { host: Arc::clone(host), offered: None, login: Some(login), forwards: sender };
    let config = Arc::new(server_config(host_key));
    let handshake = async {
        let running = server::run_stream(config, stream, trap).await;
        let mut running: RunningSession<Trap> = running.map_err(|error| refused(&error.to_string()))?;
        tokio::select! {
            biased;
            login = &mut logged_in => login.map_err(|_| refused("the session has ended")),
            ended = &mut running => Err(match ended {
                Ok(()) => refused("disconnected"),
                Err(error) => refused(&error.to_string()),
            }),
        }
    };
    let (user, user_key) = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(result) => result?,
        Err(_) => return Err(refused("timed out")),
    };
    Ok(Victim { user, user_key, forwards, _cut: cut })
}

/// Logs in without checking the host key.
///
/// # Errors
/// As [`SessionError`] says.
pub async fn log_in(
    host: &HostRef,
    stream: BoxedStream,
    user: &str,
    key: &SshKey,
) -> Result<Intruder, SessionError> {
    let login = Login {
        expected: Arc::new(ExpectedNode::danger_any("the server")),
        user: user.to_owned(),
        key: key.clone(),
        certificate: None,
        limits: super::limits(),
    };
    Ok(Intruder(Session::open(host, stream, &login).await?))
}

/// A session of [`log_in`]; it ends when this is dropped.
pub struct Intruder(Session);

impl fmt::Debug for Intruder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Intruder")
    }
}

impl Intruder {
    /// Asks the server to connect to a target.
    ///
    /// # Errors
    /// As [`EgressError`] says.
    pub async fn dial(&self, host: &str, port: u16) -> Result<BoxedStream, EgressError> {
        self.0.dial(host, port).await
    }
}

/// russh's view of an attacker's server.
struct Trap {
    host: HostRef,
    offered: Option<(String, SshPublicKey)>,
    login: Option<oneshot::Sender<(String, SshPublicKey)>>,
    forwards: mpsc::Sender<Forward>,
}

impl server::Handler for Trap {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        self.offered = Some((user.to_owned(), SshPublicKey::new(key.public_key)));
        Ok(Auth::Accept)
    }

    async fn auth_succeeded(&mut self, _session: &mut server::Session) -> Result<(), russh::Error> {
        if let (Some(login), Some(offered)) = (self.login.take(), self.offered.take()) {
            let _ = login.send(offered);
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
        let (Ok(port), Ok(place)) = (u16::try_from(port_to_connect), self.forwards.try_reserve()) else {
            return Ok(());
        };
        reply.accept().await;
        let stream = channel::stream(&self.host, channel, "the client");
        place.send(Forward { host: host_to_connect.to_owned(), port, stream });
        Ok(())
    }
}
