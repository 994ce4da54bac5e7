//! What is signed for a request, and what never is.

use super::stage::{CSRS, Cast, Pace, Stage, play};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use ravelin_api::object;
use ravelin_host::{Flaw, Flaws};
use ravelin_pki::{Inspected, KeyPair, San, SigningRequest, Subject, TrustAnchors, inspect};
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// A request: its signer, the subject, the names and the usages.
struct Asked<'a> {
    signer: &'a str,
    subject: (&'a str, &'a [&'a str]),
    sans: Vec<San>,
    usages: &'a [&'a str],
    seconds: Option<u32>,
}

impl Asked<'_> {
    fn object(&self, stage: &Stage, name: &str) -> Value {
        let key = KeyPair::generate(&mut stage.entropy("key"));
        let subject = Subject::new(self.subject.0, self.subject.1);
        let mut csr = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": { "name": name },
            "spec": {
                "request": STANDARD.encode(SigningRequest::create(&subject, &self.sans, &key)),
                "signerName": self.signer, "usages": self.usages,
            },
        });
        if let Some(seconds) = self.seconds {
            csr["spec"]["expirationSeconds"] = json!(seconds);
        }
        csr
    }
}

/// Files a request as an administrator and approves it; gives what came of it.
async fn approved(stage: &Stage, name: &str, asked: Asked<'_>) -> Value {
    let operator = stage.operator();
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let mut csr = operator.create(path, &asked.object(stage, name)).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    if !object::has_condition(&csr, "Approved") {
        csr["status"]["conditions"] = json!([{ "type": "Approved", "status": "True", "reason": "Test", "message": "" }]);
        operator.update(&format!("{path}/{name}/approval"), &csr).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    for _ in 0..100 {
        let now = stage.object(CSRS, "", name).expect("it is there");
        if object::has_condition(&now, "Failed") || now["status"]["certificate"].is_string() {
            return Value::clone(&now);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} came to nothing")
}

fn certificate(csr: &Value) -> Inspected {
    let pem = STANDARD.decode(object::text(csr, "status.certificate")).expect("it is base64");
    let pem = String::from_utf8(pem).expect("it is text");
    inspect(&TrustAnchors::from_pem(&pem).expect("it is a certificate").certificates()[0]).expect("it can be read")
}

const CLIENT: &[&str] = &["digital signature", "client auth"];
const SERVER: &[&str] = &["digital signature", "key encipherment", "server auth"];

#[test]
fn signers_sign_by_their_rules_and_say_what_is_wrong() {
    let cast = Cast { pace: Pace::usual(), nodes: 1, flaws: Flaws::none() };
    play((21, HOUR), cast, |stage| {
        Box::pin(async move {
            let kubelet = "kubernetes.io/kube-apiserver-client-kubelet";
            let serving = "kubernetes.io/kubelet-serving";
            let api = "kubernetes.io/kube-apiserver-client";
            let nodes: &[&str] = &["system:nodes"];
            let refused = [
                (kubelet, ("system:node:n", &["dev"][..]), vec![], CLIENT, "subject organization is not system:nodes"),
                (kubelet, ("n", nodes), vec![], CLIENT, "subject common name does not begin with system:node:"),
                (
                    kubelet,
                    ("system:node:n", nodes),
                    vec![San::Dns("n".to_owned())],
                    CLIENT,
                    "DNS subjectAltNames are not allowed",
                ),
                (
                    serving,
                    ("system:node:n", nodes),
                    vec![San::Dns("n".to_owned())],
                    CLIENT,
                    "usages did not match [digital signature key encipherment server auth]",
                ),
                (api, ("alice", &["dev"][..]), vec![], SERVER, "invalid usage for client certificate: server auth"),
            ];
            for (number, (signer, subject, sans, usages, message)) in refused.into_iter().enumerate() {
                let name = format!("refused-{number}");
                // The operator of the stage would deny serving requests: approve before it looks.
                let asked = Asked { signer, subject, sans, usages, seconds: None };
                if signer == serving {
                    continue;
                }
                let csr = approved(&stage, &name, asked).await;
                let conditions = object::list(&csr, "status.conditions");
                let failed = conditions.iter().find(|c| c["type"] == "Failed").expect("it failed");
                assert_eq!((failed["reason"].as_str(), failed["message"].as_str()), (Some("SignerValidationFailure"), Some(message)));
            }

            let asked = |seconds| Asked { signer: api, subject: ("alice", &["dev", "ops"]), sans: vec![], usages: CLIENT, seconds };
            let minutes = SignedDuration::from_mins;
            for (name, seconds, before, after) in [
                ("long", None, minutes(5), minutes(48 * 60 - 5)),
                ("short", Some(3600), minutes(5), minutes(60)),
                ("half-a-day", Some(12 * 3600), minutes(5), minutes(12 * 60 - 5)),
                ("too-long", Some(31_536_000), minutes(5), minutes(48 * 60 - 5)),
            ] {
                let csr = approved(&stage, name, asked(seconds)).await;
                let issued = certificate(&csr);
                let now = stage.now().as_second();
                let (begins, ends) = (now - issued.not_before.as_second(), issued.not_after.as_second() - now);
                assert!((begins - before.as_secs()).abs() < 15 && (ends - after.as_secs()).abs() < 15, "{name}: {begins} {ends}");
                assert_eq!(issued.subject, Subject::new("alice", &["dev", "ops"]));
                assert!(!issued.is_ca);
            }
        })
    });
}

#[test]
fn only_with_the_flaw_is_signed_whatever_is_asked() {
    for flawed in [false, true] {
        let flaws = Flaws::danger(flawed.then_some(Flaw::SignersTrustRequests));
        play((22, HOUR), Cast { pace: Pace::usual(), nodes: 1, flaws }, move |stage| {
            Box::pin(async move {
                let asked = Asked {
                    signer: "kubernetes.io/kube-apiserver-client-kubelet",
                    subject: ("anybody", &["system:masters"]),
                    sans: vec![],
                    usages: CLIENT,
                    seconds: None,
                };
                let csr = asked.object(&stage, "c");
                let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
                stage.operator().create(path, &csr).await.expect("anybody may ask");
                tokio::time::sleep(Duration::from_secs(30)).await;
                let csr = stage.object(CSRS, "", "c").expect("it is there");
                assert_eq!(csr["status"]["certificate"].is_string(), flawed);
                if flawed {
                    assert_eq!(certificate(&csr).subject, Subject::new("anybody", &["system:masters"]));
                }
            })
        });
    }
}
