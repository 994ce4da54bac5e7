//! What one end of a TLS connection presents.

use crate::authority::MaterialError;
use crate::{KeyError, KeyPair, PublicKey, pem};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;

/// A certificate chain with the key of its first certificate.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, then what leads to its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub key: IdentityKey,
}

/// The key of a certificate: one of ours, or an RSA key that somebody else made (kubeadm's are). The
/// latter can do nothing but shake hands, and does so with the operating system's randomness.
#[derive(Clone)]
pub enum IdentityKey {
    /// A P-256 key.
    Own(Arc<KeyPair>),
    /// An RSA key: what rustls signs with, and its PEM.
    Rsa(Arc<dyn SigningKey>, Arc<str>),
}

impl From<KeyPair> for IdentityKey {
    fn from(key: KeyPair) -> Self {
        Self::Own(Arc::new(key))
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityKey(hidden)")
    }
}

impl IdentityKey {
    /// Reads the PEM of a P-256 key (PKCS#8 or SEC1) or of an RSA key (PKCS#8 or PKCS#1).
    ///
    /// # Errors
    /// Where it is neither.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if let Ok(key) = KeyPair::from_pem(pem) {
            return Ok(key.into());
        }
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Private)?;
        let signing = rustls::crypto::ring::sign::any_supported_type(&der).map_err(|_| KeyError::Private)?;
        match signing.algorithm() {
            rustls::SignatureAlgorithm::RSA => Ok(Self::Rsa(signing, pem.trim().into())),
            _ => Err(KeyError::Private),
        }
    }

    /// The key, where it is one of ours.
    pub fn own(&self) -> Option<&KeyPair> {
        match self {
            Self::Own(key) => Some(key),
            Self::Rsa(..) => None,
        }
    }

    /// The public half, as a certificate has it (SubjectPublicKeyInfo).
    fn public_der(&self) -> Option<Vec<u8>> {
        match self {
            Self::Own(key) => Some(key.public().to_spki_der()),
            Self::Rsa(key, _) => key.public_key().map(|key| key.to_vec()),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.chain.first().map(|der| crate::fingerprint_sha256(der));
        f.debug_struct("Identity").field("fingerprint", &first).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads a PEM chain and its PEM key.
    ///
    /// # Errors
    /// Where either cannot be read, there is no certificate, or the key is of another one.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, MaterialError> {
        let chain = pem::certificates(chain).ok_or(MaterialError::Certificate)?;
        let first = chain.first().ok_or(MaterialError::NoCertificate)?;
        let key = IdentityKey::from_pem(key)?;
        let certified = crate::inspect(first).ok_or(MaterialError::Certificate)?;
        let belongs = match &key {
            IdentityKey::Own(key) => PublicKey::from_spki_der(&certified.public_key_der)
                .is_ok_and(|public| public == *key.public()),
            IdentityKey::Rsa(..) => key.public_der().is_some_and(|public| public == certified.public_key_der),
        };
        if belongs { Ok(Self { chain, key }) } else { Err(MaterialError::KeyMismatch) }
    }

    /// The chain as PEM.
    pub fn chain_pem(&self) -> String {
        pem::certificates_to_pem(&self.chain)
    }

    /// The private key as PEM: PKCS#8 for one of ours, an RSA key as it was given.
    pub fn key_pem(&self) -> String {
        match &self.key {
            IdentityKey::Own(key) => key.to_pem(),
            IdentityKey::Rsa(_, pem) => format!("{pem}\n"),
        }
    }

    /// What rustls presents and signs with.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        let signer = match &self.key {
            IdentityKey::Own(key) => crate::signer::tls_key(Arc::clone(key)),
            IdentityKey::Rsa(key, _) => Arc::clone(key),
        };
        Arc::new(CertifiedKey::new(self.chain.clone(), signer))
    }
}
