//! Service-account tokens (`pkg/serviceaccount/jwt.go` and `claims.go`).

use super::Leniency;
use super::jwt::{self, JwtRefused};
use crate::{Lookup, UserInfo, names};
use jiff::Timestamp;
use ravelin_api::{object, time};
use ravelin_entropy::Entropy;
use ravelin_pki::{KeyPair, PublicKey};
use serde_json::{Value, json};
use std::sync::Arc;

/// How far clocks may differ (`DefaultLeeway` of go-jose).
const LEEWAY_SECONDS: i64 = 60;

/// How service-account tokens are made and judged.
#[derive(Clone, Debug)]
pub struct ServiceAccountKeys {
    /// Who the tokens say has issued them (`--service-account-issuer`): the first issues, all are
    /// believed.
    pub issuers: Vec<String>,
    /// What signs them (`--service-account-signing-key-file`); with none, none are issued.
    pub sign: Option<Arc<KeyPair>>,
    /// Whose signatures are good (`--service-account-key-file`).
    pub verify: Vec<PublicKey>,
    /// The audiences that this API answers to (`--api-audiences`).
    pub audiences: Vec<String>,
    /// Do tokens end with their account, and with what they are bound to
    /// (`--service-account-lookup`)?
    pub lookup: bool,
    /// Where the keys are said to be published (`--service-account-jwks-uri`); with `None`, here.
    pub jwks_uri: Option<String>,
}

/// An object by name and uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Reference {
    /// The reference to an object.
    pub fn to(object: &Value) -> Self {
        Self { name: object::name(object).to_owned(), uid: object::uid(object).to_owned() }
    }

    fn to_value(&self) -> Value {
        json!({ "name": self.name, "uid": self.uid })
    }
}

/// The object with which a token ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A pod, and the node that it runs on.
    Pod {
        /// The pod.
        pod: Reference,
        /// Its node, once it has one.
        node: Option<Reference>,
    },
    /// A secret of the service account's namespace.
    Secret(Reference),
    /// A node.
    Node(Reference),
}

/// A token to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpec {
    /// The service account's namespace.
    pub namespace: String,
    /// The service account.
    pub account: Reference,
    /// For whom it is; empty for this API.
    pub audiences: Vec<String>,
    /// With what it ends.
    pub bound: Option<Bound>,
    /// How long it is good, in seconds.
    pub seconds: i64,
    /// After how many seconds it counts as stale, though it is still good; `None` if never.
    pub warn_after_seconds: Option<i64>,
}

/// A token that was issued.
#[derive(Clone)]
pub struct Issued {
    /// The token: a secret.
    pub token: String,
    /// Until when it is good.
    pub expires: Timestamp,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issued(token hidden, until {})", self.expires)
    }
}

/// Why no token can be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CannotIssue {
    /// There is no key to sign with.
    #[error("no key signs service account tokens here")]
    NoKey,
    /// It would end at no time that can be told.
    #[error("the token's lifetime cannot be told")]
    Lifetime,
}

/// Why a service-account token is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceAccountRefused {
    /// It is no token of this issuer; others may know it.
    #[error("not a service account token of this issuer")]
    NotOurs,
    /// It is no signed statement of ours.
    #[error(transparent)]
    Jwt(#[from] JwtRefused),
    /// A claim is missing or of the wrong form.
    #[error("service account token claims cannot be read")]
    Claims,
    /// It is for others.
    #[error("token audiences {token:?} is invalid for the target audiences {target:?}")]
    Audience {
        /// For whom it is.
        token: Vec<String>,
        /// For whom it would have to be.
        target: Vec<String>,
    },
    /// Its time is over.
    #[error("service account token has expired")]
    Expired,
    /// Its time has not come.
    #[error("service account token is not valid yet")]
    NotYetValid,
    /// The service account is gone, or is another of the same name.
    #[error("service account has been deleted")]
    AccountGone,
    /// The object that it is bound to is gone, or is another of the same name.
    #[error("service account token has been invalidated")]
    BoundObjectGone,
}

/// Issues service-account tokens and judges them.
#[derive(Clone, Debug)]
pub struct ServiceAccountIssuer(ServiceAccountKeys);

impl ServiceAccountIssuer {
    /// An issuer of these keys.
    pub fn new(keys: ServiceAccountKeys) -> Self {
        Self(keys)
    }

    /// The audiences that this API answers to.
    pub fn audiences(&self) -> &[String] {
        &self.0.audiences
    }

    /// Issues a token; `entropy` decides its id.
    ///
    /// # Errors
    /// Where there is no key, or no such end in time.
    pub fn issue(
        &self,
        spec: &TokenSpec,
        now: Timestamp,
        entropy: &mut Entropy,
    ) -> Result<Issued, CannotIssue> {
        let key = self.0.sign.as_deref().ok_or(CannotIssue::NoKey)?;
        let issued = now.as_second();
        let end = issued.checked_add(spec.seconds).ok_or(CannotIssue::Lifetime)?;
        let expires = Timestamp::from_second(end).map_err(|_| CannotIssue::Lifetime)?;
        let audiences = if spec.audiences.is_empty() { &self.0.audiences } else { &spec.audiences };
        let mut kubernetes =
            json!({ "namespace": spec.namespace, "serviceaccount": spec.account.to_value() });
        match &spec.bound {
            Some(Bound::Pod { pod, node }) => {
                kubernetes["pod"] = pod.to_value();
                if let Some(node) = node {
                    kubernetes["node"] = node.to_value();
                }
            }
            Some(Bound::Secret(secret)) => kubernetes["secret"] = secret.to_value(),
            Some(Bound::Node(node)) => kubernetes["node"] = node.to_value(),
            None => {}
        }
        if let Some(seconds) = spec.warn_after_seconds {
            let stale = issued.checked_add(seconds).ok_or(CannotIssue::Lifetime)?;
            kubernetes["warnafter"] = json!(stale);
        }
        let claims = json!({
            "aud": audiences,
            "exp": end,
            "iat": issued,
            "iss": self.0.issuers.first(),
            "jti": entropy.uuid(),
            "kubernetes.io": kubernetes,
            "nbf": issued,
            "sub": UserInfo::service_account(&spec.namespace, &spec.account.name, "").name,
        });
        Ok(Issued { token: jwt::sign(&claims, key), expires })
    }

    /// The user of a token, and for which of the wanted audiences it is good. With none wanted,
    /// it must be for this API.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn verify(
        &self,
        token: &str,
        wanted: &[String],
        at: (Timestamp, &dyn Lookup),
    ) -> Result<(UserInfo, Vec<String>), ServiceAccountRefused> {
        self.judge(token, wanted, at, Leniency::none())
    }

    /// As [`Self::verify`], without the checks that are left out.
    ///
    /// # Errors
    /// What else speaks against it.
    pub fn judge(
        &self,
        token: &str,
        wanted: &[String],
        at: (Timestamp, &dyn Lookup),
        leniency: Leniency,
    ) -> Result<(UserInfo, Vec<String>), ServiceAccountRefused> {
        let (now, objects) = at;
        let claimed = jwt::unverified_claims(token).ok_or(ServiceAccountRefused::NotOurs)?;
        if !self.0.issuers.iter().any(|issuer| !issuer.is_empty() && issuer == object::text(&claimed, "iss"))
        {
            return Err(ServiceAccountRefused::NotOurs);
        }
        let claims = if leniency.danger_unproven {
            jwt::danger_unverified(token)?
        } else {
            jwt::verify(token, &self.0.verify)?
        };
        let audiences = match self.common_audiences(&claims, wanted) {
            Err(ServiceAccountRefused::Audience { target, .. }) if leniency.danger_any_audience => target,
            checked => checked?,
        };
        match check_times(&claims, now) {
            Err(ServiceAccountRefused::Expired) if leniency.danger_expired => {}
            checked => checked?,
        }
        let user = user_of(&claims, (now, objects))?;
        Ok((user, audiences))
    }

    fn common_audiences(
        &self,
        claims: &Value,
        wanted: &[String],
    ) -> Result<Vec<String>, ServiceAccountRefused> {
        let target = if wanted.is_empty() { &self.0.audiences } else { wanted };
        let of_token: Vec<String> = match claims.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(_)) => object::texts(claims, "aud").into_iter().map(str::to_owned).collect(),
            _ => return Err(ServiceAccountRefused::Claims),
        };
        let common: Vec<String> = of_token.iter().filter(|a| target.contains(a)).cloned().collect();
        if common.is_empty() {
            return Err(ServiceAccountRefused::Audience { token: of_token, target: target.to_vec() });
        }
        Ok(common)
    }
}

fn check_times(claims: &Value, now: Timestamp) -> Result<(), ServiceAccountRefused> {
    let second = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(claim) => claim.as_i64().map(Some).ok_or(ServiceAccountRefused::Claims),
    };
    let now = now.as_second();
    // A token of ours without an end does not end, as in Kubernetes.
    if second("exp")?.is_some_and(|end| now.saturating_sub(LEEWAY_SECONDS) > end) {
        return Err(ServiceAccountRefused::Expired);
    }
    for name in ["nbf", "iat"] {
        if second(name)?.is_some_and(|begin| now.saturating_add(LEEWAY_SECONDS) < begin) {
            return Err(ServiceAccountRefused::NotYetValid);
        }
    }
    Ok(())
}

fn user_of(
    claims: &Value,
    (now, objects): (Timestamp, &dyn Lookup),
) -> Result<UserInfo, ServiceAccountRefused> {
    let private = claims.get("kubernetes.io").ok_or(ServiceAccountRefused::Claims)?;
    let namespace = object::text(private, "namespace");
    let account = reference(private, "serviceaccount")?.ok_or(ServiceAccountRefused::Claims)?;
    let mut user = UserInfo::service_account(namespace, &account.name, &account.uid);
    if namespace.is_empty() || object::text(claims, "sub") != user.name {
        return Err(ServiceAccountRefused::Claims);
    }
    let exists = |resource: &str, namespace: &str, wanted: &Reference| {
        let found = objects.core(resource, namespace, &wanted.name);
        found.is_some_and(|found| object::uid(&found) == wanted.uid && !is_long_deleted(&found, now))
    };
    if !exists("serviceaccounts", namespace, &account) {
        return Err(ServiceAccountRefused::AccountGone);
    }
    let (pod, secret, node) =
        (reference(private, "pod")?, reference(private, "secret")?, reference(private, "node")?);
    let gone = |gone: bool| if gone { Err(ServiceAccountRefused::BoundObjectGone) } else { Ok(()) };
    gone(secret.as_ref().is_some_and(|secret| !exists("secrets", namespace, secret)))?;
    gone(pod.as_ref().is_some_and(|pod| !exists("pods", namespace, pod)))?;
    // Beside a pod the node is told, not bound to.
    gone(pod.is_none() && node.as_ref().is_some_and(|node| !exists("nodes", "", node)))?;
    for (kind, bound) in [("pod", pod), ("node", node)] {
        if let Some(bound) = bound {
            let key = |part: &str| format!("authentication.kubernetes.io/{kind}-{part}");
            user.extra.insert(key("name"), vec![bound.name]);
            user.extra.insert(key("uid"), vec![bound.uid]);
        }
    }
    if let Some(id) = claims.get("jti").and_then(Value::as_str) {
        user.extra.insert(names::CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]);
    }
    Ok(user)
}

/// Was it to be gone a while ago, though something still keeps it?
fn is_long_deleted(object: &Value, now: Timestamp) -> bool {
    if !object::is_terminating(object) {
        return false;
    }
    let deleted = time::parse(object::text(object, "metadata.deletionTimestamp"));
    deleted.is_none_or(|deleted| deleted.as_second() < now.as_second().saturating_sub(LEEWAY_SECONDS))
}

fn reference(private: &Value, name: &str) -> Result<Option<Reference>, ServiceAccountRefused> {
    let Some(claim) = private.get(name) else { return Ok(None) };
    let text = |part: &str| claim.get(part).and_then(Value::as_str).filter(|t| !t.is_empty());
    let (Some(name), Some(uid)) = (text("name"), text("uid")) else {
        return Err(ServiceAccountRefused::Claims);
    };
    Ok(Some(Reference { name: name.to_owned(), uid: uid.to_owned() }))
}

#[cfg(test)]
mod tests;
