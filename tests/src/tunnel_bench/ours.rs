//! Our own two ends: a session like those of an apiserver's tunnels, and a node's server.

use super::far::Far;
use anyhow::Result;
use ravelin_entropy::Entropy;
use ravelin_host::{BoxedStream, Endpoint, HostRef};
use ravelin_tunnel::{SshKey, danger};

/// An open session.
pub(super) struct Ours(danger::Intruder);

impl Ours {
    pub(super) async fn open(host: &HostRef, far: &Far) -> Result<Self> {
        let stream = host.connect(&Endpoint::Tcp(far.ssh)).await?.stream;
        Ok(Self(danger::log_in(host, stream, "tunnel", &far.user).await?))
    }

    pub(super) async fn connect(&self, port: u16) -> Result<BoxedStream> {
        Ok(self.0.dial("127.0.0.1", port).await?)
    }
}

pub(super) fn new_key() -> SshKey {
    SshKey::generate(&mut Entropy::operating_system())
}
