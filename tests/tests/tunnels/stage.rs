//! An apiserver, its tunnels, and nodes that are nothing but their far ends: whatever is left at the end
//! is the tunnels'.

use super::pattern::{self, Complaints};
use ravelin_apiserver::{Apiserver, Running};
use ravelin_client::{Client, ClientConfig, ClientError, Credential};
use ravelin_host::{HostRef, Task};
use ravelin_pki::{KeyPair, ServerTrust};
use ravelin_sim::{Conditions, MachineSpec, Place, SimConfig, Topology, World};
use ravelin_tests::apiserver::{API, Authorities, configured};
use ravelin_transport::egress::Egress;
use ravelin_tunnel::konnectivity::{
    AGENT_PORT, AgentAuthentication, AgentListener, Frontend, FrontendListener, FrontendMode,
    KonnectivityAgent, KonnectivityAgentConfig, KonnectivityEgress, KonnectivityEgressConfig,
    KonnectivityServer, KonnectivityServerConfig, Strategy,
};
use ravelin_tunnel::{
    Forwarding, HostKeyPolicy, NodeTargets, SSH_PORT, SshConfig, SshKey, SshNodeConfig, SshNodeServer,
    SshTunneler,
};
use serde_json::json;
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const CONTROL: &str = "control";
/// How long the tunnels may take to open.
const BOOT: Duration = Duration::from_secs(60);

const SOCKET: &str = "/konnectivity.sock";
/// The original asks a silent agent after an hour only; here its connection is to be missed sooner.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Which tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Ssh,
    Konnectivity,
}

/// The tunnels' end at the control plane.
enum Tunnels {
    Ssh(Arc<SshTunneler>),
    Konnectivity(KonnectivityServer, Arc<KonnectivityEgress>),
}

/// A node's end of the tunnels, and its servers.
type Runs = (Box<dyn Any>, Task);

/// The cluster.
pub struct Stage {
    pub world: World,
    pub which: Which,
    pub nodes: usize,
    pub complaints: Complaints,
    tunnels: Tunnels,
    client: Client,
    trust: ServerTrust,
    keys: Vec<SshKey>,
    user: SshKey,
    /// What runs on each node.
    running: RefCell<BTreeMap<usize, Runs>>,
    _api: Running,
}

/// What is left of everything, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Tasks of all machines and of the simulation.
    pub tasks: usize,
    /// Open connections of every machine, and what is left of closed ones.
    pub sockets: BTreeMap<String, usize>,
}

type Scenario<T> = Pin<Box<dyn Future<Output = T>>>;

/// Plays a scenario with so many nodes in a simulation of its own.
pub fn play<T: Send + 'static>(
    (which, seed, nodes): (Which, u64, usize),
    conditions: Conditions,
    scenario: impl FnOnce(Rc<Stage>) -> Scenario<T> + Send + 'static,
) -> T {
    let config = SimConfig { conditions, ..SimConfig::new(seed) };
    let machine = |name: String, address, place| MachineSpec { name, addresses: vec![address], place };
    let mut machines = vec![machine(CONTROL.to_owned(), API, Place::ControlPlane)];
    for node in 0..nodes {
        let number = u32::try_from(node).expect("there are a few") + 1;
        machines.push(machine(name_of(node), address_of(node), Place::Node(number)));
    }
    let topology = Topology { machines, names: BTreeMap::new() };
    let ran = ravelin_sim::run(config, topology, move |world| {
        Box::pin(async move { scenario(Rc::new(Stage::new(world, which, nodes).await)).await })
    });
    ran.unwrap_or_else(|error| panic!("{error}")).value
}

/// A node's name.
pub fn name_of(node: usize) -> String {
    format!("node-{}", node + 1)
}

/// A node's address.
pub fn address_of(node: usize) -> IpAddr {
    IpAddr::from([10, 0, 1, u8::try_from(node).expect("there are a few") + 1])
}

impl Stage {
    async fn new(world: World, which: Which, nodes: usize) -> Self {
        let host = world.host(CONTROL);
        let mut entropy = host.entropy("keys");
        let keys: Vec<SshKey> = (0..nodes).map(|_| SshKey::generate(&mut entropy)).collect();
        let user = SshKey::generate(&mut entropy);
        let authorities = Authorities::made(world.now());
        let key = Arc::new(KeyPair::generate(&mut entropy));
        let config = configured(&authorities, (&host, &key));
        let api = Apiserver::start(HostRef::clone(&host), config).await.expect("the machine has its ports");
        let client = ClientConfig {
            server: SocketAddr::new(API, 6443),
            server_name: API.to_string(),
            trust: ServerTrust::Anchors(authorities.anchors()),
            credential: Credential::Certificate(authorities.client("cert", "admin").expect("it is a kind")),
            request_timeout: Duration::from_secs(10),
        };
        let trust = ServerTrust::Anchors(authorities.anchors());
        let tunnels = match which {
            Which::Ssh => {
                let known =
                    keys.iter().enumerate().map(|(node, key)| (name_of(node), key.public())).collect();
                let config = SshConfig::new("tunnel", user.clone(), HostKeyPolicy::Pinned(known));
                Tunnels::Ssh(SshTunneler::start(HostRef::clone(&host), config, client.clone()))
            }
            Which::Konnectivity => konnectivity(&host, &authorities).await,
        };
        let client = Client::new(host, client);
        let (complaints, running) = (Complaints::default(), RefCell::default());
        let stage =
            Self { world, which, nodes, tunnels, complaints, client, trust, keys, user, running, _api: api };
        for node in 0..nodes {
            stage.start(node).await;
            stage.joins(node).await;
        }
        let deadline = tokio::time::Instant::now() + BOOT;
        while stage.open() < nodes {
            assert!(tokio::time::Instant::now() < deadline, "all tunnels open in calm weather");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        stage
    }

    /// How many nodes have a tunnel.
    pub fn open(&self) -> usize {
        match &self.tunnels {
            Tunnels::Ssh(tunnels) => tunnels.open(),
            Tunnels::Konnectivity(server, _) => server.agents().len(),
        }
    }

    /// The way through them.
    pub fn egress(&self) -> Arc<dyn Egress> {
        match &self.tunnels {
            Tunnels::Ssh(tunnels) => Arc::clone(tunnels) as Arc<dyn Egress>,
            Tunnels::Konnectivity(_, egress) => Arc::clone(egress) as Arc<dyn Egress>,
        }
    }

    /// Starts what runs on a node.
    pub async fn start(&self, node: usize) {
        let host = self.world.host(&name_of(node));
        drop(self.running.borrow_mut().remove(&node));
        // What held its ports ends at the next turn.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let far_end = match self.which {
            Which::Ssh => self.ssh_server(&host, node).await,
            Which::Konnectivity => self.agent(&host, node).await,
        };
        let talker = pattern::serve(&host, self.complaints.clone()).await.expect("the port is free");
        self.running.borrow_mut().insert(node, (far_end, talker));
    }

    async fn ssh_server(&self, host: &HostRef, node: usize) -> Box<dyn Any> {
        let targets = NodeTargets { kubelet_ports: vec![pattern::PORT], ..NodeTargets::default() };
        let config = SshNodeConfig {
            listen: SocketAddr::new(address_of(node), SSH_PORT),
            host_key: self.keys[node].clone(),
            host_certificate: None,
            user: "tunnel".to_owned(),
            authorized_keys: vec![self.user.public()],
            user_authorities: Vec::new(),
            forwarding: Forwarding::To(targets),
        };
        let server: SshNodeServer =
            SshNodeServer::start(HostRef::clone(host), config).await.expect("the port is free");
        Box::new(server)
    }

    async fn agent(&self, host: &HostRef, node: usize) -> Box<dyn Any> {
        let mut config = KonnectivityAgentConfig::new(&API.to_string(), self.trust.clone(), &name_of(node));
        config.keepalive = KEEPALIVE;
        config.identifiers.ipv4.insert(address_of(node).to_string());
        let agent = KonnectivityAgent::start(HostRef::clone(host), config).await;
        Box::new(agent.expect("it has no ports"))
    }

    /// A Node object appears.
    pub async fn joins(&self, node: usize) {
        let address = json!({"type": "InternalIP", "address": address_of(node).to_string()});
        let object = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name_of(node)},
            "status": {"addresses": [address]},
        });
        insisting(async || self.client.create("/api/v1/nodes", &object).await).await;
    }

    /// A Node object goes.
    pub async fn leaves(&self, node: usize) {
        let path = format!("/api/v1/nodes/{}", name_of(node));
        insisting(async || self.client.delete(&path).await).await;
    }

    /// The control plane's machine.
    pub fn control(&self) -> HostRef {
        self.world.host(CONTROL)
    }

    /// What is there now.
    pub fn count(&self) -> Count {
        let sockets = self.world.machines().map(|machine| (machine.to_owned(), self.world.sockets(machine)));
        Count {
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            sockets: sockets.collect(),
        }
    }
}

/// A server of Konnectivity that any agent may connect to, and a dialer over its Unix socket.
async fn konnectivity(host: &HostRef, authorities: &Authorities) -> Tunnels {
    let config = KonnectivityServerConfig {
        server_id: "server".to_owned(),
        server_count: 1,
        frontend: Frontend {
            mode: FrontendMode::Grpc,
            listener: FrontendListener::Unix { path: SOCKET.to_owned() },
        },
        agents: AgentListener {
            listen: SocketAddr::new(API, AGENT_PORT),
            identity: authorities.server(&authorities.clients, Authorities::at(API)),
            authentication: AgentAuthentication::DangerNone,
        },
        strategies: vec![Strategy::DestHost],
        backend_dial_timeout: Some(KEEPALIVE),
        keepalive: KEEPALIVE,
        frontend_keepalive: KEEPALIVE,
        health: None,
        admin: None,
    };
    let server = KonnectivityServer::start(HostRef::clone(host), config).await.expect("the port is free");
    let config = KonnectivityEgressConfig::Grpc { path: SOCKET.to_owned() };
    Tunnels::Konnectivity(server, Arc::new(KonnectivityEgress::new(HostRef::clone(host), config)))
}

/// Asks again where no answer came: the server may have closed an idle connection just then.
async fn insisting(mut ask: impl AsyncFnMut() -> Result<serde_json::Value, ClientError>) {
    for _ in 0..10 {
        match ask().await {
            // A change that was asked for twice was made the first time.
            Ok(_) | Err(ClientError::Status(_)) => return,
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
    panic!("the apiserver does not answer");
}
