//! russh's view of the control plane's end of a session.

use super::policy::{ExpectedNode, HostKeyFault};
use ravelin_host::{Flaw, HostRef, SessionSecret, field};
use russh::Channel;
use russh::client;
use russh::keys::{HashAlg, PublicKeyOrCertificate};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Judges the host key, and lets the server open nothing.
pub(super) struct Client {
    pub(super) host: HostRef,
    pub(super) expected: Arc<ExpectedNode>,
    /// Why the host key was refused, once it was.
    pub(super) refused: Arc<Mutex<Option<HostKeyFault>>>,
    /// Dropped with the session.
    pub(super) _alive: watch::Sender<()>,
}

fn fingerprint(shown: &PublicKeyOrCertificate) -> String {
    let fingerprint = match shown {
        PublicKeyOrCertificate::PublicKey { key, .. } => key.fingerprint(HashAlg::Sha256),
        PublicKeyOrCertificate::Certificate(shown) => shown.public_key().fingerprint(HashAlg::Sha256),
    };
    fingerprint.to_string()
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let verified = self.expected.verify(shown, self.host.now()).await;
        let accepted = verified.is_ok() || self.host.flaws().has(Flaw::SshTrustsAnyHostKey);
        self.host.observe(
            "ssh.host-key",
            &[
                field("node", &self.expected.node),
                field("fingerprint", fingerprint(shown)),
                field("accepted", accepted),
            ],
        );
        if !accepted {
            *super::lock(&self.refused) = verified.err();
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
