//! What objects alone can do to the connections of others (attacks.md 1.3).

use super::stage::{Setting, Stage};
use ravelin_cluster::{Demo, Who};
use ravelin_host::{Endpoint, Flaw, Flaws};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

const SERVICES: &str = "/api/v1/namespaces/ravelin/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/tenant/endpointslices";

/// A service in front of the pods that serve, with more in its `spec`.
fn service(name: &str, spec: Value) -> Value {
    let mut service = json!({"metadata": {"name": name}, "spec": {"selector": {"app": "echo"}}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        service["spec"][field] = value.clone();
    }
    service
}

/// Does what a node's client pod says to the API come to the apiserver?
async fn api_answers(stage: &Stage, node: usize) -> bool {
    let client = stage.cluster.client(Who::Pod(node)).expect("it runs").expect("there is one");
    client.get("/version").await.is_ok()
}

#[test]
fn an_external_address_claims_the_apiservers_for_nodes_and_pods() {
    // CVE-2020-8554.
    Setting::of(2).play(|stage| {
        Box::pin(async move {
            let thief = stage.serve("thief", "node-2", json!({})).await;
            let api = stage.cluster.apiserver_address();
            let claim =
                json!({"externalIPs": [api.ip()], "ports": [{"port": api.port(), "targetPort": 8080}]});
            stage.create(SERVICES, service("claim", claim)).await;
            stage.endpoints_become("ravelin/claim", &[("thief", true)]).await;
            let client = stage.cluster.pod(Demo::Client, 0).expect("it runs");
            for host in [stage.world.host("node-1"), client.host] {
                let before = thief.served().len();
                assert!(stage.answers(&host, api).await, "plain HTTP is answered where TLS was meant");
                assert_eq!(thief.served().len(), before + 1);
            }
            let before = thief.served().len();
            assert!(!stage.answers(&stage.world.host("user"), api).await, "it is none of a node's");
            assert!(!stage.answers(&stage.world.host("controllers"), api).await);
            assert_eq!(thief.served().len(), before);
            // The service's own address leads where it did: the endpoint is translated once.
            assert!(api_answers(&stage, 0).await);
        })
    });
}

#[test]
fn a_host_port_takes_the_service_address_only_before_services() {
    // CVE-2019-9946.
    for flawed in [false, true] {
        let mut setting = Setting::of(2);
        setting.flaws = Flaws::danger(flawed.then_some(Flaw::HostPortsBeforeServices));
        setting.play(move |stage| {
            Box::pin(async move {
                let ports = json!({"containers": [{"name": "main", "image": "ravelin.test/http",
                                                   "ports": [{"containerPort": 8080, "hostPort": 443}]}]});
                let thief = stage.serve("thief", "node-2", ports).await;
                let own = SocketAddr::new(stage.node(1), 443);
                assert!(
                    stage.answers(&stage.world.host("user"), own).await,
                    "the node's own port is the pod's"
                );
                assert_eq!(thief.served().len(), 1);
                assert!(api_answers(&stage, 0).await, "another node's pods");
                assert_eq!(api_answers(&stage, 1).await, !flawed);
                let client = stage.cluster.pod(Demo::Client, 1).expect("it runs").host;
                let kubernetes = stage.get("/api/v1/namespaces/default/services/kubernetes").await;
                let address: Option<IpAddr> =
                    kubernetes["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse().ok());
                let to = SocketAddr::new(address.expect("it has one"), 443);
                assert_eq!(stage.answers(&client, to).await, flawed);
                assert_eq!(thief.served().len(), if flawed { 2 } else { 1 });
            })
        });
    }
}

#[test]
fn endpoints_may_name_pods_of_another_namespace_and_services_only_their_own_slices() {
    // CVE-2021-25740.
    Setting::of(1).play(|stage| {
        Box::pin(async move {
            let victim = stage.serve("victim", "node-1", json!({})).await;
            let foreign = json!({"metadata": {"name": "foreign"}, "spec": {"ports": [{"port": 80}]}});
            let made = stage.create("/api/v1/namespaces/tenant/services", foreign).await;
            let slice = |service: &str, address: &str| {
                json!({
                    "metadata": {"name": service, "labels": {"kubernetes.io/service-name": service}},
                    "addressType": "IPv4", "endpoints": [{"addresses": [address]}],
                    "ports": [{"name": "", "port": 8080}],
                })
            };
            let address = stage.address("victim").await;
            stage.create(SLICES, slice("foreign", &address)).await;
            // A slice for a service of another namespace is nobody's.
            stage.create(SLICES, slice("web", &address)).await;
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            let to: IpAddr =
                made["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse().ok()).expect("it has one");
            let host = stage.world.host("node-1");
            assert!(stage.answers(&host, SocketAddr::new(to, 80)).await);
            assert_eq!(victim.served().len(), 1);
            let web = stage.get("/api/v1/namespaces/ravelin/services/web").await;
            let web: IpAddr =
                web["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse().ok()).expect("it has one");
            for _ in 0..8 {
                assert!(stage.answers(&host, SocketAddr::new(web, 80)).await);
            }
            assert_eq!(victim.served().len(), 1);
            let refused = stage.cluster.operator().create(SLICES, &slice("loop", "127.0.0.1")).await;
            assert_eq!(refused.expect_err("it is the node's own").code(), Some(422));
        })
    });
}

#[test]
fn a_pods_service_named_kubernetes_is_what_its_namespaces_environment_names() {
    Setting::of(1).play(|stage| {
        Box::pin(async move {
            let own = json!({"ports": [{"port": 443, "targetPort": 8080}]});
            let made = stage.create(SERVICES, service("kubernetes", own)).await;
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            let ledger = stage.serve("thief", "node-1", json!({})).await;
            let late = json!({"metadata": {"name": "late"}, "spec": {
                "serviceAccountName": "probe",
                "containers": [{"name": "main", "image": "ravelin.test/apiclient"}]}});
            stage.create("/api/v1/namespaces/ravelin/pods", late).await;
            let path = "/api/v1/namespaces/ravelin/pods/late";
            stage.until("it runs", async || stage.get(path).await["status"]["phase"] == "Running").await;
            tokio::time::sleep(std::time::Duration::from_secs(10)).await;
            // It asks there, in TLS, and is answered by nobody whom it believes.
            let uid = stage.get(path).await["metadata"]["uid"].as_str().expect("it has one").to_owned();
            let lines = stage.cluster.ledgers().remove(&uid).expect("it runs").log_lines("main");
            assert!(lines.iter().all(|line| !line.text.starts_with("read")), "{lines:?}");
            assert!(!lines.is_empty() && ledger.served().is_empty());
            let host = stage.world.host("node-1");
            let address = made["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse::<IpAddr>().ok());
            assert!(host.connect(&Endpoint::tcp(address.expect("it has one"), 443)).await.is_ok());
        })
    });
}
