//! Certificates that outlive a restart, and are replaced before they expire.

use super::stage::{START, Stage};
use crate::{KubeletConfig, Running, Serving};
use jiff::SignedDuration;
use ravelin_client::Credential;
use ravelin_host::Flaws;
use ravelin_pki::{Inspected, SigningRequest, inspect};
use serde_json::Value;
use std::time::Duration;

const CSRS: &str = "POST /apis/certificates.k8s.io/v1/certificatesigningrequests";
/// Longer than the longest sleep between two looks at the clock.
const A_WHILE: Duration = Duration::from_secs(7 * 3600);

async fn restarted(stage: &Stage, running: Running, config: KubeletConfig) -> Running {
    drop(running);
    // What held its port ends at the next turn.
    tokio::time::sleep(Duration::from_millis(10)).await;
    stage.start(config).await
}

fn presented(running: &Running) -> Option<Inspected> {
    match running.client_config()?.credential {
        Credential::Certificate(identity) => inspect(identity.chain.first()?),
        _ => None,
    }
}

fn requested(csr: &Value) -> SigningRequest {
    use base64::Engine;
    let pem = base64::engine::general_purpose::STANDARD.decode(csr["spec"]["request"].as_str().unwrap());
    SigningRequest::parse(&String::from_utf8(pem.unwrap()).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_restart_asks_for_the_same_request_and_a_denial_for_another() {
    let stage = Stage::new(Flaws::none()).await;
    let mut config = stage.config();
    config.client_identity = None;
    let running = stage.start(config.clone()).await;
    let first = stage.request(CSRS).await;
    let name = |csr: &Value| csr["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name(&first).starts_with("node-csr-"), "{}", name(&first));
    let running = restarted(&stage, running, config).await;
    let again = stage.nth_request(CSRS, 2).await;
    assert_eq!((name(&again), requested(&again).public_key), (name(&first), requested(&first).public_key));
    stage.stub.deny();
    let other = stage.nth_request(CSRS, 3).await;
    assert_ne!(name(&other), name(&first));
    stage.stub.issue(None);
    stage.request("POST /api/v1/nodes").await;
    assert_eq!(presented(&running).unwrap().subject.common_name, "system:node:n1");
}

#[tokio::test(start_paused = true)]
async fn a_client_certificate_is_replaced_in_the_last_third_of_its_life() {
    let stage = Stage::new(Flaws::none()).await;
    let running = stage.start(stage.config()).await;
    stage.request("POST /api/v1/nodes").await;
    let given = presented(&running).unwrap();
    // Of 999 hours: 70 % are not over, 90 % are.
    stage.network.set_clock(START + SignedDuration::from_hours(690));
    tokio::time::sleep(A_WHILE).await;
    assert!(stage.stub.requests.lock().unwrap().iter().all(|(line, _)| line != CSRS));
    stage.network.set_clock(START + SignedDuration::from_hours(901));
    tokio::time::sleep(A_WHILE).await;
    let csr = stage.request(CSRS).await;
    assert_eq!(csr["spec"]["signerName"], "kubernetes.io/kube-apiserver-client-kubelet");
    assert_eq!(presented(&running).unwrap(), given, "until there is another");
    stage.network.set_clock(START + SignedDuration::from_hours(1));
    stage.stub.issue(None);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let renewed = presented(&running).unwrap();
    assert_ne!(renewed.fingerprint_sha256, given.fingerprint_sha256);
    // It is what the next start begins with.
    let running = restarted(&stage, running, stage.config()).await;
    stage.nth_request("POST /api/v1/nodes", 2).await;
    assert_eq!(presented(&running).unwrap(), renewed);
}

#[tokio::test(start_paused = true)]
async fn without_rotation_nothing_is_asked_for() {
    let stage = Stage::new(Flaws::none()).await;
    let mut config = stage.config();
    config.rotate_certificates = false;
    let _running = stage.start(config).await;
    stage.network.set_clock(START + SignedDuration::from_hours(990));
    tokio::time::sleep(A_WHILE).await;
    assert!(stage.stub.requests.lock().unwrap().iter().all(|(line, _)| line != CSRS));
}

#[tokio::test(start_paused = true)]
async fn a_serving_certificate_is_kept_and_replaced_like_the_clients() {
    let stage = Stage::new(Flaws::none()).await;
    let mut config = stage.config();
    config.serving = Serving::Bootstrap;
    config.rotate_certificates = false;
    let running = stage.start(config.clone()).await;
    stage.request(CSRS).await;
    stage.stub.issue(None);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let first = running.serving_identity().unwrap();
    let running = restarted(&stage, running, config.clone()).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(running.serving_identity().unwrap().chain, first.chain, "kept over a restart");
    // Of 99 hours.
    stage.network.set_clock(START + SignedDuration::from_hours(90));
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(stage.nth_request(CSRS, 2).await["spec"]["signerName"], "kubernetes.io/kubelet-serving");
    stage.network.set_clock(START);
    stage.stub.issue(None);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_ne!(running.serving_identity().unwrap().chain, first.chain);
    // Another address is another certificate, at once.
    config.addresses = vec![[10, 0, 0, 2].into(), [10, 0, 0, 22].into()];
    let asked = || stage.stub.requests.lock().unwrap().iter().filter(|(line, _)| line == CSRS).count();
    let before = asked();
    let _running = restarted(&stage, running, config).await;
    let csr = stage.nth_request(CSRS, before + 1).await;
    assert_eq!(requested(&csr).sans.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_node_registers_with_its_taints_and_corrects_its_own_labels_only() {
    let stage = Stage::new(Flaws::none()).await;
    let mut config = stage.config();
    config.taints = vec![crate::Taint {
        key: "k".to_owned(),
        value: Some("v".to_owned()),
        effect: "NoSchedule".to_owned(),
    }];
    let _running = stage.start(config).await;
    let node = stage.request("POST /api/v1/nodes").await;
    assert_eq!(
        node["spec"]["taints"],
        serde_json::json!([{ "key": "k", "value": "v", "effect": "NoSchedule" }])
    );
    let reported: Vec<_> =
        node["status"]["conditions"].as_array().unwrap().iter().map(|c| c["type"].clone()).collect();
    assert_eq!(reported, ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]);
}
