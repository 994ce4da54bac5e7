//! SSH (RFC 4253, 4254), read from a capture and the shared secrets of its key exchanges.
//!
//! Read are `curve25519-sha256` with the AES-GCM ciphers and chacha20-poly1305, re-exchanges
//! included, strict or not, and channels that the client opened.

mod channels;
mod exchange;
mod packets;

use super::{Secrets, Side};
use channels::Channels;
use exchange::Exchange;
use packets::{Packets, Stop};

pub use channels::SshChannel;

const DISCONNECT: u8 = 1;
const EXT_INFO: u8 = 7;
const USERAUTH_REQUEST: u8 = 50;
const USERAUTH_SUCCESS: u8 = 52;

/// What an SSH connection held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshSession {
    /// The version lines of client and server (always in clear), without the line end.
    pub versions: (String, String),
    /// The server's public host key in wire form (always in clear); empty where none was sent.
    pub host_key: Vec<u8>,
    /// The channels that the client opened, in that order.
    pub channels: Vec<SshChannel>,
    /// The user who asked to be authenticated.
    pub user: Option<String>,
    /// Did the server accept a user?
    pub authenticated: bool,
    /// Reason codes of disconnect messages (RFC 4253 section 11.1) by who sent them.
    pub disconnects: Vec<(Side, u32)>,
    /// Bytes after the key exchange that no secret opened, by either side.
    pub sealed_bytes: usize,
    /// Key exchanges that were completed and could be read.
    pub exchanges_read: usize,
    /// Did both sides ask for a strict key exchange, against packets that vanish (CVE-2023-48795)?
    pub strict: bool,
    /// Who told the other which extensions it knows (EXT_INFO, RFC 8308).
    pub extensions_told_by: Vec<Side>,
}

/// Do these bytes start as an SSH connection does?
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    bytes.starts_with(b"SSH-")
}

/// Reads a connection.
pub(super) fn read(client: &[u8], server: &[u8], secrets: &Secrets) -> SshSession {
    let (mut client, mut server) = (Packets::new(client), Packets::new(server));
    let mut session = SshSession::default();
    let mut channels = Channels::default();
    session.versions = (client.version.clone(), server.version.clone());
    let mut session_id = Vec::new();
    loop {
        let (from_client, client_stop) = client.until_new_keys();
        let (from_server, server_stop) = server.until_new_keys();
        from_client.iter().for_each(|payload| session.message(Side::Client, payload));
        from_server.iter().for_each(|payload| session.message(Side::Server, payload));
        from_client.iter().for_each(|payload| channels.message(Side::Client, payload));
        from_server.iter().for_each(|payload| channels.message(Side::Server, payload));
        let exchange = Exchange::find(&session.versions, &from_client, &from_server);
        if let Some(exchange) = &exchange {
            session.host_key = exchange.host_key.clone();
            session.strict |= exchange.is_strict();
        }
        if client_stop == Stop::End && server_stop == Stop::End {
            break;
        }
        let counted = (&mut session_id, session.strict);
        let keys = exchange.and_then(|exchange| exchange.keys(secrets, counted, (&client, &server)));
        let Some((client_keys, server_keys)) = keys else { break };
        session.exchanges_read += 1;
        client.set_keys(client_stop, (client_keys, session.strict));
        server.set_keys(server_stop, (server_keys, session.strict));
    }
    session.sealed_bytes = client.unread() + server.unread();
    session.channels = channels.finish();
    session
}

impl SshSession {
    fn message(&mut self, from: Side, payload: &[u8]) {
        let mut cursor = super::cursor::Cursor(payload);
        match (cursor.byte(), from) {
            (Some(DISCONNECT), _) => {
                let reason = cursor.number(4).and_then(|reason| u32::try_from(reason).ok());
                self.disconnects.extend(reason.map(|reason| (from, reason)));
            }
            (Some(EXT_INFO), _) => self.extensions_told_by.push(from),
            (Some(USERAUTH_REQUEST), Side::Client) => self.user = cursor.text(),
            (Some(USERAUTH_SUCCESS), Side::Server) => self.authenticated = true,
            _ => {}
        }
    }
}
