//! Who a client is, by its certificate.

use crate::inspect::{Inspected, inspect};
use crate::{TrustAnchors, provider};
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};

/// Why a client's certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerRefused {
    /// It sent no certificate.
    #[error("no client certificate")]
    NoCertificate,
    /// It cannot be read.
    #[error("malformed client certificate")]
    Malformed,
    /// It was issued by nobody who is trusted.
    #[error("client certificate signed by an unknown authority")]
    UnknownIssuer,
    /// Its time is over.
    #[error("client certificate has expired")]
    Expired,
    /// Its time has not come.
    #[error("client certificate is not valid yet")]
    NotYetValid,
    /// It is not for clients.
    #[error("certificate is not for client authentication")]
    WrongUsage,
    /// It is an authority's own certificate.
    #[error("an authority's certificate was used as a client's")]
    AuthorityAsClient,
    /// Anything else that webpki refuses.
    #[error("client certificate refused: {0}")]
    Other(String),
}

/// A client whose certificate was verified. Only [`verify_client`] makes one (and
/// [`danger_unverified_client`], for what simulates a missing check).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPeer(Inspected);

impl VerifiedPeer {
    /// The common name: the user.
    pub fn common_name(&self) -> &str {
        &self.0.subject.common_name
    }

    /// The organizations: the groups.
    pub fn organizations(&self) -> &[String] {
        &self.0.subject.organizations
    }

    /// The serial number, lower-case hex.
    pub fn serial(&self) -> &str {
        &self.0.serial
    }

    /// SHA-256 of the certificate, lower-case hex.
    pub fn fingerprint_sha256(&self) -> &str {
        &self.0.fingerprint_sha256
    }

    /// Until when the certificate is valid.
    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }
}

/// Judges the chain that a client presented (and proved to hold the key of), at `now`.
///
/// # Errors
/// What is wrong with it. Anything that cannot be decided is refused.
pub fn verify_client(
    chain: &[CertificateDer<'_>],
    anchors: &TrustAnchors,
    now: Timestamp,
) -> Result<VerifiedPeer, PeerRefused> {
    let (first, intermediates) = chain.split_first().ok_or(PeerRefused::NoCertificate)?;
    let certificate = EndEntityCert::try_from(first).map_err(|_| PeerRefused::Malformed)?;
    let seconds = u64::try_from(now.as_second()).map_err(|_| PeerRefused::NotYetValid)?;
    certificate
        .verify_for_usage(
            provider().signature_verification_algorithms.all,
            &anchors.roots().roots,
            intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map_err(refusal)?;
    inspect(first).map(VerifiedPeer).ok_or(PeerRefused::Malformed)
}

/// Takes a client certificate's word without asking who signed it.
pub fn danger_unverified_client(chain: &[CertificateDer<'_>]) -> Option<VerifiedPeer> {
    inspect(chain.first()?).map(VerifiedPeer)
}

fn refusal(error: webpki::Error) -> PeerRefused {
    match error {
        // Another authority of the same name is unknown too: Go says the same of both.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            PeerRefused::UnknownIssuer
        }
        webpki::Error::CertExpired { .. } => PeerRefused::Expired,
        webpki::Error::CertNotValidYet { .. } => PeerRefused::NotYetValid,
        webpki::Error::RequiredEkuNotFoundContext(_) => PeerRefused::WrongUsage,
        webpki::Error::CaUsedAsEndEntity => PeerRefused::AuthorityAsClient,
        other => PeerRefused::Other(other.to_string()),
    }
}
