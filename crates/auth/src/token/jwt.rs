//! Signed tokens (RFC 7519) of one kind only: ES256 in compact form.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ravelin_pki::{KeyPair, PublicKey};
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
    /// It names another algorithm than ES256, or none.
    #[error("unexpected signature algorithm")]
    Algorithm,
    /// No key of ours made its signature.
    #[error("the token's signature is not of a known key")]
    Signature,
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
pub(super) fn verify(token: &str, keys: &[PublicKey]) -> Result<Value, JwtRefused> {
    let (header, payload, signature) = parts(token).ok_or(JwtRefused::Malformed)?;
    let described = json_part(header).ok_or(JwtRefused::Malformed)?;
    // The algorithm is ours, not the token's choice: it may only agree (RFC 8725 section 3.1).
    // What we do not know to be critical (`crit`) we may not ignore (RFC 7515 section 4.1.11).
    if described.get("alg").and_then(Value::as_str) != Some("ES256") || described.get("crit").is_some() {
        return Err(JwtRefused::Algorithm);
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| JwtRefused::Malformed)?;
    let signed = format!("{header}.{payload}");
    // The token's `kid` is a hint; every key is tried, as in Kubernetes.
    if !keys.iter().any(|key| key.verify_raw(signed.as_bytes(), &signature)) {
        return Err(JwtRefused::Signature);
    }
    json_part(payload).ok_or(JwtRefused::Malformed)
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
