//! Whom one trusts to issue certificates.

use crate::authority::MaterialError;
use crate::pem;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use std::sync::Arc;

/// The authorities that one trusts. None trusts nobody.
#[derive(Clone, Debug)]
pub struct TrustAnchors {
    roots: Arc<RootCertStore>,
    certificates: Arc<[CertificateDer<'static>]>,
}

impl TrustAnchors {
    /// Trusts nobody.
    pub fn nobody() -> Self {
        Self { roots: Arc::new(RootCertStore::empty()), certificates: Arc::new([]) }
    }

    /// Trusts the holders of these certificates.
    ///
    /// # Errors
    /// Where one of them is no certificate: then none is trusted.
    pub fn new(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, MaterialError> {
        let certificates: Arc<[_]> = certificates.into_iter().collect();
        let mut roots = RootCertStore::empty();
        for certificate in &*certificates {
            roots.add(certificate.clone()).map_err(|_| MaterialError::Certificate)?;
        }
        Ok(Self { roots: Arc::new(roots), certificates })
    }

    /// Trusts every certificate of a PEM bundle.
    ///
    /// # Errors
    /// Where the bundle is damaged or holds no certificate.
    pub fn from_pem(bundle: &str) -> Result<Self, MaterialError> {
        let certificates = pem::certificates(bundle).ok_or(MaterialError::Certificate)?;
        if certificates.is_empty() {
            return Err(MaterialError::NoCertificate);
        }
        Self::new(certificates)
    }

    /// The certificates, as they were given.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The certificates as a PEM bundle.
    pub fn to_pem(&self) -> String {
        pem::certificates_to_pem(&self.certificates)
    }

    /// Is nobody trusted?
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    pub(crate) fn roots(&self) -> &RootCertStore {
        &self.roots
    }
}

/// How a client judges a server.
#[derive(Clone, Debug)]
pub enum ServerTrust {
    /// Its certificate must come from one of these, for the name that was dialled, and be valid.
    Anchors(TrustAnchors),
    /// Any certificate will do, as long as the server holds its key
    /// (`insecure-skip-tls-verify`).
    DangerAny,
}
