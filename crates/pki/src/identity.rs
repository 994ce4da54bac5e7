//! What one end of a TLS connection presents.

use crate::authority::MaterialError;
use crate::{KeyPair, PublicKey, pem};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use std::fmt;
use std::sync::Arc;

/// A certificate chain with the key of its first certificate.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, then what leads to its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub key: Arc<KeyPair>,
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
        let key = KeyPair::from_pem(key)?;
        let certified = crate::inspect(first).ok_or(MaterialError::Certificate)?;
        let public = PublicKey::from_spki_der(&certified.public_key_der)?;
        if public != *key.public() {
            return Err(MaterialError::KeyMismatch);
        }
        Ok(Self { chain, key: Arc::new(key) })
    }

    /// The chain as PEM.
    pub fn chain_pem(&self) -> String {
        pem::certificates_to_pem(&self.chain)
    }

    /// The private key as PKCS#8 PEM.
    pub fn key_pem(&self) -> String {
        self.key.to_pem()
    }

    /// What rustls presents and signs with.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        let signer = crate::signer::tls_key(Arc::clone(&self.key));
        Arc::new(CertifiedKey::new(self.chain.clone(), signer))
    }
}
