//! What may be asked of Kubernetes' own signers, as pure rules.
//!
//! The rules are those of `pkg/apis/certificates/helpers.go` (kubelet client and serving) and
//! `pkg/controller/certificates/signer/signer.go` (API clients).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_pki::{SigningRequest, Usage};
use serde_json::Value;

/// Prefix of a node's user name.
const NODE_PREFIX: &str = "system:node:";
/// The group of all nodes.
const NODES_GROUP: &str = "system:nodes";

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

    /// What certificates of this signer are for.
    pub(crate) fn usage(self) -> Usage {
        match self {
            Self::ApiClient | Self::KubeletClient => Usage::Client,
            Self::KubeletServing => Usage::Server,
        }
    }

    /// May this signer sign the request?
    ///
    /// # Errors
    /// The rule that the request breaks.
    pub(crate) fn check(self, request: &SigningRequest, usages: &[&str]) -> Result<(), &'static str> {
        let purpose = match self {
            Self::ApiClient | Self::KubeletClient => "client auth",
            Self::KubeletServing => "server auth",
        };
        let allowed =
            |usage: &&str| *usage == purpose || matches!(*usage, "digital signature" | "key encipherment");
        if !usages.iter().all(allowed) || !usages.contains(&purpose) {
            return Err("usages did not match the signer's");
        }
        if self == Self::ApiClient {
            return Ok(());
        }
        if !usages.contains(&"digital signature") {
            return Err("usages did not match the signer's");
        }
        if request.subject.organizations != [NODES_GROUP] {
            return Err("subject organization is not system:nodes");
        }
        if !request.subject.common_name.starts_with(NODE_PREFIX) {
            return Err("subject common name does not begin with system:node:");
        }
        match self {
            Self::KubeletClient if !request.sans.is_empty() => Err("subjectAltNames are not allowed"),
            Self::KubeletServing if request.sans.is_empty() => Err("DNS or IP subjectAltName is required"),
            _ => Ok(()),
        }
    }
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
        let client = ["digital signature", "client auth"];
        let server = ["digital signature", "key encipherment", "server auth"];
        let node = "system:node:n1";
        type Row<'a> = (Signer, &'a str, &'a [&'a str], &'a [San], &'a [&'a str], bool);
        let table: &[Row<'_>] = &[
            (KubeletClient, node, &["system:nodes"], &[], &client, true),
            (KubeletClient, "n1", &["system:nodes"], &[], &client, false),
            (KubeletClient, node, &["system:masters"], &[], &client, false),
            (KubeletClient, node, &["system:nodes", "system:masters"], &[], &client, false),
            (KubeletClient, node, &[], &[], &client, false),
            (KubeletClient, node, &["system:nodes"], &ip, &client, false),
            (KubeletClient, node, &["system:nodes"], &[], &server, false),
            (KubeletClient, node, &["system:nodes"], &[], &["client auth"], false),
            (
                KubeletClient,
                node,
                &["system:nodes"],
                &[],
                &["digital signature", "client auth", "server auth"],
                false,
            ),
            (KubeletServing, node, &["system:nodes"], &ip, &server, true),
            (KubeletServing, node, &["system:nodes"], &[], &server, false),
            (KubeletServing, node, &["system:nodes"], &ip, &client, false),
            (KubeletServing, "n1", &["system:nodes"], &ip, &server, false),
            (ApiClient, "alice", &["dev"], &[], &client, true),
            (ApiClient, "alice", &["dev"], &[], &["client auth"], true),
            (ApiClient, "alice", &["dev"], &[], &["any", "client auth"], false),
            (ApiClient, "alice", &["dev"], &[], &["digital signature"], false),
        ];
        for (signer, name, organizations, sans, usages, allowed) in table {
            let verdict = signer.check(&request(name, organizations, sans), usages);
            assert_eq!(
                verdict.is_ok(),
                *allowed,
                "{signer:?} {name} {organizations:?} {usages:?}: {verdict:?}"
            );
        }
    }
}
