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
    /// As with `Anchors`, with more or fewer checks.
    Checks(ServerChecks),
    /// Any certificate will do, as long as the server holds its key
    /// (`insecure-skip-tls-verify`).
    DangerAny,
}

/// What is checked of a server's certificate. Its issuer and its time always are.
#[derive(Clone, Debug)]
pub struct ServerChecks {
    /// Who must have issued it.
    pub anchors: TrustAnchors,
    /// The common name that it must have besides, if any: a name of its holder, not of an address.
    pub common_name: Option<String>,
    /// Need it not be for the name that was dialled?
    pub danger_any_name: bool,
}

impl ServerTrust {
    /// The same, but the certificate must also have this common name. Where any certificate will
    /// do, any still does.
    #[must_use]
    pub fn with_common_name(self, common_name: impl Into<String>) -> Self {
        self.changed(|checks| checks.common_name = Some(common_name.into()))
    }

    /// The same, but the certificate need not be for the name that was dialled.
    #[must_use]
    pub fn danger_any_name(self) -> Self {
        self.changed(|checks| checks.danger_any_name = true)
    }

    /// What is checked; `None` where any certificate will do.
    pub(crate) fn checks(&self) -> Option<ServerChecks> {
        match self {
            Self::Anchors(anchors) => {
                Some(ServerChecks { anchors: anchors.clone(), common_name: None, danger_any_name: false })
            }
            Self::Checks(checks) => Some(checks.clone()),
            Self::DangerAny => None,
        }
    }

    fn changed(self, change: impl FnOnce(&mut ServerChecks)) -> Self {
        match self.checks() {
            None => Self::DangerAny,
            Some(mut checks) => {
                change(&mut checks);
                Self::Checks(checks)
            }
        }
    }
}
