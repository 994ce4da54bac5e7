//! The least that the same bytes could take: one rustls connection.

use super::pair::{Pair, carried};
use super::{BYTES, CHUNK, now};
use crate::floor::{configurations, flow};
use anyhow::{Result, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// In memory, the two ends called one after the other: no tasks, no pipes, no waiting.
pub(super) fn in_memory() -> Result<Duration> {
    let (server, [_, client]) = configurations();
    let mut client = ClientConnection::new(client, ServerName::try_from("10.0.0.1")?)?;
    let mut server = ServerConnection::new(Arc::clone(&server))?;
    while client.is_handshaking() || server.is_handshaking() {
        flow(&mut client, &mut server);
        flow(&mut server, &mut client);
    }
    let (chunk, mut read) = (vec![0x2a; CHUNK], vec![0; CHUNK]);
    let started = now();
    let mut left = BYTES;
    while left > 0 {
        let length = left.min(CHUNK);
        server.writer().write_all(&chunk[..length])?;
        flow(&mut server, &mut client);
        client.reader().read_exact(&mut read[..length])?;
        left -= length;
    }
    let taken = started.elapsed();
    ensure!(read[0] == chunk[0], "the bytes came as they were");
    Ok(taken)
}

/// Over a socket of the loopback.
pub(super) async fn on_loopback(pair: &Pair) -> Result<Duration> {
    let (client, server) = pair.connect().await?;
    carried(server, client).await
}
