//! Two hosts and a TLS connection between them; bytes through whatever is laid over it.

use super::{BYTES, CHUNK, now};
use crate::apiserver::Authorities;
use anyhow::{Result, ensure};
use ravelin_host::{BoxedStream, Endpoint, HostRef, memory, os};
use ravelin_pki::{Identity, ServerTrust};
use ravelin_transport::{TlsClient, TlsServer};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));
const PORT: u16 = 6443;

/// Two hosts that reach each other.
pub(super) struct Pair {
    pub(super) client: HostRef,
    pub(super) server: HostRef,
    tls: TlsClient,
    identity: Identity,
}

impl Pair {
    /// Over pipes in memory.
    pub(super) fn in_memory() -> Self {
        let network = memory::Network::new();
        Self::of(&network, network.host("client", CLIENT), network.host("server", SERVER))
    }

    /// Over sockets of this computer's loopback.
    pub(super) fn on_loopback() -> Self {
        let (network, clock) = (os::Network::default(), memory::Network::new());
        let host = |name, address| network.host(name, address, Vec::new());
        let client = host("client", CLIENT);
        clock.set_clock(client.now());
        Self::of(&clock, client, host("server", SERVER))
    }

    fn of(clock: &memory::Network, client: HostRef, server: HostRef) -> Self {
        let authorities = Authorities::new(clock);
        let identity = authorities.server(&authorities.clients, Authorities::at(SERVER));
        let trust = ServerTrust::Anchors(authorities.anchors());
        let tls = TlsClient { trust, identity: None, server_name: SERVER.to_string() };
        Self { client, server, tls, identity }
    }

    /// A new connection: the client's end and the server's, after their handshake.
    pub(super) async fn connect(&self) -> Result<(BoxedStream, BoxedStream)> {
        let at = Endpoint::tcp(SERVER, PORT);
        let listener = self.server.listen(&at).await?;
        let tls = TlsServer::new(self.identity.clone());
        let serve =
            async { Ok::<_, anyhow::Error>(tls.accept(&self.server, listener.accept().await?).await?) };
        let ask = async {
            let connection = self.client.connect(&at).await?;
            Ok::<_, anyhow::Error>(self.tls.connect(&self.client, connection.stream).await?)
        };
        let (served, asked) = tokio::try_join!(biased; serve, ask)?;
        Ok((asked.stream, served.stream))
    }
}

/// How long it takes until all bytes are through.
pub(super) async fn carried(
    mut into: impl AsyncWrite + Unpin,
    mut out_of: impl AsyncRead + Unpin,
) -> Result<Duration> {
    let started = now();
    let write = async {
        let chunk = vec![0x2a; CHUNK];
        let mut left = BYTES;
        while left > 0 {
            let length = left.min(CHUNK);
            into.write_all(&chunk[..length]).await?;
            left -= length;
        }
        into.flush().await
    };
    let read = async {
        let mut buffer = vec![0; CHUNK];
        let mut came = 0;
        while came < BYTES {
            match out_of.read(&mut buffer).await? {
                0 => break,
                length => came += length,
            }
        }
        Ok(came)
    };
    let ((), came) = tokio::try_join!(biased; write, read)?;
    let taken = started.elapsed();
    ensure!(came == BYTES, "{came} bytes came instead of {BYTES}");
    Ok(taken)
}
