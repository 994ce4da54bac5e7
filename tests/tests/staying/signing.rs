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
    let mut csr =
        operator.create(path, &asked.object(stage, name)).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    if !object::has_condition(&csr, "Approved") {
        csr["status"]["conditions"] =
            json!([{ "type": "Approved", "status": "True", "reason": "Test", "message": "" }]);
        operator
            .update(&format!("{path}/{name}/approval"), &csr)
            .await
            .unwrap_or_else(|e| panic!("{name}: {e}"));
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
    inspect(&TrustAnchors::from_pem(&pem).expect("it is a certificate").certificates()[0])
        .expect("it can be read")
}

const KUBELET: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const API: &str = "kubernetes.io/kube-apiserver-client";
const CLIENT: &[&str] = &["digital signature", "client auth"];
const SERVER: &[&str] = &["digital signature", "key encipherment", "server auth"];

#[test]
fn what_breaks_a_signers_rules_fails_and_says_why() {
    let cast = Cast { pace: Pace::usual(), nodes: 1, flaws: Flaws::none() };
    play((21, HOUR), cast, |stage| {
        Box::pin(async move {
            let (nodes, dev): (&[&str], &[&str]) = (&["system:nodes"], &["dev"]);
            let dns = || vec![San::Dns("n".to_owned())];
            let no_node = "subject common name does not begin with system:node:";
            let refused = [
                (KUBELET, ("system:node:n", dev), vec![], CLIENT, "subject organization is not system:nodes"),
                (KUBELET, ("n", nodes), vec![], CLIENT, no_node),
                (KUBELET, ("system:node:n", nodes), dns(), CLIENT, "DNS subjectAltNames are not allowed"),
                (API, ("alice", dev), vec![], SERVER, "invalid usage for client certificate: server auth"),
            ];
            for (number, (signer, subject, sans, usages, message)) in refused.into_iter().enumerate() {
                let asked = Asked { signer, subject, sans, usages, seconds: None };
                let csr = approved(&stage, &format!("refused-{number}"), asked).await;
                let conditions = object::list(&csr, "status.conditions");
                let failed = conditions.iter().find(|c| c["type"] == "Failed").expect("it failed");
                let said = (failed["reason"].as_str(), failed["message"].as_str());
                assert_eq!(said, (Some("SignerValidationFailure"), Some(message)));
            }
        })
    });
}

#[test]
fn certificates_live_as_long_as_was_asked_and_no_longer_than_is_signed() {
    let cast = Cast { pace: Pace::usual(), nodes: 1, flaws: Flaws::none() };
    play((23, HOUR), cast, |stage| {
        Box::pin(async move {
            let subject = ("alice", &["dev", "ops"][..]);
            let asked = |seconds| Asked { signer: API, subject, sans: vec![], usages: CLIENT, seconds };
            let minutes = SignedDuration::from_mins;
            for (name, seconds, after) in [
                ("long", None, minutes(48 * 60 - 5)),
                ("short", Some(3600), minutes(60)),
                ("half-a-day", Some(12 * 3600), minutes(12 * 60 - 5)),
                ("too-long", Some(31_536_000), minutes(48 * 60 - 5)),
            ] {
                let issued = certificate(&approved(&stage, name, asked(seconds)).await);
                let now = stage.now().as_second();
                let (begins, ends) =
                    (now - issued.not_before.as_second(), issued.not_after.as_second() - now);
                let near = |is: i64, wanted: i64| (is - wanted).abs() < 15;
                assert!(near(begins, 300) && near(ends, after.as_secs()), "{name}: {begins} {ends}");
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
                    signer: KUBELET,
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
