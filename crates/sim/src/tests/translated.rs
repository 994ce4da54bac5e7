//! What nodes translate: connections of their own and their pods', and those that arrive.

use super::*;
use ravelin_host::{Flaw, Flaws, Otherwise, PortMap, Scope};

const NODE_PORT: &str = "10.0.1.1:30080";

/// The source that the only connection so far showed.
fn source(peers: &Arc<Mutex<Vec<Endpoint>>>) -> IpAddr {
    let mut peers = peers.lock().unwrap();
    assert_eq!(peers.len(), 1);
    peers.pop().and_then(|peer| peer.socket_addr()).unwrap().ip()
}

async fn talks(world: &World, from: &str, to: &str) -> bool {
    let Ok(mut connection) = connect(world, from, to).await else { return false };
    assert_eq!(connection.peer, at(to).into());
    say(&mut connection, "hello").await.unwrap() == "hello"
}

#[test]
fn a_node_port_is_forwarded_to_other_nodes_under_the_nodes_address() {
    play(config(4), |world| {
        Box::pin(async move {
            let near = echo(&world, "pod-1", "10.244.1.2:80").await;
            let far = echo(&world, "pod-2", "10.244.2.2:80").await;
            let cluster =
                |to: &str| Redirect { masquerade: true, ..Redirect::new(at(NODE_PORT), vec![at(to)]) };
            world.host("node-1").set_redirects(vec![cluster("10.244.2.2:80")]);
            for from in ["user", "node-2", "pod-1", "attacker", "node-1"] {
                assert!(talks(&world, from, NODE_PORT).await, "{from}");
                // To its own pod's node it would be a loop of packets, were it not rewritten.
                assert_eq!(source(&far), ip("10.0.1.1"), "{from}");
            }
            assert!(talks(&world, "pod-2", NODE_PORT).await, "there and back again");
            source(&far);
            world.host("node-1").set_redirects(vec![cluster("10.244.1.2:80")]);
            assert!(talks(&world, "user", NODE_PORT).await);
            assert_eq!(source(&near), ip("10.0.1.1"));
            let refused = connect(&world, "user", "10.0.1.1:30081").await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused, "another port is the node's own");
        })
    });
}

#[test]
fn a_local_policy_keeps_the_clients_address_and_drops_without_an_endpoint() {
    play(config(5), |world| {
        Box::pin(async move {
            let near = echo(&world, "pod-1", "10.244.1.2:80").await;
            let far = echo(&world, "pod-2", "10.244.2.2:80").await;
            let arriving = |to: Vec<SocketAddr>| Redirect {
                scope: Scope::Arriving,
                otherwise: Otherwise::Drop,
                ..Redirect::new(at(NODE_PORT), to)
            };
            let opened = Redirect {
                scope: Scope::Opened,
                masquerade: true,
                ..Redirect::new(at(NODE_PORT), vec![at("10.244.2.2:80")])
            };
            let node = world.host("node-1");
            node.set_redirects(vec![opened.clone(), arriving(vec![at("10.244.1.2:80")])]);
            assert!(talks(&world, "user", NODE_PORT).await);
            assert_eq!(source(&near), ip("10.9.0.1"));
            assert!(talks(&world, "pod-1", NODE_PORT).await);
            assert_eq!(source(&far), ip("10.0.1.1"), "its own pods reach every endpoint");
            node.set_redirects(vec![opened, arriving(vec![])]);
            let lost = connect(&world, "user", NODE_PORT).await.unwrap_err();
            assert_eq!(lost.kind(), io::ErrorKind::TimedOut);
        })
    });
}

#[test]
fn whoever_claims_the_apiservers_address_gets_the_nodes_and_pods_connections() {
    // CVE-2020-8554: on a node whose proxy believes a service with this external address.
    play(config(6), |world| {
        Box::pin(async move {
            let genuine = echo(&world, "control-plane", APISERVER).await;
            let claimed = echo(&world, "pod-2", "10.244.2.2:6443").await;
            let table = vec![Redirect {
                masquerade: true,
                ..Redirect::new(at(APISERVER), vec![at("10.244.2.2:6443")])
            }];
            world.host("node-1").set_redirects(table);
            for from in ["node-1", "pod-1"] {
                assert!(talks(&world, from, APISERVER).await);
                assert_eq!(source(&claimed), ip("10.0.1.1"), "{from}");
            }
            for from in ["node-2", "user", "controllers"] {
                assert!(talks(&world, from, APISERVER).await);
                source(&genuine);
            }
        })
    });
}

#[test]
fn ports_of_pods_stand_on_their_node_behind_services_unless_flawed() {
    for flawed in [false, true] {
        let mut config = config(7);
        config.flaws = Flaws::danger(flawed.then_some(Flaw::HostPortsBeforeServices));
        play(config, move |world| {
            Box::pin(async move {
                let genuine = echo(&world, "control-plane", APISERVER).await;
                let pod = echo(&world, "pod-1", "10.244.1.2:8443").await;
                let node = world.host("node-1");
                node.set_redirects(vec![Redirect::new(at("10.96.0.1:443"), vec![at(APISERVER)])]);
                node.set_port_maps(vec![PortMap { address: None, port: 443, to: at("10.244.1.2:8443") }]);
                for from in ["user", "node-2", "node-1"] {
                    assert!(talks(&world, from, "10.0.1.1:443").await, "{from}");
                }
                assert!(connect(&world, "user", "10.0.1.2:443").await.is_err(), "another node");
                pod.lock().unwrap().clear();
                assert!(talks(&world, "node-1", "10.96.0.1:443").await);
                source(if flawed { &pod } else { &genuine });
            })
        });
    }
}

#[test]
fn a_connection_stays_with_its_endpoint_when_the_table_changes() {
    play(config(8), |world| {
        Box::pin(async move {
            let first = echo(&world, "pod-1", "10.244.1.2:80").await;
            let second = echo(&world, "pod-2", "10.244.2.2:80").await;
            let node = world.host("node-1");
            let service = "10.96.0.2:80";
            node.set_redirects(vec![Redirect::new(at(service), vec![at("10.244.1.2:80")])]);
            let mut open = connect(&world, "node-1", service).await.unwrap();
            assert_eq!(say(&mut open, "one").await.unwrap(), "one");
            node.set_redirects(vec![Redirect::new(at(service), vec![at("10.244.2.2:80")])]);
            assert_eq!(say(&mut open, "two").await.unwrap(), "two");
            assert!(talks(&world, "node-1", service).await);
            node.set_redirects(vec![]);
            assert_eq!(say(&mut open, "three").await.unwrap(), "three");
            assert_eq!((first.lock().unwrap().len(), second.lock().unwrap().len()), (1, 1));
        })
    });
}
