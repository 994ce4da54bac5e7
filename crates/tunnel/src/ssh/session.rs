//! One SSH session to a node, seen from the client.

use super::channel;
use super::wire::{Cut, wire};
use super::{CHANNEL_TIMEOUT, HANDSHAKE_TIMEOUT, HostKeyPolicy, SshKey, SshPublicKey};
use ravelin_host::{BoxedStream, Flaw, HostRef, SessionSecret, field};
use ravelin_transport::egress::EgressError;
use russh::client::{self, Handle};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelOpenFailure, SshId};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::time::timeout;

/// Why there is no session to a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The node's host key is not the one that is pinned.
    #[error("the host key of {node} was refused: {fingerprint} is not the one that is pinned for it")]
    HostKeyRefused {
        /// The node.
        node: String,
        /// What was presented.
        fingerprint: String,
    },
    /// The node does not take this user and key.
    #[error("{node} refused the key of user {user:?}")]
    UserRefused {
        /// The node.
        node: String,
        /// The user.
        user: String,
    },
    /// The node cannot be reached.
    #[error("{node} cannot be reached on port 22: {reason}")]
    Unreachable {
        /// The node.
        node: String,
        /// The error.
        reason: String,
    },
    /// The handshake did not end in time.
    #[error("the SSH handshake with {0} timed out")]
    Timeout(String),
    /// The handshake failed otherwise.
    #[error("the SSH handshake with {node} failed: {reason}")]
    Handshake {
        /// The node.
        node: String,
        /// What russh says.
        reason: String,
    },
}

/// Whom to log in as, and whom to trust.
pub(crate) struct Login {
    pub(crate) node: String,
    pub(crate) user: String,
    pub(crate) key: SshKey,
    pub(crate) policy: HostKeyPolicy,
}

/// An authenticated session; it ends when this is dropped.
pub(crate) struct Session {
    host: HostRef,
    handle: Arc<Handle<Client>>,
    ended: watch::Receiver<()>,
    _cut: Cut,
}

impl Session {
    /// Key exchange, host key check and authentication over an open connection.
    pub(crate) async fn open(
        host: &HostRef,
        stream: BoxedStream,
        login: &Login,
    ) -> Result<Self, SessionError> {
        match timeout(HANDSHAKE_TIMEOUT, Self::handshake(host, stream, login)).await {
            Ok(result) => result,
            Err(_) => Err(SessionError::Timeout(login.node.clone())),
        }
    }

    async fn handshake(host: &HostRef, stream: BoxedStream, login: &Login) -> Result<Self, SessionError> {
        let (stream, cut) = wire(stream);
        let (alive, ended) = watch::channel(());
        let refused = Arc::default();
        let client = Client {
            host: Arc::clone(host),
            node: login.node.clone(),
            policy: login.policy.clone(),
            refused: Arc::clone(&refused),
            _alive: alive,
        };
        let failed = |error: russh::Error| {
            let refused = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
            let node = login.node.clone();
            match refused {
                Some(fingerprint) => SessionError::HostKeyRefused { node, fingerprint },
                None => SessionError::Handshake { node, reason: error.to_string() },
            }
        };
        let connecting = client::connect_stream(Arc::new(client_config()), stream, client);
        let mut handle = connecting.await.map_err(failed)?;
        let key = PrivateKeyWithHashAlg::new(login.key.private(), None);
        let accepted = handle.authenticate_publickey(&login.user, key).await.map_err(failed)?;
        if !accepted.success() {
            return Err(SessionError::UserRefused { node: login.node.clone(), user: login.user.clone() });
        }
        Ok(Self { host: Arc::clone(host), handle: Arc::new(handle), ended, _cut: cut })
    }

    /// Opens a connection from the node to a target.
    pub(crate) async fn dial(&self, target: &str, port: u16) -> Result<BoxedStream, EgressError> {
        let (answer, opened) = tokio::sync::oneshot::channel();
        let (handle, target) = (Arc::clone(&self.handle), target.to_owned());
        // A task of its own, so that a channel that opens after the deadline is closed again.
        let opening = async move {
            let channel = handle.channel_open_direct_tcpip(target, u32::from(port), "127.0.0.1", 0).await;
            if let Err(Ok(late)) = answer.send(channel) {
                let _ = late.close().await;
            }
        };
        self.host.spawn("ssh.open", Box::pin(opening)).detach();
        let ended = || EgressError::Unavailable("the SSH session has ended".to_owned());
        match timeout(CHANNEL_TIMEOUT, opened).await {
            Ok(Ok(Ok(channel))) => Ok(self.stream(channel)),
            Ok(Ok(Err(russh::Error::ChannelOpenFailure(reason)))) => Err(rejected(reason)),
            Ok(Ok(Err(_)) | Err(_)) => Err(ended()),
            Err(_) => Err(EgressError::Timeout),
        }
    }

    fn stream(&self, channel: Channel<client::Msg>) -> BoxedStream {
        channel::stream(&self.host, channel)
    }

    /// Does the server give a session channel, in which shells run?
    #[cfg(test)]
    pub(crate) async fn offers_a_shell(&self) -> bool {
        self.handle.channel_open_session().await.is_ok()
    }

    /// Waits until the session has ended, whoever ended it.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Has the session ended?
    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }
}

fn rejected(reason: ChannelOpenFailure) -> EgressError {
    let text = match reason {
        ChannelOpenFailure::AdministrativelyProhibited => "administratively prohibited",
        ChannelOpenFailure::ConnectFailed => "connect failed",
        ChannelOpenFailure::UnknownChannelType => "unknown channel type",
        ChannelOpenFailure::ResourceShortage => "resource shortage",
        _ => "unknown reason",
    };
    EgressError::Refused(format!("ssh: rejected: {text}"))
}

fn client_config() -> client::Config {
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed(super::SOFTWARE)),
        limits: super::limits(),
        window_size: super::WINDOW_BYTES,
        preferred: super::algorithms(),
        keepalive_interval: Some(super::KEEPALIVE_INTERVAL),
        keepalive_max: super::KEEPALIVE_MAX,
        ..client::Config::default()
    }
}

/// russh's view of this end.
struct Client {
    host: HostRef,
    node: String,
    policy: HostKeyPolicy,
    /// The fingerprint of a host key that was refused.
    refused: Arc<Mutex<Option<String>>>,
    /// Dropped with the session.
    _alive: watch::Sender<()>,
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        // No certificate type is ever offered, so none can come.
        let PublicKeyOrCertificate::PublicKey { key, .. } = presented else { return Ok(false) };
        let key = SshPublicKey::new(key);
        let accepted =
            self.policy.accepts(&self.node, &key) || self.host.flaws().has(Flaw::SshTrustsAnyHostKey);
        self.host.observe(
            "ssh.host-key",
            &[
                field("node", &self.node),
                field("fingerprint", key.fingerprint()),
                field("accepted", accepted),
            ],
        );
        if !accepted {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.fingerprint());
        }
        Ok(accepted)
    }

    async fn kex_done(
        &mut self,
        shared_secret: Option<&[u8]>,
        names: &russh::Names,
        _session: &mut client::Session,
    ) -> Result<(), russh::Error> {
        if let Some(shared_secret) = shared_secret {
            self.host.session_secret(SessionSecret::Ssh {
                shared_secret: shared_secret.to_vec(),
                kex: names.kex.as_ref().to_owned(),
                cipher: names.cipher.as_ref().to_owned(),
            });
        }
        Ok(())
    }

    // Servers open nothing towards a tunneler.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<client::Msg>,
        _connected_address: &str,
        _connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: Channel<client::Msg>,
        _socket_path: &str,
        _reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _channel: Channel<client::Msg>,
        _reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _channel: Channel<client::Msg>,
        _reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<client::Msg>,
        _host_to_connect: &str,
        _port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<client::Msg>,
        _socket_path: &str,
        _reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _channel: Channel<client::Msg>,
        _originator_address: &str,
        _originator_port: u32,
        _reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }
}
