//! Handshake messages: what names a connection, and the certificates in it.

use super::super::Side;
use super::super::cursor::Cursor;
use super::record;

/// A ClientHello has this type.
pub(super) const CLIENT_HELLO: u8 = 1;
/// A ServerHello (or HelloRetryRequest) has this type.
pub(super) const SERVER_HELLO: u8 = 2;
/// A Certificate has this type.
pub(super) const CERTIFICATE: u8 = 11;
/// A Finished has this type.
pub(super) const FINISHED: u8 = 20;
/// A KeyUpdate has this type.
pub(super) const KEY_UPDATE: u8 = 24;

/// The random of a ServerHello that asks for another ClientHello (RFC 8446 section 4.1.3).
const RETRY_REQUEST: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2,
    0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// What a hello says.
pub(super) struct Hello {
    /// Names the connection in a key log (the client's).
    pub(super) random: Vec<u8>,
    /// The chosen cipher suite; 0 in a client's.
    pub(super) suite: u16,
    /// The name that the client asked for.
    pub(super) server_name: Option<String>,
}

/// The next handshake message of a buffer, taken off it: type and body.
pub(super) fn next_message(buffer: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let mut cursor = Cursor(buffer);
    let kind = cursor.byte()?;
    let body = cursor.field(3)?.to_vec();
    buffer.drain(..4 + body.len());
    Some((kind, body))
}

/// The side's hello: the client's first, or the server's that really chose.
pub(super) fn hello(bytes: &[u8], side: Side) -> Option<Hello> {
    let mut buffer = record::clear_handshake(bytes);
    while let Some((kind, body)) = next_message(&mut buffer) {
        let found = match (side, kind) {
            (Side::Client, CLIENT_HELLO) => client_hello(&body),
            (Side::Server, SERVER_HELLO) => server_hello(&body),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn client_hello(body: &[u8]) -> Option<Hello> {
    let mut cursor = Cursor(body);
    cursor.take(2)?;
    let random = cursor.take(32)?.to_vec();
    cursor.field(1)?;
    cursor.field(2)?;
    cursor.field(1)?;
    let server_name = cursor.field(2).and_then(server_name);
    Some(Hello { random, suite: 0, server_name })
}

/// The name in the server_name extension (RFC 6066 section 3).
fn server_name(extensions: &[u8]) -> Option<String> {
    let mut cursor = Cursor(extensions);
    loop {
        let kind = cursor.number(2)?;
        let mut body = Cursor(cursor.field(2)?);
        if kind == 0 {
            let mut names = Cursor(body.field(2)?);
            names.byte()?;
            return Some(String::from_utf8_lossy(names.field(2)?).into_owned());
        }
    }
}

fn server_hello(body: &[u8]) -> Option<Hello> {
    let mut cursor = Cursor(body);
    cursor.take(2)?;
    let random = cursor.take(32)?.to_vec();
    cursor.field(1)?;
    let suite = u16::try_from(cursor.number(2)?).ok()?;
    (random != RETRY_REQUEST).then_some(Hello { random, suite, server_name: None })
}

/// The certificates of a TLS 1.3 Certificate message (RFC 8446 section 4.4.2).
pub(super) fn certificates(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut cursor = Cursor(body);
    cursor.field(1)?;
    let mut list = Cursor(cursor.field(3)?);
    let mut found = Vec::new();
    while !list.0.is_empty() {
        found.push(list.field(3)?.to_vec());
        list.field(2)?;
    }
    Some(found)
}
