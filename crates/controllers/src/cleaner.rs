//! Deletes signing requests that nobody needs any more
//! (`pkg/controller/certificates/cleaner/cleaner.go`).

use crate::csr::CSRS;
use crate::follow::{Controller, Outcome, objects};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ravelin_api::{object, time};
use ravelin_client::{Client, ClientError, Store};
use ravelin_pki::{TrustAnchors, inspect};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// So long an issued certificate's request is kept, and a denied one (`approvedExpiration`,
/// `deniedExpiration`).
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
/// So long a request waits for a decision (`pendingExpiration`).
const PENDING: SignedDuration = SignedDuration::from_hours(24);

/// The cleaner.
pub(crate) struct Cleaner {
    client: Client,
    csrs: Store,
    due: Option<Instant>,
}

impl Cleaner {
    pub(crate) fn new(client: &Client, csrs: &Store) -> Self {
        Self { client: client.clone(), csrs: csrs.clone(), due: None }
    }
}

#[async_trait]
impl Controller for Cleaner {
    fn name(&self) -> &'static str {
        "csrcleaner"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        let now = self.client.host().now();
        self.due = None;
        for csr in objects(&self.csrs) {
            let Some(ends) = ends(&csr) else { continue };
            let left = ends.duration_since(now);
            if left.is_negative() {
                outcome.note(self.client.delete(&format!("{CSRS}/{}", object::name(&csr))).await);
            } else {
                // Strictly after the end, as the comparisons of Kubernetes are.
                let left = Duration::try_from(left).unwrap_or_default() + Duration::from_secs(1);
                let due = Instant::now() + left;
                self.due = Some(self.due.map_or(due, |known| known.min(due)));
            }
        }
        outcome.result()
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }
}

/// Until when a request is kept; `None` for one that was approved and waits for its signer, or that
/// cannot be read.
fn ends(csr: &Value) -> Option<Timestamp> {
    let conditions = object::list(csr, "status.conditions");
    if conditions.is_empty() {
        return Some(time::parse(object::text(csr, "metadata.creationTimestamp"))? + PENDING);
    }
    let since = |kind: &str| {
        let condition = conditions.iter().find(|condition| condition["type"] == kind)?;
        Some(time::parse(object::text(condition, "lastUpdateTime"))? + DECIDED)
    };
    let issued = object::text(csr, "status.certificate");
    let approved = since("Approved").filter(|_| !issued.is_empty());
    let expires = approved.and_then(|_| not_after(issued));
    [since("Denied"), approved, expires].into_iter().flatten().min()
}

fn not_after(certificate: &str) -> Option<Timestamp> {
    let pem = String::from_utf8(STANDARD.decode(certificate).ok()?).ok()?;
    let chain = TrustAnchors::from_pem(&pem).ok()?;
    Some(inspect(chain.certificates().first()?)?.not_after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_request_is_kept_as_long_as_its_state_says() {
        let at = |time: &str| Some(time.parse::<Timestamp>().unwrap());
        let csr = |status: Value| json!({ "metadata": { "name": "c", "creationTimestamp": "2026-01-01T00:00:00Z" }, "status": status });
        let condition = |kind: &str| json!([{ "type": kind, "status": "True", "lastUpdateTime": "2026-01-01T05:00:00Z" }]);
        assert_eq!(ends(&csr(json!({}))), at("2026-01-02T00:00:00Z"), "pending: a day");
        assert_eq!(ends(&csr(json!({ "conditions": condition("Denied") }))), at("2026-01-01T06:00:00Z"));
        assert_eq!(ends(&csr(json!({ "conditions": condition("Approved") }))), None, "still to be signed");
        let issued = csr(json!({ "conditions": condition("Approved"), "certificate": "aGVsbG8=" }));
        assert_eq!(ends(&issued), at("2026-01-01T06:00:00Z"), "issued: an hour");
        assert_eq!(ends(&csr(json!({ "conditions": condition("Failed") }))), None);
    }
}
