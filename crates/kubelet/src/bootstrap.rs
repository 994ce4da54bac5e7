//! Getting a certificate by a CertificateSigningRequest.
//!
//! `https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/`; the waits
//! are those of `pkg/kubelet/certificate/bootstrap/bootstrap.go`.

use crate::certificate_files;
use crate::credentials::bootstrap_client;
use crate::retry::Backoff;
use crate::state::Shared;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_api::object;
use ravelin_client::{Client, ClientError};
use ravelin_host::{HostRef, field};
use ravelin_pki::{Identity, KeyPair, San, SigningRequest, Subject, fingerprint_sha256};
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

/// Obtains a certificate for a new key; tries for ever, with waits between, each time as whom
/// `client` then says.
pub(crate) async fn obtain(client: impl Fn() -> Client, shared: &Shared, wanted: &Wanted) -> Identity {
    let host = &shared.host;
    let mut backoff = Backoff::new(host, wanted.signer);
    loop {
        let key = KeyPair::generate(&mut host.entropy(&format!("key for {}", wanted.signer)));
        match attempt(&client(), shared, (wanted, &key, None)).await {
            Ok(identity) => return identity,
            Err(_) => backoff.wait().await,
        }
    }
}

/// Obtains a node's first certificate with its bootstrap credential; tries for ever.
///
/// The key is kept until then, and the request's name follows from it: after a restart the same
/// request is asked for again. A request that came to a bad end is not: upstream would meet it
/// until it is deleted, here the next one is for a new key.
pub(crate) async fn obtain_first(shared: &Shared, wanted: &Wanted) -> Identity {
    let host = &shared.host;
    let client = bootstrap_client(shared);
    let mut backoff = Backoff::new(host, wanted.signer);
    loop {
        let entropy = &mut host.entropy(&format!("key for {}", wanted.signer));
        let key = certificate_files::first_key(host.disk(), entropy);
        let attempted = attempt(&client, shared, (wanted, &key, Some(digested_name(wanted, &key)))).await;
        match &attempted {
            Ok(_) | Err(NotIssued::Denied | NotIssued::Failed | NotIssued::Unusable) => {
                certificate_files::forget_first_key(host.disk());
            }
            Err(NotIssued::Api(_) | NotIssued::Timeout) => {}
        }
        match attempted {
            Ok(identity) => return identity,
            Err(_) => backoff.wait().await,
        }
    }
}

/// `node-csr-…`: the same for the same key, subject and usages (`digestedName`).
fn digested_name(wanted: &Wanted, key: &KeyPair) -> String {
    let mut digested = key.public().to_spki_der();
    let texts = [wanted.subject.common_name.as_str()].into_iter();
    let texts = texts.chain(wanted.subject.organizations.iter().map(String::as_str)).chain(wanted.usages);
    for text in texts {
        digested.extend_from_slice(text.as_bytes());
        // No name holds a zero: two different inputs are two different digests.
        digested.push(0);
    }
    format!("node-csr-{}", fingerprint_sha256(&digested))
}

async fn attempt(
    client: &Client,
    shared: &Shared,
    asked: (&Wanted, &KeyPair, Option<String>),
) -> Result<Identity, NotIssued> {
    let (host, signer) = (&shared.host, asked.0.signer);
    let issued = tokio::time::timeout(ISSUE_TIMEOUT, request(client, host, asked)).await;
    let issued = issued.unwrap_or(Err(NotIssued::Timeout));
    let result = match &issued {
        Ok(_) => "issued".to_owned(),
        Err(error) => {
            shared.has_trouble(error);
            error.to_string()
        }
    };
    host.observe("kubelet.certificate", &[field("signer", signer), field("result", result)]);
    issued
}

async fn request(
    client: &Client,
    host: &HostRef,
    (wanted, key, name): (&Wanted, &KeyPair, Option<String>),
) -> Result<Identity, NotIssued> {
    let name = file(client, (wanted, key, name)).await?;
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

/// Files the request; gives its name.
async fn file(
    client: &Client,
    (wanted, key, name): (&Wanted, &KeyPair, Option<String>),
) -> Result<String, NotIssued> {
    let pem = SigningRequest::create(&wanted.subject, &wanted.sans, key);
    let metadata = match &name {
        Some(name) => json!({ "name": name }),
        None => json!({ "generateName": "csr-" }),
    };
    let body = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": metadata,
        "spec": {
            "request": STANDARD.encode(pem),
            "signerName": wanted.signer,
            "usages": wanted.usages,
        },
    });
    let filed = match (client.create(CSRS, &body).await, &name) {
        (Err(error), Some(name)) if error.code() == Some(409) => {
            let known = client.get(&format!("{CSRS}/{name}")).await?;
            if !is_ours(&known, wanted, key) {
                return Err(NotIssued::Unusable);
            }
            known
        }
        (created, _) => created?,
    };
    match object::name(&filed) {
        "" => Err(NotIssued::Unusable),
        name => Ok(name.to_owned()),
    }
}

/// Is this the same request, from before a restart (`ensureCompatible` in
/// `client-go/util/certificate/csr/csr.go`)?
fn is_ours(known: &Value, wanted: &Wanted, key: &KeyPair) -> bool {
    let pem = STANDARD.decode(object::text(known, "spec.request")).ok();
    let request = pem.and_then(|pem| SigningRequest::parse(&String::from_utf8(pem).ok()?).ok());
    object::text(known, "spec.signerName") == wanted.signer
        && request
            .is_some_and(|request| request.subject == wanted.subject && request.public_key == *key.public())
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
