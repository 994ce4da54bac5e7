//! Containers that end, and their logs.

use super::stage::{Stage, get, with_token};
use ravelin_host::Flaws;
use serde_json::{Value, json};
use std::time::Duration;

const STATUS: &str = "PATCH /api/v1/namespaces/default/pods/p/status";

async fn running(policy: &str, script: &str) -> (Stage, crate::Running) {
    let stage = Stage::new(Flaws::none()).await;
    *stage.stub.pods.lock().unwrap() = vec![with_token(json!({
        "metadata": { "namespace": "default", "name": "p", "uid": "p-uid" },
        "spec": { "nodeName": "n1", "restartPolicy": policy, "containers": [{
            "name": "c", "image": "ravelin.test/shell", "args": ["sh", "-c", script],
        }] },
    }))];
    let running = stage.start(stage.config()).await;
    stage.request(STATUS).await;
    (stage, running)
}

/// The statuses that were reported, in order.
fn reported(stage: &Stage) -> Vec<Value> {
    let requests = stage.stub.requests.lock().unwrap();
    requests.iter().filter(|(line, _)| line == STATUS).map(|(_, body)| body["status"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_is_over_as_its_policy_says() {
    for (policy, code, phase, reason) in [
        ("Never", 0, "Succeeded", "Completed"),
        ("Never", 3, "Failed", "Error"),
        ("OnFailure", 0, "Succeeded", "Completed"),
    ] {
        let (stage, _running) = running(policy, &format!("echo hi; sleep 3; exit {code}")).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let reported = reported(&stage);
        assert_eq!(reported[0]["phase"], "Running", "{policy} {code}");
        let last = reported.last().unwrap();
        let container = &last["containerStatuses"][0];
        assert_eq!(last["phase"], phase, "{policy} {code}");
        assert_eq!(container["restartCount"], 0);
        let ended = &container["state"]["terminated"];
        assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(code), &json!(reason)));
        assert_eq!(
            last["conditions"][0]["lastTransitionTime"],
            reported[0]["conditions"][0]["lastTransitionTime"]
        );
        let admin = stage.caller(stage.certificate("admin"));
        assert_eq!(get(&admin, "/containerLogs/default/p/c").await, (200, "hi\n".to_owned()));
        let missing = "previous terminated container \"c\" in pod \"p\" not found".to_owned();
        assert_eq!(get(&admin, "/containerLogs/default/p/c?previous=true").await, (400, missing));
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_fails_is_started_anew_after_ever_longer_waits() {
    let (stage, _running) = running("Always", "echo run; sleep 1; exit 2").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let reported = reported(&stage);
    let seen = |status: &Value| {
        let container = &status["containerStatuses"][0];
        let state = container["state"].as_object().unwrap().keys().next().unwrap().clone();
        (state, container["restartCount"].as_u64().unwrap(), status["phase"].as_str().unwrap().to_owned())
    };
    let mut seen: Vec<_> = reported.iter().map(seen).collect();
    // The stub forgets what it is told, and is told again.
    seen.dedup();
    let state = |state: &str, restarts| (state.to_owned(), restarts, "Running".to_owned());
    let expected = [
        state("running", 0),
        state("running", 1),
        state("waiting", 1),
        state("running", 2),
        state("waiting", 2),
        state("running", 3),
        state("waiting", 3),
    ];
    assert_eq!(seen, expected);
    let container = &reported.last().unwrap()["containerStatuses"][0];
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 2);
    assert_eq!(
        container["state"]["waiting"],
        json!({
            "reason": "CrashLoopBackOff",
            "message": "back-off 40s restarting failed container=c pod=p_default(p-uid)",
        })
    );
    let admin = stage.caller(stage.certificate("admin"));
    assert_eq!(get(&admin, "/containerLogs/default/p/c?previous=true").await, (200, "run\n".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn who_follows_a_log_sees_each_line_and_its_end() {
    let (stage, _running) =
        running("Never", "i=0; while [ $i -lt 3 ]; do echo $i; sleep 1; i=$((i+1)); done").await;
    let admin = stage.caller(stage.certificate("admin"));
    let began = tokio::time::Instant::now();
    let log = get(&admin, "/containerLogs/default/p/c?follow=true&timestamps=true").await;
    assert!(began.elapsed() > Duration::from_secs(2), "it was followed to its end");
    assert_eq!((log.0, log.1.lines().count()), (200, 3), "{}", log.1);
    assert!(log.1.ends_with("Z 2\n"), "{}", log.1);
    let ledger = stage.runtime.ledger("p-uid").unwrap();
    assert_eq!(ledger.log_reads()[0].bytes, log.1.as_bytes(), "exactly what was handed out is written down");
}

const EVENTS: &str = "POST /api/v1/namespaces/default/events";

/// What was told of the pod, with how often, in order.
fn told(stage: &Stage) -> Vec<(String, String, u64)> {
    let requests = stage.stub.requests.lock().unwrap();
    let mut told: Vec<(String, String, String, u64)> = Vec::new();
    for (line, body) in requests.iter().filter(|(line, _)| line.contains("/events")) {
        if line == EVENTS {
            let text = |field: &str| body[field].as_str().unwrap().to_owned();
            assert_eq!(body["involvedObject"]["fieldPath"], "spec.containers{c}");
            assert_eq!(body["source"], json!({ "component": "kubelet", "host": "n1" }));
            let name = body["metadata"]["name"].as_str().unwrap().to_owned();
            told.push((name, text("reason"), text("message"), body["count"].as_u64().unwrap()));
        } else if let Some(event) = told.iter_mut().find(|(name, ..)| line.ends_with(name.as_str())) {
            event.3 = body["count"].as_u64().unwrap();
        }
    }
    told.into_iter().map(|(_, reason, message, count)| (reason, message, count)).collect()
}

#[tokio::test(start_paused = true)]
async fn people_are_told_what_happens_to_a_pod_and_how_often() {
    let stage = Stage::new(Flaws::none()).await;
    *stage.stub.pods.lock().unwrap() = vec![with_token(json!({
        "metadata": { "namespace": "default", "name": "p", "uid": "p-uid" },
        "spec": { "nodeName": "n1", "containers": [{
            "name": "c", "image": "ravelin.test/shell", "args": ["sh", "-c", "sleep 1; exit 2"],
        }] },
    }))];
    let config = crate::KubeletConfig { events: true, ..stage.config() };
    let _running = stage.start(config).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let event = |reason: &str, message: &str, count| (reason.to_owned(), message.to_owned(), count);
    let expected = [
        event("Pulled", "Container image \"ravelin.test/shell\" already present on machine", 4),
        event("Created", "Created container: c", 4),
        event("Started", "Started container c", 4),
        event("BackOff", "Back-off restarting failed container c in pod p_default(p-uid)", 3),
    ];
    assert_eq!(told(&stage), expected);
}

#[tokio::test(start_paused = true)]
async fn who_tells_too_much_is_not_heard_for_a_while() {
    let stage = Stage::new(Flaws::none()).await;
    let client = stage.caller(stage.certificate("admin"));
    let mut config = client.config().clone();
    config.server = std::net::SocketAddr::from(([10, 0, 0, 1], 6443));
    "10.0.0.1".clone_into(&mut config.server_name);
    let client = ravelin_client::Client::new(stage.node.clone(), config);
    let source = ravelin_client::EventSource { component: "kubelet", host: Some("n1".to_owned()) };
    let recorder = ravelin_client::EventRecorder::new(client, source);
    let pod = json!({ "metadata": { "namespace": "default", "name": "p", "uid": "p-uid" } });
    let tell = |number: u32| {
        let (message, field_path) = (format!("message {number}"), "spec.containers{c}".to_owned());
        recorder.tell(&pod, ravelin_client::Event { is_warning: true, reason: "Odd", message, field_path });
    };
    (0..100).for_each(tell);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(told(&stage).len(), 25);
    tokio::time::sleep(Duration::from_secs(600)).await;
    (100..110).for_each(tell);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(told(&stage).len(), 27);
}
