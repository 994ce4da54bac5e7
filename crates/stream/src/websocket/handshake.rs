//! The values of the opening handshake (RFC 6455 section 4). The HTTP around them is for the
//! crates above.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// `Sec-WebSocket-Version`.
pub const VERSION: &str = "13";

/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The most subprotocols of an offer that are looked at.
const MAX_PROTOCOLS: usize = 32;

/// A client's `Sec-WebSocket-Key` from 16 random bytes.
pub fn key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// Is this a `Sec-WebSocket-Key`: 16 bytes in base64?
pub fn is_key(key: &str) -> bool {
    STANDARD.decode(key.trim()).is_ok_and(|bytes| bytes.len() == 16)
}

/// The `Sec-WebSocket-Accept` that answers a key.
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.trim().as_bytes());
    hash.update(GUID.as_bytes());
    STANDARD.encode(hash.finalize())
}

/// The subprotocols that `Sec-WebSocket-Protocol` headers offer, in order.
pub fn offered_protocols<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let values = headers.into_iter().flat_map(|value| value.split(','));
    values.map(str::trim).filter(|name| !name.is_empty()).take(MAX_PROTOCOLS).collect()
}
