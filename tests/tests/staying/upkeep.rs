//! What the controllers keep in order besides nodes: namespaces, Secrets of tokens, what is owned.

use super::stage::{Cast, Pace, Stage, play};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_api::object;
use ravelin_client::{Client, ClientConfig, Credential, ServerTrust, TokenSource};
use ravelin_host::Flaws;
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn cast() -> Cast {
    Cast { pace: Pace::usual(), nodes: 1, flaws: Flaws::none() }
}

async fn create(stage: &Stage, path: &str, object: Value) -> Value {
    let created = stage.operator().create(path, &object).await;
    created.unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn a_deleted_namespace_goes_with_all_that_it_holds() {
    play((31, HOUR), cast(), |mut stage| {
        Box::pin(async move {
            stage.start_kubelet(1).await;
            let namespace =
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team" } });
            create(&stage, "/api/v1/namespaces", namespace).await;
            let account = |stage: &Stage| stage.object("serviceaccounts", "team", "default").is_some();
            let root = |stage: &Stage| stage.object("configmaps", "team", "kube-root-ca.crt").is_some();
            stage.until("it has what every namespace has", 30, |stage| account(stage) && root(stage)).await;
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": "team" },
                "spec": { "nodeName": "node-1", "containers": [{ "name": "c", "image": "ravelin.test/http" }] },
            });
            create(&stage, "/api/v1/namespaces/team/pods", pod).await;
            let runs = |stage: &Stage| {
                object::has_condition(&stage.object("pods", "team", "web").unwrap_or_default(), "Ready")
            };
            stage.until("the pod runs", 60, runs).await;
            stage.operator().delete("/api/v1/namespaces/team").await.expect("it is there");
            stage.until("it is gone", 120, |stage| stage.object("namespaces", "", "team").is_none()).await;
            for (resource, name) in
                [("pods", "web"), ("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")]
            {
                assert!(stage.object(resource, "team", name).is_none(), "{resource} {name}");
            }
        })
    });
}

#[test]
fn a_secret_is_given_its_accounts_token_as_long_as_the_account_is_there() {
    play((32, HOUR), cast(), |stage| {
        Box::pin(async move {
            let account =
                json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "robot" } });
            create(&stage, "/api/v1/namespaces/default/serviceaccounts", account).await;
            let secret = |name: &str, account: &str| {
                json!({
                    "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
                    "metadata": {
                        "name": name, "annotations": { "kubernetes.io/service-account.name": account },
                    },
                })
            };
            let path = "/api/v1/namespaces/default/secrets";
            create(&stage, path, secret("robot-token", "robot")).await;
            let token = |stage: &Stage| {
                let secret = stage.object("secrets", "default", "robot-token").unwrap_or_default();
                secret["data"]["token"].as_str().unwrap_or_default().to_owned()
            };
            stage.until("the token is there", 30, |stage| !token(stage).is_empty()).await;
            let token = String::from_utf8(STANDARD.decode(token(&stage)).expect("it is base64"));
            let token = token.expect("it is text");
            let asking = |token: String| {
                let admin = stage.operator().config().clone();
                let credential = Credential::Token(TokenSource::fixed(token));
                let config = ClientConfig { credential, trust: ServerTrust::DangerAny, ..admin };
                Client::new(stage.world.host("operator"), config)
            };
            let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
            let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
            let said = asking(token.clone()).create(path, &review).await.expect("it is a good token");
            assert_eq!(said["status"]["userInfo"]["username"], "system:serviceaccount:default:robot");

            stage
                .operator()
                .delete("/api/v1/namespaces/default/serviceaccounts/robot")
                .await
                .expect("it is there");
            let gone = |stage: &Stage| stage.object("secrets", "default", "robot-token").is_none();
            stage.until("its token goes with it", 30, gone).await;
            tokio::time::sleep(Duration::from_secs(11)).await;
            assert_eq!(asking(token).create(path, &review).await.expect_err("it is over").code(), Some(401));
        })
    });
}

#[test]
fn an_expired_bootstrap_token_is_deleted() {
    play((33, HOUR), cast(), |stage| {
        Box::pin(async move {
            let ends = ravelin_api::time::format(stage.now() + jiff::SignedDuration::from_mins(10));
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
                "metadata": { "name": "bootstrap-token-short1" },
                "stringData": {
                    "token-id": "short1", "token-secret": "0123456789abcdef", "expiration": ends,
                    "usage-bootstrap-authentication": "true",
                },
            });
            create(&stage, "/api/v1/namespaces/kube-system/secrets", secret).await;
            let there =
                |stage: &Stage| stage.object("secrets", "kube-system", "bootstrap-token-short1").is_some();
            tokio::time::sleep(Duration::from_secs(595)).await;
            assert!(there(&stage));
            tokio::time::sleep(Duration::from_secs(15)).await;
            assert!(!there(&stage));
            assert!(
                stage.object("secrets", "kube-system", "bootstrap-token-abcdef").is_some(),
                "without an end"
            );
        })
    });
}

#[test]
fn what_has_an_owner_left_stays() {
    play((34, HOUR), cast(), |stage| {
        Box::pin(async move {
            let map = |name: &str, owners: &[&Value]| {
                let owners = owners.iter().map(|owner| {
                    json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": object::name(owner), "uid": object::uid(owner) })
                });
                json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": { "name": name, "ownerReferences": owners.collect::<Vec<_>>() },
                })
            };
            let path = "/api/v1/namespaces/default/configmaps";
            let first = create(&stage, path, map("first", &[])).await;
            let second = create(&stage, path, map("second", &[])).await;
            create(&stage, path, map("of-both", &[&first, &second])).await;
            create(&stage, path, map("of-second", &[&second])).await;
            let mut renamed = first.clone();
            renamed["metadata"]["uid"] = json!("another-uid");
            create(&stage, path, map("of-another", &[&renamed])).await;
            let there = |stage: &Stage, name: &str| stage.object("configmaps", "default", name).is_some();
            stage.until("an owner is one object, not a name", 30, |stage| !there(stage, "of-another")).await;
            stage.operator().delete(&format!("{path}/first")).await.expect("it is there");
            tokio::time::sleep(Duration::from_secs(10)).await;
            let both = stage.object("configmaps", "default", "of-both").expect("one owner is left");
            assert_eq!(object::list(&both, "metadata.ownerReferences").len(), 1);
            stage.operator().delete(&format!("{path}/second")).await.expect("it is there");
            stage
                .until("the last owner is gone", 30, |stage| {
                    !there(stage, "of-both") && !there(stage, "of-second")
                })
                .await;
        })
    });
}
