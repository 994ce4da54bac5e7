//! The credentials in what a server answered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::BTreeSet;

/// Every bearer token in an answer: in JSON (plain, or in base64 as in a Secret), or as it stands.
pub fn tokens_in(body: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    match serde_json::from_slice(body) {
        Ok(json) => collect(&json, &mut found),
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            found.extend(text.split_whitespace().filter(|word| is_jwt(word)).map(str::to_owned));
        }
    }
    found
}

fn collect(json: &Value, found: &mut BTreeSet<String>) {
    match json {
        Value::String(text) => {
            found.extend(
                [Some(text.clone()), decoded(text)].into_iter().flatten().filter(|text| is_jwt(text)),
            );
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(object) => {
            // A bootstrap token's Secret has its two halves apart.
            let half = |name: &str| decoded(object.get(name)?.as_str()?);
            if let (Some(id), Some(secret)) = (half("token-id"), half("token-secret")) {
                found.insert(format!("{id}.{secret}"));
            }
            object.values().for_each(|value| collect(value, found));
        }
        _ => {}
    }
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

/// Does it look like a JSON web token (RFC 7519)?
fn is_jwt(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == 3 && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_are_found_wherever_kubernetes_writes_them() {
        let jwt = "eyJhbGciOiJub25lIn0.e30.c2ln";
        let base64 = |text: &str| STANDARD.encode(text);
        let secrets = json!({"items": [
            {"data": {"token": base64(jwt), "ca.crt": base64("-----BEGIN")}},
            {"data": {"token-id": base64("abcdef"), "token-secret": base64("0123456789abcdef")}},
        ]});
        let expected = BTreeSet::from([jwt.to_owned(), "abcdef.0123456789abcdef".to_owned()]);
        assert_eq!(tokens_in(secrets.to_string().as_bytes()), expected);
        let review = json!({"status": {"token": jwt}}).to_string();
        for body in [review.as_str(), jwt, &format!("{jwt}\n")] {
            assert_eq!(tokens_in(body.as_bytes()), BTreeSet::from([jwt.to_owned()]), "{body}");
        }
        assert!(tokens_in(b"eyJ is no token, nor is a.b.c").is_empty());
    }
}
