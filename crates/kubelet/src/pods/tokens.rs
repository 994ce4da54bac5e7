//! The tokens of a pod: asked for, kept, and asked for again in time.
//!
//! After `pkg/kubelet/token/token_manager.go`.

use super::volumes::TokenKey;
use jiff::Timestamp;
use ravelin_api::{object, time};
use ravelin_client::{Client, ClientError};
use ravelin_entropy::Entropy;
use ravelin_runtime::PodView;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A token is replaced after so long, however long it lives (`maxTTL`).
const LONGEST_USE: i64 = 24 * 3600;
/// All replacements come up to so much earlier, by chance (`maxJitter`).
const MAX_JITTER_MILLIS: u64 = 10_000;
/// A token that should have been replaced long ago is not asked for more often than this.
const SHORTEST_USE: Duration = Duration::from_secs(60);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoToken {
    #[error("no token for the pod: {0}")]
    Refused(#[from] ClientError),
    #[error("the answer to the token request holds no token")]
    Malformed,
}

/// A pod's tokens.
#[derive(Default)]
pub(super) struct Tokens(BTreeMap<TokenKey, Held>);

struct Held {
    token: String,
    refresh: Instant,
}

/// Who asks, and when.
pub(super) struct Asking<'a> {
    pub(super) client: &'a Client,
    pub(super) now: Timestamp,
    pub(super) entropy: Entropy,
}

impl Tokens {
    /// The token of this kind: the one at hand, or a new one where its time has come.
    pub(super) async fn token(
        &mut self,
        key: &TokenKey,
        view: &PodView,
        mut asking: Asking<'_>,
    ) -> Result<String, NoToken> {
        if let Some(held) = self.0.get(key).filter(|held| Instant::now() < held.refresh) {
            return Ok(held.token.clone());
        }
        let (namespace, account) = (&view.namespace, &view.service_account);
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let answer = asking.client.create(&path, &request(key, view)).await?;
        let token = object::text(&answer, "status.token").to_owned();
        if token.is_empty() {
            return Err(NoToken::Malformed);
        }
        let refresh = Instant::now() + use_of(&answer, asking.now, &mut asking.entropy);
        self.0.insert(key.clone(), Held { token: token.clone(), refresh });
        Ok(token)
    }

    /// When the first of them is to be replaced.
    pub(super) fn refresh(&self) -> Option<Instant> {
        self.0.values().map(|held| held.refresh).min()
    }
}

fn request((audience, seconds): &TokenKey, view: &PodView) -> Value {
    let audiences: Vec<&String> = audience.iter().collect();
    json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": audiences,
            "expirationSeconds": seconds,
            "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": view.name, "uid": view.uid },
        },
    })
}

/// For how long from now a token is used: four fifths of its life, and a day at most
/// (`requiresRefresh`).
fn use_of(answer: &Value, now: Timestamp, entropy: &mut Entropy) -> Duration {
    let jitter = Duration::from_millis(entropy.below(MAX_JITTER_MILLIS));
    let expires = time::parse(object::text(answer, "status.expirationTimestamp"));
    let asked = object::at(answer, "spec.expirationSeconds").and_then(Value::as_i64);
    let left = expires.map(|expires| expires.as_second() - now.as_second());
    // A life that makes no sense is treated as a short one.
    let Some(left) = left.filter(|left| *left > 0) else { return SHORTEST_USE };
    let life = asked.filter(|life| *life > 0).unwrap_or(left);
    let until_old = left - life + LONGEST_USE;
    let until_late = left - life / 5;
    let seconds = u64::try_from(until_old.min(until_late)).unwrap_or(0);
    Duration::from_secs(seconds).saturating_sub(jitter).max(SHORTEST_USE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_for_four_fifths_of_its_life_and_a_day_at_most() {
        let now = Timestamp::constant(1_767_225_600, 0);
        let lasting = |left: i64, asked: Value| {
            let expires = time::format(now + jiff::SignedDuration::from_secs(left));
            let answer = json!({ "spec": { "expirationSeconds": asked },
                                 "status": { "expirationTimestamp": expires } });
            use_of(&answer, now, &mut Entropy::from_key([1; 32])).as_secs()
        };
        let table = [
            (3607, json!(3607), 3607 - 721),
            (600, json!(600), 480),
            // Half of its life is over already, as after a restart of the clock.
            (1800, json!(3600), 1080),
            (7 * 86_400, json!(7 * 86_400), 86_400),
            (3607, Value::Null, 3607 - 721),
        ];
        for (left, asked, expected) in table {
            let used = lasting(left, asked);
            assert!((expected - 10..=expected).contains(&used), "{used} of {left} s, expected {expected}");
        }
        assert_eq!(lasting(-5, json!(3607)), 60, "an expired token is asked for again, not at once");
        assert_eq!(lasting(10, json!(3607)), 60);
    }
}
