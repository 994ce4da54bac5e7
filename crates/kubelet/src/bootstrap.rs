//! Getting a certificate by a CertificateSigningRequest.
//!
//! `https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/`; the waits
//! are those of `pkg/kubelet/certificate/bootstrap/bootstrap.go`.

use crate::retry::Backoff;
use crate::state::Shared;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_api::object;
use ravelin_client::{Client, ClientError};
use ravelin_host::{HostRef, field};
use ravelin_pki::{Identity, KeyPair, San, SigningRequest, Subject};
use serde_json::{Value, json};
use std::time::Duration;

/// One request is waited for this long; then another is made.
const ISSUE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// Which certificate is wanted.
pub(crate) struct Wanted {
    /// The signer's name.
    pub(crate) signer: &'static str,
    /// The usages, as Kubernetes writes them since 1.27 for keys that cannot encipher.
    pub(crate) usages: [&'static str; 2],
    /// Whom it is for.
    pub(crate) subject: Subject,
    /// The names it shall be good for.
    pub(crate) sans: Vec<San>,
}

/// Why no certificate was obtained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotIssued {
    #[error("the request for a certificate failed: {0}")]
    Api(#[from] ClientError),
    #[error("the signing request was denied")]
    Denied,
    #[error("the signer refused the signing request")]
    Failed,
    #[error("no certificate was issued in time")]
    Timeout,
    #[error("what was issued is no certificate for this key")]
    Unusable,
}

/// Obtains a certificate for a new key; tries for ever, with waits between.
pub(crate) async fn obtain(client: &Client, shared: &Shared, wanted: &Wanted) -> Identity {
    let host = &shared.host;
    let mut backoff = Backoff::new(host, wanted.signer);
    loop {
        let key = KeyPair::generate(&mut host.entropy(&format!("key for {}", wanted.signer)));
        let attempt = tokio::time::timeout(ISSUE_TIMEOUT, request(client, host, (wanted, &key)));
        match attempt.await.unwrap_or(Err(NotIssued::Timeout)) {
            Ok(identity) => {
                host.observe(
                    "kubelet.certificate",
                    &[field("signer", wanted.signer), field("result", "issued")],
                );
                return identity;
            }
            Err(error) => {
                shared.has_trouble(&error);
                host.observe(
                    "kubelet.certificate",
                    &[field("signer", wanted.signer), field("result", &error)],
                );
                backoff.wait().await;
            }
        }
    }
}

async fn request(
    client: &Client,
    host: &HostRef,
    (wanted, key): (&Wanted, &KeyPair),
) -> Result<Identity, NotIssued> {
    let pem = SigningRequest::create(&wanted.subject, &wanted.sans, key);
    let body = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": { "generateName": "csr-" },
        "spec": {
            "request": STANDARD.encode(pem),
            "signerName": wanted.signer,
            "usages": wanted.usages,
        },
    });
    let created = client.create(CSRS, &body).await?;
    let name = object::name(&created).to_owned();
    if name.is_empty() {
        return Err(NotIssued::Unusable);
    }
    let mut backoff = Backoff::new(host, "waiting for a certificate");
    loop {
        backoff.wait().await;
        match client.get(&format!("{CSRS}/{name}")).await {
            Ok(csr) => {
                if let Some(identity) = judge(&csr, key)? {
                    return Ok(identity);
                }
            }
            Err(error) if error.code() == Some(404) => return Err(error.into()),
            Err(error) => host.observe("kubelet.certificate", &[field("result", &error)]),
        }
    }
}

/// The certificate, where it has been issued.
fn judge(csr: &Value, key: &KeyPair) -> Result<Option<Identity>, NotIssued> {
    if object::has_condition(csr, "Denied") {
        return Err(NotIssued::Denied);
    }
    if object::has_condition(csr, "Failed") {
        return Err(NotIssued::Failed);
    }
    let encoded = object::text(csr, "status.certificate");
    if encoded.is_empty() || !object::has_condition(csr, "Approved") {
        return Ok(None);
    }
    let pem = STANDARD.decode(encoded).ok().and_then(|pem| String::from_utf8(pem).ok());
    let identity = pem.and_then(|pem| Identity::from_pem(&pem, &key.to_pem()).ok());
    identity.map(Some).ok_or(NotIssued::Unusable)
}
