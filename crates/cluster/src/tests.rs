//! Whole clusters on computers in memory: what is there besides the components.

mod konnectivity;

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
        let lan = [&layout.controllers, &layout.operator, &layout.user];
        let nodes = layout.nodes.iter().map(|node| &node.machine);
        layout
            .control_planes()
            .chain(lan)
            .chain(nodes)
            .find(|place| place.name == name)
            .expect("it is laid out")
            .address
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
        // A bootstrap token of the apiserver's token file does not expire, and stays where it was.
        let bootstrap = usize::from(name == "legacy-ssh-tunnels");
        assert_eq!(rogue.tokens.len() + usize::from(rogue.proxy.is_some()), 2 + bootstrap, "{name}");
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

#[tokio::test(start_paused = true)]
async fn every_node_has_secrets_of_its_own_that_the_rogue_cannot_read() {
    let config = sample("kubeadm-default");
    let layout = Layout::new(&config, 3).expect("three nodes have room").with_rogue();
    let cluster = start(&config, layout).await;
    let rogue = cluster.rogue().expect("it has joined");
    let tenant = cluster.tenant().expect("it has one");
    let node = |credential| Credential::Certificate(credential);
    for index in 0..2 {
        let name = cluster.node_name(index).to_owned();
        for (kind, object) in
            [("secrets", crate::secret_name(&name)), ("configmaps", crate::config_map_name(&name))]
        {
            let key = ravelin_apiserver::Key::namespaced(kind, crate::NAMESPACE, &object);
            assert!(cluster.store().get(&key).expect("it was made")["data"]["canary"].is_string());
            let path = format!("/api/v1/namespaces/{}/{kind}/{object}", crate::NAMESPACE);
            assert_eq!(status(&cluster, node(rogue.client.clone()), &path).await, 403, "{path}");
            let own = cluster.client(Who::Node(index)).expect("it has joined").expect("it has one");
            assert!(own.get(&path).await.is_ok(), "{path}");
        }
    }
    let own = format!("/api/v1/namespaces/tenant/secrets/{}", tenant.secret);
    assert_eq!(status(&cluster, node(rogue.client), &own).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_leaves_a_token_that_opens_nothing() {
    let config = sample("kubeadm-default");
    let layout = || Layout::new(&config, 2).expect("two nodes have room");
    assert_eq!(start(&config, layout()).await.departed(), None);
    let cluster = start(&config, layout().with_departed()).await;
    assert!(cluster.is_ready());
    let departed = cluster.departed().expect("it ran");
    let key = ravelin_apiserver::Key::namespaced("pods", &departed.namespace, &departed.pod);
    assert!(cluster.store().get(&key).is_none());
    let credential = Credential::Token(TokenSource::fixed(departed.token.clone()));
    assert_eq!(status(&cluster, credential, "/version").await, 401);
    assert!(!format!("{departed:?}").contains(&departed.token));
}

#[tokio::test(start_paused = true)]
async fn front_proxies_have_certificates_of_their_own_authority() {
    let cluster = |config: ClusterConfig| async move {
        start(&config, Layout::new(&config, 1).expect("one node has room")).await
    };
    let mut config = sample("kubeadm-default");
    let kubeadm = cluster(config.clone()).await;
    assert!(kubeadm.bootstrap_token().is_some_and(|token| token.contains('.')));
    let (front, other) = (kubeadm.front_proxy().expect("one"), kubeadm.aggregator_like().expect("another"));
    assert_eq!(names(&front).0, "front-proxy-client");
    // They are no client certificates: the authority is another one.
    for identity in [front, other] {
        assert_eq!(status(&kubeadm, Credential::Certificate(identity), "/version").await, 401);
    }
    config.apiserver.request_header.as_mut().expect("kubeadm writes it").allowed_names.clear();
    let any = cluster(config.clone()).await;
    assert!(any.front_proxy().is_some() && any.aggregator_like().is_none());
    config.apiserver.request_header = None;
    let none = cluster(config).await;
    assert!(none.front_proxy().is_none() && none.aggregator_like().is_none());
}

#[tokio::test(start_paused = true)]
async fn several_apiservers_share_what_they_know() {
    let config = sample("kubeadm-default");
    let layout = Layout::new(&config, 1).expect("one node has room").with_apiservers(3);
    let cluster = start(&config, layout).await;
    assert!(cluster.is_ready());
    assert_eq!(cluster.apiserver_count(), 3);
    let base = cluster.facts.user.clone();
    let ask = async |number: usize| {
        let place = cluster.layout().control_planes().nth(number).expect("there are three").address;
        let server = std::net::SocketAddr::new(place, base.server.port());
        let config = ClientConfig { server, server_name: place.to_string(), ..base.clone() };
        Client::new(cluster.hosts.user.clone(), config).get("/api/v1/nodes/node-1").await.is_ok()
    };
    assert!(ask(0).await && ask(1).await && ask(2).await);
    cluster.stop_apiserver(1);
    assert!(ask(0).await && !ask(1).await && cluster.apiserver(1).is_none());
    cluster.start_apiserver(1).await.expect("its port is free");
    assert!(ask(1).await && cluster.apiserver(1).is_some());
}

/// A configuration from these files more, beside kubeadm's sample.
fn with_objects(text: &str) -> ClusterConfig {
    let mut config = sample("kubeadm-default");
    let files = [SourceFile { name: "objects.yaml".into(), text: text.into() }];
    config.manifests = ClusterConfig::read(&files, None).expect("no mistakes").manifests;
    config
}

#[tokio::test(start_paused = true)]
async fn what_the_user_gave_is_there_and_wins_over_what_is_there_by_default() {
    let config = with_objects(
        r#"
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: "system:basic-user", uid: u, resourceVersion: "7"}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:authenticated"}]}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: builder, namespace: ci}}
---
{apiVersion: v1, kind: Service, metadata: {name: front, namespace: ci, resourceVersion: "3"}, spec: {type: NodePort, externalIPs: [203.0.113.7], ports: [{port: 80}], selector: {app: front}}, status: {loadBalancer: {}}}
---
{apiVersion: v1, kind: Service, metadata: {name: kubernetes, namespace: default}, spec: {clusterIP: 10.3.0.1, ports: [{port: 443}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: plain}, data: {a: b}}
---
{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: pending}, spec: {signerName: example.com/own, request: "", usages: [client auth]}}
"#,
    );
    let cluster = start(&config, Layout::new(&config, 1).expect("one node has room")).await;
    assert!(cluster.is_ready());
    let store = cluster.store();
    let get = |kind: &str, namespace: &str, name: &str| {
        store.get(&ravelin_apiserver::Key::namespaced(kind, namespace, name))
    };
    let front = get("services", "ci", "front").expect("it was created");
    assert_eq!(front["spec"]["externalIPs"][0], "203.0.113.7");
    assert!(front["spec"]["clusterIP"].is_string() && front["spec"]["ports"][0]["nodePort"].is_number());
    assert_ne!(get("services", "default", "kubernetes").expect("its own")["spec"]["clusterIP"], "10.3.0.1");
    assert!(get("serviceaccounts", "ci", "builder").is_some() && get("namespaces", "", "ci").is_some());
    assert!(get("configmaps", "default", "plain").is_some());
    assert!(get("certificatesigningrequests.certificates.k8s.io", "", "pending").is_some());
    // Whoever is authenticated may do everything, as the given binding says.
    let tenant = cluster.tenant().expect("it has one").token;
    let credential = Credential::Token(TokenSource::fixed(tenant));
    assert_eq!(status(&cluster, credential, "/api/v1/secrets").await, 200);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_no_key_file_verifies_open_nothing() {
    let mut config = sample("kubeadm-default");
    let accounts = &mut config.apiserver.service_accounts;
    accounts.signed_with = None;
    let cluster = start(&config, Layout::new(&config, 1).expect("one node has room")).await;
    let token = cluster.tenant().expect("it runs").token;
    let credential = Credential::Token(TokenSource::fixed(token));
    assert_eq!(status(&cluster, credential, "/version").await, 401);
}

#[tokio::test(start_paused = true)]
async fn settings_of_the_apiserver_are_what_it_does() {
    let mut config = sample("kubeadm-default");
    config.apiserver.anonymous_paths = vec!["/version".to_owned()];
    config.apiserver.service_node_ports = (31_000, 31_000);
    config.apiserver.admission.effective.push("DenyServiceExternalIPs".to_owned());
    let cluster = start(&config, Layout::new(&config, 1).expect("one node has room")).await;
    let ask = async |path: &str| status(&cluster, Credential::Anonymous, path).await;
    assert_eq!((ask("/version").await, ask("/api").await), (200, 401));
    let services = "/api/v1/namespaces/ravelin/services";
    let service = |name: &str, more: serde_json::Value| {
        let mut spec = serde_json::json!({"ports": [{"port": 80}], "type": "NodePort"});
        spec.as_object_mut().expect("it is one").extend(more.as_object().expect("it is one").clone());
        serde_json::json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
    };
    let made =
        cluster.operator().create(services, &service("a", serde_json::json!({}))).await.expect("a port");
    assert_eq!(made["spec"]["ports"][0]["nodePort"], 31_000);
    let external = service("b", serde_json::json!({"type": "ClusterIP", "externalIPs": ["203.0.113.7"]}));
    let refused = cluster.operator().create(services, &external).await.expect_err("it is not allowed");
    assert_eq!(refused.code(), Some(403));
}

#[tokio::test(start_paused = true)]
async fn settings_of_controllers_and_kubelets_are_what_they_do() {
    let mut config = sample("kubeadm-default");
    config.kubelet.register_with_taints =
        vec![ravelin_config::Taint { key: "own".into(), value: String::new(), effect: "NoSchedule".into() }];
    let cluster = start(&config, Layout::new(&config, 1).expect("one node has room")).await;
    let node = cluster.store().get(&ravelin_apiserver::Key::cluster("nodes", "node-1")).expect("it joined");
    let taints = node["spec"]["taints"].as_array().expect("it has some");
    assert!(taints.iter().any(|taint| taint["key"] == "own"), "{taints:?}");
    assert!(cluster.is_ready(), "the demo pods tolerate it");
    // With registration off, somebody else made the object, and the kubelet takes it.
    config.kubelet.register_node = false;
    let cluster = start(&config, Layout::new(&config, 1).expect("one node has room")).await;
    assert!(cluster.is_ready());
    // Nobody approves requests: no node joins.
    config.controller_manager.controllers = vec!["*".into(), "-csrapproving".into()];
    let cluster = start(&config, Layout::new(&config, 1).expect("one node has room")).await;
    assert!(cluster.client(Who::Node(0)).is_err());
}
