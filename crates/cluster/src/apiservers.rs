//! The apiservers of a cluster, over one store.

use crate::cluster::{Cluster, Facts};
use crate::konnectivity::TunnelServer;
use crate::layout::Place;
use crate::settings::{self, ApiserverParts};
use crate::start::Setup;
use async_trait::async_trait;
use ravelin_apiserver::{Apiserver, ApiserverConfig, Running, StartError, Store};
use ravelin_client::ClientConfig;
use ravelin_config as config;
use ravelin_controllers::{KubernetesService, KubernetesServiceConfig};
use ravelin_host::{BoxedStream, HostRef, Task};
use ravelin_pki::{KeyPair, PublicKey};
use ravelin_transport::egress::{Destination, Direct, Egress, EgressError};
use ravelin_tunnel::SshTunneler;
use ravelin_tunnel::konnectivity::KonnectivityEgress;
use std::cell::{Ref, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The apiservers of a running cluster, and their store.
pub(crate) struct Apiservers {
    store: Arc<Store>,
    servers: RefCell<Vec<Server>>,
}

struct Server {
    host: HostRef,
    config: ApiserverConfig,
    /// What it says of itself in the `kubernetes` service.
    service: KubernetesServiceConfig,
    running: Option<(Running, Task)>,
    /// The tunnel server beside it, which goes on where the apiserver stops.
    tunnels: Option<TunnelServer>,
}

impl Server {
    async fn start(&mut self, store: &Arc<Store>) -> Result<(), StartError> {
        let started = Apiserver::start_with(self.host.clone(), self.config.clone(), Arc::clone(store));
        let running = started.await?;
        self.running = Some((running, KubernetesService::start(self.host.clone(), self.service.clone())));
        if let Some(tunnels) = &mut self.tunnels {
            tunnels.start(&self.host).await;
        }
        Ok(())
    }
}

impl Apiservers {
    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }
}

impl Cluster {
    /// How many apiservers there are, those that were stopped included.
    pub fn apiserver_count(&self) -> usize {
        self.apiservers.servers.borrow().len()
    }

    /// An apiserver, by number from 0, while it runs.
    pub fn apiserver(&self, number: usize) -> Option<Ref<'_, Running>> {
        let servers = self.apiservers.servers.borrow();
        Ref::filter_map(servers, |servers| Some(&servers.get(number)?.running.as_ref()?.0)).ok()
    }

    /// Stops an apiserver as a crash does: its connections end, and it takes back nothing that it said
    /// of itself. The store stays.
    pub fn stop_apiserver(&self, number: usize) {
        let mut servers = self.apiservers.servers.borrow_mut();
        if let Some(server) = servers.get_mut(number) {
            server.running = None;
        }
    }

    /// Starts an apiserver again that was stopped, over the store as it is now.
    ///
    /// # Errors
    /// Where there is no such apiserver, or its port is held.
    pub async fn start_apiserver(&self, number: usize) -> Result<(), String> {
        let found = self
            .apiservers
            .servers
            .borrow()
            .get(number)
            .map(|server| (server.host.clone(), server.config.clone(), server.service.clone()));
        let (host, config, service) = found.ok_or("there is no such apiserver")?;
        // What its machine lost, if it crashed, comes back with it.
        let tunnels =
            self.apiservers.servers.borrow_mut().get_mut(number).and_then(|known| known.tunnels.take());
        let mut server = Server { host, config, service, running: None, tunnels };
        let started = server.start(&self.store()).await.map_err(|error| error.to_string());
        if let Some(known) = self.apiservers.servers.borrow_mut().get_mut(number) {
            *known = server;
        }
        started
    }
}

impl Setup<'_> {
    /// Starts all of them over one new store, which is filled with what an installer writes, and gives
    /// the first one's tunnels.
    ///
    /// # Panics
    /// Where one cannot start on its own machine.
    pub(crate) async fn apiservers(&mut self, facts: &Facts) -> (Apiservers, Option<Arc<SshTunneler>>) {
        let layout = self.layout;
        let hosts = std::iter::once(&self.hosts.control_plane).chain(&self.hosts.further_control_planes);
        let hosts: Vec<HostRef> = hosts.cloned().collect();
        let store = Store::new(hosts[0].clone());
        let (mut servers, mut tunnels) = (Vec::new(), Vec::new());
        for (host, place) in hosts.into_iter().zip(layout.control_planes()) {
            let (egress, own_tunnels) = self.egress((&host, place));
            tunnels.push(own_tunnels);
            let config = self.apiserver_config(facts, (place.address, egress));
            let service = self.kubernetes_service_of(config.advertise);
            let tunnels = self.konnectivity_server(&host, place).map(TunnelServer::new);
            let mut server = Server { host, config, service, running: None, tunnels };
            server.start(&store).await.unwrap_or_else(|error| panic!("{error}"));
            servers.push(server);
        }
        self.seed(&store);
        let mut tunnels = tunnels.into_iter();
        let first = tunnels.next().flatten();
        self.others.extend(tunnels.flatten().map(|tunnels| Box::new(tunnels) as Box<dyn std::any::Any>));
        (Apiservers { store, servers: RefCell::new(servers) }, first)
    }

    /// What an apiserver says of itself in the `kubernetes` service.
    fn kubernetes_service_of(&mut self, advertise: SocketAddr) -> KubernetesServiceConfig {
        let client = self.client("system:apiserver", &["system:masters"]);
        let own = ClientConfig { server: advertise, server_name: advertise.ip().to_string(), ..client };
        KubernetesServiceConfig {
            client: own,
            cluster_ip: self.kubernetes_service(),
            apiserver: advertise,
            alone: self.layout.control_planes().count() == 1,
        }
    }

    /// How an apiserver reaches the cluster.
    fn egress(&mut self, (host, place): (&HostRef, &Place)) -> (Arc<dyn Egress>, Option<Arc<SshTunneler>>) {
        match &self.config.apiserver.egress {
            config::Egress::Direct => (Arc::new(Direct(host.clone())), None),
            config::Egress::Konnectivity(given) => {
                let egress = self.konnectivity_egress(given, place);
                (Arc::new(KonnectivityEgress::new(host.clone(), egress)), None)
            }
            config::Egress::Unmodelled { why } => (Arc::new(Unmodelled(why.clone())), None),
            config::Egress::SshTunnels { .. } => {
                let tunnels = self.tunneler(host).expect("what tunnels need was made before");
                (Arc::clone(&tunnels) as Arc<dyn Egress>, Some(tunnels))
            }
        }
    }

    fn apiserver_config(
        &mut self,
        facts: &Facts,
        (machine, egress): (IpAddr, Arc<dyn Egress>),
    ) -> ApiserverConfig {
        let names = self.apiserver_names(machine);
        let front_proxy = self.config.apiserver.request_header.as_ref();
        let (verify, sign) = self.service_account_keys();
        settings::apiserver(
            self.config,
            ApiserverParts {
                machine,
                tls: self.material.apiserver(names),
                client_ca: self.material.client_anchors(self.config),
                front_proxy_ca: front_proxy.map(|given| self.material.anchors(given.client_ca_file.as_str())),
                static_tokens: self.bootstrap.file(self.config),
                verify,
                sign: Some(sign),
                kubelet_identity: facts.kubelet_client.clone(),
                kubelet_trust: self.material.kubelet_trust(),
                egress,
            },
        )
    }
}

impl Setup<'_> {
    /// The keys of service account tokens: one for each file that the apiserver verifies by. It signs
    /// with one of these, or with one that none of them believes.
    fn service_account_keys(&mut self) -> (Vec<PublicKey>, Arc<KeyPair>) {
        let given = &self.config.apiserver.service_accounts;
        let mut verify: Vec<&str> = given.key_files.iter().map(config::FileName::as_str).collect();
        let sign = match (&given.signed_with, &given.signing_key_file) {
            (Some(file), _) => file.as_str(),
            (None, Some(file)) => file.as_str(),
            (None, None) => "the controller manager's key",
        };
        // Where no file is named at all, the installer is taken at its word.
        if verify.is_empty() && given.signed_with.is_some() {
            verify.push(sign);
        }
        let verify = verify.into_iter().map(|file| self.material.key(file).public().clone()).collect();
        (verify, self.material.key(sign))
    }
}

/// An egress that is not modelled: it is never replaced by another.
struct Unmodelled(String);

#[async_trait]
impl Egress for Unmodelled {
    async fn dial(&self, _to: SocketAddr, _what: &Destination) -> Result<BoxedStream, EgressError> {
        Err(EgressError::Unavailable(format!("this egress is not modelled: {}", self.0)))
    }

    fn name(&self) -> &str {
        "unmodelled"
    }
}
