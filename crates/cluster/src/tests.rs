//! Whole clusters on computers in memory: what is there besides the components.

use crate::{Cluster, Demo, Hosts, Layout, PortAt, Who};
use ravelin_client::{Client, ClientConfig, Credential, TokenSource};
use ravelin_config::{ClusterConfig, SourceFile};
use ravelin_host::Endpoint;
use ravelin_host::memory::Network;
use ravelin_pki::{San, inspect};
use std::time::Duration;

/// The files of a sample, and the cluster that they describe.
fn sample(name: &str) -> ClusterConfig {
    let directory = format!("{}/../../tests/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<SourceFile> = std::fs::read_dir(&directory)
        .expect("the sample is there")
        .map(|entry| entry.expect("the sample can be listed").path())
        .map(|path| SourceFile {
            text: std::fs::read_to_string(&path).expect("the sample can be read"),
            name: path.file_name().expect("it is a file").to_string_lossy().into_owned(),
        })
        .collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    ClusterConfig::read(&files, None).expect("the sample has no mistakes")
}

async fn start(config: &ClusterConfig, layout: Layout) -> Cluster {
    let network = Network::new();
    let address = |name: &str| {
        let lan = [&layout.control_plane, &layout.controllers, &layout.operator, &layout.user];
        let nodes = layout.nodes.iter().map(|node| &node.machine);
        lan.into_iter().chain(nodes).find(|place| place.name == name).expect("it is laid out").address
    };
    let hosts = Hosts::of(&layout, |name| network.host(name, address(name)));
    for node in &layout.nodes {
        for pod in &node.pods {
            network.host(&format!("pod-{pod}"), *pod);
        }
    }
    Cluster::start(config, layout.clone(), hosts, Duration::from_secs(120)).await
}

/// The SANs and the common name of a certificate.
fn names(identity: &ravelin_pki::Identity) -> (String, Vec<San>) {
    let seen = inspect(&identity.chain[0]).expect("it is a certificate");
    (seen.subject.common_name, seen.sans)
}

/// The answer's status to a GET as somebody.
async fn status(cluster: &Cluster, credential: Credential, path: &str) -> u16 {
    let base = cluster.facts.user.clone();
    let client = Client::new(cluster.hosts.user.clone(), ClientConfig { credential, ..base });
    client.get(path).await.map_or_else(|error| error.code().expect("it answered"), |_| 200)
}

#[tokio::test(start_paused = true)]
async fn the_rogue_node_holds_its_own_credentials_and_no_probe() {
    for (name, kubelets_are_certified) in
        [("kubeadm-default", false), ("kubeadm-verified", true), ("legacy-ssh-tunnels", false)]
    {
        let config = sample(name);
        let layout = Layout::new(&config, 3).expect("three nodes have room").with_rogue();
        assert_eq!((layout.rogue(), layout.honest()), (Some(2), vec![0, 1]));
        let cluster = start(&config, layout).await;
        assert!(cluster.is_ready(), "{name}");
        // A serving certificate that is asked for comes a little later than the rest.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let rogue = cluster.rogue().unwrap_or_else(|why| panic!("{name}: {why}"));
        let tenant = cluster.tenant().expect("it has one");
        assert_eq!((rogue.node.as_str(), tenant.node.as_str()), ("node-3", "node-3"));
        assert!(Demo::ALL.iter().all(|demo| cluster.pod(*demo, 2).is_err()), "{name}");
        assert!(Demo::ALL.iter().all(|demo| cluster.pod(*demo, 1).is_ok()), "{name}");
        // What it holds is good, and good for itself alone.
        assert_eq!(names(&rogue.client).0, "system:node:node-3");
        assert!(rogue.serving.is_some(), "{name}");
        assert_eq!(rogue.former_serving.is_some(), kubelets_are_certified, "{name}");
        if let Some(former) = &rogue.former_serving {
            let first = San::Ip(cluster.layout().members()[0].machine.address);
            let (subject, sans) = names(former);
            assert_eq!(subject, "system:node:node-3");
            assert!(sans.contains(&first), "{sans:?}");
        }
        let own = "/api/v1/nodes/node-3";
        assert_eq!(status(&cluster, Credential::Certificate(rogue.client.clone()), own).await, 200);
        assert_eq!(rogue.tokens[0], tenant.token);
        assert_eq!(rogue.tokens.len() + usize::from(rogue.proxy.is_some()), 2, "{name}");
        for token in &rogue.tokens {
            let credential = || Credential::Token(TokenSource::fixed(token.clone()));
            assert_eq!(status(&cluster, credential(), "/version").await, 200, "{name}");
            assert_eq!(status(&cluster, credential(), "/api/v1/secrets").await, 403, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_rogue_every_node_is_honest_and_the_last_has_the_tenant() {
    let config = sample("kubeadm-default");
    let alone = Layout::new(&config, 1).expect("one node has room").with_rogue();
    assert_eq!((alone.rogue(), alone.honest()), (None, vec![0]), "a cluster of rogues has nobody to attack");
    let cluster = start(&config, Layout::new(&config, 2).expect("two nodes have room")).await;
    assert!(cluster.is_ready());
    assert!(cluster.rogue().is_err());
    assert!((0..2).all(|node| Demo::ALL.iter().all(|demo| cluster.pod(*demo, node).is_ok())));
    assert_eq!(cluster.tenant().expect("it has one").node, "node-2");
}

#[tokio::test(start_paused = true)]
async fn ports_answer_where_the_configuration_has_them() {
    let config = sample("legacy-ssh-tunnels");
    let layout = Layout::new(&config, 2).expect("two nodes have room").with_rogue();
    let cluster = start(&config, layout).await;
    let dial = async |port: PortAt| cluster.hosts.user.connect(&Endpoint::Tcp(port.address)).await.is_ok();
    let ports = cluster.component_ports();
    let numbers: Vec<_> = ports.iter().map(|port| (port.address.port(), port.tls)).collect();
    assert_eq!(numbers, [(10257, true), (10252, false), (10259, true), (10251, false)]);
    for port in ports.into_iter().chain(cluster.read_only_ports()).chain([cluster.insecure_port()]) {
        assert!(dial(port.clone()).await, "{port:?}");
    }
    let read_only: Vec<_> = cluster.read_only_ports().into_iter().map(|port| port.name).collect();
    assert_eq!(read_only, ["kubelet on node-1"], "the rogue's is nobody's to attack");

    let modern = sample("kubeadm-default");
    let cluster = start(&modern, Layout::new(&modern, 1).expect("one node has room")).await;
    let dial = async |port: PortAt| cluster.hosts.user.connect(&Endpoint::Tcp(port.address)).await.is_ok();
    for port in cluster.component_ports() {
        assert_eq!(dial(port.clone()).await, port.tls, "{port:?}");
    }
    assert!(!dial(cluster.insecure_port()).await && !dial(cluster.read_only_ports().remove(0)).await);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_restarted_while_it_runs_works_again() {
    let config = sample("kubeadm-default");
    let cluster = start(&config, Layout::new(&config, 2).expect("two nodes have room")).await;
    for _ in 0..2 {
        cluster.restart_node(1).await;
        assert!(cluster.client(Who::Node(1)).is_err(), "it has just started");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(cluster.client(Who::Node(1)).is_ok());
        for demo in Demo::ALL {
            cluster.pod(demo, 1).unwrap_or_else(|why| panic!("{why}"));
        }
    }
}
