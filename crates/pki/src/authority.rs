//! Issuing certificates.

use crate::encode::{Issuer, Unsigned, name};
use crate::{Identity, KeyError, KeyPair, Profile, Subject, SubjectKey, inspect, pem};
use jiff::Timestamp;
use ravelin_entropy::Entropy;
use rustls_pki_types::CertificateDer;
use std::fmt;
use x509_cert::der::Decode;
use x509_cert::name::Name;

/// Why certificates or keys could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaterialError {
    /// There is no certificate in it.
    #[error("no certificate found")]
    NoCertificate,
    /// Something in it is no certificate.
    #[error("not the PEM of certificates")]
    Certificate,
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key is not the certificate's.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// The certificate may not issue others.
    #[error("the certificate is not an authority's")]
    NoAuthority,
}

/// A certificate authority. What it issues is never an authority itself.
pub struct Authority {
    /// As it stands in the certificate: issuers are compared byte by byte.
    name: Name,
    key: KeyPair,
    key_identifier: Option<Vec<u8>>,
    certificate: CertificateDer<'static>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = crate::fingerprint_sha256(&self.certificate);
        f.debug_struct("Authority").field("fingerprint", &fingerprint).finish_non_exhaustive()
    }
}

impl Authority {
    /// An authority with a certificate of its own making. `entropy` gives the serial number.
    pub fn new(
        common_name: &str,
        key: KeyPair,
        not_before: Timestamp,
        not_after: Timestamp,
        entropy: &mut Entropy,
    ) -> Self {
        let subject = Subject::new(common_name, &[]);
        let name = name(&subject);
        let profile = Profile { subject, sans: Vec::new(), usages: Vec::new(), not_before, not_after };
        let certificate = Unsigned {
            profile: &profile,
            public: &SubjectKey::from(key.public()),
            issuer: Issuer { name: &name, key: &key, key_identifier: None },
            is_authority: true,
            serial: serial(entropy),
        }
        .sign();
        let key_identifier = inspect(&certificate).and_then(|seen| seen.key_identifier);
        Self { name, key, key_identifier, certificate }
    }

    /// Reads an authority's PEM certificate and its PEM key.
    ///
    /// # Errors
    /// Where either cannot be read, they do not belong together, or the certificate is none of an
    /// authority.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, MaterialError> {
        let Identity { mut chain, key } = Identity::from_pem(certificate, key)?;
        let certificate = chain.swap_remove(0);
        let seen = inspect(&certificate).ok_or(MaterialError::Certificate)?;
        if !seen.is_ca {
            return Err(MaterialError::NoAuthority);
        }
        let name = Name::from_der(&seen.subject_der).map_err(|_| MaterialError::Certificate)?;
        let key = key.own().ok_or(KeyError::Private)?.clone();
        Ok(Self { name, key, key_identifier: seen.key_identifier, certificate })
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// The authority's own certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        pem::certificates_to_pem(std::slice::from_ref(&self.certificate))
    }

    /// The authority's key, for the file that a controller manager reads it from.
    pub fn key(&self) -> &KeyPair {
        &self.key
    }

    /// Issues a certificate for somebody's key.
    pub fn issue(
        &self,
        profile: &Profile,
        public: impl Into<SubjectKey>,
        entropy: &mut Entropy,
    ) -> CertificateDer<'static> {
        self.sign((profile, false), &public.into(), entropy)
    }

    /// Issues a certificate whose holder may issue others in this authority's name. Only where
    /// `Flaw::SignersTrustRequests` is on.
    pub fn danger_issue_authority(
        &self,
        profile: &Profile,
        public: impl Into<SubjectKey>,
        entropy: &mut Entropy,
    ) -> CertificateDer<'static> {
        self.sign((profile, true), &public.into(), entropy)
    }

    fn sign(
        &self,
        (profile, is_authority): (&Profile, bool),
        public: &SubjectKey,
        entropy: &mut Entropy,
    ) -> CertificateDer<'static> {
        let key_identifier = self.key_identifier.as_deref();
        let issuer = Issuer { name: &self.name, key: &self.key, key_identifier };
        Unsigned { profile, public, issuer, is_authority, serial: serial(entropy) }.sign()
    }

    /// Makes a key and issues a certificate for it.
    pub fn identity(&self, profile: &Profile, entropy: &mut Entropy) -> Identity {
        let key = KeyPair::generate(entropy);
        let chain = vec![self.issue(profile, key.public(), entropy)];
        Identity { chain, key: key.into() }
    }
}

/// Makes a key with a certificate that nobody but itself vouches for, as a kubelet does that was
/// given none.
pub fn self_signed(profile: &Profile, entropy: &mut Entropy) -> Identity {
    let key = KeyPair::generate(entropy);
    let name = name(&profile.subject);
    let issuer = Issuer { name: &name, key: &key, key_identifier: None };
    let (public, serial) = (&SubjectKey::from(key.public()), serial(entropy));
    let certificate = Unsigned { profile, public, issuer, is_authority: false, serial }.sign();
    Identity { chain: vec![certificate], key: key.into() }
}

/// A positive serial number of 126 random bits (RFC 5280 section 4.1.2.2).
fn serial(entropy: &mut Entropy) -> [u8; 16] {
    let mut bytes: [u8; 16] = entropy.bytes();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    bytes
}
