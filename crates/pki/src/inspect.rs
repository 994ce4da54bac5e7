//! What a certificate says, whether or not it is to be believed.

use crate::{San, Subject};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME};
use x509_parser::prelude::{X509Certificate, parse_x509_certificate};
use x509_parser::x509::X509Name;

/// A certificate's claims, for display and for attackers. It proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Whom it names.
    pub subject: Subject,
    /// The whole name, DER.
    pub subject_der: Vec<u8>,
    /// The names it claims to be good for.
    pub sans: Vec<San>,
    /// Who it says has issued it, as text (`CN=kubernetes`).
    pub issuer: String,
    /// Does it say that it may issue others?
    pub is_ca: bool,
    /// The serial number, lower-case hex without leading zeros.
    pub serial: String,
    /// What it calls its own key (subject key identifier).
    pub key_identifier: Option<Vec<u8>>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// SHA-256 of the whole certificate, lower-case hex.
    pub fingerprint_sha256: String,
    /// The SubjectPublicKeyInfo, DER.
    pub public_key_der: Vec<u8>,
}

/// Reads a certificate without judging it; `None` where it cannot be read.
pub fn inspect(der: &CertificateDer<'_>) -> Option<Inspected> {
    let (rest, certificate) = parse_x509_certificate(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let validity = certificate.validity();
    Some(Inspected {
        subject: subject_of(certificate.subject())?,
        subject_der: certificate.subject().as_raw().to_vec(),
        sans: sans_of(&certificate)?,
        issuer: certificate.issuer().to_string(),
        is_ca: certificate.is_ca(),
        serial: certificate.tbs_certificate.serial.to_str_radix(16),
        key_identifier: key_identifier(&certificate),
        not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
        not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        fingerprint_sha256: fingerprint_sha256(der),
        public_key_der: certificate.public_key().raw.to_vec(),
    })
}

/// SHA-256 as lower-case hex, as certificates and keys are told apart by.
pub fn fingerprint_sha256(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The parts of a name that Kubernetes reads; the last common name counts, as in Go's
/// `pkix.Name.FillFromRDNSequence`.
pub(crate) fn subject_of(name: &X509Name<'_>) -> Option<Subject> {
    let mut subject = Subject::default();
    for attribute in name.iter_attributes() {
        if *attribute.attr_type() == OID_X509_COMMON_NAME {
            subject.common_name = attribute.as_str().ok()?.to_owned();
        } else if *attribute.attr_type() == OID_X509_ORGANIZATION_NAME {
            subject.organizations.push(attribute.as_str().ok()?.to_owned());
        }
    }
    Some(subject)
}

fn key_identifier(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
        _ => None,
    })
}

fn sans_of(certificate: &X509Certificate<'_>) -> Option<Vec<San>> {
    let Some(extension) = certificate.subject_alternative_name().ok()? else {
        return Some(Vec::new());
    };
    Some(extension.value.general_names.iter().filter_map(san_of).collect())
}

/// A DNS name or address; `None` for the other kinds of names.
pub(crate) fn san_of(name: &GeneralName<'_>) -> Option<San> {
    match name {
        GeneralName::DNSName(name) => Some(San::Dns((*name).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(San::Ip)
        }
        _ => None,
    }
}
