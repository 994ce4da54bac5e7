//! What may be asked of Kubernetes' own signers, as pure rules.
//!
//! The rules are those of `pkg/apis/certificates/helpers.go` (kubelet client and serving) and
//! `pkg/controller/certificates/signer/signer.go` (API clients).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_pki::{San, SigningRequest, Usage};
use serde_json::Value;
use std::collections::BTreeSet;

/// Prefix of a node's user name.
const NODE_PREFIX: &str = "system:node:";
/// The group of all nodes.
const NODES_GROUP: &str = "system:nodes";

const SIGNATURE: &str = "digital signature";
const ENCIPHERMENT: &str = "key encipherment";
const CLIENT: &str = "client auth";
const SERVER: &str = "server auth";

/// A signer that this cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// `kubernetes.io/kube-apiserver-client`: clients of the apiserver, whoever approves them.
    ApiClient,
    /// `kubernetes.io/kube-apiserver-client-kubelet`: kubelets as clients.
    KubeletClient,
    /// `kubernetes.io/kubelet-serving`: kubelets as servers.
    KubeletServing,
}

impl Signer {
    /// The signer of this name, where this cluster has it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "kubernetes.io/kube-apiserver-client" => Some(Self::ApiClient),
            "kubernetes.io/kube-apiserver-client-kubelet" => Some(Self::KubeletClient),
            "kubernetes.io/kubelet-serving" => Some(Self::KubeletServing),
            _ => None,
        }
    }

    /// May this signer sign the request?
    ///
    /// # Errors
    /// The rule that the request breaks, in Kubernetes' words.
    pub(crate) fn check(self, request: &SigningRequest, usages: &[&str]) -> Result<(), String> {
        match self {
            Self::ApiClient => api_client(usages),
            Self::KubeletClient => kubelet_client(request, usages),
            Self::KubeletServing => kubelet_serving(request, usages),
        }
    }
}

/// `validAPIServerClientUsages`.
fn api_client(usages: &[&str]) -> Result<(), String> {
    let strange = usages.iter().find(|usage| ![SIGNATURE, ENCIPHERMENT, CLIENT].contains(usage));
    if let Some(strange) = strange {
        return Err(format!("invalid usage for client certificate: {strange}"));
    }
    if !usages.contains(&CLIENT) {
        return Err(format!("missing required usage for client certificate: {CLIENT}"));
    }
    Ok(())
}

/// `ValidateKubeletClientCSR`.
fn kubelet_client(request: &SigningRequest, usages: &[&str]) -> Result<(), String> {
    organization(request)?;
    let is_dns = |san: &San| matches!(san, San::Dns(_));
    let forbidden = [
        (request.sans.iter().any(is_dns), "DNS"),
        (request.has_emails, "Email"),
        (!request.sans.iter().all(is_dns), "IP"),
        (request.has_uris, "URI"),
    ];
    if let Some((_, kind)) = forbidden.into_iter().find(|(is_there, _)| *is_there) {
        return Err(format!("{kind} subjectAltNames are not allowed"));
    }
    common_name(request)?;
    exactly(usages, CLIENT)
}

/// `ValidateKubeletServingCSR`.
fn kubelet_serving(request: &SigningRequest, usages: &[&str]) -> Result<(), String> {
    organization(request)?;
    if request.sans.is_empty() {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    if request.has_emails {
        return Err("Email subjectAltNames are not allowed".to_owned());
    }
    if request.has_uris {
        return Err("URI subjectAltNames are not allowed".to_owned());
    }
    exactly(usages, SERVER)?;
    common_name(request)
}

fn organization(request: &SigningRequest) -> Result<(), String> {
    if request.subject.organizations == [NODES_GROUP] {
        return Ok(());
    }
    Err("subject organization is not system:nodes".to_owned())
}

fn common_name(request: &SigningRequest) -> Result<(), String> {
    if request.subject.common_name.starts_with(NODE_PREFIX) {
        return Ok(());
    }
    Err("subject common name does not begin with system:node:".to_owned())
}

/// The purpose and signatures, and nothing else but the enciphering of keys, which only RSA keys
/// can do.
fn exactly(usages: &[&str], purpose: &str) -> Result<(), String> {
    let given: BTreeSet<&str> = usages.iter().copied().collect();
    let all = BTreeSet::from([SIGNATURE, ENCIPHERMENT, purpose]);
    if given == all || given == BTreeSet::from([SIGNATURE, purpose]) {
        return Ok(());
    }
    let list: Vec<&str> = all.into_iter().collect();
    Err(format!("usages did not match [{}]", list.join(" ")))
}

/// A CertificateSigningRequest object, as far as approvers and signers read it.
pub(crate) struct Csr<'a> {
    /// The whole object.
    pub(crate) object: &'a Value,
    /// `metadata.name`.
    pub(crate) name: &'a str,
    /// The signer it is addressed to.
    pub(crate) signer: Signer,
    /// `spec.usages`.
    pub(crate) usages: Vec<&'a str>,
    /// `spec.username`: who asked, as the apiserver saw it.
    pub(crate) username: &'a str,
}

impl<'a> Csr<'a> {
    /// Reads an object; `None` where it is addressed to nobody here or malformed.
    pub(crate) fn read(object: &'a Value) -> Option<Self> {
        let usages = object.pointer("/spec/usages")?.as_array()?;
        Some(Self {
            object,
            name: object.pointer("/metadata/name")?.as_str()?,
            signer: Signer::named(object.pointer("/spec/signerName")?.as_str()?)?,
            usages: usages.iter().map(Value::as_str).collect::<Option<_>>()?,
            username: object.pointer("/spec/username")?.as_str()?,
        })
    }

    /// Has it a condition of this type?
    pub(crate) fn has(&self, condition: &str) -> bool {
        let conditions = self.object.pointer("/status/conditions").and_then(Value::as_array);
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == condition))
    }

    /// Has it been issued a certificate?
    pub(crate) fn is_issued(&self) -> bool {
        let certificate = self.object.pointer("/status/certificate").and_then(Value::as_str);
        certificate.is_some_and(|certificate| !certificate.is_empty())
    }

    /// Does it wait for somebody to approve or deny it?
    pub(crate) fn is_undecided(&self) -> bool {
        !self.has("Approved") && !self.has("Denied") && !self.is_issued()
    }

    /// Does it wait for its signer?
    pub(crate) fn is_to_be_signed(&self) -> bool {
        self.has("Approved") && !self.has("Denied") && !self.has("Failed") && !self.is_issued()
    }

    /// The usages that a certificate can say.
    pub(crate) fn certified_usages(&self) -> Vec<Usage> {
        let known =
            [(CLIENT, Usage::Client), (SERVER, Usage::Server), (ENCIPHERMENT, Usage::KeyEncipherment)];
        known.into_iter().filter(|(name, _)| self.usages.contains(name)).map(|(_, usage)| usage).collect()
    }

    /// The signing request within.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn request(&self) -> Result<SigningRequest, &'static str> {
        let encoded = self.object.pointer("/spec/request").and_then(Value::as_str);
        let pem = STANDARD.decode(encoded.unwrap_or_default()).map_err(|_| "request is not base64")?;
        let pem = String::from_utf8(pem).map_err(|_| "request is not PEM")?;
        SigningRequest::parse(&pem).map_err(|_| "request is malformed, or its signature is wrong")
    }

    /// The object with one more condition.
    pub(crate) fn with_condition(&self, kind: &str, reason: &str, message: &str, now: &str) -> Value {
        let mut object = self.object.clone();
        let condition = serde_json::json!({
            "type": kind, "status": "True", "reason": reason, "message": message,
            "lastUpdateTime": now, "lastTransitionTime": now,
        });
        match object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
            Some(conditions) => conditions.push(condition),
            None => object["status"]["conditions"] = Value::Array(vec![condition]),
        }
        object
    }
}

/// The path of a CertificateSigningRequest, or of all of them.
pub(crate) const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

#[cfg(test)]
mod tests {
    use super::*;
    use ravelin_entropy::Entropy;
    use ravelin_pki::{KeyPair, San, Subject};

    fn request(common_name: &str, organizations: &[&str], sans: &[San]) -> SigningRequest {
        let key = KeyPair::generate(&mut Entropy::from_key([1; 32]));
        let subject = Subject {
            common_name: common_name.to_owned(),
            organizations: organizations.iter().map(|&o| o.to_owned()).collect(),
        };
        SigningRequest::parse(&SigningRequest::create(&subject, sans, &key)).unwrap()
    }

    #[test]
    fn each_signer_has_exact_rules() {
        use Signer::{ApiClient, KubeletClient, KubeletServing};
        let ip = [San::Ip([10, 0, 0, 2].into())];
        let dns = [San::Dns("n1".to_owned())];
        let client = ["digital signature", "client auth"];
        let server = ["digital signature", "key encipherment", "server auth"];
        let node = "system:node:n1";
        let nodes = ["system:nodes"];
        let no_organization = "subject organization is not system:nodes";
        let no_node = "subject common name does not begin with system:node:";
        let client_usages = "usages did not match [client auth digital signature key encipherment]";
        let server_usages = "usages did not match [digital signature key encipherment server auth]";
        type Row<'a> = (Signer, &'a str, &'a [&'a str], &'a [San], &'a [&'a str], &'a str);
        let table: &[Row<'_>] = &[
            (KubeletClient, node, &nodes, &[], &client, ""),
            (KubeletClient, node, &nodes, &[], &["client auth", "key encipherment", "digital signature"], ""),
            (KubeletClient, "n1", &nodes, &[], &client, no_node),
            (KubeletClient, node, &["system:masters"], &[], &client, no_organization),
            (KubeletClient, node, &["system:nodes", "system:masters"], &[], &client, no_organization),
            (KubeletClient, node, &[], &[], &client, no_organization),
            (KubeletClient, node, &nodes, &ip, &client, "IP subjectAltNames are not allowed"),
            (KubeletClient, node, &nodes, &dns, &client, "DNS subjectAltNames are not allowed"),
            (KubeletClient, node, &nodes, &[], &server, client_usages),
            (KubeletClient, node, &nodes, &[], &["client auth"], client_usages),
            (
                KubeletClient,
                node,
                &nodes,
                &[],
                &["digital signature", "client auth", "server auth"],
                client_usages,
            ),
            (KubeletServing, node, &nodes, &ip, &server, ""),
            (KubeletServing, node, &nodes, &dns, &["digital signature", "server auth"], ""),
            (KubeletServing, node, &nodes, &[], &server, "DNS or IP subjectAltName is required"),
            (KubeletServing, node, &nodes, &ip, &client, server_usages),
            (KubeletServing, "n1", &nodes, &ip, &server, no_node),
            (ApiClient, "alice", &["dev"], &[], &client, ""),
            (ApiClient, "alice", &["dev"], &[], &["client auth"], ""),
            (
                ApiClient,
                "alice",
                &["dev"],
                &[],
                &["any", "client auth"],
                "invalid usage for client certificate: any",
            ),
            (
                ApiClient,
                "alice",
                &["dev"],
                &[],
                &["digital signature"],
                "missing required usage for client certificate: client auth",
            ),
        ];
        for (signer, name, organizations, sans, usages, broken) in table {
            let verdict = signer.check(&request(name, organizations, sans), usages);
            assert_eq!(verdict.err().unwrap_or_default(), *broken, "{signer:?} {name} {usages:?}");
        }
    }
}
