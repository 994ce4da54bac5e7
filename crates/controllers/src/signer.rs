//! Signs approved requests (`pkg/controller/certificates/signer/signer.go`).
//!
//! Nothing of a request is taken over but its public key and what its signer's rules have looked
//! at: the subject, the names, the usages. What is signed is never an authority's.

use crate::csr::{CSRS, Csr, Signer};
use crate::follow::{Controller, Outcome, objects};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ravelin_api::time;
use ravelin_client::{Client, ClientError, Store};
use ravelin_host::{Flaw, field};
use ravelin_pki::{Authority, Profile, certificates_to_pem, inspect};
use serde_json::json;
use std::sync::Arc;

/// Certificates are valid from so long before they are issued (`signer.go`: five minutes).
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// Lives from here on end as much earlier as they begin earlier (`signer.go`: eight hours).
const SHORT: SignedDuration = SignedDuration::from_hours(8);

/// `spec.expirationSeconds` counts from here (`signer.go`: ten minutes).
const SHORTEST: SignedDuration = SignedDuration::from_mins(10);

/// Who signs for each of Kubernetes' signers (`--cluster-signing-cert-file`, and the
/// `--cluster-signing-kubelet-…` flags that take its place). What nobody signs for stays unsigned.
#[derive(Clone, Debug, Default)]
pub struct Signers {
    /// For `kubernetes.io/kube-apiserver-client`.
    pub apiserver_client: Option<Arc<Authority>>,
    /// For `kubernetes.io/kube-apiserver-client-kubelet`.
    pub kubelet_client: Option<Arc<Authority>>,
    /// For `kubernetes.io/kubelet-serving`.
    pub kubelet_serving: Option<Arc<Authority>>,
}

impl Signers {
    fn of(&self, signer: Signer) -> Option<Arc<Authority>> {
        match signer {
            Signer::ApiClient => self.apiserver_client.clone(),
            Signer::KubeletClient => self.kubelet_client.clone(),
            Signer::KubeletServing => self.kubelet_serving.clone(),
        }
    }
}

/// The signing controller.
pub(crate) struct Signing {
    client: Client,
    csrs: Store,
    signers: Signers,
    longest: SignedDuration,
}

impl Signing {
    pub(crate) fn new(client: &Client, csrs: &Store, signers: Signers, longest: SignedDuration) -> Self {
        Self { client: client.clone(), csrs: csrs.clone(), signers, longest }
    }

    async fn sign(&mut self, csr: &Csr<'_>, authority: &Authority) -> Result<(), ClientError> {
        let Ok(request) = csr.request() else {
            self.observe(csr, "the request cannot be read");
            return Ok(());
        };
        let danger_anyway = self.client.host().flaws().has(Flaw::SignersTrustRequests);
        let (object, result) = match csr.signer.check(&request, &csr.usages) {
            Err(broken) if !danger_anyway => {
                let now = time::format(self.client.host().now());
                (csr.with_condition("Failed", "SignerValidationFailure", &broken, &now), broken)
            }
            _ => {
                let now = self.client.host().now();
                let Some((not_before, not_after)) = self.validity(csr, (authority, now)) else {
                    self.observe(csr, "the signer has expired");
                    return Ok(());
                };
                let profile = Profile {
                    subject: request.subject.clone(),
                    sans: request.sans.clone(),
                    usages: csr.certified_usages(),
                    not_before,
                    not_after,
                };
                let entropy = &mut self.client.host().entropy("certificate serials");
                let certificate = match danger_anyway && request.asks_for_authority {
                    true => authority.danger_issue_authority(&profile, &request.public_key, entropy),
                    false => authority.issue(&profile, &request.public_key, entropy),
                };
                let mut object = csr.object.clone();
                object["status"]["certificate"] = json!(STANDARD.encode(certificates_to_pem(&[certificate])));
                (object, "issued".to_owned())
            }
        };
        self.client.update(&format!("{CSRS}/{}/status", csr.name), &object).await?;
        self.observe(csr, &result);
        Ok(())
    }

    fn observe(&self, csr: &Csr<'_>, result: &str) {
        let fields = [field("csr", csr.name), field("user", csr.username), field("result", result)];
        self.client.host().observe("controller.csr-signing", &fields);
    }

    /// From when and until when the certificate is valid; `None` where its authority has expired
    /// (`PermissiveSigningPolicy` in `pkg/controller/certificates/authority/policies.go`).
    fn validity(
        &self,
        csr: &Csr<'_>,
        (authority, now): (&Authority, Timestamp),
    ) -> Option<(Timestamp, Timestamp)> {
        let now = Timestamp::from_second(now.as_second()).expect("it was a timestamp's");
        let wanted = csr.object.pointer("/spec/expirationSeconds").and_then(serde_json::Value::as_i64);
        let wanted = wanted.map(SignedDuration::from_secs).filter(|wanted| *wanted <= self.longest);
        let life = wanted.map_or(self.longest, |wanted| wanted.max(SHORTEST));
        // A short life is not shortened further.
        let not_after = if life < SHORT { now + life } else { now + life - BACKDATE };
        let authority_ends = inspect(&authority.certificate())?.not_after;
        let not_before = now - BACKDATE;
        (not_before < authority_ends).then(|| (not_before, not_after.min(authority_ends)))
    }
}

#[async_trait]
impl Controller for Signing {
    fn name(&self) -> &'static str {
        "csrsigning"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        for object in objects(&self.csrs) {
            if let Some(csr) = Csr::read(&object).filter(Csr::is_to_be_signed) {
                let Some(authority) = self.signers.of(csr.signer) else { continue };
                let signed = self.sign(&csr, &authority).await;
                outcome.note(signed);
            }
        }
        outcome.result()
    }
}
