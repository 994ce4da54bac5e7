//! One stream of random bytes.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random bytes: ChaCha20 from a key, or the operating system's. It cannot be cloned:
/// no two draws may be the same.
pub struct Entropy(Source);

enum Source {
    Seeded(Box<ChaCha20Rng>),
    OperatingSystem,
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}

impl Entropy {
    /// The operating system's randomness.
    pub fn operating_system() -> Self {
        Self(Source::OperatingSystem)
    }

    /// The stream of a 32-byte key.
    pub fn from_key(key: [u8; 32]) -> Self {
        Self(Source::Seeded(Box::new(ChaCha20Rng::from_seed(key))))
    }

    /// Fills the buffer.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        match &mut self.0 {
            Source::Seeded(rng) => rng.fill_bytes(buffer),
            Source::OperatingSystem => crate::libc_symbols::from_kernel(buffer),
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random number.
    pub fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// A number from 0 to `bound - 1`, each equally likely.
    ///
    /// # Panics
    /// Where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        let rest = u64::MAX % bound;
        loop {
            let drawn = self.number();
            if drawn < u64::MAX - rest {
                return drawn % bound;
            }
        }
    }

    /// A word of `length` letters and digits (`a-z0-9`), as Kubernetes names allow.
    pub fn word(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(LETTERS[self.below(36) as usize])).collect()
    }

    /// A version 4 UUID (RFC 9562 section 5.4).
    pub fn uuid(&mut self) -> String {
        let mut b: [u8; 16] = self.bytes();
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }
}
