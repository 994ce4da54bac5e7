//! What pods keep over hours and through the death of an apiserver: their way to the API.

use super::stage::Setting;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const PODS: &str = "/api/v1/namespaces/ravelin/pods";

/// A pod that asks the apiserver again and again.
fn asking(seconds: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asking"},
        "spec": {
            "serviceAccountName": "probe",
            "containers": [{"name": "main", "image": "ravelin.test/apiclient", "env": [
                {"name": "CONFIGMAP", "value": "probe"},
                {"name": "EVERY_SECONDS", "value": seconds.to_string()},
            ]}],
        },
    })
}

/// How long a pod is watched: more than a day in the long form.
fn hours() -> usize {
    if crate::is_deep() { 25 } else { 5 }
}

#[test]
fn a_pod_asks_the_api_for_hours_with_tokens_of_one() {
    let mut setting = Setting::of(1);
    setting.config.apiserver.service_accounts.extend_token_expiration = false;
    let (lines, tokens) = setting.play(|stage| {
        Box::pin(async move {
            stage.create(PODS, asking(300)).await;
            let path = format!("{PODS}/asking");
            stage.until("it runs", async || stage.get(&path).await["status"]["phase"] == "Running").await;
            let uid = stage.get(&path).await["metadata"]["uid"].as_str().expect("it has one").to_owned();
            let address = stage.address("asking").await.parse().expect("it has one");
            let pod = stage.world.host("node-1").pod(address).expect("it runs there");
            let mut tokens = BTreeSet::new();
            for _ in 0..hours() * 4 {
                tokio::time::sleep(Duration::from_secs(900)).await;
                let file = "/var/run/secrets/kubernetes.io/serviceaccount/token";
                tokens.insert(pod.disk().read(file).expect("it has a token"));
            }
            let ledger = stage.cluster.ledgers().remove(&uid).expect("it has a ledger");
            let lines: Vec<String> = ledger.log_lines("main").into_iter().map(|line| line.text).collect();
            (lines, tokens.len())
        })
    });
    assert!(lines.len() >= hours() * 12, "{} answers", lines.len());
    let wrong: BTreeSet<&String> = lines.iter().filter(|line| *line != "read the ConfigMap probe").collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    // One at the start, and another every 48 minutes.
    let expected = 1 + hours() * 60 / 48;
    assert!((expected - 1..=expected + 1).contains(&tokens), "{tokens} tokens");
}

#[test]
fn pods_work_again_when_the_lease_of_a_dead_apiserver_has_expired() {
    let mut setting = Setting::of(1);
    setting.layout = setting.layout.with_apiservers(2);
    setting.play(|stage| {
        Box::pin(async move {
            let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
            let endpoints = async || stage.get(slice).await["endpoints"].as_array().map_or(0, Vec::len);
            stage.until("both are endpoints", async || endpoints().await == 2).await;
            let dead = stage.cluster.layout().further_control_planes[0].clone();
            stage.create(PODS, asking(1)).await;
            let path = format!("{PODS}/asking");
            stage.until("it runs", async || stage.get(&path).await["status"]["phase"] == "Running").await;
            let uid = stage.get(&path).await["metadata"]["uid"].as_str().expect("it has one").to_owned();
            let ledger = stage.cluster.ledgers().remove(&uid).expect("it has a ledger");
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(endpoints().await, 2, "who lives stays");
            stage.world.faults().crash(&dead.name);
            let died = stage.world.now();
            stage.until("one is left", async || endpoints().await == 1).await;
            let took = stage.world.now().as_second() - died.as_second();
            assert!((4..=27).contains(&took), "{took} s: no sooner and no later than its lease");
            // Whoever still held a connection to it has noticed by then.
            tokio::time::sleep(Duration::from_secs(60)).await;
            let recovered = stage.world.now();
            tokio::time::sleep(Duration::from_secs(120)).await;
            let lines = ledger.log_lines("main");
            let late: Vec<_> = lines.iter().filter(|line| line.at > recovered).collect();
            assert!(late.len() > 100, "{} answers", late.len());
            assert!(late.iter().all(|line| line.text == "read the ConfigMap probe"), "{late:?}");
            stage.world.faults().restart(&dead.name);
            stage.cluster.stop_apiserver(1);
            stage.cluster.start_apiserver(1).await.expect("its port is free");
            stage.until("both are endpoints again", async || endpoints().await == 2).await;
        })
    });
}
