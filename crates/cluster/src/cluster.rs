//! A running cluster.

use crate::apiservers::Apiservers;
use crate::credentials::FrontProxies;
use crate::demo::{Demo, DemoPod, NAMESPACE};
use crate::departed;
use crate::konnectivity::KonnectivityAt;
use crate::layout::{Layout, NodePlace};
use crate::member::{Components, Member};
use crate::ports::Ports;
use crate::workloads::Workloads;
use ravelin_apiserver::{Key, Store};
use ravelin_client::{Carrier, Client, ClientConfig, Credential};
use ravelin_host::HostRef;
use ravelin_kubelet as kubelet;
use ravelin_pki::{Identity, San, SigningRequest, Subject};
use ravelin_runtime::{InCluster, Ledger};
use ravelin_tunnel::{SshKey, SshTunneler};
use serde_json::{Value, json};
use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// The hosts that a cluster runs on.
#[derive(Clone)]
pub struct Hosts {
    /// The apiserver's; the first one's where there are several.
    pub control_plane: HostRef,
    /// Those of further apiservers.
    pub further_control_planes: Vec<HostRef>,
    /// The controller manager's and the scheduler's.
    pub controllers: HostRef,
    /// The operator's.
    pub operator: HostRef,
    /// A user's.
    pub user: HostRef,
    /// The nodes', the joiner's last.
    pub nodes: Vec<HostRef>,
    /// What the nodes run pods with.
    pub workloads: Workloads,
}

impl Hosts {
    /// The hosts of a layout, by name.
    pub fn of(layout: &Layout, host: impl Fn(&str) -> HostRef) -> Self {
        Self {
            control_plane: host(&layout.control_plane.name),
            further_control_planes: layout.further_control_planes.iter().map(|p| host(&p.name)).collect(),
            controllers: host(&layout.controllers.name),
            operator: host(&layout.operator.name),
            user: host(&layout.user.name),
            nodes: layout.nodes.iter().map(|node| host(&node.machine.name)).collect(),
            workloads: Workloads::default(),
        }
    }
}

/// Somebody who speaks to the apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A new node with a bootstrap token.
    Joiner,
    /// The kubelet of a node, by number from 0.
    Node(usize),
    /// The client pod of a node.
    Pod(usize),
    /// The service proxy of a node.
    Proxy(usize),
    /// The controller manager.
    ControllerManager,
    /// A user on the network.
    User,
}

/// A running cluster; it ends when this is dropped.
pub struct Cluster {
    pub(crate) layout: Layout,
    pub(crate) hosts: Hosts,
    pub(crate) apiservers: Apiservers,
    pub(crate) facts: Facts,
    pub(crate) operator: Client,
    pub(crate) members: Vec<Member>,
    pub(crate) tunnels: Option<Arc<SshTunneler>>,
    /// The rogue node's certificate for another's address.
    pub(crate) former_serving: Option<Identity>,
    pub(crate) departed: departed::Outcome,
    /// Why the demo pods could not be created, if so.
    pub(crate) trouble: Arc<Mutex<Option<String>>>,
    pub(crate) _others: Vec<Box<dyn Any>>,
}

/// What the configuration made of names, addresses and credentials.
#[derive(Clone)]
pub(crate) struct Facts {
    pub(crate) address: SocketAddr,
    pub(crate) names: Vec<San>,
    pub(crate) authority: String,
    pub(crate) kubelet_authority: String,
    pub(crate) kubelet_port: u16,
    pub(crate) kubelet_client: Option<Identity>,
    pub(crate) kubelet_client_subject: Subject,
    pub(crate) bootstrapper: Subject,
    pub(crate) egress: &'static str,
    pub(crate) konnectivity: Option<KonnectivityAt>,
    /// Whom the apiserver logs in as at nodes, and its key.
    pub(crate) tunnel_login: Option<(String, SshKey)>,
    pub(crate) bootstrap_token: Option<String>,
    /// Does the bootstrap token stay on the disk of a node that has joined?
    pub(crate) bootstrap_token_stays: bool,
    pub(crate) front_proxy: FrontProxies,
    pub(crate) joiner: Option<ClientConfig>,
    pub(crate) controller_manager: ClientConfig,
    pub(crate) user: ClientConfig,
    pub(crate) ports: Ports,
    /// What a kubectl of the cluster's version asks for first.
    pub(crate) kubectl_carrier: Carrier,
}

impl Cluster {
    /// The machines.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The apiserver's objects, for an observer from outside.
    pub fn store(&self) -> Arc<Store> {
        self.apiservers.store()
    }

    /// The operator's client: from within the control plane, with every right.
    pub fn operator(&self) -> &Client {
        &self.operator
    }

    /// The SSH tunnels, where the egress uses them.
    pub fn tunnels(&self) -> Option<&Arc<SshTunneler>> {
        self.tunnels.as_ref()
    }

    /// Whom the apiserver logs in as at nodes, and its key, where it uses SSH tunnels: for whoever stole
    /// the key.
    pub fn tunnel_login(&self) -> Option<(String, SshKey)> {
        self.facts.tunnel_login.clone()
    }

    /// What reports call the egress: `direct`, `ssh`, `konnectivity`.
    pub fn egress_name(&self) -> &'static str {
        self.facts.egress
    }

    /// Where the apiserver's secure port is.
    pub fn apiserver_address(&self) -> SocketAddr {
        self.facts.address
    }

    /// The bootstrap token that nodes join with, where they do: it lies on whatever made them.
    pub fn bootstrap_token(&self) -> Option<String> {
        self.facts.bootstrap_token.clone()
    }

    /// A certificate of the front proxies' authority with a name that the apiserver believes; `None`
    /// where it believes no front proxy.
    pub fn front_proxy(&self) -> Option<Identity> {
        self.facts.front_proxy.allowed.clone()
    }

    /// One of the same authority with a name that it does not; `None` where it believes them all.
    pub fn aggregator_like(&self) -> Option<Identity> {
        self.facts.front_proxy.other.clone()
    }

    /// The names in the apiserver's certificate.
    pub fn apiserver_names(&self) -> Vec<San> {
        self.facts.names.clone()
    }

    /// The common name of the authority that clients of the apiserver trust.
    pub fn authority_name(&self) -> &str {
        &self.facts.authority
    }

    /// The common name of the authority that kubelets are verified by, or would be.
    pub fn kubelet_authority_name(&self) -> &str {
        &self.facts.kubelet_authority
    }

    /// The port of kubelets' HTTPS endpoints.
    pub fn kubelet_port(&self) -> u16 {
        self.facts.kubelet_port
    }

    /// What the apiserver presents to kubelets, if anything.
    pub fn kubelet_client(&self) -> Option<&Identity> {
        self.facts.kubelet_client.as_ref()
    }

    /// What the apiserver is called at kubelets.
    pub fn kubelet_client_subject(&self) -> Subject {
        self.facts.kubelet_client_subject.clone()
    }

    /// What a `kubectl` of the cluster's version has exec, attach and port-forward carried by first.
    pub fn kubectl_carrier(&self) -> Carrier {
        self.facts.kubectl_carrier
    }

    /// Starts a node's components anew, after its machine crashed and is back.
    pub async fn restart_node(&self, node: usize) {
        let member = &self.members[node];
        // What still held the node's ports is gone before the new one asks for them.
        member.running.replace(Components::none());
        let started = Components::start(&member.host, &member.plan).await;
        member.running.replace(started);
    }

    /// The name of a node, by number from 0.
    pub fn node_name(&self, node: usize) -> &str {
        &self.layout.members()[node].machine.name
    }

    /// What somebody is called at the apiserver.
    pub fn subject(&self, who: Who) -> Subject {
        match who {
            Who::Joiner => self.facts.bootstrapper.clone(),
            Who::Node(node) => {
                Subject::new(format!("system:node:{}", self.node_name(node)), &["system:nodes"])
            }
            Who::Pod(_) => Subject::new(
                format!("system:serviceaccount:{NAMESPACE}:{}", crate::demo::PROBE_ACCOUNT),
                &["system:serviceaccounts", &format!("system:serviceaccounts:{NAMESPACE}")],
            ),
            Who::Proxy(node) => match self.members[node].plan.proxy.credential {
                Credential::Certificate(_) => Subject::new("system:kube-proxy", &["system:node-proxier"]),
                _ => {
                    Subject::new("system:serviceaccount:kube-system:kube-proxy", &["system:serviceaccounts"])
                }
            },
            Who::ControllerManager => Subject::new("system:kube-controller-manager", &[]),
            Who::User => Subject::new("kubernetes-admin", &["system:masters"]),
        }
    }

    /// A fresh client of the apiserver as somebody, from where they are; `None` where the
    /// configuration has no such client.
    ///
    /// # Errors
    /// Why somebody that the configuration has is not there, in a sentence.
    pub fn client(&self, who: Who) -> Result<Option<Client>, String> {
        let client = |host: &HostRef, config: &ClientConfig| Some(Client::new(host.clone(), config.clone()));
        Ok(match who {
            Who::Joiner => {
                let joiner = self.hosts.nodes.last().expect("a layout has a joiner");
                self.facts.joiner.as_ref().and_then(|config| client(joiner, config))
            }
            Who::Node(node) => {
                let running = self.members[node].running.borrow();
                let joined = running.kubelet.as_ref().filter(|kubelet| kubelet.is_registered());
                let config = joined.and_then(kubelet::Running::client_config);
                let config = config.ok_or_else(|| self.why_not_joined(node))?;
                client(&self.hosts.nodes[node], &config)
            }
            Who::Pod(node) => {
                let pod = self.running(Demo::Client, node)?;
                let sandbox = self.members[node].running.borrow().runtime.sandbox(&uid(&pod));
                let sandbox = sandbox.ok_or_else(|| format!("{} does not run", name(&pod)))?;
                let inside = InCluster::of(&sandbox).map_err(|error| format!("{}: {error}", name(&pod)))?;
                Some(inside.client())
            }
            Who::Proxy(node) => client(&self.hosts.nodes[node], &self.members[node].plan.proxy),
            Who::ControllerManager => client(&self.hosts.controllers, &self.facts.controller_manager),
            Who::User => client(&self.hosts.user, &self.facts.user),
        })
    }

    /// What every pod was asked and answered so far, by the pod's UID; those of pods that have
    /// gone are kept.
    pub fn ledgers(&self) -> BTreeMap<String, Arc<Ledger>> {
        self.members.iter().flat_map(|member| member.running.borrow().runtime.ledgers()).collect()
    }

    /// A node's demo pod.
    ///
    /// # Errors
    /// Why it does not run, in a sentence.
    pub fn pod(&self, demo: Demo, node: usize) -> Result<DemoPod, String> {
        let pod = self.running(demo, node)?;
        let ledger = self.members[node].running.borrow().runtime.ledger(&uid(&pod));
        let ledger = ledger.ok_or_else(|| format!("{} does not run", name(&pod)))?;
        let NodePlace { machine, .. } = &self.layout.members()[node];
        let address = pod["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok());
        let address = address.ok_or_else(|| format!("{} has no address", name(&pod)))?;
        let host = if demo == Demo::HostWeb {
            self.hosts.nodes[node].clone()
        } else {
            self.hosts.nodes[node].pod(address).map_err(|error| format!("{}: {error}", name(&pod)))?
        };
        Ok(DemoPod {
            namespace: NAMESPACE.to_owned(),
            name: name(&pod),
            node: machine.name.clone(),
            node_address: machine.address,
            address,
            host,
            ledger,
        })
    }

    /// A demo pod's object, where the pod is ready.
    fn running(&self, demo: Demo, node: usize) -> Result<Arc<Value>, String> {
        self.running_pod((NAMESPACE, &demo.pod_name(self.node_name(node))), node)
    }

    /// A pod's object by namespace and name, where the pod is ready on this node.
    pub(crate) fn running_pod(
        &self,
        (namespace, pod_name): (&str, &str),
        node: usize,
    ) -> Result<Arc<Value>, String> {
        let pod = self.store().get(&Key::namespaced("pods", namespace, pod_name));
        let why = || self.trouble.lock().ok()?.clone();
        let pod = pod.ok_or_else(|| {
            format!(
                "the pod {pod_name} could not be created: {}",
                why().unwrap_or_else(|| "it was not tried yet".into())
            )
        })?;
        if pod["status"]["phase"] == "Running" {
            return Ok(pod);
        }
        match pod["spec"]["nodeName"].as_str() {
            None => Err(format!("the pod {pod_name} was not scheduled: {}", self.why_not_joined(node))),
            Some(node) => Err(format!("the pod {pod_name} does not run on {node}: {}", pod["status"])),
        }
    }

    /// Why a node has no identity or is not ready, as far as the store tells.
    pub(crate) fn why_not_joined(&self, node: usize) -> String {
        let name = self.node_name(node);
        let store = self.store();
        if store.get(&Key::cluster("nodes", name)).is_some() {
            return format!("{name} is registered and not ready");
        }
        let running = self.members[node].running.borrow();
        let Some(kubelet) = &running.kubelet else {
            return format!("the kubelet of {name} could not listen on its port");
        };
        if let Some(trouble) = kubelet.trouble() {
            return match kubelet.client_config() {
                Some(_) => format!("{name} did not register with its certificate: {trouble}"),
                None => format!("{name} did not join: {trouble}"),
            };
        }
        let (requests, _) = store.list("certificatesigningrequests.certificates.k8s.io", None);
        match requests
            .iter()
            .find(|csr| csr["metadata"]["name"].as_str().is_some_and(|n| !n.starts_with("probe-")))
        {
            None => format!("{name} did not join: its signing request never reached the apiserver"),
            Some(csr) if csr["status"]["certificate"].is_string() => {
                format!("{name} did not register with the certificate that it was issued")
            }
            Some(_) => format!("{name} did not join: no signing request was signed"),
        }
    }

    /// Is every node, demo pod and tunnel ready?
    pub(crate) fn is_ready(&self) -> bool {
        let members = self.layout.members().len();
        let honest = self.layout.honest();
        let runs = |node: usize| Demo::ALL.iter().all(|demo| self.running(*demo, node).is_ok());
        let departed = !self.layout.has_departed() || self.departed().is_some();
        let pods = honest.iter().all(|node| runs(*node)) && self.has_tenant() && departed;
        let tunnels = self.tunnels.as_ref().is_none_or(|tunnels| tunnels.open() >= members);
        pods && tunnels && self.agents_are_connected() && self.services_are_ready(honest.len())
    }

    fn services_are_ready(&self, members: usize) -> bool {
        let (slices, _) = self.store().list("endpointslices.discovery.k8s.io", None);
        let endpoints = |service: &str| {
            let of_service = slices
                .iter()
                .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service);
            of_service.filter_map(|slice| slice["endpoints"].as_array().map(Vec::len)).sum::<usize>()
        };
        endpoints("kubernetes") > 0 && endpoints(crate::demo::WEB_SERVICE) >= members
    }

    /// A signing request as a new node's kubelet writes it.
    pub fn signing_request(&self, name: &str) -> Value {
        use base64::Engine;
        let host = self.hosts.nodes.last().expect("a layout has a joiner");
        let key = ravelin_pki::KeyPair::generate(&mut host.entropy("probe-key"));
        let node = &self.layout.joiner().machine.name;
        let subject = Subject::new(format!("system:node:{node}"), &["system:nodes"]);
        let pem = SigningRequest::create(&subject, &[], &key);
        json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {
                "request": base64::engine::general_purpose::STANDARD.encode(pem),
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                "usages": ["digital signature", "client auth"],
            },
        })
    }
}

pub(crate) fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn name(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// A client that proves itself by a certificate.
pub(crate) fn with_certificate(base: &ClientConfig, identity: Identity) -> ClientConfig {
    ClientConfig { credential: Credential::Certificate(identity), ..base.clone() }
}
