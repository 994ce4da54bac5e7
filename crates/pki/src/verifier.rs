//! How handshakes judge the other end, in the shape that rustls asks for.

use crate::{ServerChecks, ServerTrust, inspect, provider};
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
    Arc::new(Client { algorithms: algorithms(), proves_possession: true })
}

/// As [`client_verifier`], but a client need not even hold its certificate's key. Only read where
/// `Flaw::ServersSkipPossessionProof` is on.
pub fn danger_client_verifier_without_possession() -> Arc<dyn ClientCertVerifier> {
    Arc::new(Client { algorithms: algorithms(), proves_possession: false })
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
}

impl ClientCertVerifier for Client {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
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
