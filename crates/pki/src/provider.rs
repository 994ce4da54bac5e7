//! rustls' cryptography with our own randomness.
//!
//! ring can be given no seed, so what draws is replaced: the random numbers, the key exchange and
//! the signatures. On a simulation's thread a handshake is then a function of the seed; elsewhere
//! the same code draws from the operating system. Ciphers, hashes and verification stay ring's.

use crate::exchange::X25519;
use crate::signer::KeyProvider;
use rustls::crypto::ring::cipher_suite;
use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom, SupportedKxGroup};
use std::sync::{Arc, LazyLock};

/// The cryptography of every honest handshake.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| build(&AMBIENT, &AMBIENT_EXCHANGE));
    Arc::clone(&PROVIDER)
}

/// Cryptography that draws the same bytes for every handshake: what a server with a broken random
/// number generator has. Whoever recorded a client's side of a connection can replay it.
pub fn danger_frozen_provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| build(&FROZEN, &FROZEN_EXCHANGE));
    Arc::clone(&PROVIDER)
}

static AMBIENT: Random = Random { draw: ravelin_entropy::fill };
static AMBIENT_EXCHANGE: X25519 = X25519 { draw: ravelin_entropy::fill };
static FROZEN: Random = Random { draw: frozen };
static FROZEN_EXCHANGE: X25519 = X25519 { draw: frozen };

fn frozen(buffer: &mut [u8]) {
    buffer.fill(0x52);
}

fn build(random: &'static Random, exchange: &'static X25519) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![exchange as &'static dyn SupportedKxGroup],
        secure_random: random,
        key_provider: &KeyProvider,
        ..rustls::crypto::ring::default_provider()
    })
}

struct Random {
    draw: fn(&mut [u8]),
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

impl SecureRandom for Random {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        (self.draw)(buffer);
        Ok(())
    }
}
