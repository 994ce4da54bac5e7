//! ECDSA keys on P-256: the one kind of key that this project makes. Public keys may also be RSA:
//! tokens are signed with those elsewhere.

use crate::rsa::RsaKey;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{DerSignature, Signature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use ravelin_entropy::Entropy;
use std::fmt;

/// Why a key could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not PKCS#8 or SEC1 PEM of a P-256 private key.
    #[error("not the PEM of a P-256 private key")]
    Private,
    /// Not the public key of a P-256 (or, for tokens, RSA) key.
    #[error("not the PEM of a P-256 or RSA public key")]
    Public,
}

/// A P-256 key that signs as RFC 6979 says: the same message always gets the same signature.
#[derive(Clone)]
pub struct KeyPair {
    secret: SigningKey,
    public: PublicKey,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(hidden)")
    }
}

impl KeyPair {
    /// A new key, decided by `entropy`.
    pub fn generate(entropy: &mut Entropy) -> Self {
        loop {
            // Out of range once in 2^32 draws: FIPS 186-5 A.2.2 draws again.
            if let Ok(secret) = SigningKey::from_slice(&entropy.bytes::<32>()) {
                return secret.into();
            }
        }
    }

    /// The private key as PKCS#8 PEM.
    pub fn to_pem(&self) -> String {
        self.secret.to_pkcs8_pem(LineEnding::LF).expect("a valid P-256 key encodes").to_string()
    }

    /// Reads a private key in PKCS#8 or SEC1 (`EC PRIVATE KEY`) PEM.
    ///
    /// # Errors
    /// Where it is neither, or of another kind of key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let pkcs8 = SigningKey::from_pkcs8_pem(pem.trim()).ok();
        let sec1 = || p256::SecretKey::from_sec1_pem(pem.trim()).ok().map(SigningKey::from);
        pkcs8.or_else(sec1).map(Self::from).ok_or(KeyError::Private)
    }

    pub(crate) fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let secret = SigningKey::from_pkcs8_der(der).map_err(|_| KeyError::Private)?;
        Ok(secret.into())
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.secret
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The public half as PEM (`PUBLIC KEY`).
    pub fn public_pem(&self) -> String {
        self.public.to_pem()
    }

    /// Signs a message with SHA-256; the result is `r || s`, as ES256 (RFC 7518 section 3.4).
    pub fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.secret.sign(message);
        signature.to_bytes().into()
    }

    /// Signs a message with SHA-256; the result is DER, as in X.509 and TLS.
    pub fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.secret.sign(message);
        signature.as_bytes().to_vec()
    }
}

impl From<SigningKey> for KeyPair {
    fn from(secret: SigningKey) -> Self {
        let public = PublicKey(Kind::P256(*secret.verifying_key()));
        Self { secret, public }
    }
}

/// The public half of a key: of P-256, or of RSA where it judges tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    P256(VerifyingKey),
    Rsa(RsaKey),
}

/// A public key's numbers, big-endian, as a JSON Web Key shows them (RFC 7518 section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyNumbers {
    /// A point on P-256.
    P256 {
        /// Its first coordinate.
        x: [u8; 32],
        /// Its second coordinate.
        y: [u8; 32],
    },
    /// An RSA key.
    Rsa {
        /// The modulus.
        modulus: Vec<u8>,
        /// The public exponent.
        exponent: Vec<u8>,
    },
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", crate::fingerprint_sha256(&self.to_spki_der()))
    }
}

impl PublicKey {
    /// Reads a `PUBLIC KEY` PEM of P-256 or RSA.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        match VerifyingKey::from_public_key_pem(pem.trim()) {
            Ok(key) => Ok(Self(Kind::P256(key))),
            Err(_) => RsaKey::from_pem(pem.trim()).map(|key| Self(Kind::Rsa(key))).ok_or(KeyError::Public),
        }
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280 section 4.1) of P-256: the only one in certificates and
    /// requests here.
    ///
    /// # Errors
    /// Where it is not one of a P-256 key.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_public_key_der(der).map_err(|_| KeyError::Public)?;
        Ok(Self(Kind::P256(key)))
    }

    /// The key as `PUBLIC KEY` PEM.
    pub fn to_pem(&self) -> String {
        crate::pem::encode("PUBLIC KEY", &self.to_spki_der())
    }

    /// The key as a SubjectPublicKeyInfo.
    pub fn to_spki_der(&self) -> Vec<u8> {
        match &self.0 {
            Kind::P256(key) => key.to_public_key_der().expect("a valid P-256 key encodes").into_vec(),
            Kind::Rsa(key) => key.spki_der().to_vec(),
        }
    }

    /// Its numbers.
    pub fn numbers(&self) -> KeyNumbers {
        match &self.0 {
            Kind::P256(key) => {
                let point = key.to_sec1_point(false).to_bytes();
                let half = |from: usize| point[from..from + 32].try_into().expect("0x04, 32 bytes, 32 bytes");
                KeyNumbers::P256 { x: half(1), y: half(33) }
            }
            Kind::Rsa(key) => {
                KeyNumbers::Rsa { modulus: key.modulus().to_vec(), exponent: key.exponent().to_vec() }
            }
        }
    }

    /// Did this key's owner sign the message, as a JSON Web Signature is: ES256 (`r || s`) or RS256
    /// (RFC 7518 section 3)?
    pub fn verify_raw(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Kind::P256(key) => {
                Signature::from_slice(signature).is_ok_and(|s| key.verify(message, &s).is_ok())
            }
            Kind::Rsa(key) => key.verify(message, signature),
        }
    }

    /// Did this key's owner sign the message? The signature is ECDSA's in DER; no RSA key makes one.
    pub fn verify_der(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Kind::P256(key) => Signature::from_der(signature).is_ok_and(|s| key.verify(message, &s).is_ok()),
            Kind::Rsa(_) => false,
        }
    }
}
