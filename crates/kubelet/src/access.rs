//! Who asks the kubelet's endpoint, and may they?
//!
//! The order is upstream's (`pkg/kubelet/server/auth.go` over apiserver's
//! `authenticatorfactory/delegating.go`): certificate, bearer token, and only where neither was
//! shown, anonymous. A credential that was shown and is not good is 401, also where anonymous
//! requests are allowed.

use crate::config::Authorization;
use crate::expiring::Expiring;
use crate::state::Shared;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ravelin_api::object;
use ravelin_auth::{Attributes, UserInfo, kubelet, x509};
use ravelin_host::Flaw;
use ravelin_pki::{CertificateDer, danger_unverified_client, fingerprint_sha256, verify_client};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long a TokenReview's answer is used (`authentication.webhook.cacheTTL`).
const TOKEN_CACHE: Duration = Duration::from_secs(2 * 60);
/// How long an allowed review is used (`authorization.webhook.cacheAuthorizedTTL`).
const ALLOWED_CACHE: Duration = Duration::from_secs(5 * 60);
/// How long a refused review is used (`authorization.webhook.cacheUnauthorizedTTL`).
const REFUSED_CACHE: Duration = Duration::from_secs(30);

/// The judge of callers.
pub(crate) struct Access {
    shared: Arc<Shared>,
    tokens: Expiring<Option<UserInfo>>,
    reviews: Expiring<bool>,
}

/// An allowed request: made only by [`Access::authorize`], and without it nothing is served.
pub(crate) struct Allowed(());

/// What the credentials of a request show.
enum Shown {
    Good(UserInfo),
    Bad,
    Nothing,
}

impl Access {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tokens: Expiring::new(), reviews: Expiring::new() }
    }

    /// The user that a request's credentials show; `None` is a 401.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        chain: &[CertificateDer<'static>],
    ) -> Option<UserInfo> {
        let certificate = self.certificate(chain);
        let shown = match certificate {
            Shown::Good(_) => certificate,
            _ => match self.bearer(headers).await {
                Shown::Nothing => certificate,
                token => token,
            },
        };
        let admits_anybody = self.shared.host.flaws().has(Flaw::KubeletAllowsEveryone);
        match shown {
            Shown::Good(user) => Some(user),
            _ if admits_anybody => Some(UserInfo::anonymous()),
            Shown::Nothing if self.shared.config.authentication.anonymous => Some(UserInfo::anonymous()),
            Shown::Nothing | Shown::Bad => None,
        }
    }

    /// The leave to serve a request, if any of its attributes is allowed.
    pub(crate) async fn authorize(&self, asked: &[Attributes]) -> Option<Allowed> {
        if self.shared.host.flaws().has(Flaw::KubeletAllowsEveryone) {
            return Some(Allowed(()));
        }
        match self.shared.config.authorization {
            Authorization::AlwaysAllow => return Some(Allowed(())),
            Authorization::Webhook => {}
        }
        for attributes in asked {
            if self.review(attributes).await {
                return Some(Allowed(()));
            }
        }
        None
    }

    /// What a request's path and method ask for.
    pub(crate) fn attributes(&self, user: &UserInfo, request: (&str, &str)) -> Vec<Attributes> {
        let config = &self.shared.config;
        kubelet::attributes(user, &config.node_name, request, self.is_fine_grained())
    }

    /// The text of the refusal.
    pub(crate) fn forbidden_text(&self, asked: &[Attributes]) -> String {
        kubelet::forbidden_text(asked, self.is_fine_grained())
    }

    fn is_fine_grained(&self) -> bool {
        let version = self.shared.config.version.trim_start_matches('v');
        let mut numbers = version.split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => kubelet::is_fine_grained((major, minor)),
            _ => false,
        }
    }

    fn certificate(&self, chain: &[CertificateDer<'static>]) -> Shown {
        if chain.is_empty() {
            return Shown::Nothing;
        }
        let peer = if self.shared.host.flaws().has(Flaw::KubeletTrustsAnyClientCertificate) {
            danger_unverified_client(chain)
        } else {
            // Without an authority, certificates are not looked at.
            let Some(anchors) = &self.shared.config.authentication.client_ca else { return Shown::Nothing };
            verify_client(chain, anchors, self.shared.host.now()).ok()
        };
        peer.as_ref().and_then(x509::user).map_or(Shown::Bad, Shown::Good)
    }

    async fn bearer(&self, headers: &HeaderMap) -> Shown {
        let Some(header) = headers.get(AUTHORIZATION) else { return Shown::Nothing };
        let Ok(header) = header.to_str() else { return Shown::Bad };
        let Some((scheme, token)) = header.trim().split_once(' ') else { return Shown::Nothing };
        if !self.shared.config.authentication.webhook || !scheme.eq_ignore_ascii_case("bearer") {
            return Shown::Nothing;
        }
        let token = token.trim();
        if token.is_empty() {
            return Shown::Nothing;
        }
        self.token_review(token).await.map_or(Shown::Bad, Shown::Good)
    }

    async fn token_review(&self, token: &str) -> Option<UserInfo> {
        let key = fingerprint_sha256(token.as_bytes());
        if let Some(known) = self.tokens.fresh(&key) {
            return known;
        }
        let client = self.shared.member()?.client;
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": token },
        });
        // Not being answered is no answer: it is not remembered, and it is a refusal.
        let answer = client.create("/apis/authentication.k8s.io/v1/tokenreviews", &review).await.ok()?;
        let user = reviewed_user(&answer);
        self.tokens.remember(key, user.clone(), TOKEN_CACHE);
        user
    }

    async fn review(&self, attributes: &Attributes) -> bool {
        let user = &attributes.user;
        let spec = json!({
            "user": user.name,
            "uid": user.uid,
            "groups": user.groups,
            "extra": user.extra,
            "resourceAttributes": {
                "verb": attributes.verb,
                "version": "v1",
                "resource": attributes.resource,
                "subresource": attributes.subresource,
                "name": attributes.name,
            },
        });
        let key = spec.to_string();
        if let Some(known) = self.reviews.fresh(&key) {
            return known;
        }
        let Some(member) = self.shared.member() else { return false };
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": spec,
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let Ok(answer) = member.client.create(path, &review).await else { return false };
        let allowed = object::flag(&answer, "status.allowed") == Some(true)
            && object::flag(&answer, "status.denied") != Some(true);
        self.reviews.remember(key, allowed, if allowed { ALLOWED_CACHE } else { REFUSED_CACHE });
        allowed
    }
}

/// The user of a TokenReview that says `authenticated`.
fn reviewed_user(review: &Value) -> Option<UserInfo> {
    if object::flag(review, "status.authenticated") != Some(true) {
        return None;
    }
    let user = object::at(review, "status.user")?;
    let name = object::text(user, "username");
    if name.is_empty() {
        return None;
    }
    let extra = user["extra"].as_object().into_iter().flatten();
    let extra = extra.map(|(key, values)| (key.clone(), strings(values)));
    Some(
        UserInfo {
            name: name.to_owned(),
            uid: object::text(user, "uid").to_owned(),
            groups: strings(&user["groups"]),
            extra: extra.collect(),
        }
        .authenticated(),
    )
}

fn strings(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}
