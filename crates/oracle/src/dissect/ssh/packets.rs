//! The binary packet protocol of one direction (RFC 4253 section 6, RFC 5647, OpenSSH's
//! PROTOCOL.chacha20poly1305).

use super::super::cursor::Cursor;
use ring::aead::{self, chacha20_poly1305_openssh};

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

/// A direction's key.
pub(super) enum PacketKey {
    /// AES-GCM, and the nonce of the next packet.
    Gcm(Box<aead::LessSafeKey>, [u8; aead::NONCE_LEN]),
    /// chacha20-poly1305@openssh.com, whose nonce is the number of the packet.
    ChaCha(Box<chacha20_poly1305_openssh::OpeningKey>),
}

/// The ciphers that are read here.
#[derive(Clone, Copy)]
pub(super) enum Cipher {
    Gcm(&'static aead::Algorithm),
    ChaCha,
}

impl Cipher {
    /// The cipher of a name (RFC 5647 as OpenSSH has it, and OpenSSH's PROTOCOL.chacha20poly1305).
    pub(super) fn new(name: &str) -> Option<Self> {
        match name {
            "aes256-gcm@openssh.com" => Some(Self::Gcm(&aead::AES_256_GCM)),
            "aes128-gcm@openssh.com" => Some(Self::Gcm(&aead::AES_128_GCM)),
            "chacha20-poly1305@openssh.com" => Some(Self::ChaCha),
            _ => None,
        }
    }

    /// How many bytes of key it takes.
    pub(super) fn key_len(self) -> usize {
        match self {
            Self::Gcm(algorithm) => algorithm.key_len(),
            Self::ChaCha => chacha20_poly1305_openssh::KEY_LEN,
        }
    }
}

impl PacketKey {
    /// A key of the cipher's length.
    pub(super) fn new(cipher: Cipher, key: &[u8], nonce: &[u8]) -> Option<Self> {
        Some(match cipher {
            Cipher::Gcm(algorithm) => {
                let key = aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key).ok()?);
                Self::Gcm(Box::new(key), nonce.try_into().ok()?)
            }
            Cipher::ChaCha => {
                let key = chacha20_poly1305_openssh::OpeningKey::new(key.try_into().ok()?);
                Self::ChaCha(Box::new(key))
            }
        })
    }

    /// What stands in a packet's first four bytes.
    fn length(&self, sequence: u32, bytes: &[u8]) -> Option<usize> {
        let bytes = match self {
            Self::Gcm(..) => bytes.try_into().ok()?,
            Self::ChaCha(key) => key.decrypt_packet_length(sequence, bytes.try_into().ok()?),
        };
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    }

    /// The content of a packet from its length, as it was sent, and what follows.
    fn open(&self, sequence: u32, (length, sealed): (&[u8], &[u8])) -> Option<Vec<u8>> {
        match self {
            Self::Gcm(key, nonce) => {
                let mut content = sealed.to_vec();
                let nonce = aead::Nonce::assume_unique_for_key(*nonce);
                let opened = key.open_in_place(nonce, aead::Aad::from(length), &mut content).ok()?.len();
                content.truncate(opened);
                Some(content)
            }
            Self::ChaCha(key) => {
                let (content, tag) = sealed.split_last_chunk::<TAG_BYTES>()?;
                let mut whole = [length, content].concat();
                Some(key.open_in_place(sequence, &mut whole, tag).ok()?.to_vec())
            }
        }
    }

    /// The last 8 bytes count packets (RFC 5647 section 7.1).
    fn advance(&mut self) {
        let Self::Gcm(_, nonce) = self else { return };
        for byte in nonce[4..].iter_mut().rev() {
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
    /// The number of the next packet (RFC 4253 section 6.4).
    sequence: u32,
}

impl<'a> Packets<'a> {
    /// Reads the version line (RFC 4253 section 4.2); lines may stand before it.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let (mut rest, mut version) = (bytes, None);
        while let (None, Some(end)) = (&version, rest.iter().position(|byte| *byte == b'\n')) {
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            rest = &rest[end + 1..];
            version = line.starts_with(b"SSH-").then(|| String::from_utf8_lossy(line).into_owned());
        }
        let rest = if version.is_some() { rest } else { &[] };
        Self { version: version.unwrap_or_default(), rest, key: None, sequence: 0 }
    }

    /// The payloads up to and without the next NEWKEYS.
    pub(super) fn until_new_keys(&mut self) -> (Vec<Vec<u8>>, Stop) {
        let mut payloads = Vec::new();
        while let Some((payload, rest)) = self.next() {
            self.rest = rest;
            self.sequence = self.sequence.wrapping_add(1);
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
        let (content, rest) = match &self.key {
            None => {
                let mut cursor = Cursor(self.rest);
                let bytes = cursor.number(LENGTH_BYTES).filter(|bytes| *bytes <= MAX_PACKET_BYTES)?;
                (cursor.take(bytes)?.to_vec(), cursor.0)
            }
            Some(key) => self.sealed((key, self.sequence))?,
        };
        let padding = usize::from(*content.first()?);
        let payload = content.get(1..content.len().checked_sub(padding)?)?.to_vec();
        Some((payload, rest))
    }

    /// The content of the next packet, opened with a key, and what follows it.
    fn sealed(&self, (key, sequence): (&PacketKey, u32)) -> Option<(Vec<u8>, &'a [u8])> {
        let mut cursor = Cursor(self.rest);
        let length = cursor.take(LENGTH_BYTES)?;
        let bytes = key.length(sequence, length).filter(|bytes| *bytes <= MAX_PACKET_BYTES)?;
        let content = key.open(sequence, (length, cursor.take(bytes + TAG_BYTES)?))?;
        Some((content, cursor.0))
    }

    /// Does this key open the next packet? `None` where there is no whole packet to try.
    pub(super) fn opens_with(&self, key: &PacketKey, strict: bool) -> Option<bool> {
        let sequence = if strict { 0 } else { self.sequence };
        let mut cursor = Cursor(self.rest);
        let bytes = key.length(sequence, cursor.take(LENGTH_BYTES)?)?;
        let whole = bytes > MAX_PACKET_BYTES || cursor.take(bytes + TAG_BYTES).is_some();
        whole.then(|| self.sealed((key, sequence)).is_some())
    }

    /// Uses these keys from here on, where this direction has changed its keys. In a strict
    /// exchange packets are counted anew (OpenSSH's PROTOCOL, section 1.10).
    pub(super) fn set_keys(&mut self, stop: Stop, (key, strict): (PacketKey, bool)) {
        match stop {
            Stop::NewKeys => self.key = Some(key),
            Stop::End => self.rest = &[],
        }
        if strict {
            self.sequence = 0;
        }
    }

    /// How many bytes could not be read.
    pub(super) fn unread(&self) -> usize {
        self.rest.len()
    }
}
