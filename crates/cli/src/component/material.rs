//! Certificates and keys from real files.

use super::given::text;
use crate::files::Refused;
use ravelin_config::{FileName, FilePair};
use ravelin_pki::{Identity, KeyPair, PublicKey, TrustAnchors};
use std::path::Path;

/// What is accepted where a private key that signs certificates or tokens is expected.
pub(super) const KEYS: &str = "accepted: a P-256 (EC) private key in PKCS#8 or SEC1 PEM; RSA keys sign no \
                               certificates and no tokens here";
/// What is accepted where the key of a certificate is expected.
const IDENTITY_KEYS: &str = "accepted: a P-256 (EC) or an RSA private key in PEM";

/// The authorities of a bundle.
pub(super) fn anchors(key: &str, file: &str) -> Result<TrustAnchors, Refused> {
    let bundle = text(key, Path::new(file))?;
    let anchors = TrustAnchors::from_pem(&bundle);
    anchors.map_err(|error| Refused::usage(format!("{key}: {file}: {error}; accepted: certificates in PEM")))
}

/// The authorities of an optional bundle.
pub(super) fn optional_anchors(key: &str, file: Option<&FileName>) -> Result<Option<TrustAnchors>, Refused> {
    file.map(|file| anchors(key, file.as_str())).transpose()
}

/// A certificate and its key.
pub(super) fn identity((certificate, key): (&str, &str), pair: &FilePair) -> Result<Identity, Refused> {
    let chain = text(certificate, Path::new(pair.cert.as_str()))?;
    let private = text(key, Path::new(pair.key.as_str()))?;
    let (cert, file) = (pair.cert.as_str(), pair.key.as_str());
    identity_of((&chain, &private), &format!("{certificate} {cert}, {key} {file}"))
}

/// A certificate and its key in texts; both may be in the same one.
pub(super) fn identity_of((chain, key): (&str, &str), what: &str) -> Result<Identity, Refused> {
    let key = private_section(key)
        .ok_or_else(|| Refused::usage(format!("{what}: no private key; {IDENTITY_KEYS}")))?;
    Identity::from_pem(chain, key)
        .map_err(|error| Refused::usage(format!("{what}: {error}; {IDENTITY_KEYS}")))
}

/// A private key.
pub(super) fn private_key(key: &str, file: &str) -> Result<KeyPair, Refused> {
    let pem = text(key, Path::new(file))?;
    let section = private_section(&pem).unwrap_or_default();
    KeyPair::from_pem(section).map_err(|error| Refused::usage(format!("{key}: {file}: {error}; {KEYS}")))
}

/// A public key, or the public half of a private one (as `--service-account-key-file` takes both).
pub(super) fn public_key(key: &str, file: &str) -> Result<PublicKey, Refused> {
    let pem = text(key, Path::new(file))?;
    let half = private_section(&pem).and_then(|section| KeyPair::from_pem(section).ok());
    match half {
        Some(pair) => Ok(pair.public().clone()),
        None => PublicKey::from_pem(pem.trim()).map_err(|error| {
            Refused::usage(format!(
                "{key}: {file}: {error}; accepted: a public key in PEM, or a P-256 private key"
            ))
        }),
    }
}

/// The first private key of a PEM text, which may hold certificates and parameters besides.
pub(super) fn private_section(pem: &str) -> Option<&str> {
    const LABELS: [&str; 3] = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"];
    LABELS.iter().find_map(|label| {
        let begin = pem.find(&format!("-----BEGIN {label}-----"))?;
        let ending = format!("-----END {label}-----");
        let end = pem[begin..].find(&ending)? + begin + ending.len();
        Some(&pem[begin..end])
    })
}
