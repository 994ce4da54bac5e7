//! What a signed service-account token claims, judged against the clock and the objects
//! (`pkg/serviceaccount/claims.go`, `legacy.go`).

use super::service_account::{Reference, ServiceAccountRefused};
use crate::{Lookup, UserInfo, names};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ravelin_api::{object, time};
use serde_json::Value;
use subtle::ConstantTimeEq;

/// How far clocks may differ (`DefaultLeeway` of go-jose), and for how long what is being deleted
/// still keeps a token good.
const LEEWAY_SECONDS: i64 = 60;
/// Who says to have issued the tokens that lie in Secrets.
pub(super) const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
pub(super) const LEGACY_PREFIX: &str = "kubernetes.io/serviceaccount/";
/// Since when the token in a Secret is no longer good, where the controller manager said so.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// The moment, the objects, and which of the checks are made.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) now: Timestamp,
    pub(super) objects: &'a dyn Lookup,
    /// Must the account, and what the token is bound to, still be there?
    pub(super) bound: bool,
}

/// Has the token's time come, and not gone?
pub(super) fn check_times(claims: &Value, now: Timestamp) -> Result<(), ServiceAccountRefused> {
    let second = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(claim) => claim.as_i64().map(Some).ok_or(ServiceAccountRefused::Claims),
    };
    let early = |begin: i64| now.as_second().saturating_add(LEEWAY_SECONDS) < begin;
    if second("nbf")?.is_some_and(early) {
        return Err(ServiceAccountRefused::NotYetValid);
    }
    // A token of ours without an end does not end, as in Kubernetes.
    if second("exp")?.is_some_and(|end| is_past(end, now)) {
        return Err(ServiceAccountRefused::Expired);
    }
    if second("iat")?.is_some_and(early) {
        return Err(ServiceAccountRefused::IssuedInTheFuture);
    }
    Ok(())
}

/// Is a second over, by more than clocks may differ?
fn is_past(second: i64, now: Timestamp) -> bool {
    let before = now.as_second().saturating_sub(LEEWAY_SECONDS);
    before > second || (before == second && now.subsec_nanosecond() > 0)
}

/// Is it a token of the kind that lies in a Secret?
pub(super) fn is_legacy(claims: &Value) -> bool {
    object::text(claims, "iss") == LEGACY_ISSUER
        && claims.get(format!("{LEGACY_PREFIX}secret.name").as_str()).is_some()
}

/// The user of a token of a TokenRequest.
pub(super) fn user(claims: &Value, judged: Judged<'_>) -> Result<UserInfo, ServiceAccountRefused> {
    let private = claims.get("kubernetes.io").ok_or(ServiceAccountRefused::Claims)?;
    let namespace = object::text(private, "namespace");
    let account = reference(private, "serviceaccount")?.ok_or(ServiceAccountRefused::Claims)?;
    let mut user = UserInfo::service_account(namespace, &account.name, &account.uid);
    if namespace.is_empty() || object::text(claims, "sub") != user.name {
        return Err(ServiceAccountRefused::Claims);
    }
    let bound = [
        ("secret", "secrets", namespace, reference(private, "secret")?),
        ("pod", "pods", namespace, reference(private, "pod")?),
        ("node", "nodes", "", reference(private, "node")?),
    ];
    let has_pod = bound[1].3.is_some();
    if judged.bound {
        check_account(judged, namespace, &account)?;
        for (kind, resource, namespace, reference) in &bound {
            // Beside a pod the node is told, not bound to.
            let told = *kind == "node" && has_pod;
            if let Some(reference) = reference.as_ref().filter(|_| !told) {
                check_bound(judged, (kind, resource, namespace), reference)?;
            }
        }
    }
    for (kind, _, _, reference) in bound {
        if let Some(reference) = reference.filter(|_| kind != "secret") {
            let key = |part: &str| format!("authentication.kubernetes.io/{kind}-{part}");
            user.extra.insert(key("name"), vec![reference.name]);
            if !reference.uid.is_empty() {
                user.extra.insert(key("uid"), vec![reference.uid]);
            }
        }
    }
    if let Some(id) = claims.get("jti").and_then(Value::as_str).filter(|id| !id.is_empty()) {
        user.extra.insert(names::CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]);
    }
    Ok(user)
}

fn check_account(
    judged: Judged<'_>,
    namespace: &str,
    account: &Reference,
) -> Result<(), ServiceAccountRefused> {
    let found = judged.objects.core("serviceaccounts", namespace, &account.name);
    let found = found.ok_or_else(|| ServiceAccountRefused::AccountGone { name: account.name.clone() })?;
    if object::uid(&found) != account.uid {
        return Err(ServiceAccountRefused::OtherAccount {
            uid: object::uid(&found).to_owned(),
            claimed: account.uid.clone(),
        });
    }
    if is_long_deleted(&found, judged.now) {
        let (namespace, name) = (namespace.to_owned(), account.name.clone());
        return Err(ServiceAccountRefused::AccountDeleted { namespace, name });
    }
    Ok(())
}

fn check_bound(
    judged: Judged<'_>,
    (kind, resource, namespace): (&'static str, &str, &str),
    claimed: &Reference,
) -> Result<(), ServiceAccountRefused> {
    let found = judged.objects.core(resource, namespace, &claimed.name);
    let found = found.ok_or(ServiceAccountRefused::BoundObjectGone)?;
    if object::uid(&found) != claimed.uid {
        let (uid, claimed) = (object::uid(&found).to_owned(), claimed.uid.clone());
        return Err(ServiceAccountRefused::OtherBoundObject { kind, uid, claimed });
    }
    if is_long_deleted(&found, judged.now) {
        return Err(ServiceAccountRefused::BoundObjectGone);
    }
    Ok(())
}

/// Was it to be gone a while ago, though something still keeps it?
fn is_long_deleted(object: &Value, now: Timestamp) -> bool {
    if !object::is_terminating(object) {
        return false;
    }
    let deleted = time::parse(object::text(object, "metadata.deletionTimestamp"));
    deleted.is_none_or(|deleted| is_past(deleted.as_second(), now))
}

fn reference(private: &Value, kind: &str) -> Result<Option<Reference>, ServiceAccountRefused> {
    let Some(claim) = private.get(kind).filter(|claim| !claim.is_null()) else { return Ok(None) };
    let text = |part: &str| claim.get(part).and_then(Value::as_str).unwrap_or_default();
    let (name, uid) = (text("name"), text("uid"));
    // A pod's node is known by its name alone where there was no such object.
    if name.is_empty() || uid.is_empty() && kind != "node" {
        return Err(ServiceAccountRefused::Claims);
    }
    Ok(Some(Reference { name: name.to_owned(), uid: uid.to_owned() }))
}

/// The user of a token that lies in a Secret. `judged.bound` says whether the Secret must still hold
/// this very token (`--service-account-lookup`).
pub(super) fn legacy_user(
    token: &str,
    claims: &Value,
    judged: Judged<'_>,
) -> Result<UserInfo, ServiceAccountRefused> {
    let claim = |name: &'static str, called: &'static str| {
        let key = format!("{LEGACY_PREFIX}{name}");
        let text = claims.get(key.as_str()).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or(ServiceAccountRefused::ClaimMissing(called))
    };
    let namespace = claim("namespace", "namespace")?;
    let secret = claim("secret.name", "secretName")?;
    let name = claim("service-account.name", "serviceAccountName")?;
    let uid = claim("service-account.uid", "serviceAccountUID")?;
    let user = UserInfo::service_account(namespace, name, uid);
    if object::text(claims, "sub") != user.name {
        return Err(ServiceAccountRefused::Subject);
    }
    if judged.bound {
        check_secret(token, judged, (namespace, secret))?;
        let account = Reference { name: name.to_owned(), uid: uid.to_owned() };
        check_account(judged, namespace, &account)?;
    }
    Ok(user)
}

fn check_secret(
    token: &str,
    judged: Judged<'_>,
    (namespace, name): (&str, &str),
) -> Result<(), ServiceAccountRefused> {
    let secret = judged.objects.core("secrets", namespace, name);
    let secret = secret.filter(|secret| !object::is_terminating(secret));
    let secret = secret.ok_or(ServiceAccountRefused::SecretGone)?;
    let held = object::at(&secret, "data.token").and_then(Value::as_str).unwrap_or_default();
    let held = STANDARD.decode(held).unwrap_or_default();
    if !bool::from(held.as_slice().ct_eq(token.as_bytes())) {
        return Err(ServiceAccountRefused::OtherToken);
    }
    let marked = secret.pointer("/metadata/labels").and_then(|labels| labels.get(INVALID_SINCE));
    if marked.and_then(Value::as_str).is_some_and(|since| !since.is_empty()) {
        return Err(ServiceAccountRefused::MarkedInvalid);
    }
    Ok(())
}
