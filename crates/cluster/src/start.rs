//! Starting a cluster.

use crate::cluster::{Cluster, Facts, Hosts, with_certificate};
use crate::credentials::{self, Bootstrap, FrontProxies};
use crate::layout::Layout;
use crate::material::Material;
use crate::ports::Ports;
use crate::ssh::SshMaterial;
use ravelin_client::{Carrier, Client, ClientConfig, Credential, TokenSource};
use ravelin_config::{self as config, ClusterConfig};
use ravelin_pki::{San, ServerTrust, Subject};
use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long the components' requests may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the setup looks whether all is ready.
const LOOK: Duration = Duration::from_millis(200);

impl Cluster {
    /// Starts a cluster and waits until all is ready, or until `limit` has passed: what is not
    /// ready then shows when it is used.
    ///
    /// # Panics
    /// Where the apiserver cannot start on its own machine.
    pub async fn start(config: &ClusterConfig, layout: Layout, hosts: Hosts, limit: Duration) -> Self {
        let began = tokio::time::Instant::now();
        let setup = Setup::new(config, &layout, &hosts);
        let cluster = setup.start().await;
        while !cluster.is_ready() && began.elapsed() < limit {
            tokio::time::sleep(LOOK).await;
        }
        cluster
    }
}

/// What starting needs all the way.
pub(crate) struct Setup<'a> {
    pub(crate) config: &'a ClusterConfig,
    pub(crate) layout: &'a Layout,
    pub(crate) hosts: &'a Hosts,
    pub(crate) material: Material,
    /// How clients of the apiserver reach it, with no credential yet.
    pub(crate) base: ClientConfig,
    pub(crate) bootstrap: Bootstrap,
    /// What SSH tunnels are made from, where the configuration has any.
    pub(crate) ssh: Option<SshMaterial>,
    pub(crate) others: Vec<Box<dyn Any>>,
}

impl<'a> Setup<'a> {
    fn new(config: &'a ClusterConfig, layout: &'a Layout, hosts: &'a Hosts) -> Self {
        let host = &hosts.operator;
        let mut material = Material::new(config, host.now(), host.entropy("material"));
        let address = SocketAddr::new(layout.control_plane.address, config.apiserver.secure_port);
        let base = ClientConfig {
            server: address,
            server_name: endpoint_name(config).unwrap_or_else(|| address.ip().to_string()),
            trust: ServerTrust::Anchors(material.server_anchors()),
            credential: Credential::Anonymous,
            request_timeout: REQUEST_TIMEOUT,
        };
        let bootstrap = Bootstrap::of(config, &mut material);
        let mut setup =
            Self { config, layout, hosts, material, base, bootstrap, ssh: None, others: Vec::new() };
        setup.ssh = SshMaterial::of(&mut setup, host.now());
        setup
    }

    async fn start(mut self) -> Cluster {
        let operator = self.client("operator", &["system:masters"]);
        let facts = self.facts();
        let (apiservers, tunnels) = self.apiservers(&facts).await;
        self.controllers(&facts).await;
        self.operator(&operator);
        let operator = Client::new(self.hosts.operator.clone(), operator);
        let mut members = Vec::new();
        for index in 0..self.layout.members().len() {
            members.push(self.member(index, &operator).await);
        }
        let trouble = self.populate(&operator);
        let departed = self.departed(&operator, &members);
        Cluster {
            layout: self.layout.clone(),
            hosts: self.hosts.clone(),
            apiservers,
            facts,
            operator,
            members,
            tunnels,
            former_serving: self.former_serving(),
            departed,
            trouble,
            _others: self.others,
        }
    }

    pub(crate) fn client(&mut self, name: &str, groups: &[&str]) -> ClientConfig {
        with_certificate(&self.base, self.material.client(name, groups))
    }

    fn facts(&mut self) -> Facts {
        let token = self.bootstrap.token().map(|token| Credential::Token(TokenSource::fixed(token)));
        let joiner = token.map(|credential| ClientConfig { credential, ..self.base.clone() });
        let (name, group) = credentials::kubelet_client_name(self.config);
        Facts {
            address: self.base.server,
            names: self.apiserver_names(self.base.server.ip()),
            authority: self.material.servers_name().to_owned(),
            kubelet_authority: self.material.kubelets_name().to_owned(),
            kubelet_port: self.config.kubelet.port,
            kubelet_client: credentials::kubelet_client(self.config, &mut self.material),
            kubelet_client_subject: Subject::new(name, &[group]),
            bootstrapper: self.bootstrap.subject(),
            egress: match self.config.apiserver.egress {
                config::Egress::Direct => "direct",
                config::Egress::SshTunnels { .. } => "ssh",
                config::Egress::Konnectivity(_) => "konnectivity",
                config::Egress::Unmodelled { .. } => "unmodelled",
            },
            bootstrap_token: self.bootstrap.token().map(str::to_owned),
            bootstrap_token_stays: credentials::bootstrap_token_stays(self.config),
            konnectivity: self.konnectivity_at(),
            tunnel_login: self.ssh.as_ref().map(SshMaterial::login),
            front_proxy: FrontProxies::of(self.config, &mut self.material),
            joiner,
            controller_manager: self.client("system:kube-controller-manager", &[]),
            user: self.client("kubernetes-admin", &["system:masters"]),
            ports: Ports::of(self.config, self.layout),
            kubectl_carrier: match self.config.version.major_minor() >= (1, 31) {
                true => Carrier::WebSocket,
                false => Carrier::Spdy,
            },
        }
    }

    /// The names of an apiserver's certificate, as kubeadm writes them.
    pub(crate) fn apiserver_names(&self, machine: IpAddr) -> Vec<San> {
        let domain = &self.config.network.dns_domain;
        let service = format!("kubernetes.default.svc.{domain}");
        let dns = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", service.as_str()];
        let mut names: Vec<San> = dns.into_iter().map(San::parse).collect();
        names.push(San::Ip(machine));
        names.push(San::Ip(self.kubernetes_service()));
        names.extend(endpoint_name(self.config).iter().map(|name| San::parse(name)));
        names.extend(self.config.network.apiserver_cert_sans.iter().map(|name| San::parse(name)));
        let mut known = Vec::new();
        names.retain(|name| {
            let new = !known.contains(name);
            known.push(name.clone());
            new
        });
        names
    }

    /// The address of the `kubernetes` service: the first of the range.
    pub(crate) fn kubernetes_service(&self) -> IpAddr {
        let range = self.config.apiserver.service_cluster_ip_range;
        range.hosts().next().unwrap_or_else(|| range.addr())
    }
}

/// The host of kubeadm's `controlPlaneEndpoint`, which clients then dial.
fn endpoint_name(config: &ClusterConfig) -> Option<String> {
    let endpoint = config.network.control_plane_endpoint.as_deref()?;
    let host = match endpoint.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => endpoint,
    };
    Some(host.trim_matches(['[', ']']).to_owned())
}
