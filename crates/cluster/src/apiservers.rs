//! The apiservers of a cluster, over one store.

use crate::cluster::{Cluster, Facts};
use crate::start::Setup;
use async_trait::async_trait;
use ravelin_apiserver::{
    Anonymous, Apiserver, ApiserverConfig, AuditConfig, AuthorizationMode, FrontProxyConfig,
    KubeletClientConfig, Running, ServiceAccountKeys, StartError, Store, TokenLives,
};
use ravelin_client::ClientConfig;
use ravelin_config as config;
use ravelin_controllers::{KubernetesService, KubernetesServiceConfig};
use ravelin_host::{BoxedStream, HostRef, Task};
use ravelin_transport::egress::{Destination, Direct, Egress, EgressError};
use ravelin_tunnel::{HostKeyPolicy, SshConfig, SshKey, SshTunneler, UnknownNode};
use std::cell::{Ref, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long the apiserver believes a good token (`pkg/kubeapiserver/authenticator/config.go`).
const TOKEN_CACHE: Duration = Duration::from_secs(10);

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
}

impl Server {
    async fn start(&mut self, store: &Arc<Store>) -> Result<(), StartError> {
        let started = Apiserver::start_with(self.host.clone(), self.config.clone(), Arc::clone(store));
        let running = started.await?;
        self.running = Some((running, KubernetesService::start(self.host.clone(), self.service.clone())));
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
        let mut server = Server { host, config, service, running: None };
        server.start(&self.store()).await.map_err(|error| error.to_string())?;
        if let Some(known) = self.apiservers.servers.borrow_mut().get_mut(number) {
            *known = server;
        }
        Ok(())
    }
}

impl Setup<'_> {
    /// Starts all of them over one new store, which is filled with what an installer writes, and gives
    /// the first one's tunnels.
    ///
    /// # Panics
    /// Where one cannot start on its own machine.
    pub(crate) async fn apiservers(
        &mut self,
        facts: &Facts,
        key: &SshKey,
    ) -> (Apiservers, Option<Arc<SshTunneler>>) {
        let layout = self.layout;
        let hosts = std::iter::once(&self.hosts.control_plane).chain(&self.hosts.further_control_planes);
        let hosts: Vec<HostRef> = hosts.cloned().collect();
        let store = Store::new(hosts[0].clone());
        let (mut servers, mut tunnels) = (Vec::new(), Vec::new());
        for (host, place) in hosts.into_iter().zip(layout.control_planes()) {
            let (egress, own_tunnels) = self.egress(&host, key);
            tunnels.push(own_tunnels);
            let config = self.apiserver_config(facts, (place.address, egress));
            let service = self.kubernetes_service_of(config.advertise);
            let mut server = Server { host, config, service, running: None };
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
    fn egress(&mut self, host: &HostRef, key: &SshKey) -> (Arc<dyn Egress>, Option<Arc<SshTunneler>>) {
        match &self.config.apiserver.egress {
            config::Egress::Direct => (Arc::new(Direct(host.clone())), None),
            config::Egress::Unmodelled { why } => (Arc::new(Unmodelled(why.clone())), None),
            config::Egress::SshTunnels { user, verifies_host_keys, .. } => {
                let host_keys =
                    if *verifies_host_keys { self.pinned_host_keys() } else { HostKeyPolicy::DangerAny };
                let ssh = SshConfig {
                    user: user.clone(),
                    key: key.clone(),
                    host_keys,
                    unknown_node: UnknownNode::DangerRandom,
                    address_types: vec!["ExternalIP".into(), "InternalIP".into()],
                };
                let client = self.client("system:apiserver", &["system:masters"]);
                let tunnels = SshTunneler::start(host.clone(), ssh, client);
                (Arc::clone(&tunnels) as Arc<dyn Egress>, Some(tunnels))
            }
        }
    }

    /// Makes the nodes' host keys before the nodes start, so that the tunneler can know them.
    fn pinned_host_keys(&mut self) -> HostKeyPolicy {
        let nodes = self.layout.members().iter().map(|node| node.machine.name.clone());
        let entropy = self.material.entropy();
        self.host_keys = nodes.map(|node| (node, SshKey::generate(entropy))).collect();
        let known = self.host_keys.iter().map(|(node, key)| (node.clone(), key.public()));
        HostKeyPolicy::Pinned(known.collect())
    }

    fn apiserver_config(
        &mut self,
        facts: &Facts,
        (machine, egress): (IpAddr, Arc<dyn Egress>),
    ) -> ApiserverConfig {
        let apiserver = &self.config.apiserver;
        let names = self.apiserver_names(machine);
        ApiserverConfig {
            secure: SocketAddr::new(apiserver.bind_address, apiserver.secure_port),
            insecure: apiserver.insecure.map(|port| own_address(port.address, machine)),
            advertise: SocketAddr::new(machine, apiserver.secure_port),
            tls: self.material.apiserver(names),
            client_ca: self.material.client_anchors(self.config),
            front_proxy: apiserver.request_header.as_ref().map(|given| FrontProxyConfig {
                client_ca: self.material.anchors(given.client_ca_file.as_str()),
                allowed_names: given.allowed_names.clone(),
                username_headers: given.username_headers.clone(),
                uid_headers: given.uid_headers.clone(),
                group_headers: given.group_headers.clone(),
                extra_headers_prefixes: given.extra_headers_prefix.clone(),
            }),
            anonymous: match (apiserver.anonymous_auth, apiserver.anonymous_paths.as_slice()) {
                (false, _) => Anonymous::Off,
                (true, []) => Anonymous::On,
                (true, paths) => Anonymous::OnPaths(paths.to_vec()),
            },
            bootstrap_tokens: apiserver.enable_bootstrap_token_auth,
            static_tokens: self.bootstrap.file(self.config),
            service_accounts: self.service_accounts(),
            token_lives: TokenLives {
                extended: apiserver.service_accounts.extend_token_expiration,
                max_seconds: apiserver.service_accounts.max_token_expiration_s,
            },
            token_cache: TOKEN_CACHE,
            // `-` is the standard output, which nobody keeps here.
            audit: apiserver
                .audit_log
                .as_ref()
                .filter(|path| path.as_str() != "-")
                .map(|path| AuditConfig { path: path.as_str().to_owned() }),
            authorization: apiserver
                .authorization_modes
                .iter()
                .filter_map(|mode| authorizer(*mode))
                .collect(),
            admission: apiserver.admission.effective.clone(),
            service_range: apiserver.service_cluster_ip_range,
            node_ports: apiserver.service_node_ports,
            kubelet: KubeletClientConfig {
                identity: facts.kubelet_client.clone(),
                trust: self.material.kubelet_trust(),
                cert_cn_validation: apiserver.kubelet.cert_cn_validation,
                preferred_address_types: apiserver
                    .kubelet
                    .preferred_address_types
                    .iter()
                    .map(|kind| kind.as_str().to_owned())
                    .collect(),
                default_port: apiserver.kubelet.default_port,
            },
            egress,
            kubernetes_version: self.config.version.major_minor(),
        }
    }
}

impl Setup<'_> {
    /// The keys of service account tokens: one for each file that the apiserver verifies by. It signs
    /// with one of these, or with one that none of them believes.
    fn service_accounts(&mut self) -> ServiceAccountKeys {
        let given = &self.config.apiserver.service_accounts;
        let mut issuers = given.issuers.clone();
        if issuers.is_empty() {
            issuers.push("kubernetes/serviceaccount".to_owned());
        }
        let mut audiences = given.api_audiences.clone();
        if audiences.is_empty() {
            audiences.extend(issuers.first().cloned());
        }
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
        ServiceAccountKeys {
            issuers,
            verify: verify.into_iter().map(|file| self.material.key(file).public().clone()).collect(),
            sign: Some(self.material.key(sign)),
            audiences,
            lookup: given.lookup,
            jwks_uri: given.jwks_uri.clone(),
        }
    }
}

/// An address of a machine's own in a file is another one here; loopback and all are the same.
fn own_address(given: SocketAddr, machine: IpAddr) -> SocketAddr {
    let same = given.ip().is_unspecified() || given.ip().is_loopback();
    if same { given } else { SocketAddr::new(machine, given.port()) }
}

fn authorizer(mode: config::AuthorizationMode) -> Option<AuthorizationMode> {
    match mode {
        config::AuthorizationMode::Node => Some(AuthorizationMode::Node),
        config::AuthorizationMode::Rbac => Some(AuthorizationMode::Rbac),
        config::AuthorizationMode::AlwaysAllow => Some(AuthorizationMode::AlwaysAllow),
        config::AuthorizationMode::AlwaysDeny => Some(AuthorizationMode::AlwaysDeny),
        // What cannot be asked here allows nothing; the paths it may touch are untested.
        config::AuthorizationMode::Abac | config::AuthorizationMode::Webhook => None,
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
