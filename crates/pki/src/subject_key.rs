//! The public key that a certificate is issued for: whatever kind of key its holder has.
//!
//! We make P-256 keys alone; those who ask for certificates bring others (`openssl` makes RSA keys
//! unless told otherwise), and an authority signs for every key whose holder it can verify.

use crate::{PublicKey, provider};
use std::fmt;
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// A public key as certificates and signing requests hold it (RFC 5280 section 4.1.2.7).
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectKey(SubjectPublicKeyInfoOwned);

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let der = self.0.to_der().unwrap_or_default();
        write!(f, "SubjectKey({})", crate::fingerprint_sha256(&der))
    }
}

impl From<&PublicKey> for SubjectKey {
    fn from(key: &PublicKey) -> Self {
        Self(SubjectPublicKeyInfoOwned::from_der(&key.to_spki_der()).expect("our own encoding"))
    }
}

impl From<&SubjectKey> for SubjectKey {
    fn from(key: &SubjectKey) -> Self {
        key.clone()
    }
}

impl PartialEq<PublicKey> for SubjectKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.0.to_der().is_ok_and(|der| der == other.to_spki_der())
    }
}

impl SubjectKey {
    /// The key of a SubjectPublicKeyInfo, where signatures of that kind of key can be verified.
    pub(crate) fn known(info: SubjectPublicKeyInfoOwned) -> Option<Self> {
        let kind = contents(&info.algorithm)?;
        let algorithms = provider().signature_verification_algorithms.all;
        algorithms.iter().any(|algorithm| *algorithm.public_key_alg_id() == *kind).then_some(Self(info))
    }

    /// Did the key's holder sign the message, by this algorithm?
    pub(crate) fn verifies(
        &self,
        message: &[u8],
        (algorithm, signature): (&AlgorithmIdentifierOwned, &[u8]),
    ) -> bool {
        let (Some(kind), Some(by)) = (contents(&self.0.algorithm), contents(algorithm)) else { return false };
        let key = self.0.subject_public_key.raw_bytes();
        let algorithms = provider().signature_verification_algorithms.all;
        let fits = algorithms
            .iter()
            .filter(|known| *known.public_key_alg_id() == *kind && *known.signature_alg_id() == *by);
        fits.into_iter().any(|known| known.verify_signature(key, message, signature).is_ok())
    }

    pub(crate) fn info(&self) -> &SubjectPublicKeyInfoOwned {
        &self.0
    }
}

/// An algorithm's identifier without the header of its SEQUENCE, as `rustls-pki-types` has them.
fn contents(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let der = algorithm.to_der().ok()?;
    // Of less than 128 bytes: a header of two.
    (der.len() < 130).then(|| der.get(2..).map(<[u8]>::to_vec)).flatten()
}
