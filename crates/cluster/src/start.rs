//! Starting a cluster.

use crate::cluster::{Cluster, Facts, Hosts, with_certificate};
use crate::credentials::{self, Bootstrap};
use crate::demo::{Demo, NAMESPACE, web_service};
use crate::layout::Layout;
use crate::material::Material;
use crate::objects;
use crate::ports::Ports;
use crate::tenant::{self, TENANT_NAMESPACE};
use async_trait::async_trait;
use ravelin_apiserver::{
    Anonymous, Apiserver, ApiserverConfig, AuthorizationMode, FrontProxyConfig, KubeletClientConfig,
    ServiceAccountKeys, Store, TokenLives,
};
use ravelin_client::{Client, ClientConfig, Credential, TokenSource};
use ravelin_config::{self as config, ClusterConfig};
use ravelin_controllers::{Operator, OperatorConfig};
use ravelin_host::BoxedStream;
use ravelin_pki::{San, ServerTrust, Subject};
use ravelin_transport::egress::{Destination, Direct, Egress, EgressError};
use ravelin_tunnel::{HostKeyPolicy, SshConfig, SshKey, SshTunneler, UnknownNode};
use std::any::Any;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the components' requests may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the apiserver believes a good token (`pkg/kubeapiserver/authenticator/config.go`).
const TOKEN_CACHE: Duration = Duration::from_secs(10);
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
    /// The nodes' SSH host keys, by name, where they are known before the nodes start.
    pub(crate) host_keys: BTreeMap<String, SshKey>,
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
        let (host_keys, others) = (BTreeMap::new(), Vec::new());
        Self { config, layout, hosts, material, base, bootstrap, host_keys, others }
    }

    async fn start(mut self) -> Cluster {
        let operator = self.client("operator", &["system:masters"]);
        let tunnel_key = SshKey::generate(self.material.entropy());
        let (egress, tunnels) = self.egress(&tunnel_key);
        let facts = self.facts();
        let apiserver = self.apiserver_config(&facts, egress);
        let apiserver = Apiserver::start(self.hosts.control_plane.clone(), apiserver).await;
        let apiserver = apiserver.unwrap_or_else(|error| panic!("{error}"));
        self.seed(&apiserver.store());
        self.controllers(&facts).await;
        self.operator(&operator);
        let operator = Client::new(self.hosts.operator.clone(), operator);
        let mut members = Vec::new();
        for index in 0..self.layout.members().len() {
            members.push(self.member(index, (&operator, &tunnel_key)).await);
        }
        let trouble = self.populate(&operator);
        Cluster {
            layout: self.layout.clone(),
            hosts: self.hosts.clone(),
            apiserver,
            facts,
            operator,
            members,
            tunnels,
            former_serving: self.former_serving(),
            trouble,
            _others: self.others,
        }
    }

    pub(crate) fn client(&mut self, name: &str, groups: &[&str]) -> ClientConfig {
        with_certificate(&self.base, self.material.client(name, groups))
    }

    /// How the apiserver reaches the cluster.
    fn egress(&mut self, key: &SshKey) -> (Arc<dyn Egress>, Option<Arc<SshTunneler>>) {
        match &self.config.apiserver.egress {
            config::Egress::Direct => (Arc::new(Direct(self.hosts.control_plane.clone())), None),
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
                let tunnels = SshTunneler::start(self.hosts.control_plane.clone(), ssh, client);
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

    fn facts(&mut self) -> Facts {
        let token = self.bootstrap.token().map(|token| Credential::Token(TokenSource::fixed(token)));
        let joiner = token.map(|credential| ClientConfig { credential, ..self.base.clone() });
        let (name, group) = credentials::kubelet_client_name(self.config);
        Facts {
            address: self.base.server,
            names: self.apiserver_names(),
            authority: self.material.servers_name().to_owned(),
            kubelet_authority: self.material.kubelets_name().to_owned(),
            kubelet_port: self.config.kubelet.port,
            kubelet_client: credentials::kubelet_client(self.config, &mut self.material),
            kubelet_client_subject: Subject::new(name, &[group]),
            bootstrapper: self.bootstrap.subject(),
            egress: match self.config.apiserver.egress {
                config::Egress::Direct => "direct",
                config::Egress::SshTunnels { .. } => "ssh",
                config::Egress::Unmodelled { .. } => "unmodelled",
            },
            joiner,
            controller_manager: self.client("system:kube-controller-manager", &[]),
            user: self.client("kubernetes-admin", &["system:masters"]),
            ports: Ports::of(self.config, self.layout),
        }
    }

    /// The names of the apiserver's certificate, as kubeadm writes them.
    fn apiserver_names(&self) -> Vec<San> {
        let domain = &self.config.network.dns_domain;
        let service = format!("kubernetes.default.svc.{domain}");
        let dns = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", service.as_str()];
        let mut names: Vec<San> = dns.into_iter().map(San::parse).collect();
        names.push(San::Ip(self.base.server.ip()));
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

    fn apiserver_config(&mut self, facts: &Facts, egress: Arc<dyn Egress>) -> ApiserverConfig {
        let apiserver = &self.config.apiserver;
        let key = self.material.key();
        let mut issuers = apiserver.service_accounts.issuers.clone();
        if issuers.is_empty() {
            issuers.push("kubernetes/serviceaccount".to_owned());
        }
        let mut audiences = apiserver.service_accounts.api_audiences.clone();
        if audiences.is_empty() {
            audiences.extend(issuers.first().cloned());
        }
        ApiserverConfig {
            secure: SocketAddr::new(apiserver.bind_address, apiserver.secure_port),
            insecure: apiserver.insecure.map(|port| self.own_address(port.address)),
            advertise: self.base.server,
            tls: self.material.apiserver(facts.names.clone()),
            client_ca: self.material.client_anchors(self.config),
            front_proxy: apiserver.request_header.as_ref().map(|given| FrontProxyConfig {
                client_ca: self.material.front_proxy_anchors(given.client_ca_file.as_str()),
                allowed_names: given.allowed_names.clone(),
                username_headers: given.username_headers.clone(),
                group_headers: given.group_headers.clone(),
                extra_headers_prefixes: given.extra_headers_prefix.clone(),
            }),
            anonymous: if apiserver.anonymous_auth { Anonymous::On } else { Anonymous::Off },
            bootstrap_tokens: apiserver.enable_bootstrap_token_auth,
            static_tokens: self.bootstrap.file(self.config),
            service_accounts: ServiceAccountKeys {
                issuers,
                verify: vec![key.public().clone()],
                sign: Some(key),
                audiences,
                lookup: apiserver.service_accounts.lookup,
                jwks_uri: None,
            },
            token_lives: TokenLives {
                extended: apiserver.service_accounts.extend_token_expiration,
                max_seconds: apiserver.service_accounts.max_token_expiration_s,
            },
            token_cache: TOKEN_CACHE,
            audit: None,
            authorization: apiserver
                .authorization_modes
                .iter()
                .filter_map(|mode| authorizer(*mode))
                .collect(),
            admission: apiserver.admission.effective.clone(),
            service_range: apiserver.service_cluster_ip_range,
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

    /// An address of a machine's own in a file is another one here; loopback and all are the same.
    fn own_address(&self, given: SocketAddr) -> SocketAddr {
        let same = given.ip().is_unspecified() || given.ip().is_loopback();
        if same { given } else { SocketAddr::new(self.base.server.ip(), given.port()) }
    }

    /// What an installer writes straight into the new cluster.
    fn seed(&self, store: &Store) {
        let mut wanted = objects::installed(self.config);
        if let Bootstrap::Secret(token) = &self.bootstrap {
            wanted.push(objects::bootstrap_token(token));
        }
        wanted.extend(objects::demo_objects());
        let given = self.config.manifests.iter().map(|manifest| manifest.object.clone());
        for object in wanted.into_iter().chain(given) {
            let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
            if let Err(error) = store.seed(object) {
                let fields = [ravelin_host::field("object", name), ravelin_host::field("error", error)];
                self.hosts.operator.observe("setup.not-created", &fields);
            }
        }
    }

    fn operator(&mut self, client: &ClientConfig) {
        let nodes = self.layout.nodes.iter();
        let nodes = nodes.map(|node| (node.machine.name.clone(), vec![node.machine.address])).collect();
        let config = OperatorConfig { client: client.clone(), nodes };
        self.others.push(Box::new(Operator::start(self.hosts.operator.clone(), config)));
    }

    /// Creates the demo pods and their service through the API, as a user would.
    fn populate(&mut self, operator: &Client) -> Arc<Mutex<Option<String>>> {
        let trouble = Arc::new(Mutex::new(None));
        let told = Arc::clone(&trouble);
        let mut wanted = vec![(format!("/api/v1/namespaces/{NAMESPACE}/services"), web_service())];
        for node in self.layout.honest() {
            let node = &self.layout.members()[node].machine.name;
            let pods = Demo::ALL.iter().map(|demo| demo.pod(node));
            wanted.extend(pods.map(|pod| (format!("/api/v1/namespaces/{NAMESPACE}/pods"), pod)));
        }
        if let Some(last) = self.layout.members().last() {
            let pod = tenant::pod(&last.machine.name);
            wanted.push((format!("/api/v1/namespaces/{TENANT_NAMESPACE}/pods"), pod));
        }
        let operator = operator.clone();
        let creating = async move {
            for (path, object) in wanted {
                // Refusals (a service account that is not there yet) pass; others stay, and show.
                for _ in 0..20 {
                    match operator.create(&path, &object).await {
                        Ok(_) => break,
                        Err(error) if error.code() == Some(409) => break,
                        Err(error) => {
                            if let Ok(mut told) = told.lock() {
                                *told = Some(error.to_string());
                            }
                            tokio::time::sleep(Duration::from_millis(500)).await;
                        }
                    }
                }
            }
        };
        let task = self.hosts.operator.spawn("setup", Box::pin(creating));
        self.others.push(Box::new(task));
        trouble
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
