//! The record layer: keys, nonces, inner content types (RFC 8446 sections 5 and 7).

use super::super::Side;
use super::super::cursor::Cursor;
use super::{Alert, handshake};
use ring::{aead, hkdf};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEADER_BYTES: usize = 5;
/// 2^14 and what encryption may add (RFC 8446 section 5.2); older versions add more.
const MAX_RECORD_BYTES: usize = 16_384 + 2_048;

/// A cipher suite of TLS 1.3.
#[derive(Clone, Copy)]
pub(super) enum Suite {
    Aes128GcmSha256,
    Aes256GcmSha384,
    Chacha20Poly1305Sha256,
}

impl Suite {
    /// The suite of a number.
    pub(super) fn new(number: u16) -> Option<Self> {
        match number {
            0x1301 => Some(Self::Aes128GcmSha256),
            0x1302 => Some(Self::Aes256GcmSha384),
            0x1303 => Some(Self::Chacha20Poly1305Sha256),
            _ => None,
        }
    }

    /// Its name in RFC 8446.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Aes128GcmSha256 => "TLS_AES_128_GCM_SHA256",
            Self::Aes256GcmSha384 => "TLS_AES_256_GCM_SHA384",
            Self::Chacha20Poly1305Sha256 => "TLS_CHACHA20_POLY1305_SHA256",
        }
    }

    fn aead(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128GcmSha256 => &aead::AES_128_GCM,
            Self::Aes256GcmSha384 => &aead::AES_256_GCM,
            Self::Chacha20Poly1305Sha256 => &aead::CHACHA20_POLY1305,
        }
    }

    fn hash(self) -> hkdf::Algorithm {
        match self {
            Self::Aes256GcmSha384 => hkdf::HKDF_SHA384,
            _ => hkdf::HKDF_SHA256,
        }
    }

    /// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
    fn expand(self, secret: &[u8], label: &str, length: usize) -> Option<Vec<u8>> {
        struct Length(usize);
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let label = [b"tls13 ", label.as_bytes()].concat();
        let info = [
            &u16::try_from(length).ok()?.to_be_bytes()[..],
            &[u8::try_from(label.len()).ok()?],
            &label,
            &[0],
        ]
        .concat();
        let mut expanded = vec![0; length];
        let key = hkdf::Prk::new_less_safe(self.hash(), secret);
        key.expand(&[&info], Length(length)).ok()?.fill(&mut expanded).ok()?;
        Some(expanded)
    }
}

/// The secrets that may open one direction.
pub(super) struct DirectionSecrets<'a> {
    pub(super) suite: Suite,
    pub(super) handshake: Vec<&'a [u8]>,
    pub(super) traffic: Vec<&'a [u8]>,
}

/// One key with its record counter.
struct Opener {
    suite: Suite,
    secret: Vec<u8>,
    key: aead::LessSafeKey,
    iv: Vec<u8>,
    sequence: u64,
}

impl Opener {
    fn new(suite: Suite, secret: &[u8]) -> Option<Self> {
        let key = suite.expand(secret, "key", suite.aead().key_len())?;
        let iv = suite.expand(secret, "iv", aead::NONCE_LEN)?;
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(suite.aead(), &key).ok()?);
        Some(Self { suite, secret: secret.to_vec(), key, iv, sequence: 0 })
    }

    /// The key after a KeyUpdate (RFC 8446 section 7.2).
    fn updated(&self) -> Option<Self> {
        let next = self.suite.expand(&self.secret, "traffic upd", self.secret.len())?;
        Self::new(self.suite, &next)
    }

    /// The inner content type and content of a record.
    fn open(&mut self, header: &[u8], body: &[u8]) -> Option<(u8, Vec<u8>)> {
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[4..].copy_from_slice(&self.sequence.to_be_bytes());
        nonce.iter_mut().zip(&self.iv).for_each(|(byte, iv)| *byte ^= iv);
        let mut content = body.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let length = self.key.open_in_place(nonce, aead::Aad::from(header), &mut content).ok()?.len();
        self.sequence += 1;
        content.truncate(length);
        while let Some(last) = content.pop() {
            if last != 0 {
                return Some((last, content));
            }
        }
        None
    }
}

/// What one direction's records held.
#[derive(Default)]
pub(super) struct Records {
    pub(super) application: Vec<u8>,
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) certificate_in_clear: bool,
    pub(super) alerts: Vec<Alert>,
    pub(super) finished: bool,
    pub(super) sealed: usize,
    changed_cipher: bool,
    /// Handshake bytes that are not a whole message yet.
    partial: Vec<u8>,
    /// The keys that may be in use: one, once it opened a record.
    current: Vec<Opener>,
    /// The keys to use after Finished.
    next: Vec<Opener>,
}

impl Records {
    /// Reads a direction's records.
    pub(super) fn read(bytes: &[u8], side: Side, secrets: Option<DirectionSecrets<'_>>) -> Self {
        let mut records = Self::default();
        if let Some(DirectionSecrets { suite, handshake, traffic }) = secrets {
            let openers = |secrets: Vec<&[u8]>| {
                secrets.into_iter().filter_map(|secret| Opener::new(suite, secret)).collect()
            };
            records.current = openers(handshake);
            records.next = openers(traffic);
        }
        for (header, body) in each(bytes) {
            match header[0] {
                APPLICATION_DATA => records.sealed_record(header, body, side),
                CHANGE_CIPHER_SPEC => records.changed_cipher = true,
                kind => records.content(kind, body, side, false),
            }
        }
        records
    }

    fn sealed_record(&mut self, header: &[u8], body: &[u8], side: Side) {
        let opened = try_all(&mut self.current, header, body);
        // Where the key log lacks the handshake's secrets, the first record that the traffic
        // secret opens is where it began.
        let opened = opened.or_else(|| {
            let opened = try_all(&mut self.next, header, body)?;
            self.current = std::mem::take(&mut self.next);
            Some(opened)
        });
        match opened {
            Some((kind, content)) => self.content(kind, &content, side, true),
            None => self.sealed += 1,
        }
    }

    fn content(&mut self, kind: u8, content: &[u8], side: Side, encrypted: bool) {
        match (kind, content) {
            (APPLICATION_DATA, _) => self.application.extend_from_slice(content),
            (ALERT, &[level @ 1..=2, description]) => {
                self.alerts.push(Alert { from: side, level, description, encrypted });
            }
            (HANDSHAKE, _) => {
                self.partial.extend_from_slice(content);
                while let Some((kind, body)) = handshake::next_message(&mut self.partial) {
                    self.handshake_message(kind, &body, encrypted);
                }
            }
            _ => {}
        }
    }

    fn handshake_message(&mut self, kind: u8, body: &[u8], encrypted: bool) {
        match kind {
            handshake::CERTIFICATE if encrypted => {
                self.certificates = handshake::certificates(body).unwrap_or_default();
            }
            // Before TLS 1.3 what follows a ChangeCipherSpec is encrypted: its bytes say nothing.
            handshake::CERTIFICATE => self.certificate_in_clear |= !self.changed_cipher,
            handshake::FINISHED if encrypted => {
                self.finished = true;
                if !self.next.is_empty() {
                    self.current = std::mem::take(&mut self.next);
                }
            }
            handshake::KEY_UPDATE if encrypted => {
                self.current = self.current.iter().filter_map(Opener::updated).collect();
            }
            _ => {}
        }
    }
}

/// Opens a record with whichever key fits, and forgets the others.
fn try_all(openers: &mut Vec<Opener>, header: &[u8], body: &[u8]) -> Option<(u8, Vec<u8>)> {
    let mut fitting = openers.iter_mut().enumerate();
    let (index, opened) = fitting.find_map(|(index, opener)| Some((index, opener.open(header, body)?)))?;
    let fitting = openers.swap_remove(index);
    *openers = vec![fitting];
    Some(opened)
}

/// Each record's header and body, as far as they are whole and look like TLS.
fn each(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut cursor = Cursor(bytes);
    std::iter::from_fn(move || {
        let header = cursor.take(HEADER_BYTES)?;
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let valid = (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&header[0]) && header[1] == 3;
        if !valid || length > MAX_RECORD_BYTES {
            cursor = Cursor(&[]);
            return None;
        }
        Some((header, cursor.take(length)?))
    })
}

/// The handshake bytes that stand in clear at the beginning.
pub(super) fn clear_handshake(bytes: &[u8]) -> Vec<u8> {
    let clear = each(bytes).take_while(|(header, _)| header[0] != APPLICATION_DATA);
    clear.filter(|(header, _)| header[0] == HANDSHAKE).flat_map(|(_, body)| body).copied().collect()
}
