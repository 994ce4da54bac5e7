//! Authorities that are replaced: old and new are trusted side by side, then only the new.

use super::stage::{CSRS, Cast, Pace, Stage, anchors, play};
use ravelin_host::Flaws;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Kubernetes' "Manual Rotation of CA Certificates", in short: both are trusted, the new one signs,
/// what the old one signed is replaced, the old one is trusted no more.
#[test]
fn a_node_stays_through_the_rotation_of_the_clients_authority() {
    let cast = Cast { pace: Pace::stretched(), nodes: 1, flaws: Flaws::none() };
    play((11, 100 * HOUR), cast, |mut stage| {
        Box::pin(async move {
            stage.start_kubelet(1).await;
            stage.run_pod(1, "web").await;
            let old = std::sync::Arc::clone(&stage.authority);
            let new = Stage::authority(&stage.world, "kubernetes-2");
            assert_eq!(stage.client_certificate(1).expect("it has one").issuer, "CN=kubernetes");

            stage.api.set_client_ca(anchors(&[&old, &new]));
            let root = anchors(&[&old, &new]).to_pem();
            stage.start_controllers(&new, &root);
            stage.authority = std::sync::Arc::clone(&new);
            // The node's bundle is read at a restart, which keeps its certificate.
            stage.trust = anchors(&[&old, &new]);
            stage.start_kubelet(1).await;
            tokio::time::sleep(HOUR / 60).await;
            assert_eq!(stage.client_certificate(1).expect("it has one").issuer, "CN=kubernetes");
            assert!(stage.is_kubelet_known(1).await, "the old certificate is still good");
            tokio::time::sleep(25 * HOUR).await;
            assert_eq!(stage.client_certificate(1).expect("it has one").issuer, "CN=kubernetes-2");
            assert!(stage.is_endpoint_good(1, &new).await, "its endpoint's certificate was replaced too");

            stage.api.set_client_ca(anchors(&[&new]));
            stage.start_controllers(&new, &anchors(&[&new]).to_pem());
            tokio::time::sleep(2 * HOUR).await;
            assert!(stage.is_kubelet_known(1).await);
            assert_eq!(stage.ready(1), "True");
            assert_eq!(stage.taints(1), Vec::<String>::new());
            // Requests do not pile up.
            assert_eq!(stage.api.store().list(CSRS, None).0.len(), 0, "all of them were cleaned up");
        })
    });
}

/// What the old authority signed alone is lost once it is trusted no more: the test above can fail.
#[test]
fn a_node_that_does_not_rotate_is_lost_with_its_authority() {
    let cast = Cast { pace: Pace::stretched(), nodes: 1, flaws: Flaws::none() };
    play((12, 100 * HOUR), cast, |mut stage| {
        Box::pin(async move {
            stage.start_kubelet_with(1, |config| config.rotate_certificates = false).await;
            stage.until("it is ready", 60, |stage| stage.ready(1) == "True").await;
            let (old, new) = (std::sync::Arc::clone(&stage.authority), Stage::authority(&stage.world, "new"));
            stage.api.set_client_ca(anchors(&[&old, &new]));
            stage.start_controllers(&new, &anchors(&[&old, &new]).to_pem());
            tokio::time::sleep(23 * HOUR).await;
            assert_eq!(stage.client_certificate(1).expect("it has one").issuer, "CN=kubernetes");
            assert_eq!(stage.ready(1), "True");
            stage.api.set_client_ca(anchors(&[&new]));
            assert!(!stage.is_kubelet_known(1).await);
            tokio::time::sleep(5 * HOUR).await;
            assert_eq!(stage.ready(1), "Unknown");
        })
    });
}

#[test]
fn nodes_and_pods_stay_through_the_rotation_of_the_apiservers_authority() {
    let cast = Cast { pace: Pace::usual(), nodes: 1, flaws: Flaws::none() };
    play((13, 100 * HOUR), cast, |mut stage| {
        Box::pin(async move {
            stage.start_kubelet(1).await;
            stage.run_pod(1, "web").await;
            let old = std::sync::Arc::clone(&stage.authority);
            let new = Stage::authority(&stage.world, "kubernetes-2");
            // Both are in the nodes' kubeconfigs, which are read at a restart, and in every
            // namespace's `kube-root-ca.crt`.
            let both = anchors(&[&old, &new]);
            stage.trust = both.clone();
            stage.start_kubelet(1).await;
            stage.start_controllers(&old, &both.to_pem());
            let root = |stage: &Stage| {
                let map = stage.object("configmaps", "default", "kube-root-ca.crt").unwrap_or_default();
                map["data"]["ca.crt"].as_str().unwrap_or_default().to_owned()
            };
            stage.until("the roots are published", 60, |stage| root(stage) == both.to_pem()).await;
            stage.until("the pod runs again", 60, |stage| stage.is_pod_ready("web")).await;
            tokio::time::sleep(2 * HOUR).await;
            assert_eq!(stage.pod_file(1, ("web", "ca.crt")), both.to_pem(), "pods get both roots");

            stage.api.tls().set_identity(&Stage::serving(&stage.world, &new));
            tokio::time::sleep(HOUR).await;
            assert!(stage.is_kubelet_known(1).await);
            assert!(stage.is_token_good(1, "web").await);
            assert_eq!(stage.ready(1), "True");
        })
    });
}
