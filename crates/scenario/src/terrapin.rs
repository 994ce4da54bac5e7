//! Terrapin (CVE-2023-48795): whoever stands between two SSH peers deletes the first packet that one
//! of them sends encrypted, and neither notices.
//!
//! Packets are counted from the start of a connection. One message of no meaning that is inserted
//! while nothing is authenticated yet moves the client's count on by one, so that it takes the
//! server's second encrypted packet for its first. What stands in the packet stays unknown; that it
//! is the server's EXT_INFO (RFC 8308) follows from nothing else being sent before the client asks.

use ravelin_host::BoxedStream;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::timeout;

/// The longest packet of a key exchange (RFC 4253 section 6.1).
const MAX_PACKET_BYTES: usize = 35_000;
/// The longest version line (RFC 4253 section 4.2), and lines before it.
const MAX_VERSION_BYTES: usize = 8_192;
/// How long the server gets to send something that nobody asked for.
const UNASKED: Duration = Duration::from_millis(500);
/// After so much silence what was sent is whole.
const QUIET: Duration = Duration::from_millis(50);
const NEW_KEYS: u8 = 21;
const CHUNK_BYTES: usize = 16_384;
/// SSH_MSG_IGNORE with an empty text: its length, that of its padding, and 6 bytes of padding.
const NO_MEANING: [u8; 16] = [0, 0, 0, 12, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// One side's stream, halved.
type Halves = (ReadHalf<BoxedStream>, WriteHalf<BoxedStream>);

/// A connection between two SSH peers, passed on up to the end of their key exchange.
pub(crate) struct Splice {
    client: Halves,
    server: Halves,
}

impl Splice {
    /// Passes the key exchange on, with the message inserted, and deletes what the server sends
    /// then unasked; gives how many bytes that were.
    ///
    /// # Errors
    /// As reading and writing do, and where one of the two speaks no SSH.
    pub(crate) async fn begin(client: BoxedStream, server: BoxedStream) -> io::Result<(Self, usize)> {
        let mut splice = Self { client: tokio::io::split(client), server: tokio::io::split(server) };
        let Self { client, server } = &mut splice;
        let to_server = pass(&mut client.0, &mut server.1, &[]);
        let to_client = pass(&mut server.0, &mut client.1, &NO_MEANING);
        tokio::try_join!(biased; to_server, to_client)?;
        let deleted = swallow(&mut server.0).await?;
        Ok((splice, deleted))
    }

    /// Passes everything on that follows.
    pub(crate) async fn go_on(self) {
        let client = self.client.0.unsplit(self.client.1);
        let server = self.server.0.unsplit(self.server.1);
        let (mut client, mut server) = (client, server);
        // How it ends, both ends see for themselves.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}

/// Passes a version line and packets on, with something before NEWKEYS, and that as the last.
async fn pass(
    from: &mut ReadHalf<BoxedStream>,
    to: &mut WriteHalf<BoxedStream>,
    before_new_keys: &[u8],
) -> io::Result<()> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(from.read_u8().await?);
        if line.len() > MAX_VERSION_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    to.write_all(&line).await?;
    loop {
        let packet = packet(from).await?;
        // After the packet's length and that of its padding comes the kind of message.
        let is_last = packet.get(5) == Some(&NEW_KEYS);
        if is_last {
            to.write_all(before_new_keys).await?;
        }
        to.write_all(&packet).await?;
        to.flush().await?;
        if is_last {
            return Ok(());
        }
    }
}

/// The next packet that is not encrypted, with its length.
async fn packet(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let bytes = usize::try_from(length).ok().filter(|bytes| *bytes <= MAX_PACKET_BYTES);
    let mut packet = vec![0; bytes.ok_or(io::ErrorKind::InvalidData)?];
    from.read_exact(&mut packet).await?;
    Ok([&length.to_be_bytes()[..], &packet].concat())
}

/// Reads what comes without being asked for, until nothing more does.
async fn swallow(from: &mut ReadHalf<BoxedStream>) -> io::Result<usize> {
    let (mut buffer, mut deleted) = ([0; CHUNK_BYTES], 0);
    let mut wait = UNASKED;
    while let Ok(read) = timeout(wait, from.read(&mut buffer)).await {
        match read? {
            0 => break,
            count => deleted += count,
        }
        wait = QUIET;
    }
    Ok(deleted)
}
