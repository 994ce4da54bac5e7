//! How handshakes judge the other end, in the shape that rustls asks for.

use crate::{PeerRefused, ServerChecks, ServerTrust, TrustAnchors, inspect, provider, verify_client};
use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

/// Judges a server's certificate. It must be issued for the dialled DNS name or address as a
/// subject alternative name; the common name counts for nothing, unless [`ServerChecks`] ask for
/// one besides.
pub fn server_verifier(trust: &ServerTrust) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Server { checks: trust.checks(), algorithms: algorithms() })
}

/// A server whose certificate is good but somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificate has common name {presented:?}, not {expected:?}")]
pub struct WrongCommonName {
    /// Whose it had to be.
    pub expected: String,
    /// Whose it is.
    pub presented: String,
}

/// Asks clients for a certificate without requiring one. Any chain passes the handshake, if the
/// client holds its key: each request is then judged by [`verify_client`](crate::verify_client),
/// as Kubernetes does (`tls.RequestClientCert`), so that a bad certificate is an HTTP 401 and one
/// that expires during a connection stops working.
pub fn client_verifier() -> Arc<dyn ClientCertVerifier> {
    Arc::new(Client { algorithms: algorithms(), proves_possession: true, issued_by: None })
}

/// Requires a certificate of clients that one of these issued, and refuses others in the handshake
/// (Go's `tls.RequireAndVerifyClientCert`).
pub fn required_client_verifier(anchors: &TrustAnchors) -> Arc<dyn ClientCertVerifier> {
    let issued_by = Some(anchors.clone());
    Arc::new(Client { algorithms: algorithms(), proves_possession: true, issued_by })
}

/// As [`client_verifier`], but a client need not even hold its certificate's key. Only read where
/// `Flaw::ServersSkipPossessionProof` is on.
pub fn danger_client_verifier_without_possession() -> Arc<dyn ClientCertVerifier> {
    Arc::new(Client { algorithms: algorithms(), proves_possession: false, issued_by: None })
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}

/// Another authority of the same name is an unknown one: Go says the same of both.
fn issuer_unknown(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
        }
        other => other,
    }
}

/// The common name must be this one, to the letter.
fn check_common_name(certificate: &CertificateDer<'_>, expected: &str) -> Result<(), Error> {
    let presented = inspect(certificate).map(|read| read.subject.common_name);
    if presented.as_deref() == Some(expected) {
        return Ok(());
    }
    let wrong = WrongCommonName { expected: expected.to_owned(), presented: presented.unwrap_or_default() };
    Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(wrong)))))
}

#[derive(Debug)]
struct Server {
    /// `None` accepts any certificate.
    checks: Option<ServerChecks>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Server {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(checks) = &self.checks {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                checks.anchors.roots(),
                intermediates,
                now,
                self.algorithms.all,
            )
            .map_err(issuer_unknown)?;
            if !checks.danger_any_name {
                verify_server_name(&certificate, name)?;
            }
            if let Some(expected) = &checks.common_name {
                check_common_name(end_entity, expected)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[derive(Debug)]
struct Client {
    algorithms: WebPkiSupportedAlgorithms,
    proves_possession: bool,
    /// Whose certificate a client must have; `None` requires none and judges none.
    issued_by: Option<TrustAnchors>,
}

/// What a refusal is called in an alert.
fn alert(refused: PeerRefused) -> CertificateError {
    match refused {
        PeerRefused::UnknownIssuer => CertificateError::UnknownIssuer,
        PeerRefused::Expired => CertificateError::Expired,
        PeerRefused::NotYetValid => CertificateError::NotValidYet,
        PeerRefused::WrongUsage => CertificateError::InvalidPurpose,
        PeerRefused::Malformed => CertificateError::BadEncoding,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}

impl ClientCertVerifier for Client {
    fn client_auth_mandatory(&self) -> bool {
        self.issued_by.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let Some(anchors) = &self.issued_by else { return Ok(ClientCertVerified::assertion()) };
        let chain: Vec<CertificateDer<'_>> = [end_entity].into_iter().chain(intermediates).cloned().collect();
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        // A clock beyond all dates is after every certificate's end.
        let now = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        verify_client(&chain, anchors, now).map_err(|refused| Error::InvalidCertificate(alert(refused)))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.proves_possession {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
