//! X25519 key exchange for rustls, with secrets from our own randomness.

use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

/// X25519 whose secrets come from `draw`.
pub(crate) struct X25519 {
    pub(crate) draw: fn(&mut [u8]),
}

impl std::fmt::Debug for X25519 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("X25519")
    }
}

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = [0; 32];
        (self.draw)(&mut secret);
        let public = x25519(secret, X25519_BASEPOINT_BYTES);
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    secret: [u8; 32],
    public: [u8; 32],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let bad = || Error::from(PeerMisbehaved::InvalidKeyShare);
        let peer = peer.try_into().map_err(|_| bad())?;
        let shared = x25519(self.secret, peer);
        // RFC 8446 section 7.4.2: an all-zero result means that the peer's point was of small
        // order, and the secret no secret.
        if shared.iter().fold(0, |sum, byte| sum | byte) == 0 {
            return Err(bad());
        }
        Ok(shared.as_slice().into())
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}
