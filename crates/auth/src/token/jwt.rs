//! Signed tokens (RFC 7519) in compact form: we sign with ES256, and judge RS256 as well.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ravelin_pki::{KeyNumbers, KeyPair, PublicKey};
use serde_json::{Value, json};

/// No token is longer.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a token is not a signed statement of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwtRefused {
    /// It is no JWT.
    #[error("not a signed token")]
    Malformed,
    /// It names another algorithm than ES256 and RS256, or none.
    #[error("unexpected signature algorithm")]
    Algorithm,
    /// It names a key that is none of ours.
    #[error("invalid signature, no keys found")]
    UnknownKey,
    /// No key of ours made its signature.
    #[error("go-jose/go-jose: error in cryptographic primitive")]
    Signature,
}

/// A key whose signatures are good, and what tokens call it.
#[derive(Clone, Debug)]
pub(super) struct KnownKey {
    pub(super) id: String,
    pub(super) algorithm: &'static str,
    pub(super) key: PublicKey,
}

impl KnownKey {
    pub(super) fn new(key: PublicKey) -> Self {
        let algorithm = match key.numbers() {
            KeyNumbers::P256 { .. } => "ES256",
            KeyNumbers::Rsa { .. } => "RS256",
        };
        Self { id: key_id(&key), algorithm, key }
    }
}

/// The claims that a token makes, before anybody has checked them.
pub(super) fn unverified_claims(token: &str) -> Option<Value> {
    let (_, payload, _) = parts(token)?;
    json_part(payload)
}

/// The claims that a token makes, whoever wrote them. For what simulates a missing check.
pub(super) fn danger_unverified(token: &str) -> Result<Value, JwtRefused> {
    unverified_claims(token).ok_or(JwtRefused::Malformed)
}

/// Signs claims.
pub(super) fn sign(claims: &Value, key: &KeyPair) -> String {
    let header = json!({ "alg": "ES256", "kid": key_id(key.public()) });
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let signature = key.sign_raw(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The claims of a token that one of these keys signed.
pub(super) fn verify(token: &str, keys: &[KnownKey]) -> Result<Value, JwtRefused> {
    let (header, payload, signature) = parts(token).ok_or(JwtRefused::Malformed)?;
    let described = json_part(header).ok_or(JwtRefused::Malformed)?;
    let text = |name: &str| described.get(name).and_then(Value::as_str).unwrap_or_default();
    // The algorithm is the key's, not the token's choice: it may only agree (RFC 8725 section 3.1).
    // What we do not know to be critical (`crit`) we may not ignore (RFC 7515 section 4.1.11).
    let algorithm = text("alg");
    if !matches!(algorithm, "ES256" | "RS256") || described.get("crit").is_some() {
        return Err(JwtRefused::Algorithm);
    }
    // A token that names its key is judged by that one alone (`GetPublicKeys` of
    // `pkg/serviceaccount/jwt.go`).
    let (id, mut known) = (text("kid"), false);
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| JwtRefused::Malformed)?;
    let signed = format!("{header}.{payload}");
    for candidate in keys.iter().filter(|key| id.is_empty() || key.id == id) {
        known = true;
        if candidate.algorithm == algorithm && candidate.key.verify_raw(signed.as_bytes(), &signature) {
            return json_part(payload).ok_or(JwtRefused::Malformed);
        }
    }
    Err(if known { JwtRefused::Signature } else { JwtRefused::UnknownKey })
}

fn parts(token: &str) -> Option<(&str, &str, &str)> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let mut parts = token.split('.');
    let three = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(three)
}

fn json_part(part: &str) -> Option<Value> {
    let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    value.is_object().then_some(value)
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// SHA-256 of the key's SubjectPublicKeyInfo (`keyIDFromPublicKey` in `pkg/serviceaccount/jwt.go`).
fn key_id(key: &PublicKey) -> String {
    let hex = ravelin_pki::fingerprint_sha256(&key.to_spki_der());
    let byte =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let digest: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(byte).collect();
    URL_SAFE_NO_PAD.encode(digest.expect("a fingerprint is hex"))
}
