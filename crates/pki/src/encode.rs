//! Names, extensions and certificates as DER.
//!
//! By x509-cert and not rcgen, whose names hold one organization: a user of Kubernetes may be in
//! many groups.

use crate::{KeyPair, Profile, San, Subject, SubjectKey, Usage};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::time::Duration;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder, Result};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::{Any, Ia5String, ObjectIdentifier, OctetString, Utf8StringRef};
use x509_cert::der::{DateTime, Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoRef;
use x509_cert::time::{Time, Validity};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// Why what this module makes always encodes.
pub(crate) const ENCODES: &str = "names, times and our keys are within what DER can hold";

/// A certificate to be signed.
pub(crate) struct Unsigned<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) public: &'a SubjectKey,
    pub(crate) issuer: Issuer<'a>,
    pub(crate) is_authority: bool,
    pub(crate) serial: [u8; 16],
}

/// Who issues a certificate.
pub(crate) struct Issuer<'a> {
    pub(crate) name: &'a Name,
    pub(crate) key: &'a KeyPair,
    /// What its own certificate calls its key; verifiers tell authorities of one name by it.
    pub(crate) key_identifier: Option<&'a [u8]>,
}

impl Unsigned<'_> {
    /// Signs it with the issuer's key.
    pub(crate) fn sign(&self) -> CertificateDer<'static> {
        let contents = self.contents().expect(ENCODES);
        let serial = SerialNumber::new(&self.serial).expect(ENCODES);
        let validity = Validity::new(at(self.profile.not_before), at(self.profile.not_after));
        let builder = CertificateBuilder::new(contents, serial, validity, self.public.info().clone());
        let builder = builder.expect(ENCODES);
        let signed = builder.build::<_, p256::ecdsa::DerSignature>(self.issuer.key.signing_key());
        signed.expect(ENCODES).to_der().expect(ENCODES).into()
    }

    fn contents(&self) -> Result<Contents> {
        let subject = name(&self.profile.subject);
        let mut extensions = Vec::new();
        let mut add = |extension: std::result::Result<Extension, _>| {
            extension.map(|extension| extensions.push(extension))
        };
        let constraints = BasicConstraints { ca: self.is_authority, path_len_constraint: None };
        add((true, &constraints).to_extension(&subject, &[]))?;
        let usage = if self.is_authority {
            KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyCertSign)
        } else {
            match self.profile.usages.contains(&Usage::KeyEncipherment) {
                true => KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment),
                false => KeyUsage(KeyUsages::DigitalSignature.into()),
            }
        };
        add((true, &usage).to_extension(&subject, &[]))?;
        let usages: Vec<_> = self.profile.usages.iter().filter_map(extended).collect();
        if !usages.is_empty() {
            add((false, &ExtendedKeyUsage(usages)).to_extension(&subject, &[]))?;
        }
        let own = SubjectKeyIdentifier(key_identifier(self.public)?);
        add((false, &own).to_extension(&subject, &[]))?;
        if let Some(identifier) = self.issuer.key_identifier {
            let key_identifier = Some(OctetString::new(identifier)?);
            let identifier = AuthorityKeyIdentifier { key_identifier, ..Default::default() };
            add((false, &identifier).to_extension(&subject, &[]))?;
        }
        if let Some(names) = alternative_names(&self.profile.sans) {
            add((false, &names).to_extension(&subject, &[]))?;
        }
        Ok(Contents { issuer: self.issuer.name.clone(), subject, extensions })
    }
}

/// A name: organizations first, each of its own, then the common name, as Go writes it.
pub(crate) fn name(subject: &Subject) -> Name {
    let organizations = subject.organizations.iter().map(|o| (ORGANIZATION, o.as_str()));
    let common_name = (COMMON_NAME, subject.common_name.as_str());
    let mut sequence = RdnSequence::default();
    for (oid, text) in organizations.chain([common_name]) {
        let text = Utf8StringRef::new(text).expect(ENCODES);
        let value = Any::encode_from(&text).expect(ENCODES);
        let mut part = RelativeDistinguishedName::default();
        part.insert(AttributeTypeAndValue { oid, value }).expect("the only attribute of its set");
        sequence.push(part);
    }
    Name::from_der(&sequence.to_der().expect(ENCODES)).expect("a sequence of names is a name")
}

/// The extension of alternative names, unless there are none. A name that is not ASCII is left
/// out: no DNS name is like that.
pub(crate) fn alternative_names(sans: &[San]) -> Option<SubjectAltName> {
    let names: Vec<GeneralName> = sans
        .iter()
        .filter_map(|san| match san {
            San::Ip(address) => Some(GeneralName::from(*address)),
            San::Dns(name) => Ia5String::new(name).ok().map(GeneralName::DnsName),
        })
        .collect();
    (!names.is_empty()).then_some(SubjectAltName(names))
}

/// The first 160 bits of the key's SHA-256 (RFC 7093 section 2, method 1).
fn key_identifier(public: &SubjectKey) -> Result<OctetString> {
    let key = public.info().subject_public_key.raw_bytes();
    Ok(OctetString::new(&Sha256::digest(key)[..20])?)
}

/// The extended key usage of a usage that is one.
fn extended(usage: &Usage) -> Option<ObjectIdentifier> {
    match usage {
        Usage::Client => Some(CLIENT_AUTH),
        Usage::Server => Some(SERVER_AUTH),
        Usage::KeyEncipherment => None,
    }
}

/// Whole seconds; before 1970 and after 9999 the nearest that certificates can say.
fn at(time: Timestamp) -> Time {
    let seconds = Duration::from_secs(u64::try_from(time.as_second()).unwrap_or(0));
    DateTime::from_unix_duration(seconds).map_or(Time::INFINITY, Time::from)
}

struct Contents {
    issuer: Name,
    subject: Name,
    extensions: Vec<Extension>,
}

impl BuilderProfile for Contents {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _public: SubjectPublicKeyInfoRef<'_>,
        _issuer: SubjectPublicKeyInfoRef<'_>,
        _certificate: &TbsCertificate,
    ) -> Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}
