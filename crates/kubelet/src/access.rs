//! Who asks the kubelet's endpoint, and may they?
//!
//! The order is upstream's (`pkg/kubelet/server/auth.go` over apiserver's
//! `authenticatorfactory/delegating.go`): certificate, bearer token, and only where neither was
//! shown, anonymous. A credential that was shown and is not good is 401, also where anonymous
//! requests are allowed.

use crate::config::Authorization;
use crate::state::Shared;
use http::HeaderMap;
use ravelin_auth::{Attributes, UserInfo, kubelet};
use ravelin_delegated::{Authenticator, AuthenticatorConfig, ReviewCache, Reviews, Shown};
use ravelin_host::Flaw;
use ravelin_pki::CertificateDer;
use std::sync::Arc;

/// The judge of callers.
pub(crate) struct Access {
    shared: Arc<Shared>,
    authenticator: Authenticator,
    reviews: Reviews,
}

/// An allowed request: made only by [`Access::authorize`], and without it nothing is served.
pub(crate) struct Allowed(());

impl Access {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (given, caches) = (&shared.config.authentication, shared.config.caches);
        let authenticator = Authenticator::new(AuthenticatorConfig {
            client_ca: given.client_ca.clone(),
            token_cache: given.webhook.then_some(caches.token),
            danger_any_certificate: shared.host.flaws().has(Flaw::KubeletTrustsAnyClientCertificate),
        });
        let reviews = ReviewCache { allowed: caches.authorized, refused: caches.unauthorized };
        Self { shared, authenticator, reviews: Reviews::new(reviews) }
    }

    /// The user that a request's credentials show; `None` is a 401.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        chain: &[CertificateDer<'static>],
    ) -> Option<UserInfo> {
        let member = self.shared.member();
        let client = member.as_ref().map(|member| &member.client);
        let shown = self.authenticator.judge(client, headers, (chain, self.shared.host.now())).await;
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
        let member = self.shared.member();
        let client = member.as_ref().map(|member| &member.client);
        for attributes in asked {
            if self.reviews.allow(client, attributes).await {
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
        kubelet::is_fine_grained(self.shared.version())
    }
}
