//! The key exchange (RFC 4253 sections 7 and 8, RFC 8731).

use super::super::Secrets;
use super::super::cursor::Cursor;
use super::packets::{Cipher, PacketKey, Packets};
use ring::aead;
use sha2::{Digest, Sha256};

const KEX_INIT: u8 = 20;
const KEX_ECDH_INIT: u8 = 30;
const KEX_ECDH_REPLY: u8 = 31;

/// The messages of one key exchange.
pub(super) struct Exchange {
    versions: (String, String),
    client_init: Vec<u8>,
    server_init: Vec<u8>,
    /// The host key in wire form.
    pub(super) host_key: Vec<u8>,
    client_ephemeral: Vec<u8>,
    server_ephemeral: Vec<u8>,
}

impl Exchange {
    /// The exchange among the payloads that both sides sent before changing their keys.
    pub(super) fn find(versions: &(String, String), client: &[Vec<u8>], server: &[Vec<u8>]) -> Option<Self> {
        let last = |payloads: &[Vec<u8>], kind: u8| {
            payloads.iter().rev().find(|payload| payload.first() == Some(&kind)).cloned()
        };
        let (init, reply) = (last(client, KEX_ECDH_INIT)?, last(server, KEX_ECDH_REPLY)?);
        let mut reply = Cursor(&reply[1..]);
        Some(Self {
            versions: versions.clone(),
            client_init: last(client, KEX_INIT)?,
            server_init: last(server, KEX_INIT)?,
            client_ephemeral: Cursor(&init[1..]).field(4)?.to_vec(),
            host_key: reply.field(4)?.to_vec(),
            server_ephemeral: reply.field(4)?.to_vec(),
        })
    }

    /// The keys of both directions, client's first: those of the secret that opens what follows.
    /// The first exchange names the session.
    pub(super) fn keys(
        &self,
        secrets: &Secrets,
        (session_id, strict): (&mut Vec<u8>, bool),
        (client, server): (&Packets<'_>, &Packets<'_>),
    ) -> Option<(PacketKey, PacketKey)> {
        let (to_server, to_client) = self.ciphers()?;
        for secret in secrets.ssh() {
            let shared = mpint(&secret.shared_secret);
            let hash = self.hash(&shared);
            let id = if session_id.is_empty() { &hash } else { &*session_id };
            let derive = |letter, length| derive(&shared, &hash, (letter, id), length);
            let client_key = PacketKey::new(
                to_server,
                &derive(b'C', to_server.key_len()),
                &derive(b'A', aead::NONCE_LEN),
            )?;
            let server_key = PacketKey::new(
                to_client,
                &derive(b'D', to_client.key_len()),
                &derive(b'B', aead::NONCE_LEN),
            )?;
            let opens = (client.opens_with(&client_key, strict), server.opens_with(&server_key, strict));
            let wrong = opens.0 == Some(false) || opens.1 == Some(false);
            if !wrong && opens != (None, None) {
                if session_id.is_empty() {
                    *session_id = hash;
                }
                return Some((client_key, server_key));
            }
        }
        None
    }

    /// The exchange hash H, for a SHA-256 method.
    fn hash(&self, shared: &[u8]) -> Vec<u8> {
        let mut hash = Sha256::new();
        let fields: [&[u8]; 7] = [
            self.versions.0.as_bytes(),
            self.versions.1.as_bytes(),
            &self.client_init,
            &self.server_init,
            &self.host_key,
            &self.client_ephemeral,
            &self.server_ephemeral,
        ];
        for field in fields {
            hash.update(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(field);
        }
        hash.update(shared);
        hash.finalize().to_vec()
    }

    /// The ciphers to the server and to the client, where they are known here.
    fn ciphers(&self) -> Option<(Cipher, Cipher)> {
        let (client, server) = (name_lists(&self.client_init)?, name_lists(&self.server_init)?);
        let chosen = |list: usize| client[list].iter().find(|name| server[list].contains(name));
        if !chosen(0)?.starts_with("curve25519-sha256") {
            return None;
        }
        let cipher = |list| Cipher::new(chosen(list)?);
        Some((cipher(2)?, cipher(3)?))
    }

    /// Do both sides want a strict exchange (OpenSSH's PROTOCOL, section 1.10)? Only a session's
    /// first exchange says so.
    pub(super) fn is_strict(&self) -> bool {
        let offers = |init: &[u8], name: &str| {
            name_lists(init).is_some_and(|lists| lists[0].iter().any(|offered| offered == name))
        };
        offers(&self.client_init, "kex-strict-c-v00@openssh.com")
            && offers(&self.server_init, "kex-strict-s-v00@openssh.com")
    }
}

/// The lists of algorithm names in a KEXINIT (RFC 4253 section 7.1): key exchange, host key,
/// ciphers to the server, ciphers to the client.
fn name_lists(init: &[u8]) -> Option<[Vec<String>; 4]> {
    const TYPE_AND_COOKIE_BYTES: usize = 17;
    let mut cursor = Cursor(init);
    cursor.take(TYPE_AND_COOKIE_BYTES)?;
    let mut list = || Some(cursor.text()?.split(',').map(str::to_owned).collect());
    Some([list()?, list()?, list()?, list()?])
}

/// A key or nonce (RFC 4253 section 7.2).
fn derive(shared: &[u8], hash: &[u8], (letter, session_id): (u8, &[u8]), length: usize) -> Vec<u8> {
    let start = Sha256::new().chain_update(shared).chain_update(hash);
    let mut key = start.clone().chain_update([letter]).chain_update(session_id).finalize().to_vec();
    while key.len() < length {
        let more = start.clone().chain_update(&key).finalize();
        key.extend_from_slice(&more);
    }
    key.truncate(length);
    key
}

/// SSH's `mpint` of an unsigned number (RFC 4251 section 5), with its length.
fn mpint(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let mut digits = number[zeros..].to_vec();
    if digits.first().is_some_and(|first| *first >= 0x80) {
        digits.insert(0, 0);
    }
    let mut encoded = u32::try_from(digits.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    encoded.append(&mut digits);
    encoded
}
