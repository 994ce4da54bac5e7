//! Signs approved requests (`pkg/controller/certificates/signer/signer.go`).
//!
//! Nothing of a request is taken over but its public key and what its signer's rules have looked
//! at: the subject and, for servers, the names.

use crate::csr::{CSRS, Csr, Signer};
use crate::follow::{Controller, Outcome, objects};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ravelin_api::time;
use ravelin_client::{Client, ClientError, Store};
use ravelin_host::field;
use ravelin_pki::{Authority, Profile, SigningRequest, Usage, certificates_to_pem, inspect};
use serde_json::json;
use std::sync::Arc;

/// Certificates are valid from so long before they are issued (`signer.go`: five minutes).
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

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
        let now = self.client.host().now();
        let judged = csr.request().and_then(|request| {
            csr.signer.check(&request, &csr.usages)?;
            Ok(request)
        });
        let (object, result) = match judged {
            Ok(request) => {
                let profile = self.profile(csr, &request, (authority, now));
                let certificate = authority.issue(
                    &profile,
                    &request.public_key,
                    &mut self.client.host().entropy("certificate serials"),
                );
                let pem = certificates_to_pem(&[certificate]);
                let mut object = csr.object.clone();
                object["status"]["certificate"] = json!(STANDARD.encode(pem));
                (object, "issued")
            }
            Err(broken) => {
                let now = time::format(now);
                (csr.with_condition("Failed", "SignerValidationFailure", broken, &now), broken)
            }
        };
        self.client.update(&format!("{CSRS}/{}/status", csr.name), &object).await?;
        let fields = [field("csr", csr.name), field("user", csr.username), field("result", result)];
        self.client.host().observe("controller.csr-signing", &fields);
        Ok(())
    }

    fn profile(
        &self,
        csr: &Csr<'_>,
        request: &SigningRequest,
        (authority, now): (&Authority, Timestamp),
    ) -> Profile {
        let now = Timestamp::from_second(now.as_second()).expect("it was a timestamp's");
        let wanted = csr.object.pointer("/spec/expirationSeconds").and_then(serde_json::Value::as_i64);
        let wanted = wanted.map_or(self.longest, |seconds| SignedDuration::from_secs(seconds).max(SHORTEST));
        let not_after = now + wanted.min(self.longest);
        let authority_ends = inspect(&authority.certificate()).map_or(not_after, |own| own.not_after);
        let usage = csr.signer.usage();
        Profile {
            subject: request.subject.clone(),
            sans: if usage == Usage::Server { request.sans.clone() } else { Vec::new() },
            usages: vec![usage],
            not_before: now - BACKDATE,
            not_after: not_after.min(authority_ends),
        }
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
