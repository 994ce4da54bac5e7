//! Nodes that fall silent, come back, are deleted, or name an owner.

use super::stage::{Cast, NODES, Pace, play};
use ravelin_client::PatchKind;
use ravelin_host::{Flaw, Flaws};
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn cast(nodes: u8) -> Cast {
    Cast { pace: Pace::usual(), nodes, flaws: Flaws::none() }
}

#[test]
fn a_silent_node_is_unknown_and_tainted_until_it_speaks_again() {
    play((1, HOUR), cast(2), |mut stage| {
        Box::pin(async move {
            for node in [1, 2] {
                stage.start_kubelet(node).await;
            }
            stage
                .until("both are ready", 60, |stage| stage.ready(1) == "True" && stage.ready(2) == "True")
                .await;
            stage.run_pod(1, "web").await;
            tokio::time::sleep(Duration::from_secs(30)).await;
            stage.world.faults().isolate("node-1");
            tokio::time::sleep(Duration::from_secs(35)).await;
            assert_eq!(stage.ready(1), "True", "the grace period is not over");
            tokio::time::sleep(Duration::from_secs(20)).await;
            assert_eq!((stage.ready(1).as_str(), stage.ready(2).as_str()), ("Unknown", "True"));
            let node = stage.node(1).expect("it is there");
            let ready = ravelin_api::object::list(&node, "status.conditions");
            let ready = ready.iter().find(|condition| condition["type"] == "Ready").expect("it has one");
            assert_eq!(ready["reason"], "NodeStatusUnknown");
            assert_eq!(ready["message"], "Kubelet stopped posting node status.");
            let unreachable =
                ["NoSchedule", "NoExecute"].map(|e| format!("node.kubernetes.io/unreachable:{e}"));
            assert_eq!(stage.taints(1), unreachable);
            assert!(!stage.is_pod_ready("web"), "pods of a silent node are not ready");
            assert_eq!(stage.taints(2), Vec::<String>::new());
            // New pods go elsewhere.
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "new", "namespace": "default" },
                "spec": { "containers": [{ "name": "c", "image": "ravelin.test/http" }] },
            });
            stage.operator().create("/api/v1/namespaces/default/pods", &pod).await.expect("it is good");
            stage.until("the new pod runs", 30, |stage| stage.is_pod_ready("new")).await;
            let new = stage.object("pods", "default", "new").expect("it is there");
            assert_eq!(new["spec"]["nodeName"], "node-2");

            stage.world.faults().heal();
            stage
                .until("it is ready again", 120, |stage| {
                    stage.ready(1) == "True" && stage.taints(1).is_empty() && stage.is_pod_ready("web")
                })
                .await;
        })
    });
}

#[test]
fn the_pods_of_a_deleted_node_are_deleted() {
    play((2, HOUR), cast(1), |mut stage| {
        Box::pin(async move {
            stage.start_kubelet(1).await;
            stage.run_pod(1, "web").await;
            stage.kubelets.clear();
            stage.operator().delete("/api/v1/nodes/node-1").await.expect("it is there");
            let lease = |stage: &super::stage::Stage| {
                stage.object("leases.coordination.k8s.io", "kube-node-lease", "node-1")
            };
            stage.until("its lease goes with it", 30, |stage| lease(stage).is_none()).await;
            assert!(stage.object("pods", "default", "web").is_some(), "the quarantine is not over");
            stage.until("its pods go", 60, |stage| stage.object("pods", "default", "web").is_none()).await;
        })
    });
}

/// CVE-2025-5187: a node that may write an owner reference into itself is deleted, and may come back
/// with other taints.
#[test]
fn a_node_that_names_an_owner_is_refused_or_deleted() {
    for flawed in [false, true] {
        let flaws = Flaws::danger(flawed.then_some(Flaw::ApiserverIgnoresNodeRestriction));
        let cast = Cast { pace: Pace::usual(), nodes: 1, flaws };
        play((3, HOUR), cast, move |mut stage| {
            Box::pin(async move {
                stage.start_kubelet(1).await;
                stage.until("it is ready", 60, |stage| stage.ready(1) == "True").await;
                let uid = ravelin_api::object::uid(&stage.node(1).expect("it is there")).to_owned();
                let config = stage.kubelets[&1].kubelet.client_config().expect("it has joined");
                let node = ravelin_client::Client::new(stage.world.host("node-1"), config);
                let owner =
                    json!({ "apiVersion": "v1", "kind": "Node", "name": "nobody", "uid": "no-such-uid" });
                let patch = json!({ "metadata": { "ownerReferences": [owner] } });
                let patched = node.patch("/api/v1/nodes/node-1", PatchKind::Merge, &patch).await;
                if !flawed {
                    assert_eq!(patched.expect_err("it may not").code(), Some(403));
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    assert_eq!(ravelin_api::object::uid(&stage.node(1).expect("it is there")), uid);
                    return;
                }
                patched.expect("nothing restricts it");
                stage.until("it is deleted", 30, |stage| stage.node(1).is_none()).await;
                // A restart registers it anew.
                stage.start_kubelet(1).await;
                stage.until("it is back", 60, |stage| stage.ready(1) == "True").await;
                assert_ne!(ravelin_api::object::uid(&stage.node(1).expect("it is there")), uid);
                assert_eq!(stage.api.store().list(NODES, None).0.len(), 1);
            })
        });
    }
}
