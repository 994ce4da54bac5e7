//! Ed25519 keys of users and hosts.

use ravelin_entropy::Entropy;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey};
use std::fmt;
use std::sync::Arc;

/// A text that is not a key that this crate can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SshKeyError {
    /// It cannot be read as an OpenSSH key.
    #[error("not an OpenSSH key: {0}")]
    Malformed(String),
    /// It is of another kind than ed25519.
    #[error("only ed25519 keys can be used, and this is {0}")]
    Unsupported(String),
}

/// A private key.
#[derive(Clone)]
pub struct SshKey(Arc<PrivateKey>);

impl SshKey {
    /// A new ed25519 key.
    pub fn generate(entropy: &mut Entropy) -> Self {
        Self(Arc::new(PrivateKey::from(Ed25519Keypair::from_seed(&entropy.bytes()))))
    }

    /// Reads an unencrypted OpenSSH private key file.
    ///
    /// # Errors
    /// Where it is anything else, or not ed25519.
    pub fn from_openssh(text: &str) -> Result<Self, SshKeyError> {
        let key =
            PrivateKey::from_openssh(text).map_err(|error| SshKeyError::Malformed(error.to_string()))?;
        match key.algorithm() {
            Algorithm::Ed25519 if !key.is_encrypted() => Ok(Self(Arc::new(key))),
            Algorithm::Ed25519 => Err(SshKeyError::Malformed("the key is encrypted".to_owned())),
            other => Err(SshKeyError::Unsupported(other.to_string())),
        }
    }

    /// The OpenSSH private key file of this key.
    pub fn to_openssh(&self) -> String {
        let text = self.0.to_openssh(LineEnding::LF).expect("an ed25519 key can always be written");
        text.to_string()
    }

    /// Its public half.
    pub fn public(&self) -> SshPublicKey {
        SshPublicKey(self.0.public_key().key_data().clone().into())
    }

    pub(crate) fn private(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshKey(hidden, {})", self.public().fingerprint())
    }
}

/// A public key; its comment is left out, so that equal keys are equal.
#[derive(Clone, PartialEq, Eq)]
pub struct SshPublicKey(PublicKey);

impl SshPublicKey {
    pub(crate) fn new(key: &PublicKey) -> Self {
        Self::from_data(key.key_data().clone())
    }

    pub(crate) fn from_data(key: KeyData) -> Self {
        Self(key.into())
    }

    /// What kind of key it is.
    pub(crate) fn kind(&self) -> Algorithm {
        self.0.algorithm()
    }

    pub(crate) fn key_data(&self) -> &KeyData {
        self.0.key_data()
    }

    /// Reads a line as in `authorized_keys` (without options) or a `.pub` file.
    ///
    /// # Errors
    /// Where it is anything else.
    pub fn from_openssh(line: &str) -> Result<Self, SshKeyError> {
        let key = PublicKey::from_openssh(line).map_err(|error| SshKeyError::Malformed(error.to_string()))?;
        Ok(Self::new(&key))
    }

    /// The key as a line of `authorized_keys`.
    pub fn to_openssh(&self) -> String {
        self.0.to_openssh().expect("a public key can always be written")
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }
}

impl fmt::Debug for SshPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshPublicKey({})", self.fingerprint())
    }
}
