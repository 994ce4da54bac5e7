//! Who asks: a certificate, else a bearer token.

use crate::expiring::Expiring;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use ravelin_api::object;
use ravelin_auth::{UserInfo, x509};
use ravelin_client::Client;
use ravelin_pki::{
    CertificateDer, TrustAnchors, danger_unverified_client, fingerprint_sha256, verify_client,
};
use serde_json::{Value, json};
use std::time::Duration;

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// Which credentials count.
#[derive(Clone, Debug)]
pub struct AuthenticatorConfig {
    /// Who signs the certificates of callers; without, they are not looked at.
    pub client_ca: Option<TrustAnchors>,
    /// How long a TokenReview's answer is used; `None`: tokens are not looked at.
    pub token_cache: Option<Duration>,
    /// Certificates count whoever signed them. Only a flaw may set this.
    pub danger_any_certificate: bool,
}

/// What the credentials of a request show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Whose they are.
    Good(UserInfo),
    /// There are some, and they are not good: no anonymous request either.
    Bad,
    /// There are none.
    Nothing,
}

/// The judge of credentials.
pub struct Authenticator {
    config: AuthenticatorConfig,
    tokens: Expiring<Option<UserInfo>>,
}

impl Authenticator {
    /// A judge that remembers nothing yet.
    pub fn new(config: AuthenticatorConfig) -> Self {
        Self { config, tokens: Expiring::new() }
    }

    /// What a request's credentials show, at `now`. The chain is the one that the client holds
    /// the key of. Without a client of the apiserver no token is good.
    pub async fn judge(
        &self,
        client: Option<&Client>,
        headers: &HeaderMap,
        (chain, now): (&[CertificateDer<'static>], Timestamp),
    ) -> Shown {
        let certificate = self.certificate(chain, now);
        if matches!(certificate, Shown::Good(_)) {
            return certificate;
        }
        match self.bearer(client, headers).await {
            Shown::Nothing => certificate,
            token => token,
        }
    }

    fn certificate(&self, chain: &[CertificateDer<'static>], now: Timestamp) -> Shown {
        if chain.is_empty() {
            return Shown::Nothing;
        }
        let peer = if self.config.danger_any_certificate {
            danger_unverified_client(chain)
        } else {
            // Without an authority, certificates are not looked at.
            let Some(anchors) = &self.config.client_ca else { return Shown::Nothing };
            verify_client(chain, anchors, now).ok()
        };
        peer.as_ref().and_then(x509::user).map_or(Shown::Bad, Shown::Good)
    }

    async fn bearer(&self, client: Option<&Client>, headers: &HeaderMap) -> Shown {
        let Some(header) = headers.get(AUTHORIZATION) else { return Shown::Nothing };
        let Ok(header) = header.to_str() else { return Shown::Bad };
        let Some((scheme, token)) = header.trim().split_once(' ') else { return Shown::Nothing };
        let Some(life) = self.config.token_cache else { return Shown::Nothing };
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return Shown::Nothing;
        }
        self.review(client, token, life).await.map_or(Shown::Bad, Shown::Good)
    }

    async fn review(&self, client: Option<&Client>, token: &str, life: Duration) -> Option<UserInfo> {
        let key = fingerprint_sha256(token.as_bytes());
        if let Some(known) = self.tokens.fresh(&key) {
            return known;
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": token },
        });
        // Not being answered is no answer: it is not remembered, and it is a refusal.
        let answer = client?.create(TOKEN_REVIEWS, &review).await.ok()?;
        let user = reviewed_user(&answer);
        // A refusal that says why is an error, which upstream's cache does not keep
        // (`cached_token_authenticator.go`, `cacheErrs`).
        if user.is_some() || object::text(&answer, "status.error").is_empty() {
            self.tokens.remember(key, user.clone(), life);
        }
        user
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
