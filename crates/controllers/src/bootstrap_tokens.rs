//! Deletes bootstrap tokens that have expired (`pkg/controller/bootstrap/tokencleaner.go`).

use crate::follow::{Controller, Outcome, objects};
use crate::garbage::delete_with;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ravelin_api::{object, time};
use ravelin_client::{Client, ClientError, Store};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// The type of a bootstrap token's Secret.
const TYPE: &str = "bootstrap.kubernetes.io/token";

/// The token cleaner.
pub(crate) struct TokenCleaner {
    pub(crate) client: Client,
    /// The Secrets; those of `kube-system` count.
    pub(crate) secrets: Store,
    pub(crate) due: Option<Instant>,
}

#[async_trait]
impl Controller for TokenCleaner {
    fn name(&self) -> &'static str {
        "tokencleaner"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        let now = self.client.host().now();
        self.due = None;
        for secret in objects(&self.secrets) {
            let Some(expires) = expiry(&secret) else { continue };
            let left = expires.duration_since(now);
            if left.is_positive() {
                // A second later, since expirations are whole seconds.
                let left = Duration::try_from(left).unwrap_or_default() + Duration::from_secs(1);
                let due = Instant::now() + left;
                self.due = Some(self.due.map_or(due, |known| known.min(due)));
                continue;
            }
            let path = format!("/api/v1/namespaces/kube-system/secrets/{}", object::name(&secret));
            let options = json!({
                "apiVersion": "v1", "kind": "DeleteOptions",
                "preconditions": { "uid": object::uid(&secret) },
            });
            outcome.note(delete_with(&self.client, &path, &options).await);
        }
        outcome.result()
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }
}

/// When a bootstrap token ends; `None` for what is none or never ends. What cannot be read has
/// ended (`GetExpiration` in `cluster-bootstrap/token/util`).
fn expiry(secret: &Value) -> Option<Timestamp> {
    if secret["type"] != TYPE || object::namespace(secret) != "kube-system" {
        return None;
    }
    let encoded = secret["data"]["expiration"].as_str().filter(|text| !text.is_empty())?;
    let text = STANDARD.decode(encoded).ok().and_then(|text| String::from_utf8(text).ok());
    Some(text.and_then(|text| time::parse(&text)).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bootstrap_tokens_with_an_end_are_cleaned() {
        let secret = |kind: &str, namespace: &str, expiration: &str| {
            json!({ "type": kind, "metadata": { "name": "s", "namespace": namespace },
                    "data": { "expiration": STANDARD.encode(expiration) } })
        };
        let end = "2026-01-01T00:00:00Z";
        assert_eq!(expiry(&secret(TYPE, "kube-system", end)), Some(end.parse().unwrap()));
        assert_eq!(expiry(&secret(TYPE, "default", end)), None);
        assert_eq!(expiry(&secret("Opaque", "kube-system", end)), None);
        assert_eq!(expiry(&secret(TYPE, "kube-system", "")), None, "no end");
        assert_eq!(expiry(&secret(TYPE, "kube-system", "soon")), Some(Timestamp::UNIX_EPOCH));
    }
}
