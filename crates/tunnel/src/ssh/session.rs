//! One SSH session to a node, seen from the client.

use super::client::Client;
use super::policy::{ExpectedNode, HostKeyFault};
use super::wire::{Cut, wire};
use super::{CHANNEL_TIMEOUT, HANDSHAKE_TIMEOUT, SshCertificate, SshKey, channel, lock, old_peers};
use ravelin_host::{BoxedStream, HostRef};
use ravelin_transport::egress::EgressError;
use russh::client::{self, Handle};
use russh::keys::PrivateKeyWithHashAlg;
use russh::{ChannelOpenFailure, Limits, SshId};
use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio::time::timeout;

/// Why there is no session to a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The host key that was shown is not the node's.
    #[error("the host key of {node} was refused: {fault}")]
    HostKeyRefused {
        /// The node.
        node: String,
        /// The check that failed.
        fault: HostKeyFault,
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
    #[error("{node} cannot be reached by SSH: {reason}")]
    Unreachable {
        /// The node.
        node: String,
        /// The error.
        reason: String,
    },
    /// It was open, and ended.
    #[error("the connection to {0} was lost a moment ago, and is not open again yet")]
    Lost(String),
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

impl SessionError {
    /// Did one of both refuse the other? Anything else may pass by itself.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::HostKeyRefused { .. } | Self::UserRefused { .. })
    }
}

/// Whom to log in as, and whom to trust.
pub(crate) struct Login {
    pub(crate) expected: Arc<ExpectedNode>,
    pub(crate) user: String,
    pub(crate) key: SshKey,
    /// What an authority says of the user's key.
    pub(crate) certificate: Option<SshCertificate>,
    /// After how many bytes keys are exchanged anew.
    pub(crate) limits: Limits,
}

impl Login {
    fn node(&self) -> String {
        self.expected.node.clone()
    }
}

/// An authenticated session; it ends when this is dropped.
pub(crate) struct Session {
    host: HostRef,
    node: String,
    handle: Arc<Handle<Client>>,
    ended: watch::Receiver<()>,
    cut: Mutex<Option<Cut>>,
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
            Err(_) => Err(SessionError::Timeout(login.node())),
        }
    }

    async fn handshake(host: &HostRef, stream: BoxedStream, login: &Login) -> Result<Self, SessionError> {
        let (stream, cut) = wire(stream);
        let (alive, ended) = watch::channel(());
        let refused = Arc::<Mutex<Option<HostKeyFault>>>::default();
        let client = Client {
            host: Arc::clone(host),
            expected: Arc::clone(&login.expected),
            refused: Arc::clone(&refused),
            _alive: alive,
        };
        let failed = |error: russh::Error| match lock(&refused).take() {
            Some(fault) => SessionError::HostKeyRefused { node: login.node(), fault },
            None => SessionError::Handshake { node: login.node(), reason: error.to_string() },
        };
        let mut config = client_config(login.limits.clone());
        config.preferred = old_peers::client(host, login.expected.offered(config.preferred));
        let connecting = client::connect_stream(Arc::new(config), stream, client);
        let mut handle = connecting.await.map_err(failed)?;
        if !log_in(&mut handle, login).await.map_err(failed)? {
            return Err(SessionError::UserRefused { node: login.node(), user: login.user.clone() });
        }
        let (host, cut) = (Arc::clone(host), Mutex::new(Some(cut)));
        Ok(Self { host, node: login.node(), handle: Arc::new(handle), ended, cut })
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
        let ended = || EgressError::Unavailable(format!("the SSH tunnel to {} has ended", self.node));
        match timeout(CHANNEL_TIMEOUT, opened).await {
            Ok(Ok(Ok(channel))) => Ok(channel::stream(&self.host, channel, &self.node)),
            Ok(Ok(Err(russh::Error::ChannelOpenFailure(reason)))) => Err(rejected(reason)),
            Ok(Ok(Err(_)) | Err(_)) => Err(ended()),
            Err(_) => Err(EgressError::Timeout),
        }
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
        self.handle.is_closed() || lock(&self.cut).is_none()
    }

    /// Ends the session, with all its channels.
    pub(crate) fn close(&self) {
        lock(&self.cut).take();
    }

    /// Asks the other end for a sign of life.
    ///
    /// # Errors
    /// Where the session has ended. It waits as long as there is no answer.
    pub(crate) async fn ping(&self) -> Result<(), russh::Error> {
        self.handle.send_ping().await
    }

    /// Exchanges keys anew, without a pause for the channels.
    pub(crate) async fn renew_keys(&self) {
        // Where it cannot be asked for any more, the session is over.
        let _ = self.handle.rekey_soon().await;
    }
}

/// With the certificate first, if there is one: who knows no authority may still know the key.
async fn log_in(handle: &mut Handle<Client>, login: &Login) -> Result<bool, russh::Error> {
    if let Some(certificate) = &login.certificate {
        let certificate = certificate.inner().clone();
        let asked = handle.authenticate_openssh_cert(&login.user, login.key.private(), certificate);
        if asked.await?.success() {
            return Ok(true);
        }
    }
    let key = PrivateKeyWithHashAlg::new(login.key.private(), None);
    Ok(handle.authenticate_publickey(&login.user, key).await?.success())
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

fn client_config(limits: Limits) -> client::Config {
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed(super::SOFTWARE)),
        limits,
        window_size: super::WINDOW_BYTES,
        preferred: super::algorithms(),
        keepalive_interval: Some(super::KEEPALIVE_INTERVAL),
        keepalive_max: super::KEEPALIVE_MAX,
        ..client::Config::default()
    }
}
