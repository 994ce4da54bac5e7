//! What everybody knows of the tunnels that a cluster's egress uses, and what an attack on them leaves
//! to be put right.

use crate::stage::Stage;
use ravelin_adversary::{Konnectivity, TokenShape, Transport};
use ravelin_cluster::{AgentProof, KonnectivityAt};
use ravelin_pki::{San, Subject};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long cut tunnels get to be opened again.
const RECOVERY: Duration = Duration::from_secs(20);

/// The port of SSH.
const SSH_PORT: u16 = 22;

/// What agents are called that show a certificate.
const AGENT: &str = "system:konnectivity-agent";

impl Stage {
    /// Does the egress lead through tunnels?
    pub fn is_tunnelled(&self) -> bool {
        self.cluster.tunnels().is_some() || self.cluster.konnectivity().is_some()
    }

    /// How often each pod is used in one probe. Where the egress picks a node at random, once
    /// would leave it to chance whether the way between nodes is used at all.
    pub fn uses_of_each_pod(&self) -> usize {
        if self.is_tunnelled() { 3 } else { 1 }
    }

    /// Waits until the tunnels that an attack cut are open again, so that it leaves no trace in
    /// the next one.
    pub async fn recover(&self) {
        if let Some(tunnels) = self.cluster.tunnels() {
            let wanted = self.cluster.layout().members().len();
            // Where they do not come back, the next attempt shows it.
            let _ = tunnels.wait_ready(wanted, RECOVERY).await;
        }
        if self.cluster.konnectivity().is_some() {
            self.cluster.wait_for_agents(RECOVERY).await;
        }
    }

    /// How the bytes of paths from the apiserver into the cluster cross the network.
    pub(crate) fn transport(&self) -> Transport {
        if let Some(at) = self.cluster.konnectivity() {
            return Transport::Konnectivity(known(at));
        }
        if self.cluster.tunnels().is_none() {
            return Transport::Direct;
        }
        Transport::Ssh(self.members().map(|node| SocketAddr::new(node, SSH_PORT)).collect())
    }

    /// The machines between which a path's packets travel: the apiserver (with the Konnectivity server
    /// beside it), the nodes and agents whose tunnels they may take, and the servers.
    pub(crate) fn egress_ends(&self, servers: &BTreeSet<IpAddr>) -> (BTreeSet<IpAddr>, BTreeSet<IpAddr>) {
        let mut from = BTreeSet::from([self.cluster.apiserver_address().ip()]);
        let mut to = servers.clone();
        if self.is_tunnelled() {
            let between: Vec<IpAddr> = self.members().chain(self.agents()).collect();
            from.extend(between.iter().copied());
            to.extend(between);
        }
        (from, to)
    }

    fn members(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.cluster.layout().members().iter().map(|node| node.machine.address)
    }

    /// The addresses of agents that are pods.
    fn agents(&self) -> BTreeSet<IpAddr> {
        let pod = self.cluster.konnectivity().and_then(|at| at.config.agent.pod.as_ref());
        let Some(pod) = pod.filter(|pod| !pod.host_network) else { return BTreeSet::new() };
        let (pods, _) = self.cluster.store().list("pods", Some(&pod.namespace));
        let is_agent = |name: &str| name.starts_with(&format!("{}-", pod.name));
        let agents = pods.iter().filter(|pod| pod["metadata"]["name"].as_str().is_some_and(is_agent));
        agents.filter_map(|pod| pod["status"]["podIP"].as_str()?.parse().ok()).collect()
    }
}

/// All but what makes an agent's credential secret.
fn known(at: &KonnectivityAt) -> Konnectivity {
    let token = match &at.proof {
        AgentProof::Token { subject, audience } => TokenShape::Jwt {
            header: json!({"alg": "ES256", "typ": "JWT", "kid": "unknown"}),
            claims: json!({
                "iss": "https://kubernetes.default.svc.cluster.local",
                "sub": subject.common_name, "aud": [audience], "exp": i64::from(i32::MAX),
            }),
        },
        AgentProof::Certificate | AgentProof::Nothing => TokenShape::None,
    };
    let servers = BTreeSet::from([at.agents]);
    let (names, agent) = (vec![San::parse(&at.server_name)], Subject::new(AGENT, &[]));
    Konnectivity { servers, names, authority: at.authority.clone(), agent, token }
}
