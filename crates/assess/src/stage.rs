//! A running cluster in a simulation, and what an attacker may know of each path in it.

use ravelin_adversary::{Ask, ClientProof, ServerKind, Speaks, Target, Transport};
use ravelin_client::{Client, Credential};
use ravelin_cluster::{Cluster, Demo, DemoPod, WEB_HTTP_PORT, WEB_HTTPS_PORT, Who};
use ravelin_pki::{San, Subject};
use ravelin_sim::World;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// At most this many nodes are probed one by one; the others only take part.
const MAX_PROBED_NODES: usize = 5;

/// How long cut tunnels get to be opened again.
const RECOVERY: Duration = Duration::from_secs(20);

/// The port of SSH.
const SSH_PORT: u16 = 22;

/// A booted cluster and the world it runs in.
pub struct Stage {
    /// The simulated world.
    pub world: World,
    /// The cluster.
    pub cluster: Cluster,
}

impl Stage {
    /// A demo pod on each probed node.
    ///
    /// # Errors
    /// Why one of them does not run, in a sentence.
    pub fn pods(&self, demo: Demo) -> Result<Vec<DemoPod>, String> {
        let members = self.cluster.layout().members().len().min(MAX_PROBED_NODES);
        (0..members).map(|node| self.cluster.pod(demo, node)).collect()
    }

    /// Every demo pod of a kind that runs: behind a service, any of them may answer.
    pub fn all_pods(&self, demo: Demo) -> Vec<DemoPod> {
        let members = self.cluster.layout().members().len();
        (0..members).filter_map(|node| self.cluster.pod(demo, node).ok()).collect()
    }

    /// How often each pod is used in one probe. Where the egress picks a node at random, once
    /// would leave it to chance whether the way between nodes is used at all.
    pub fn uses_of_each_pod(&self) -> usize {
        if self.cluster.tunnels().is_some() { 3 } else { 1 }
    }

    /// Waits until the tunnels that an attack cut are open again, so that it leaves no trace in
    /// the next one.
    pub async fn recover(&self) {
        if let Some(tunnels) = self.cluster.tunnels() {
            let wanted = self.cluster.layout().members().len();
            // Where they do not come back, the next attempt shows it.
            let _ = tunnels.wait_ready(wanted, RECOVERY).await;
        }
    }

    fn base(&self) -> Target {
        let cluster = &self.cluster;
        let kubelets = cluster.layout().members().iter();
        let kubelets = kubelets.map(|node| SocketAddr::new(node.machine.address, cluster.kubelet_port()));
        Target {
            transport: Transport::Direct,
            servers: BTreeSet::new(),
            speaks: Speaks::Https,
            server: ServerKind::Apiserver,
            names: Vec::new(),
            authority: cluster.authority_name().to_owned(),
            proof: ClientProof::Nothing,
            client: Subject::default(),
            asks: Vec::new(),
            apiserver: cluster.apiserver_address(),
            apiserver_ask: Ask::get("/api/v1/secrets", "every secret"),
            kubelets: kubelets.collect(),
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
        Target {
            servers: BTreeSet::from([cluster.apiserver_address()]),
            names: cluster.apiserver_names(),
            proof,
            client: cluster.subject(who),
            asks: vec![ask.clone()],
            apiserver_ask: ask,
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
            ends: self.egress_ends(&addresses),
            ..self.base()
        }
    }

    fn transport(&self) -> Transport {
        match self.cluster.tunnels() {
            None => Transport::Direct,
            Some(_) => {
                let nodes = self.cluster.layout().members().iter();
                Transport::Ssh(nodes.map(|n| SocketAddr::new(n.machine.address, SSH_PORT)).collect())
            }
        }
    }

    /// The machines between which a path's packets travel: the apiserver, the nodes whose tunnels
    /// they may take, and the servers.
    fn egress_ends(&self, servers: &BTreeSet<IpAddr>) -> (BTreeSet<IpAddr>, BTreeSet<IpAddr>) {
        let mut from = BTreeSet::from([self.cluster.apiserver_address().ip()]);
        let mut to = servers.clone();
        if self.cluster.tunnels().is_some() {
            let nodes = self.cluster.layout().members().iter().map(|node| node.machine.address);
            from.extend(nodes.clone());
            to.extend(nodes);
        }
        (from, to)
    }
}
