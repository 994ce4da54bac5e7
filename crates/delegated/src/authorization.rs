//! May they: what the apiserver says.

use crate::expiring::Expiring;
use ravelin_api::object;
use ravelin_auth::Attributes;
use ravelin_client::Client;
use serde_json::{Value, json};
use std::time::Duration;

const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// How long answers are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReviewCache {
    /// A yes.
    pub allowed: Duration,
    /// A no.
    pub refused: Duration,
}

/// SubjectAccessReviews and their answers.
pub struct Reviews {
    cache: ReviewCache,
    answers: Expiring<bool>,
}

impl Reviews {
    /// No answer is known yet.
    pub fn new(cache: ReviewCache) -> Self {
        Self { cache, answers: Expiring::new() }
    }

    /// Does the apiserver allow this? Without a client of it, it does not.
    pub async fn allow(&self, client: Option<&Client>, asked: &Attributes) -> bool {
        let spec = spec(asked);
        let key = spec.to_string();
        if let Some(known) = self.answers.fresh(&key) {
            return known;
        }
        let Some(client) = client else { return false };
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": spec,
        });
        let Ok(answer) = client.create(ACCESS_REVIEWS, &review).await else { return false };
        let allowed = object::flag(&answer, "status.allowed") == Some(true)
            && object::flag(&answer, "status.denied") != Some(true);
        self.answers.remember(key, allowed, if allowed { self.cache.allowed } else { self.cache.refused });
        allowed
    }
}

fn spec(asked: &Attributes) -> Value {
    let user = &asked.user;
    let mut spec = json!({ "user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra });
    if asked.resource_request {
        spec["resourceAttributes"] = json!({
            "namespace": asked.namespace,
            "verb": asked.verb,
            "group": asked.group,
            "version": asked.version,
            "resource": asked.resource,
            "subresource": asked.subresource,
            "name": asked.name,
        });
    } else {
        spec["nonResourceAttributes"] = json!({ "verb": asked.verb, "path": asked.path });
    }
    spec
}
