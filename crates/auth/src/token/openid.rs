//! What others need to judge our tokens: OpenID discovery and the keys as JSON Web Keys
//! (`pkg/serviceaccount/openidmetadata.go`, RFC 7517). Both are public.

use super::ServiceAccountIssuer;
use super::jwt::KnownKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ravelin_pki::KeyNumbers;
use serde_json::json;
use std::collections::BTreeSet;

/// Where the discovery document is.
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
/// Where the keys are, unless configured otherwise.
pub const KEYS_PATH: &str = "/openid/v1/jwks";

impl ServiceAccountIssuer {
    /// The discovery document, for a server that is known under `address`; `None` where there is
    /// nothing to discover: no keys, or an issuer that is no `https` URL without query and fragment.
    pub fn discovery(&self, address: &str) -> Option<String> {
        let (issuer, keys) = self.published()?;
        let here = || format!("https://{address}{KEYS_PATH}");
        let keys_at = self.jwks_uri().map_or_else(here, str::to_owned);
        let algorithms: BTreeSet<&str> = keys.iter().map(|key| key.algorithm).collect();
        Some(format!(
            "{{\"issuer\":{},\"jwks_uri\":{},\"response_types_supported\":[\"id_token\"],\
             \"subject_types_supported\":[\"public\"],\"id_token_signing_alg_values_supported\":{}}}",
            json!(issuer),
            json!(keys_at),
            json!(algorithms),
        ))
    }

    /// The keys as a JSON Web Key Set; `None` where there is nothing to discover.
    pub fn key_set(&self) -> Option<String> {
        let (_, keys) = self.published()?;
        let keys: Vec<String> = keys.iter().map(web_key).collect();
        Some(format!("{{\"keys\":[{}]}}", keys.join(",")))
    }

    fn published(&self) -> Option<(&str, &[KnownKey])> {
        let issuer = self.name()?;
        let plain = |url: &str| url.starts_with("https://") && !url.contains(['?', '#']);
        let keys_elsewhere_are_safe = self.jwks_uri().is_none_or(|uri| uri.starts_with("https://"));
        let keys = self.known();
        (plain(issuer) && keys_elsewhere_are_safe && !keys.is_empty()).then_some((issuer, keys))
    }
}

/// The members in the order in which go-jose writes them.
fn web_key(known: &KnownKey) -> String {
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (id, algorithm) = (&known.id, known.algorithm);
    match known.key.numbers() {
        KeyNumbers::P256 { x, y } => format!(
            "{{\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"{id}\",\"crv\":\"P-256\",\"alg\":\"{algorithm}\",\
             \"x\":\"{}\",\"y\":\"{}\"}}",
            number(&x),
            number(&y)
        ),
        KeyNumbers::Rsa { modulus, exponent } => format!(
            "{{\"use\":\"sig\",\"kty\":\"RSA\",\"kid\":\"{id}\",\"alg\":\"{algorithm}\",\"n\":\"{}\",\
             \"e\":\"{}\"}}",
            number(&modulus),
            number(&exponent)
        ),
    }
}
