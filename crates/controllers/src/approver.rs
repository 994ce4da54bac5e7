//! Approves the requests of kubelets for client certificates
//! (`pkg/controller/certificates/approver/sarapprove.go`).

use crate::csr::{CSRS, Csr, Signer};
use crate::follow::{Controller, Outcome, objects};
use async_trait::async_trait;
use ravelin_api::{object, time};
use ravelin_client::{Client, ClientError, Store};
use ravelin_host::{Flaw, field};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A request that was not allowed is looked at again after this, not earlier: rights may change.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// The approver.
pub(crate) struct Approver {
    client: Client,
    csrs: Store,
    /// Requests, by UID, whose requesters may not have them approved, and when they were asked
    /// about.
    refused: BTreeMap<String, Instant>,
}

impl Approver {
    pub(crate) fn new(client: &Client, csrs: &Store) -> Self {
        Self { client: client.clone(), csrs: csrs.clone(), refused: BTreeMap::new() }
    }

    async fn approve(&self, csr: &Csr<'_>) -> Result<bool, ClientError> {
        let danger_anyway = self.trusts_requests();
        for (subresource, message) in kinds(csr, danger_anyway) {
            if danger_anyway || self.may(csr, subresource).await? {
                let now = time::format(self.client.host().now());
                let approved = csr.with_condition("Approved", "AutoApproved", message, &now);
                self.client.update(&format!("{CSRS}/{}/approval", csr.name), &approved).await?;
                self.observe(csr, "approved");
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn trusts_requests(&self) -> bool {
        self.client.host().flaws().has(Flaw::SignersTrustRequests)
    }

    /// May the requester create such a request (`certificatesigningrequests/{subresource}`)?
    async fn may(&self, csr: &Csr<'_>, subresource: &str) -> Result<bool, ClientError> {
        let spec = &csr.object["spec"];
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": csr.username,
                "uid": object::text(spec, "uid"),
                "groups": object::texts(spec, "groups"),
                "extra": spec["extra"],
                "resourceAttributes": {
                    "group": "certificates.k8s.io", "resource": "certificatesigningrequests",
                    "verb": "create", "subresource": subresource, "version": "*",
                },
            },
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = self.client.create(path, &review).await?;
        Ok(object::flag(&answer, "status.allowed") == Some(true))
    }

    fn observe(&self, csr: &Csr<'_>, result: &str) {
        let fields = [field("csr", csr.name), field("user", csr.username), field("result", result)];
        self.client.host().observe("controller.csr-approval", &fields);
    }
}

#[async_trait]
impl Controller for Approver {
    fn name(&self) -> &'static str {
        "csrapproving"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        let danger_anyway = self.trusts_requests();
        let all = objects(&self.csrs);
        self.refused.retain(|uid, _| all.iter().any(|object| object::uid(object) == uid));
        for object in &all {
            let Some(csr) = Csr::read(object).filter(Csr::is_undecided) else { continue };
            let uid = object::uid(object);
            let is_refused = self.refused.get(uid).is_some_and(|asked| asked.elapsed() < ASK_AGAIN);
            if is_refused || kinds(&csr, danger_anyway).is_empty() {
                continue;
            }
            match self.approve(&csr).await {
                Ok(true) => {}
                Ok(false) => {
                    self.observe(&csr, "not allowed");
                    self.refused.insert(uid.to_owned(), Instant::now());
                }
                Err(error) => outcome.note::<()>(Err(error)),
            }
        }
        outcome.result()
    }

    fn due(&self) -> Option<Instant> {
        self.refused.values().min().map(|asked| *asked + ASK_AGAIN)
    }
}

/// As what the request may be approved: the subresource to ask about, and the message.
fn kinds(csr: &Csr<'_>, danger_anything: bool) -> Vec<(&'static str, &'static str)> {
    let Ok(request) = csr.request() else { return Vec::new() };
    let other = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");
    if danger_anything {
        // What others than nodes ask for this controller may not approve (CertificateApproval).
        return if csr.signer == Signer::ApiClient { Vec::new() } else { vec![other] };
    }
    if csr.signer != Signer::KubeletClient || csr.signer.check(&request, &csr.usages).is_err() {
        return Vec::new();
    }
    if request.subject.common_name != csr.username {
        return vec![other];
    }
    let own = ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
    vec![own, other]
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use ravelin_entropy::Entropy;
    use ravelin_pki::{KeyPair, San, SigningRequest, Subject};

    #[test]
    fn only_a_kubelets_own_request_is_asked_about_as_its_own() {
        let key = KeyPair::generate(&mut Entropy::from_key([5; 32]));
        let node = "system:node:n1";
        let client = ["digital signature", "client auth"];
        type Row<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], &'a [&'a str]);
        let table: [Row<'_>; 5] = [
            (
                "kubernetes.io/kube-apiserver-client-kubelet",
                node,
                node,
                &[],
                &["selfnodeclient", "nodeclient"],
            ),
            ("kubernetes.io/kube-apiserver-client-kubelet", "system:node:n2", node, &[], &["nodeclient"]),
            ("kubernetes.io/kube-apiserver-client-kubelet", "alice", "alice", &[], &[]),
            ("kubernetes.io/kube-apiserver-client-kubelet", node, node, &["n1"], &[]),
            ("kubernetes.io/kube-apiserver-client", node, node, &[], &[]),
        ];
        for (signer, user, name, sans, expected) in table {
            let sans: Vec<San> = sans.iter().map(|name| San::parse(name)).collect();
            let pem = SigningRequest::create(&Subject::new(name, &["system:nodes"]), &sans, &key);
            let object = json!({
                "metadata": { "name": "c" },
                "spec": {
                    "signerName": signer, "username": user, "usages": client, "request": STANDARD.encode(pem),
                },
            });
            let asked: Vec<&str> =
                kinds(&Csr::read(&object).unwrap(), false).into_iter().map(|(kind, _)| kind).collect();
            assert_eq!(asked, expected, "{signer} {user} {name}");
            let for_nodes = signer.ends_with("kubelet");
            let flawed = kinds(&Csr::read(&object).unwrap(), true).len();
            assert_eq!(flawed, usize::from(for_nodes), "flawed: whatever is asked {signer}");
        }
    }
}
