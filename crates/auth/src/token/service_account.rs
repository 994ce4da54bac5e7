//! Service-account tokens (`pkg/serviceaccount/jwt.go` and `claims.go`).

use super::Leniency;
use super::claims::{self, Judged};
use super::jwt::{self, JwtRefused, KnownKey};
use crate::{Lookup, UserInfo};
use jiff::Timestamp;
use ravelin_api::object;
use ravelin_entropy::Entropy;
use ravelin_pki::{KeyPair, PublicKey};
use serde_json::{Value, json};
use std::sync::Arc;

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
    /// Do the tokens that lie in Secrets end with their Secret and their account
    /// (`--service-account-lookup`)? Those of TokenRequests always end with what they are bound to.
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
        let mut value = json!({ "name": self.name });
        if !self.uid.is_empty() {
            value["uid"] = json!(self.uid);
        }
        value
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
    /// What it is called where it is spoken of (`jti`): no secret.
    pub id: String,
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
    /// A claim of a token in a Secret is missing.
    #[error("{0} claim is missing")]
    ClaimMissing(&'static str),
    /// Its subject is not its account.
    #[error("sub claim is invalid")]
    Subject,
    /// It is for others.
    #[error("token audiences {} is invalid for the target audiences {}", listed(.token), listed(.target))]
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
    /// It was made tomorrow.
    #[error("service account token is issued in the future")]
    IssuedInTheFuture,
    /// The service account is gone.
    #[error("serviceaccounts {name:?} not found")]
    AccountGone {
        /// Which.
        name: String,
    },
    /// The service account has been deleted, and is still there.
    #[error("service account {namespace}/{name} has been deleted")]
    AccountDeleted {
        /// Where it was.
        namespace: String,
        /// What it was called.
        name: String,
    },
    /// There is another service account of this name.
    #[error("service account UID ({uid}) does not match claim ({claimed})")]
    OtherAccount {
        /// Which it is.
        uid: String,
        /// Which it would have to be.
        claimed: String,
    },
    /// The object that it is bound to is gone.
    #[error("service account token has been invalidated")]
    BoundObjectGone,
    /// The object that it is bound to is another of the same name.
    #[error("{kind} UID ({uid}) does not match service account {kind} ref claim ({claimed})")]
    OtherBoundObject {
        /// A pod, a secret or a node.
        kind: &'static str,
        /// Which it is.
        uid: String,
        /// Which it would have to be.
        claimed: String,
    },
    /// The Secret that it lay in is gone.
    #[error("Token has been invalidated")]
    SecretGone,
    /// Its Secret holds another token.
    #[error("Token does not match server's copy")]
    OtherToken,
    /// Its Secret was marked as no longer good.
    #[error("the token in the secret has been marked invalid")]
    MarkedInvalid,
}

/// A list as Go's `%q` prints it.
fn listed(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

/// Issues service-account tokens and judges them.
#[derive(Clone, Debug)]
pub struct ServiceAccountIssuer {
    keys: ServiceAccountKeys,
    known: Vec<KnownKey>,
}

impl ServiceAccountIssuer {
    /// An issuer of these keys.
    pub fn new(keys: ServiceAccountKeys) -> Self {
        let known = keys.verify.iter().cloned().map(KnownKey::new).collect();
        Self { keys, known }
    }

    /// The audiences that this API answers to.
    pub fn audiences(&self) -> &[String] {
        &self.keys.audiences
    }

    /// Who its tokens say has issued them.
    pub fn name(&self) -> Option<&str> {
        self.keys.issuers.first().map(String::as_str)
    }

    pub(super) fn jwks_uri(&self) -> Option<&str> {
        self.keys.jwks_uri.as_deref()
    }

    pub(super) fn known(&self) -> &[KnownKey] {
        &self.known
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
        let key = self.keys.sign.as_deref().ok_or(CannotIssue::NoKey)?;
        let issued = now.as_second();
        let end = issued.checked_add(spec.seconds).ok_or(CannotIssue::Lifetime)?;
        let expires = Timestamp::from_second(end).map_err(|_| CannotIssue::Lifetime)?;
        let audiences = if spec.audiences.is_empty() { &self.keys.audiences } else { &spec.audiences };
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
        let id = entropy.uuid();
        let claims = json!({
            "aud": audiences,
            "exp": end,
            "iat": issued,
            "iss": self.keys.issuers.first(),
            "jti": id,
            "kubernetes.io": kubernetes,
            "nbf": issued,
            "sub": UserInfo::service_account(&spec.namespace, &spec.account.name, "").name,
        });
        Ok(Issued { token: jwt::sign(&claims, key), id, expires })
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
        let legacy = claims::is_legacy(&claimed);
        if !legacy && !self.accepts_issuer(object::text(&claimed, "iss")) {
            return Err(ServiceAccountRefused::NotOurs);
        }
        let claims = if leniency.danger_unproven {
            jwt::danger_unverified(token)?
        } else {
            jwt::verify(token, &self.known)?
        };
        let audiences = match self.common_audiences(&claims, wanted) {
            Err(ServiceAccountRefused::Audience { target, .. }) if leniency.danger_any_audience => target,
            checked => checked?,
        };
        if legacy {
            let judged = Judged { now, objects, bound: self.keys.lookup && !leniency.danger_unbound };
            return Ok((claims::legacy_user(token, &claims, judged)?, audiences));
        }
        match claims::check_times(&claims, now) {
            Err(ServiceAccountRefused::Expired) if leniency.danger_expired => {}
            checked => checked?,
        }
        let judged = Judged { now, objects, bound: !leniency.danger_unbound };
        Ok((claims::user(&claims, judged)?, audiences))
    }

    fn accepts_issuer(&self, issuer: &str) -> bool {
        !issuer.is_empty() && self.keys.issuers.iter().any(|accepted| accepted == issuer)
    }

    fn common_audiences(
        &self,
        claims: &Value,
        wanted: &[String],
    ) -> Result<Vec<String>, ServiceAccountRefused> {
        let target = if wanted.is_empty() { &self.keys.audiences } else { wanted };
        let of_token: Vec<String> = match claims.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(_)) => object::texts(claims, "aud").into_iter().map(str::to_owned).collect(),
            None | Some(Value::Null) => Vec::new(),
            Some(_) => return Err(ServiceAccountRefused::Claims),
        };
        // A token for nobody in particular is for this API (`tokenAudiences = j.implicitAuds`).
        let of_token = if of_token.is_empty() { self.keys.audiences.clone() } else { of_token };
        let common: Vec<String> = of_token.iter().filter(|a| target.contains(a)).cloned().collect();
        if common.is_empty() {
            return Err(ServiceAccountRefused::Audience { token: of_token, target: target.to_vec() });
        }
        Ok(common)
    }
}

#[cfg(test)]
mod tests;
