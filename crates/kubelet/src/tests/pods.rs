//! What pods are given while they run, the ports of the node that are theirs, and how they end.

use super::stage::{Stage, with_token};
use ravelin_host::{Endpoint, Flaws};
use serde_json::{Value, json};
use std::time::Duration;

const DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const RUNNING: &str = "PATCH /api/v1/namespaces/default/pods/web/status";
const TOKEN: &str = "POST /api/v1/namespaces/default/serviceaccounts/default/token";

fn web() -> Value {
    with_token(json!({
        "metadata": { "namespace": "default", "name": "web", "uid": "web-uid" },
        "spec": {
            "nodeName": "n1",
            "containers": [{ "name": "c", "image": "ravelin.test/http",
                             "ports": [{ "containerPort": 8080, "hostPort": 80 }] }],
        },
    }))
}

async fn bound(pod: Value) -> Stage {
    let stage = Stage::new(Flaws::none()).await;
    *stage.stub.pods.lock().unwrap() = vec![pod];
    stage
}

fn asked(stage: &Stage, line: &str) -> usize {
    stage.stub.requests.lock().unwrap().iter().filter(|(asked, _)| asked == line).count()
}

fn file(stage: &Stage, name: &str) -> Option<String> {
    let sandbox = stage.runtime.sandbox("web-uid")?;
    let content = sandbox.host.disk().read(&format!("{DIRECTORY}/{name}"))?;
    Some(String::from_utf8(content).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_the_root_certificate_and_follows_its_changes() {
    let stage = bound(web()).await;
    stage.stub.root.lock().unwrap().take();
    let _running = stage.start(stage.config()).await;
    stage.request(TOKEN).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(asked(&stage, RUNNING), 0, "it waits");
    *stage.stub.root.lock().unwrap() = Some("root".to_owned());
    stage.request(RUNNING).await;
    assert_eq!(file(&stage, "ca.crt").as_deref(), Some("root"));
    assert_eq!(file(&stage, "namespace").as_deref(), Some("default"));
    *stage.stub.root.lock().unwrap() = Some("another".to_owned());
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(file(&stage, "ca.crt").as_deref(), Some("another"));
    // What it has is better than nothing.
    stage.stub.root.lock().unwrap().take();
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(file(&stage, "ca.crt").as_deref(), Some("another"));
    assert_eq!(asked(&stage, TOKEN), 1, "its token has time");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_at_four_fifths_of_its_life() {
    let stage = bound(web()).await;
    let _running = stage.start(stage.config()).await;
    stage.request(RUNNING).await;
    assert_eq!(stage.request(TOKEN).await["spec"]["expirationSeconds"], 3607);
    tokio::time::sleep(Duration::from_secs(2870)).await;
    assert_eq!(asked(&stage, TOKEN), 1);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(asked(&stage, TOKEN), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_the_volume_has_no_token_and_one_that_names_an_audience_has_that() {
    let mut pod = web();
    pod["spec"]["volumes"] = json!([]);
    let stage = bound(pod).await;
    let _running = stage.start(stage.config()).await;
    stage.request(RUNNING).await;
    assert_eq!((asked(&stage, TOKEN), file(&stage, "token")), (0, None));
    let mut pod = web();
    let token = json!({ "path": "token", "audience": "vault", "expirationSeconds": 600 });
    pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"] = token;
    let stage = bound(pod).await;
    let _running = stage.start(stage.config()).await;
    let asked = stage.request(TOKEN).await;
    assert_eq!(
        (&asked["spec"]["audiences"], &asked["spec"]["expirationSeconds"]),
        (&json!(["vault"]), &json!(600))
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_port_leads_to_the_pod_while_it_runs_and_its_files_go_with_it() {
    let stage = bound(web()).await;
    let _running = stage.start(stage.config()).await;
    stage.request(RUNNING).await;
    let someone = stage.network.host("someone", [10, 0, 0, 77]);
    let port = async || someone.connect(&Endpoint::tcp([10, 0, 0, 2], 80)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(port().await.is_ok());
    let host = stage.runtime.sandbox("web-uid").expect("it runs").host;
    let mut deleted = web();
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    stage.stub.change(&json!({ "type": "MODIFIED", "object": deleted }));
    stage.request("DELETE /api/v1/namespaces/default/pods/web").await;
    assert!(port().await.is_err());
    for name in ["token", "ca.crt", "namespace"] {
        assert_eq!(host.disk().read(&format!("{DIRECTORY}/{name}")), None, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_sleeps_before_it_stops_serves_so_long_and_no_longer_than_its_grace() {
    for (sleep, grace, served) in [(20, 30, 20), (90, 30, 30), (0, 30, 0)] {
        let mut pod = web();
        pod["spec"]["containers"][0]["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": sleep } } });
        let stage = bound(pod.clone()).await;
        let _running = stage.start(stage.config()).await;
        stage.request(RUNNING).await;
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:30Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        stage.stub.change(&json!({ "type": "MODIFIED", "object": pod }));
        let began = tokio::time::Instant::now();
        stage.request("DELETE /api/v1/namespaces/default/pods/web").await;
        assert!(stage.runtime.sandbox("web-uid").is_none());
        let lasted = began.elapsed().as_secs();
        assert!((served..=served + 1).contains(&lasted), "{lasted} s of {served}");
    }
}
