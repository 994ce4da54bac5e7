//! Public RSA keys, and RS256 (RFC 7518 section 3.3): installers such as kubeadm sign tokens with RSA.

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// A public RSA key of at least 2,048 bits.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RsaKey {
    spki: Vec<u8>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// A shorter key is no protection (RFC 7518 section 3.3).
const MIN_BYTES: usize = 256;

impl RsaKey {
    /// Reads a `PUBLIC KEY` PEM; `None` where it holds no RSA key, or too short a one.
    pub(crate) fn from_pem(pem: &str) -> Option<Self> {
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
        let (rest, info) = SubjectPublicKeyInfo::from_der(&spki).ok()?;
        let PublicKey::RSA(key) = info.parsed().ok()? else { return None };
        let (modulus, exponent) = (magnitude(key.modulus), magnitude(key.exponent));
        let fits = rest.is_empty() && modulus.len() >= MIN_BYTES && !exponent.is_empty();
        fits.then(|| Self { spki: spki.to_vec(), modulus, exponent })
    }

    pub(crate) fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    pub(crate) fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    pub(crate) fn exponent(&self) -> &[u8] {
        &self.exponent
    }

    /// Did this key's owner sign the message with RSASSA-PKCS1-v1_5 and SHA-256?
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = RsaPublicKeyComponents { n: &self.modulus, e: &self.exponent };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
    }
}

/// An integer's bytes without the zeros that DER puts before it.
fn magnitude(integer: &[u8]) -> Vec<u8> {
    integer.iter().copied().skip_while(|byte| *byte == 0).collect()
}
