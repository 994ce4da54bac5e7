//! Tokens that lie in Secrets, as the controller manager writes them
//! (`LegacyClaims` in `pkg/serviceaccount/legacy.go`).

use super::claims::LEGACY_ISSUER;
use super::service_account::Reference;
use super::{claims, jwt};
use ravelin_pki::KeyPair;
use serde_json::{Map, Value, json};

/// The token of a service account for a Secret of its namespace. It never expires: it is good as long
/// as the Secret holds it and the account is there.
pub fn secret_token(key: &KeyPair, (namespace, secret): (&str, &str), account: &Reference) -> String {
    let mut said = Map::new();
    said.insert("iss".to_owned(), json!(LEGACY_ISSUER));
    said.insert("sub".to_owned(), json!(format!("system:serviceaccount:{namespace}:{}", account.name)));
    let private = [
        ("namespace", namespace),
        ("secret.name", secret),
        ("service-account.name", &account.name),
        ("service-account.uid", &account.uid),
    ];
    for (name, value) in private {
        said.insert(format!("{}{name}", claims::LEGACY_PREFIX), json!(value));
    }
    jwt::sign(&Value::Object(said), key)
}
