//! Certificate signing requests (PKCS#10, RFC 2986).

use crate::encode::{ENCODES, alternative_names, name, spki};
use crate::inspect::{san_of, subject_of};
use crate::{KeyPair, PublicKey, San, Subject};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::attr::Attribute;
use x509_cert::der::Encode;
use x509_cert::der::asn1::{BitString, SetOfVec};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};
use x509_cert::spki::DynSignatureAlgorithmIdentifier;
use x509_parser::certification_request::{X509CertificationRequest, X509CertificationRequestInfo};
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME};
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
    /// Its key is not one that we issue for.
    #[error("the request's key is not a P-256 key")]
    Key,
    /// Who made it does not hold the key.
    #[error("the request's signature is wrong")]
    Signature,
    /// It asks for a certificate that may issue others.
    #[error("the request asks for an authority's certificate")]
    Authority,
    /// It asks for something that is not understood.
    #[error("the request asks for something unknown: {0}")]
    Unknown(String),
}

/// A request whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRequest {
    /// Who asks.
    pub subject: Subject,
    /// The names that are asked for.
    pub sans: Vec<San>,
    /// The key to be certified.
    pub public_key: PublicKey,
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
    /// Where it cannot be read, is not signed by its own key, or asks for more than a subject and
    /// names.
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
        let public_key = PublicKey::from_spki_der(info.subject_pki.raw).map_err(|_| RequestRefused::Key)?;
        if !public_key.verify_der(info.raw, &request.signature_value.data) {
            return Err(RequestRefused::Signature);
        }
        Ok(Self { subject: subject(info)?, sans: sans(info)?, public_key })
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
        public_key: spki(public),
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

fn subject(info: &X509CertificationRequestInfo<'_>) -> Result<Subject, RequestRefused> {
    let mut common_names = 0;
    for attribute in info.subject.iter_attributes() {
        if *attribute.attr_type() == OID_X509_COMMON_NAME {
            common_names += 1;
        } else if *attribute.attr_type() != OID_X509_ORGANIZATION_NAME {
            return Err(unknown("subject attribute", attribute.attr_type()));
        }
    }
    if common_names > 1 {
        return Err(RequestRefused::Unknown("two common names".to_owned()));
    }
    subject_of(&info.subject).ok_or(RequestRefused::Malformed)
}

fn sans(info: &X509CertificationRequestInfo<'_>) -> Result<Vec<San>, RequestRefused> {
    let mut sans = Vec::new();
    for attribute in info.attributes() {
        let ParsedCriAttribute::ExtensionRequest(request) = attribute.parsed_attribute() else {
            return Err(unknown("attribute", &attribute.oid));
        };
        for extension in &request.extensions {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    for name in &names.general_names {
                        let san = san_of(name).ok_or_else(|| unknown("name", name))?;
                        sans.push(san);
                    }
                }
                ParsedExtension::BasicConstraints(c) if c.ca => {
                    return Err(RequestRefused::Authority);
                }
                ParsedExtension::KeyUsage(u) if u.key_cert_sign() || u.crl_sign() => {
                    return Err(RequestRefused::Authority);
                }
                // What the certificate may be used for is the signer's decision, not the
                // request's.
                ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_) => {}
                _ => return Err(unknown("extension", &extension.oid)),
            }
        }
    }
    Ok(sans)
}

fn unknown(what: &str, which: impl std::fmt::Display) -> RequestRefused {
    RequestRefused::Unknown(format!("{what} {which}"))
}
