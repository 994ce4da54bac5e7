//! How a kubelet joins, and runs what it is told.

use super::stage::{Stage, get, with_token};
use crate::Serving;
use ravelin_client::Credential;
use ravelin_entropy::Entropy;
use ravelin_host::{Endpoint, Flaws};
use ravelin_pki::{KeyPair, inspect};
use serde_json::{Value, json};
use std::time::Duration;

const CSRS: &str = "POST /apis/certificates.k8s.io/v1/certificatesigningrequests";

#[tokio::test(start_paused = true)]
async fn a_token_is_traded_for_a_certificate_of_the_kubelets_own_key() {
    let stage = Stage::new(Flaws::none()).await;
    let mut config = stage.config();
    config.client_identity = None;
    let running = stage.start(config).await;
    let csr = stage.request(CSRS).await;
    assert_eq!(csr["spec"]["signerName"], "kubernetes.io/kube-apiserver-client-kubelet");
    assert_eq!(csr["spec"]["usages"], json!(["digital signature", "client auth"]));
    // A certificate for another key is no certificate.
    stage.stub.issue(Some(&KeyPair::generate(&mut Entropy::from_key([8; 32]))));
    let again = stage.nth_request(CSRS, 2).await;
    assert_ne!(again["spec"]["request"], csr["spec"]["request"], "the next request is for a new key");
    assert!(running.client_config().is_none());
    stage.stub.issue(None);
    stage.request("POST /api/v1/nodes").await;
    let config = running.client_config().expect("it has joined");
    let Credential::Certificate(identity) = config.credential else { panic!("no certificate") };
    let certificate = inspect(&identity.chain[0]).unwrap();
    assert_eq!(certificate.subject.common_name, "system:node:n1");
}

#[tokio::test(start_paused = true)]
async fn without_a_serving_certificate_handshakes_are_refused() {
    let stage = Stage::new(Flaws::none()).await;
    let mut config = stage.config();
    config.serving = Serving::Bootstrap;
    let _running = stage.start(config).await;
    let csr = stage.request(CSRS).await;
    assert_eq!(csr["spec"]["signerName"], "kubernetes.io/kubelet-serving");
    let admin = || stage.caller(stage.certificate("admin"));
    assert!(admin().get("/pods").await.is_err());
    stage.stub.issue(None);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(get(&admin(), "/healthz").await, (200, "ok".to_owned()));
}

fn pod(name: &str, image: &str) -> Value {
    with_token(json!({
        "metadata": { "namespace": "default", "name": name, "uid": format!("{name}-uid") },
        "spec": {
            "nodeName": "n1",
            "containers": [{ "name": "c", "image": image, "ports": [{ "containerPort": 8080 }] }],
        },
    }))
}

#[tokio::test(start_paused = true)]
async fn a_bound_pod_runs_with_its_token_and_serves_probes() {
    let stage = Stage::new(Flaws::none()).await;
    *stage.stub.pods.lock().unwrap() =
        vec![pod("web", "ravelin.test/http:1"), pod("strange", "example.com/unknown")];
    let _running = stage.start(stage.config()).await;
    let patch = stage.request("PATCH /api/v1/namespaces/default/pods/web/status").await;
    assert_eq!(patch["status"]["phase"], "Running");
    assert_eq!(patch["status"]["podIP"], "10.244.1.3", "the second by name, after the bridge");
    let token = stage.request("POST /api/v1/namespaces/default/serviceaccounts/default/token").await;
    assert_eq!(token["spec"]["boundObjectRef"]["uid"], "strange-uid", "in order of names");
    let sandbox = stage.runtime.sandbox("web-uid").expect("it runs");
    let read = |name: &str| {
        sandbox.host.disk().read(&format!("/var/run/secrets/kubernetes.io/serviceaccount/{name}"))
    };
    assert_eq!(read("token").as_deref(), Some(&b"pod-token"[..]));
    assert_eq!(read("ca.crt").as_deref(), Some(&b"root"[..]));
    let strange = stage.request("PATCH /api/v1/namespaces/default/pods/strange/status").await;
    assert_eq!(strange["status"]["phase"], "Pending");
    assert_eq!(strange["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "ErrImagePull");

    let ledger = stage.runtime.ledger("web-uid").unwrap();
    ledger.plant("p1", "canary");
    let caller = stage.network.host("someone", [10, 0, 0, 77]);
    let stream = caller.connect(&Endpoint::tcp([10, 244, 1, 3], 8080)).await.unwrap().stream;
    let mut connection = ravelin_transport::HttpConnection::open(&caller, stream).await.unwrap();
    let request = http::Request::get("/probe?probe=p1").body(ravelin_transport::body::empty()).unwrap();
    let response = connection.send(request).await.unwrap();
    let body = ravelin_transport::collect(response.into_body(), 4096).await.unwrap();
    assert_eq!(ledger.served()[0].answer.body, body);
    assert!(String::from_utf8_lossy(&body).contains("canary"));

    ledger.log_line(caller.now(), "c", "a secret line");
    let admin = stage.caller(stage.certificate("admin"));
    let log = get(&admin, "/containerLogs/default/web/c?limitBytes=8").await;
    assert_eq!(log, (200, "a secret".to_owned()));
    assert_eq!(ledger.log_reads()[0].options.limit_bytes, Some(8));
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_in_time() {
    let stage = Stage::new(Flaws::none()).await;
    let _running = stage.start(stage.config()).await;
    stage.request("POST /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases").await;
    tokio::time::sleep(Duration::from_secs(35)).await;
    let renewal = "PUT /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1";
    let renewals = stage.stub.requests.lock().unwrap().iter().filter(|(line, _)| line == renewal).count();
    assert_eq!(renewals, 3);
}

#[tokio::test(start_paused = true)]
async fn what_others_write_of_its_node_and_pods_is_corrected_at_the_next_tick() {
    let stage = Stage::new(Flaws::none()).await;
    *stage.stub.pods.lock().unwrap() = vec![pod("web", "ravelin.test/http")];
    let _running = stage.start(stage.config()).await;
    let mut node = stage.request("POST /api/v1/nodes").await;
    let pod_status = "PATCH /api/v1/namespaces/default/pods/web/status";
    let mut web = pod("web", "ravelin.test/http");
    web["status"] = stage.request(pod_status).await["status"].clone();
    let asked = |line: &str| {
        let requests = stage.stub.requests.lock().unwrap();
        requests.iter().filter(|(asked, _)| asked == line).map(|(_, body)| body.clone()).collect::<Vec<_>>()
    };
    let node_status = "PATCH /api/v1/nodes/n1/status";
    let event = |object: &Value, version: &str| {
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = json!(version);
        stage.stub.change(&json!({ "type": "MODIFIED", "object": object }));
    };
    // Nothing is said while nobody contradicts.
    event(&node, "2");
    event(&web, "3");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((asked(node_status).len(), asked(pod_status).len()), (0, 1));

    let (right, address) = (node["status"]["addresses"].clone(), web["status"]["podIP"].clone());
    node["status"]["addresses"] = json!([{ "type": "InternalIP", "address": "10.0.0.66" }]);
    web["status"]["podIP"] = json!("10.0.0.66");
    event(&node, "4");
    event(&web, "5");
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!((asked(node_status).len(), asked(pod_status).len()), (0, 1), "not before the tick");
    tokio::time::sleep(Duration::from_millis(10_050)).await;
    assert_eq!(asked(node_status)[0]["status"]["addresses"], right);
    assert_eq!(asked(pod_status)[1]["status"]["podIP"], address);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_ends_and_is_reported_gone() {
    let stage = Stage::new(Flaws::none()).await;
    *stage.stub.pods.lock().unwrap() = vec![pod("web", "ravelin.test/http")];
    let _running = stage.start(stage.config()).await;
    stage.request("PATCH /api/v1/namespaces/default/pods/web/status").await;
    let mut deleted = pod("web", "ravelin.test/http");
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:30Z");
    deleted["metadata"]["resourceVersion"] = json!("2");
    stage.stub.change(&json!({ "type": "MODIFIED", "object": deleted }));
    stage.request("DELETE /api/v1/namespaces/default/pods/web").await;
    assert!(stage.runtime.sandbox("web-uid").is_none());
    let someone = stage.network.host("someone", [10, 0, 0, 77]);
    assert!(someone.connect(&Endpoint::tcp([10, 244, 1, 2], 8080)).await.is_err());
    assert_eq!(
        stage.runtime.ledger("web-uid").map(|ledger| ledger.served().len()),
        Some(0),
        "its records stay"
    );
}
