//! What a component says of itself.

/// One named value of an observation.
pub type Field = (&'static str, String);

/// A field of an observation.
pub fn field(name: &'static str, value: impl ToString) -> Field {
    (name, value.to_string())
}

/// What is needed to read a captured session afterwards.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionSecret {
    /// A line of the NSS key log format: label (such as `CLIENT_TRAFFIC_SECRET_0`), client random,
    /// secret.
    Tls {
        /// Which secret.
        label: String,
        /// The 32 bytes that name the connection.
        client_random: Vec<u8>,
        /// The secret itself.
        secret: Vec<u8>,
    },
    /// The shared secret K of an SSH key exchange (RFC 4253 section 8), as raw big-endian bytes.
    Ssh {
        /// The secret itself.
        shared_secret: Vec<u8>,
        /// The name of the key exchange method.
        kex: String,
        /// The name of the cipher.
        cipher: String,
    },
}

impl std::fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSecret(hidden)")
    }
}
