//! OpenSSH certificates (`PROTOCOL.certkeys` of OpenSSH): an authority says whose a key is.
//!
//! Both ends use the one check of this module: a node's server for its users, a tunneler for host
//! keys. russh does less: it looks at a user certificate's times by the computer's own clock and at
//! its signature, and at nothing of a host certificate.

use super::{SshKey, SshKeyError, SshPublicKey};
use ipnet::IpNet;
use jiff::Timestamp;
use ravelin_entropy::Entropy;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Algorithm, Certificate, HashAlg};
use std::fmt;
use std::net::IpAddr;

/// What a certificate of a user may ask for besides a key: connections from these addresses only.
const SOURCE_ADDRESS: &str = "source-address";
/// Without it a user's certificate forwards nothing.
const PERMIT_PORT_FORWARDING: &str = "permit-port-forwarding";
/// The most ranges that a certificate's `source-address` may list.
const MAX_SOURCES: usize = 64;

/// Whose key a certificate certifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshCertificateKind {
    /// A user's.
    User,
    /// A host's.
    Host,
}

/// What an authority certifies.
#[derive(Clone, Debug)]
pub struct SshClaim {
    /// Whose key it is.
    pub kind: SshCertificateKind,
    /// The key.
    pub key: SshPublicKey,
    /// The certificate's name, for logs.
    pub key_id: String,
    /// The users or the host names that it stands for.
    pub principals: Vec<String>,
    /// From when; to the second.
    pub from: Timestamp,
    /// Until when; to the second.
    pub until: Timestamp,
    /// A user comes from one of these; from anywhere, if there are none.
    pub sources: Vec<IpNet>,
}

/// A certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct SshCertificate(Certificate);

/// Why a certificate was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateRefused {
    /// It is a host's where a user's is needed, or the reverse.
    #[error("it is not a certificate of a {0}")]
    Kind(&'static str),
    /// Nobody trusts its authority.
    #[error("its authority {0} is not trusted")]
    Authority(String),
    /// Its authority did not sign this.
    #[error("its signature is wrong")]
    Signature,
    /// It is not valid now.
    #[error("it is valid from {from} until {until}, in seconds since 1970, and it is {now}")]
    Time {
        /// From when.
        from: u64,
        /// Until when.
        until: u64,
        /// Now.
        now: u64,
    },
    /// It does not name the user or the host; one that names nobody stands for nobody.
    #[error("it does not name {0}")]
    Principal(String),
    /// It may not be used from there.
    #[error("it may not be used from {0}")]
    Source(String),
    /// It asks for what this end does not know.
    #[error("its critical option {0:?} is not known")]
    Option(String),
}

/// What a certificate must be.
pub(crate) struct Expected<'a> {
    pub(crate) kind: SshCertificateKind,
    pub(crate) authorities: &'a [SshPublicKey],
    /// One of these names must be in it.
    pub(crate) names: &'a [String],
    pub(crate) now: Timestamp,
    /// Where the user comes from.
    pub(crate) source: Option<IpAddr>,
}

impl SshCertificate {
    /// A new one, signed by this authority. A user's permits to forward ports, and nothing else.
    ///
    /// # Panics
    /// Where it would end before it begins, or lie before 1970.
    pub fn issue(authority: &SshKey, claim: &SshClaim, entropy: &mut Entropy) -> Self {
        let nonce: [u8; 32] = entropy.bytes();
        let seconds = |time: Timestamp| u64::try_from(time.as_second()).expect("it is after 1970");
        let build = || {
            let mut builder =
                Builder::new(nonce, claim.key.key_data().clone(), seconds(claim.from), seconds(claim.until))?;
            builder.key_id(&claim.key_id)?.all_principals_valid()?;
            for principal in &claim.principals {
                builder.valid_principal(principal)?;
            }
            match claim.kind {
                SshCertificateKind::Host => builder.cert_type(CertType::Host)?,
                SshCertificateKind::User => builder.extension(PERMIT_PORT_FORWARDING, "")?,
            };
            if !claim.sources.is_empty() {
                let sources: Vec<String> = claim.sources.iter().map(ToString::to_string).collect();
                builder.critical_option(SOURCE_ADDRESS, sources.join(","))?;
            }
            builder.sign(&*authority.private())
        };
        Self(build().expect("a claim is whole, and an ed25519 key signs anything"))
    }

    /// Reads a line of a `-cert.pub` file.
    ///
    /// # Errors
    /// Where it is anything else, or of a key that is not ed25519.
    pub fn from_openssh(line: &str) -> Result<Self, SshKeyError> {
        let malformed = |error: &dyn fmt::Display| SshKeyError::Malformed(error.to_string());
        let certificate = Certificate::from_openssh(line.trim()).map_err(|error| malformed(&error))?;
        match certificate.algorithm() {
            Algorithm::Ed25519 => Ok(Self(certificate)),
            other => Err(SshKeyError::Unsupported(other.to_string())),
        }
    }

    /// The line of a `-cert.pub` file.
    pub fn to_openssh(&self) -> String {
        self.0.to_openssh().expect("a certificate can always be written")
    }

    /// The key that it certifies.
    pub fn key(&self) -> SshPublicKey {
        SshPublicKey::from_data(self.0.public_key().clone())
    }

    /// The key that signed it, as it says itself.
    pub fn authority(&self) -> SshPublicKey {
        SshPublicKey::from_data(self.0.signature_key().clone())
    }

    /// The certificate's name, as its authority gave it.
    pub fn key_id(&self) -> &str {
        self.0.key_id()
    }

    /// russh's own form.
    pub(crate) fn of(certificate: &Certificate) -> Self {
        Self(certificate.clone())
    }

    /// russh's own form.
    pub(crate) fn inner(&self) -> &Certificate {
        &self.0
    }

    /// Does it permit to forward ports, where it is a user's?
    pub(crate) fn may_forward(&self) -> bool {
        self.0.extensions().contains_key(PERMIT_PORT_FORWARDING)
    }

    /// Is it what it must be? That its holder has the key, the caller knows.
    pub(crate) fn check(&self, expected: &Expected<'_>) -> Result<(), CertificateRefused> {
        let (wanted, name) = match expected.kind {
            SshCertificateKind::User => (CertType::User, "user"),
            SshCertificateKind::Host => (CertType::Host, "host"),
        };
        if self.0.cert_type() != wanted {
            return Err(CertificateRefused::Kind(name));
        }
        let authority = self.authority();
        if !expected.authorities.contains(&authority) {
            return Err(CertificateRefused::Authority(authority.fingerprint()));
        }
        let (from, until) = (self.0.valid_after(), self.0.valid_before());
        let now = u64::try_from(expected.now.as_second()).unwrap_or(0);
        if now < from || now >= until {
            return Err(CertificateRefused::Time { from, until, now });
        }
        let fingerprint = self.0.signature_key().fingerprint(HashAlg::Sha256);
        self.0.validate_at(now, [&fingerprint]).map_err(|_| CertificateRefused::Signature)?;
        if !expected.names.iter().any(|name| self.0.valid_principals().contains(name)) {
            return Err(CertificateRefused::Principal(expected.names.join(" or ")));
        }
        self.0.critical_options().iter().try_for_each(|(option, value)| match option.as_str() {
            SOURCE_ADDRESS if wanted == CertType::User => from_there(value, expected.source),
            _ => Err(CertificateRefused::Option(option.clone())),
        })
    }
}

/// May a user come from there, as `source-address` has it? A list that cannot be read is no leave.
fn from_there(sources: &str, source: Option<IpAddr>) -> Result<(), CertificateRefused> {
    let ranges: Option<Vec<IpNet>> = sources.split(',').take(MAX_SOURCES + 1).map(range).collect();
    let ranges = ranges.filter(|ranges| ranges.len() <= MAX_SOURCES).unwrap_or_default();
    match source.map(|source| source.to_canonical()) {
        Some(source) if ranges.iter().any(|range| range.contains(&source)) => Ok(()),
        source => Err(CertificateRefused::Source(
            source.map_or_else(|| "an unknown address".to_owned(), |source| source.to_string()),
        )),
    }
}

fn range(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

impl fmt::Debug for SshCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshCertificate({:?}, {})", self.0.key_id(), self.key().fingerprint())
    }
}

#[cfg(test)]
mod tests;
