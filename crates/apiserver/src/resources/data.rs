//! What ConfigMaps and Secrets may hold (`ValidateConfigMap`, `ValidateSecret` in
//! `pkg/apis/core/validation`). Of secrets of a type, the members that the type needs must be there.

use super::cause;
use ravelin_api::{Cause, object};
use serde_json::Value;

/// The most bytes of data that a ConfigMap or Secret may hold (`MaxSecretSize`).
const MAX_DATA_BYTES: usize = 1024 * 1024;
/// The longest key.
const MAX_KEY_BYTES: usize = 253;
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// What is wrong with the data of an object.
pub(super) fn causes(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut size = 0;
    let is_secret = object::kind(object) == "Secret";
    let (data, binary) = (object::strings(object.get("data")), object::strings(object.get("binaryData")));
    for (section, members) in [("data", &data), ("binaryData", &binary)] {
        for (key, value) in members {
            let field = format!("{section}[{key}]");
            for why in key_faults(key) {
                causes.push(cause("FieldValueInvalid", &field, format!("Invalid value: {key:?}: {why}")));
            }
            if section == "data" && binary.contains_key(key) {
                let message = format!("Invalid value: {key:?}: duplicate of key present in binaryData");
                causes.push(cause("FieldValueInvalid", &field, message));
            }
            let encoded = is_secret || section == "binaryData";
            size += if encoded { decoded_len(value) } else { value.len() };
        }
    }
    if size > MAX_DATA_BYTES {
        let field = if is_secret { "data" } else { "[]" };
        let message = format!("Too long: may not be more than {MAX_DATA_BYTES} bytes");
        causes.push(cause("FieldValueTooLong", field, message));
    }
    if is_secret {
        causes.extend(secret_causes(object, |key| data.get(key).is_some_and(|value| !value.is_empty())));
    }
    causes
}

/// How many bytes a text in base64 stands for.
fn decoded_len(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// `IsConfigMapKey`.
fn key_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if key.len() > MAX_KEY_BYTES {
        faults.push(format!("must be no more than {MAX_KEY_BYTES} bytes"));
    }
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if key.is_empty() || !key.bytes().all(good) {
        faults.push(KEY.to_owned());
    }
    match key {
        "." => faults.push("must not be '.'".to_owned()),
        ".." => faults.push("must not be '..'".to_owned()),
        _ if key.starts_with("..") => faults.push("must not start with '..'".to_owned()),
        _ => {}
    }
    faults
}

/// What the type of a secret asks of it.
fn secret_causes(secret: &Value, has: impl Fn(&str) -> bool) -> Vec<Cause> {
    let needed = |keys: &[&str]| -> Vec<Cause> {
        let missing =
            keys.iter().filter(|key| object::at(secret, "data").and_then(|d| d.get(**key)).is_none());
        missing.map(|key| cause("FieldValueRequired", &format!("data[{key}]"), "Required value")).collect()
    };
    match object::text(secret, "type") {
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            let named = object::annotations(secret).get(key).is_some_and(|name| !name.is_empty());
            if named {
                return Vec::new();
            }
            vec![cause("FieldValueRequired", &format!("metadata.annotations[{key}]"), "Required value")]
        }
        "kubernetes.io/dockercfg" => needed(&[".dockercfg"]),
        "kubernetes.io/dockerconfigjson" => needed(&[".dockerconfigjson"]),
        "kubernetes.io/basic-auth" => {
            let (user, password) = (needed(&["username"]), needed(&["password"]));
            // One of the two is enough.
            if user.is_empty() || password.is_empty() { Vec::new() } else { [user, password].concat() }
        }
        "kubernetes.io/ssh-auth" if !has("ssh-privatekey") => {
            vec![cause("FieldValueRequired", "data[ssh-privatekey]", "Required value")]
        }
        "kubernetes.io/tls" => needed(&["tls.crt", "tls.key"]),
        _ => Vec::new(),
    }
}
