//! The binary packet protocol of one direction (RFC 4253 section 6, RFC 5647).

use super::super::cursor::Cursor;
use ring::aead;

const NEW_KEYS: u8 = 21;
const LENGTH_BYTES: usize = 4;
const TAG_BYTES: usize = 16;
/// Longer packets than implementations send (RFC 4253 section 6.1 asks for 35,000).
const MAX_PACKET_BYTES: usize = 512 * 1024;

/// Why reading packets stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// At a NEWKEYS message: other keys follow.
    NewKeys,
    /// At the end of what can be read.
    End,
}

/// A key and the nonce of the next packet.
pub(super) struct PacketKey {
    key: aead::LessSafeKey,
    nonce: [u8; aead::NONCE_LEN],
}

impl PacketKey {
    /// A key of the cipher's length.
    pub(super) fn new(cipher: &'static aead::Algorithm, key: &[u8], nonce: &[u8]) -> Option<Self> {
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(cipher, key).ok()?);
        Some(Self { key, nonce: nonce.try_into().ok()? })
    }

    fn open(&self, length: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut content = sealed.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key(self.nonce);
        let opened = self.key.open_in_place(nonce, aead::Aad::from(length), &mut content).ok()?.len();
        content.truncate(opened);
        Some(content)
    }

    /// The last 8 bytes count packets (RFC 5647 section 7.1).
    fn advance(&mut self) {
        for byte in self.nonce[4..].iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }
}

/// One direction's bytes.
pub(super) struct Packets<'a> {
    /// The version line without its end.
    pub(super) version: String,
    rest: &'a [u8],
    key: Option<PacketKey>,
}

impl<'a> Packets<'a> {
    /// Reads the version line (RFC 4253 section 4.2); lines may stand before it.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            rest = &rest[end + 1..];
            if line.starts_with(b"SSH-") {
                return Self { version: String::from_utf8_lossy(line).into_owned(), rest, key: None };
            }
        }
        Self { version: String::new(), rest: &[], key: None }
    }

    /// The payloads up to and without the next NEWKEYS.
    pub(super) fn until_new_keys(&mut self) -> (Vec<Vec<u8>>, Stop) {
        let mut payloads = Vec::new();
        while let Some((payload, rest)) = self.next() {
            self.rest = rest;
            if let Some(key) = &mut self.key {
                key.advance();
            }
            if payload.first() == Some(&NEW_KEYS) {
                return (payloads, Stop::NewKeys);
            }
            payloads.push(payload);
        }
        (payloads, Stop::End)
    }

    fn next(&self) -> Option<(Vec<u8>, &'a [u8])> {
        let mut cursor = Cursor(self.rest);
        let length = cursor.take(LENGTH_BYTES)?;
        let content = match &self.key {
            None => {
                let bytes = Cursor(length).number(LENGTH_BYTES).filter(|bytes| *bytes <= MAX_PACKET_BYTES)?;
                cursor.take(bytes)?.to_vec()
            }
            Some(key) => self.sealed(key)?,
        };
        if self.key.is_some() {
            cursor.take(content.len() + TAG_BYTES)?;
        }
        let padding = usize::from(*content.first()?);
        let payload = content.get(1..content.len().checked_sub(padding)?)?.to_vec();
        Some((payload, cursor.0))
    }

    fn sealed(&self, key: &PacketKey) -> Option<Vec<u8>> {
        let mut cursor = Cursor(self.rest);
        let length = cursor.take(LENGTH_BYTES)?;
        let bytes = Cursor(length).number(LENGTH_BYTES).filter(|bytes| *bytes <= MAX_PACKET_BYTES)?;
        key.open(length, cursor.take(bytes + TAG_BYTES)?)
    }

    /// Does this key open the next packet? `None` where there is no whole packet to try.
    pub(super) fn opens_with(&self, key: &PacketKey) -> Option<bool> {
        let mut cursor = Cursor(self.rest);
        let bytes = cursor.number(LENGTH_BYTES)?;
        let whole = bytes > MAX_PACKET_BYTES || cursor.take(bytes + TAG_BYTES).is_some();
        whole.then(|| self.sealed(key).is_some())
    }

    /// Uses these keys from here on, where this direction has changed its keys.
    pub(super) fn set_keys(&mut self, stop: Stop, key: PacketKey) {
        match stop {
            Stop::NewKeys => self.key = Some(key),
            Stop::End => self.rest = &[],
        }
    }

    /// How many bytes could not be read.
    pub(super) fn unread(&self) -> usize {
        self.rest.len()
    }
}
