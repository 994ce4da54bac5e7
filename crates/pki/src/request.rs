//! Certificate signing requests (PKCS#10, RFC 2986).

use crate::encode::{ENCODES, alternative_names, name};
use crate::inspect::{san_of, subject_of};
use crate::{KeyPair, PublicKey, San, Subject, SubjectKey};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::attr::Attribute;
use x509_cert::der::asn1::{BitString, SetOfVec};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};
use x509_cert::spki::{DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfoOwned};
use x509_parser::certification_request::{X509CertificationRequest, X509CertificationRequestInfo};
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::prelude::FromDer;

/// The longest request that is read, in bytes of PEM.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Why a signing request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestRefused {
    /// It cannot be read.
    #[error("not the PEM of one certificate request")]
    Malformed,
    /// Its key is of a kind that nothing can be verified with.
    #[error("the request's key is of an unknown kind")]
    Key,
    /// Who made it does not hold the key.
    #[error("the request's signature is wrong")]
    Signature,
}

/// A request whose signature was verified.
///
/// Of what it asks for, only this is ever read: a signer takes over nothing else. (Go's
/// `x509.ParseCertificateRequest` likewise reads names and skips other extensions.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRequest {
    /// Who asks.
    pub subject: Subject,
    /// The names that are asked for.
    pub sans: Vec<San>,
    /// Does it ask for mail addresses as names?
    pub has_emails: bool,
    /// Does it ask for URIs as names?
    pub has_uris: bool,
    /// Does it ask to be an authority (basic constraints)? No signer ever grants that.
    pub asks_for_authority: bool,
    /// The key to be certified.
    pub public_key: SubjectKey,
}

impl SigningRequest {
    /// Asks for a certificate; the result is PEM.
    pub fn create(subject: &Subject, sans: &[San], key: &KeyPair) -> String {
        let extension = alternative_names(sans)
            .map(|names| (false, &names).to_extension(&name(subject), &[]).expect(ENCODES));
        signed(subject, extension.into_iter().collect(), (key.public(), key))
    }

    /// Reads a PEM request.
    ///
    /// # Errors
    /// Where it cannot be read or is not signed by its own key.
    pub fn parse(pem: &str) -> Result<Self, RequestRefused> {
        if pem.len() > MAX_REQUEST_BYTES {
            return Err(RequestRefused::Malformed);
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| RequestRefused::Malformed)?;
        let (rest, request) =
            X509CertificationRequest::from_der(&der).map_err(|_| RequestRefused::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestRefused::Malformed);
        }
        let info = &request.certification_request_info;
        let public_key = SubjectPublicKeyInfoOwned::from_der(info.subject_pki.raw)
            .map_err(|_| RequestRefused::Malformed)?;
        let public_key = SubjectKey::known(public_key).ok_or(RequestRefused::Key)?;
        // Read a second time for the algorithm's exact bytes.
        let algorithm = CertReq::from_der(&der).map_err(|_| RequestRefused::Malformed)?.algorithm;
        if !public_key.verifies(info.raw, (&algorithm, &request.signature_value.data)) {
            return Err(RequestRefused::Signature);
        }
        let subject = subject_of(&info.subject).ok_or(RequestRefused::Malformed)?;
        let mut parsed = Self {
            subject,
            sans: Vec::new(),
            has_emails: false,
            has_uris: false,
            asks_for_authority: false,
            public_key,
        };
        parsed.read_extensions(info)?;
        Ok(parsed)
    }

    fn read_extensions(&mut self, info: &X509CertificationRequestInfo<'_>) -> Result<(), RequestRefused> {
        let extensions =
            info.attributes().iter().filter_map(|attribute| match attribute.parsed_attribute() {
                ParsedCriAttribute::ExtensionRequest(request) => Some(&request.extensions),
                _ => None,
            });
        for extension in extensions.flatten() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    names.general_names.iter().for_each(|name| self.read_name(name));
                }
                ParsedExtension::BasicConstraints(constraints) => self.asks_for_authority |= constraints.ca,
                ParsedExtension::ParseError { .. } if extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME => {
                    return Err(RequestRefused::Malformed);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_name(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::RFC822Name(_) => self.has_emails = true,
            GeneralName::URI(_) => self.has_uris = true,
            name => self.sans.extend(san_of(name)),
        }
    }
}

/// A request for these extensions, with the key to be certified and the one that signs.
pub(crate) fn signed(
    subject: &Subject,
    extensions: Vec<Extension>,
    (public, key): (&PublicKey, &KeyPair),
) -> String {
    let mut info = CertReqInfo {
        version: Version::V1,
        subject: name(subject),
        public_key: SubjectKey::from(public).info().clone(),
        attributes: SetOfVec::new(),
    };
    if !extensions.is_empty() {
        let attribute = Attribute::try_from(ExtensionReq(extensions)).expect(ENCODES);
        info.attributes.insert(attribute).expect("the only attribute");
    }
    let signature = key.sign_der(&info.to_der().expect(ENCODES));
    let request = CertReq {
        info,
        algorithm: key.signing_key().signature_algorithm_identifier().expect(ENCODES),
        signature: BitString::from_bytes(&signature).expect(ENCODES),
    };
    crate::pem::encode("CERTIFICATE REQUEST", &request.to_der().expect(ENCODES))
}
