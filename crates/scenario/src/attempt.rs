//! One side of a scenario while it runs: who is where, and what has been seen so far.

use crate::fact::Fact;
use crate::vocabulary::{Place, Seat};
use ravelin_cluster::{Cluster, Hosts};
use ravelin_config::ClusterConfig;
use ravelin_host::HostRef;
use ravelin_sim::World;
use ravelin_transport::HttpConnection;
use ravelin_tunnel::danger::Intruder;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The kubelet's port for everybody, where the configuration does not move it.
const READ_ONLY_PORT: u16 = 10255;
/// The port of SSH.
const SSH_PORT: u16 = 22;

/// Where facts are written down.
#[derive(Clone)]
pub(crate) struct Notebook {
    world: World,
    zero: Duration,
    facts: Arc<Mutex<Vec<Fact>>>,
}

impl Notebook {
    /// An empty one; time zero is now.
    pub(crate) fn new(world: &World) -> Self {
        Self { world: world.clone(), zero: world.elapsed(), facts: Arc::default() }
    }

    /// Time zero, since the simulation's start.
    pub(crate) fn zero(&self) -> Duration {
        self.zero
    }

    /// A fact of now.
    pub(crate) fn fact(&self, kind: &'static str) -> Fact {
        Fact::new(self.world.elapsed().saturating_sub(self.zero), kind)
    }

    pub(crate) fn note(&self, fact: Fact) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).push(fact);
    }

    /// How many facts of a kind there are.
    pub(crate) fn count(&self, kind: &str) -> usize {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts.iter().filter(|fact| fact.kind == kind).count()
    }

    /// All facts.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One side of a scenario while it runs.
pub(crate) struct Attempt {
    pub(crate) world: World,
    pub(crate) cluster: Cluster,
    pub(crate) notebook: Notebook,
    hosts: Hosts,
    config: ClusterConfig,
    /// The connections that requests have in common, by name.
    pub(crate) connections: RefCell<BTreeMap<String, HttpConnection>>,
    /// Sessions that somebody logged in to with what is not theirs.
    sessions: RefCell<Vec<Intruder>>,
    /// The tokens that were kept, by name.
    kept: RefCell<BTreeMap<String, String>>,
    /// Every pod that there ever was: its UID, and `NAMESPACE/NAME`.
    pods: RefCell<BTreeMap<String, String>>,
}

impl Attempt {
    pub(crate) fn new(world: World, cluster: Cluster, (hosts, config): (Hosts, ClusterConfig)) -> Self {
        let notebook = Notebook::new(&world);
        let (connections, sessions) = (RefCell::default(), RefCell::default());
        let (kept, pods) = (RefCell::default(), RefCell::default());
        Self { world, cluster, notebook, hosts, config, connections, sessions, kept, pods }
    }

    /// Keeps a session until the end.
    pub(crate) fn keep_session(&self, session: Intruder) {
        self.sessions.borrow_mut().push(session);
    }

    pub(crate) fn keep(&self, name: &str, token: String) {
        self.kept.borrow_mut().insert(name.to_owned(), token);
    }

    pub(crate) fn kept(&self, name: &str) -> Option<String> {
        self.kept.borrow().get(name).cloned()
    }

    /// Remembers the names of the pods that there are now.
    pub(crate) fn look_at_pods(&self) {
        let (pods, _) = self.cluster.store().list("pods", None);
        let text = |pod: &Value, key: &str| pod["metadata"][key].as_str().unwrap_or_default().to_owned();
        let named = |pod: &Arc<Value>| {
            (text(pod, "uid"), format!("{}/{}", text(pod, "namespace"), text(pod, "name")))
        };
        self.pods.borrow_mut().extend(pods.iter().map(named));
    }

    /// The names of all pods that were ever looked at, by UID.
    pub(crate) fn pod_names(&self) -> BTreeMap<String, String> {
        self.pods.borrow().clone()
    }

    /// A pod's object, where there is one.
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let (pods, _) = self.cluster.store().list("pods", Some(namespace));
        pods.into_iter().find(|pod| pod["metadata"]["name"] == name)
    }

    fn pod_address(&self, namespace: &str, name: &str) -> Result<IpAddr, String> {
        let pod = self.pod(namespace, name).ok_or_else(|| format!("there is no pod {namespace}/{name}"))?;
        let address = pod["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok());
        address.ok_or_else(|| format!("the pod {namespace}/{name} has no address"))
    }

    /// The computer that somebody sits at.
    pub(crate) fn host(&self, seat: &Seat) -> Result<HostRef, String> {
        match seat {
            Seat::Attacker => Ok(self.world.host("attacker")),
            Seat::Machine(name) => {
                let known = self.world.machines().any(|machine| machine == name);
                known.then(|| self.world.host(name)).ok_or_else(|| format!("there is no machine {name}"))
            }
            Seat::Pod(namespace, name) => {
                let address = self.pod_address(namespace, name)?;
                let pods = self.hosts.nodes.iter().filter_map(|node| node.pod(address).ok());
                pods.into_iter().next().ok_or_else(|| format!("nobody has the address {address}"))
            }
        }
    }

    /// The addresses of a server; SSH has one on each node.
    pub(crate) fn sockets(&self, place: &Place) -> Result<Vec<SocketAddr>, String> {
        let cluster = &self.cluster;
        let at = |node: &str, port| Ok(vec![SocketAddr::new(self.node_address(node)?, port)]);
        match place {
            Place::Apiserver => Ok(vec![cluster.apiserver_address()]),
            Place::KubernetesService => self.kubernetes_service().map(|address| vec![address]),
            Place::ApiserverInsecure => Ok(vec![cluster.insecure_port().address]),
            Place::Kubelet(node) => at(node, cluster.kubelet_port()),
            Place::ReadOnlyKubelet(node) => {
                at(node, self.config.kubelet.read_only_port.unwrap_or(READ_ONLY_PORT))
            }
            Place::Pod(namespace, name, port) | Place::PodTls(namespace, name, port) => {
                Ok(vec![SocketAddr::new(self.pod_address(namespace, name)?, *port)])
            }
            Place::Loopback(_, port) => Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, *port))]),
            Place::SshTunnel(node) => at(node, SSH_PORT),
            Place::KonnectivityAgents => {
                let at = cluster.konnectivity().ok_or("there is no Konnectivity here")?;
                Ok(vec![at.agents])
            }
            Place::SshTunnels => {
                let nodes = cluster.layout().members().iter();
                Ok(nodes.map(|node| SocketAddr::new(node.machine.address, SSH_PORT)).collect())
            }
        }
    }

    fn kubernetes_service(&self) -> Result<SocketAddr, String> {
        const PORT: u16 = 443;
        let (services, _) = self.cluster.store().list("services", Some("default"));
        let service = services.iter().find(|service| service["metadata"]["name"] == "kubernetes");
        let address = service.and_then(|service| service["spec"]["clusterIP"].as_str()?.parse().ok());
        let address: IpAddr = address.ok_or("there is no service default/kubernetes")?;
        Ok(SocketAddr::new(address, PORT))
    }

    pub(crate) fn node_address(&self, name: &str) -> Result<IpAddr, String> {
        let mut nodes = self.cluster.layout().members().iter().map(|node| &node.machine);
        let node = nodes.find(|machine| machine.name == name);
        node.map(|machine| machine.address).ok_or_else(|| format!("there is no node {name}"))
    }

    /// The machines' names by address.
    pub(crate) fn names(&self) -> BTreeMap<IpAddr, String> {
        let layout = self.cluster.layout();
        let single =
            [&layout.control_plane, &layout.controllers, &layout.operator, &layout.user, &layout.attacker];
        let nodes = layout.nodes.iter().map(|node| &node.machine);
        let machines = single.into_iter().chain(&layout.further_control_planes).chain(nodes);
        let mut names: BTreeMap<IpAddr, String> =
            machines.map(|machine| (machine.address, machine.name.clone())).collect();
        let (pods, _) = self.cluster.store().list("pods", None);
        for pod in pods.iter().filter(|pod| pod["spec"]["hostNetwork"] != true) {
            if let Some(address) = pod["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok()) {
                let text = |key: &str| pod["metadata"][key].as_str().unwrap_or_default();
                names.insert(address, format!("{}/{}", text("namespace"), text("name")));
            }
        }
        names
    }

    /// A text with what `${…}` stands for: `address of MACHINE`, `address of pod NAMESPACE/NAME`.
    pub(crate) fn filled(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("{text:?}: ${{ without }}"))?;
            filled.push_str(before);
            filled.push_str(&self.value_of(name)?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn value_of(&self, name: &str) -> Result<String, String> {
        let words: Vec<&str> = name.split_whitespace().collect();
        let address = match words.as_slice() {
            ["address", "of", "pod", pod] => match pod.split_once('/') {
                Some((namespace, pod)) => self.pod_address(namespace, pod)?,
                None => return Err(format!("{pod} is no NAMESPACE/NAME")),
            },
            ["address", "of", machine] => {
                let host = self.host(&Seat::Machine((*machine).to_owned()))?;
                host.addresses().first().copied().ok_or_else(|| format!("{machine} has no address"))?
            }
            _ => {
                return Err(format!(
                    "${{{name}}} means nothing; accepted: address of MACHINE, address of pod NAMESPACE/NAME"
                ));
            }
        };
        Ok(address.to_string())
    }
}
