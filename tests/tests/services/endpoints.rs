//! Endpoints that come and go, as connections through the service see it.

use super::stage::{Setting, ask};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

const SERVICES: &str = "/api/v1/namespaces/ravelin/services";

#[test]
fn open_connections_stay_with_an_endpoint_that_ends_and_new_ones_go_elsewhere() {
    Setting::of(2).play(|stage| {
        Box::pin(async move {
            let slow = json!({"containers": [{
                "name": "main", "image": "ravelin.test/http",
                "ports": [{"name": "http", "containerPort": 8080}],
                "lifecycle": {"preStop": {"sleep": {"seconds": 20}}},
            }]});
            let first = stage.serve("first", "node-1", slow).await;
            let service = stage
                .create(
                    SERVICES,
                    json!({"metadata": {"name": "echo"}, "spec": {
                        "type": "NodePort", "selector": {"app": "echo"},
                        "ports": [{"port": 80, "targetPort": "http"}],
                    }}),
                )
                .await;
            let port = service["spec"]["ports"][0]["nodePort"].as_u64().expect("it was given one");
            let port = u16::try_from(port).expect("it is a port");
            stage.endpoints_become("ravelin/echo", &[("first", true)]).await;
            let user = stage.world.host("user");
            // By way of the node that the pod is not on.
            let to = SocketAddr::new(stage.node(1), port);
            let mut open = stage.dial(&user, to).await.expect("there is an endpoint");
            assert!(ask(&mut open).await);
            assert_eq!(first.served().len(), 1);

            let second = stage.serve("second", "node-2", json!({})).await;
            stage.endpoints_become("ravelin/echo", &[("first", true), ("second", true)]).await;
            let deleting = "/api/v1/namespaces/ravelin/pods/first";
            stage.cluster.operator().delete(deleting).await.expect("it is there");
            stage.endpoints_become("ravelin/echo", &[("first", false), ("second", true)]).await;
            for _ in 0..8 {
                assert!(stage.answers(&user, to).await);
            }
            assert_eq!((first.served().len(), second.served().len()), (1, 8), "none new to what ends");
            assert!(ask(&mut open).await, "what is open is served to its end");
            assert_eq!(first.served().len(), 2);

            stage.endpoints_become("ravelin/echo", &[("second", true)]).await;
            assert!(!ask(&mut open).await, "its endpoint is gone, and it moves to no other");
            assert!(stage.answers(&user, to).await);
            let gone = "/api/v1/namespaces/ravelin/pods/second?gracePeriodSeconds=0";
            stage.cluster.operator().delete(gone).await.expect("it is there");
            stage.endpoints_become("ravelin/echo", &[]).await;
            let refused = stage.dial(&user, to).await.expect_err("there is no endpoint");
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        })
    });
}

#[test]
fn a_client_that_is_remembered_comes_to_the_same_endpoint() {
    Setting::of(2).play(|stage| {
        Box::pin(async move {
            let ledgers = [
                stage.serve("first", "node-1", json!({})).await,
                stage.serve("second", "node-2", json!({})).await,
            ];
            let create = async |name: &str, affinity: &str| {
                let spec = json!({"selector": {"app": "echo"}, "sessionAffinity": affinity,
                                  "ports": [{"port": 80, "targetPort": 8080}]});
                let made = stage.create(SERVICES, json!({"metadata": {"name": name}, "spec": spec})).await;
                stage
                    .endpoints_become(&format!("ravelin/{name}"), &[("first", true), ("second", true)])
                    .await;
                let address = made["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse().ok());
                SocketAddr::new(address.expect("it was given one"), 80)
            };
            let (any, same) = (create("any", "None").await, create("same", "ClientIP").await);
            let host = stage.world.host("node-1");
            let mut counts = Vec::new();
            for to in [any, same] {
                let before = [ledgers[0].served().len(), ledgers[1].served().len()];
                for _ in 0..16 {
                    assert!(stage.answers(&host, to).await);
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
                counts.push([0, 1].map(|index: usize| ledgers[index].served().len() - before[index]));
            }
            assert!(counts[0].iter().all(|count| *count > 0), "{counts:?}");
            assert!(counts[1].contains(&16), "{counts:?}");
        })
    });
}
