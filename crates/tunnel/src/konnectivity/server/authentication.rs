//! Whom a server takes for an agent (`pkg/server/server.go`, `authenticateAgentViaToken`). Certificates
//! are judged in the handshake.

use super::AgentAuthentication;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ravelin_api::object;
use ravelin_client::Client;
use serde_json::{Value, json};

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const BEARER: &str = "Bearer ";

/// Checks the metadata of an agent's call.
///
/// # Errors
/// Why it is no agent, in the original's words; no secret is in it.
pub(super) async fn check(authentication: &AgentAuthentication, metadata: &HeaderMap) -> Result<(), String> {
    let AgentAuthentication::ServiceAccountToken { namespace, service_account, audience, reviewer } =
        authentication
    else {
        return Ok(());
    };
    let mut values = metadata.get_all(AUTHORIZATION).iter();
    let Some(first) = values.next() else {
        return Err("Authentication context was not found in metadata".to_owned());
    };
    let others = values.count();
    if others > 0 {
        return Err(format!("too many ({}) tokens are received", others + 1));
    }
    let token = first.to_str().ok().and_then(|value| value.strip_prefix(BEARER));
    let Some(token) = token else { return Err(format!("received token does not have {BEARER:?} prefix")) };
    let wrong = |why: String| format!("Failed to validate authentication token, err:{why}");
    let review = review(reviewer, token, audience).await.map_err(wrong)?;
    judge(&review, audience, (namespace, service_account)).map_err(wrong)
}

async fn review(reviewer: &Client, token: &str, audience: &str) -> Result<Value, String> {
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": { "token": token, "audiences": [audience] },
    });
    let answer = reviewer.create(TOKEN_REVIEWS, &review).await;
    answer.map_err(|error| format!("Failed to authenticate request. err:{error}"))
}

/// What a TokenReview says of this audience and account.
fn judge(review: &Value, audience: &str, (namespace, account): (&str, &str)) -> Result<(), String> {
    let error = object::text(review, "status.error");
    if !error.is_empty() {
        return Err(format!("lookup failed: {error}"));
    }
    if object::flag(review, "status.authenticated") != Some(true) {
        return Err("lookup failed: service account jwt not valid".to_owned());
    }
    // The original leaves this to the apiserver. One that knows no audiences answers without any.
    let audiences = object::at(review, "status.audiences").and_then(Value::as_array);
    if !audiences.into_iter().flatten().any(|found| found.as_str() == Some(audience)) {
        return Err(format!("lookup failed: the token is not for audience {audience:?}"));
    }
    let name = object::text(review, "status.user.username");
    let parts: Vec<&str> = name.split(':').collect();
    let [system, kind, of, found] = parts[..] else {
        return Err("lookup failed: unexpected username format".to_owned());
    };
    if (system, kind) != ("system", "serviceaccount") {
        return Err("lookup failed: username returned is not a service account".to_owned());
    }
    if of != namespace {
        return Err(format!("lookup failed: incoming request from {of:?} namespace. Expected {namespace:?}"));
    }
    if found != account {
        return Err(format!(
            "lookup failed: incoming request from {found:?} service account. Expected {account:?}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reviewed(status: Value) -> Result<(), String> {
        judge(&json!({ "status": status }), "konnectivity", ("kube-system", "agent"))
    }

    #[test]
    fn only_the_right_account_for_the_right_audience_is_an_agent() {
        let status = |name: &str, audience: &str| json!({ "authenticated": true, "audiences": [audience], "user": { "username": name } });
        let right = "system:serviceaccount:kube-system:agent";
        assert_eq!(reviewed(status(right, "konnectivity")), Ok(()));
        let refused = |status| reviewed(status).unwrap_err();
        assert_eq!(
            refused(status(right, "kubernetes")),
            "lookup failed: the token is not for audience \"konnectivity\""
        );
        assert_eq!(
            refused(status("system:serviceaccount:default:agent", "konnectivity")),
            "lookup failed: incoming request from \"default\" namespace. Expected \"kube-system\""
        );
        assert_eq!(
            refused(status("system:serviceaccount:kube-system:default", "konnectivity")),
            "lookup failed: incoming request from \"default\" service account. Expected \"agent\""
        );
        assert_eq!(
            refused(status("system:node:kube-system:agent", "konnectivity")),
            "lookup failed: username returned is not a service account"
        );
        assert_eq!(refused(status("agent", "konnectivity")), "lookup failed: unexpected username format");
        let mut status = status(right, "konnectivity");
        status["authenticated"] = json!(false);
        assert_eq!(refused(status.clone()), "lookup failed: service account jwt not valid");
        status["error"] = json!("no");
        assert_eq!(refused(status), "lookup failed: no");
        assert!(reviewed(json!({})).is_err());
    }
}
