//! Starting a cluster.

use crate::cluster::{Cluster, Components, Facts, Hosts, Member, MemberPlan, with_certificate};
use crate::credentials::{self, Bootstrap};
use crate::demo::{Demo, NAMESPACE, web_service};
use crate::layout::{Layout, NodePlace};
use crate::material::Material;
use crate::objects;
use crate::ports::Ports;
use crate::tenant::{self, TENANT_NAMESPACE};
use async_trait::async_trait;
use ravelin_apiserver::{
    Apiserver, ApiserverConfig, AuthorizationMode, KubeletClientConfig, ServiceAccountKeys, Store,
};
use ravelin_client::{Client, ClientConfig, Credential, TokenSource};
use ravelin_config::{self as config, ClusterConfig};
use ravelin_controllers::{Operator, OperatorConfig};
use ravelin_host::{BoxedStream, HostRef};
use ravelin_kubelet::{ApiserverTarget, Authentication, Authorization, Caches, KubeletConfig, Serving};
use ravelin_pki::{Identity, San, ServerTrust, Subject};
use ravelin_runtime::Builtin;
use ravelin_transport::egress::{Destination, Direct, Egress, EgressError};
use ravelin_tunnel::{
    HostKeyPolicy, SshConfig, SshKey, SshNodeConfig, SshPublicKey, SshTunneler, UnknownNode,
};
use serde_json::json;
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the components' requests may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the setup looks whether all is ready.
const LOOK: Duration = Duration::from_millis(200);
/// Where a service proxy that runs in a pod has its token.
pub(crate) const PROXY_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// The port of SSH.
const SSH_PORT: u16 = 22;

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
    bootstrap: Bootstrap,
    /// The nodes' SSH host keys, by name, where they are known before the nodes start.
    host_keys: BTreeMap<String, SshKey>,
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
        let issuer = apiserver.service_accounts.issuers.first();
        let issuer = issuer.cloned().unwrap_or_else(|| "kubernetes/serviceaccount".to_owned());
        let mut audiences = apiserver.service_accounts.api_audiences.clone();
        if audiences.is_empty() {
            audiences.push(issuer.clone());
        }
        ApiserverConfig {
            secure: SocketAddr::new(apiserver.bind_address, apiserver.secure_port),
            insecure: apiserver.insecure.map(|port| self.own_address(port.address)),
            advertise: self.base.server,
            tls: self.material.apiserver(facts.names.clone()),
            client_ca: self.material.client_anchors(self.config),
            anonymous: apiserver.anonymous_auth,
            bootstrap_tokens: apiserver.enable_bootstrap_token_auth,
            static_tokens: self.bootstrap.file(self.config),
            service_accounts: ServiceAccountKeys {
                issuer,
                verify: vec![key.public().clone()],
                sign: Some(key),
                audiences,
            },
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

    /// Starts everything that runs on a node.
    async fn member(&mut self, index: usize, (operator, tunnel_key): (&Client, &SshKey)) -> Member {
        let place = self.layout.members()[index].clone();
        let host = self.hosts.nodes[index].clone();
        let plan = MemberPlan {
            kubelet: self.kubelet_config(&place),
            proxy: self.proxy_client(&host, operator).await,
            ssh: self.ssh_config(&place, tunnel_key.public()),
        };
        let running = RefCell::new(Components::start(&host, &plan).await);
        Member { host, plan, running }
    }

    fn kubelet_config(&mut self, place: &NodePlace) -> KubeletConfig {
        let kubelet = &self.config.kubelet;
        let node = &place.machine.name;
        let names = vec![San::Ip(place.machine.address), San::Dns(node.clone())];
        let token = self.bootstrap.token().map(str::to_owned);
        let identity =
            token.is_none().then(|| self.material.client(&format!("system:node:{node}"), &["system:nodes"]));
        let lease_seconds = kubelet.node_lease_duration_s;
        KubeletConfig {
            node_name: node.clone(),
            addresses: vec![place.machine.address],
            labels: [("kubernetes.io/hostname".to_owned(), node.clone())].into(),
            apiserver: ApiserverTarget {
                address: self.base.server,
                server_name: self.base.server_name.clone(),
                trust: self.base.trust.clone(),
            },
            bootstrap_token: token,
            client_identity: identity,
            serving: match &kubelet.serving {
                config::KubeletServing::SelfSigned => Serving::SelfSigned,
                config::KubeletServing::Bootstrap => Serving::Bootstrap,
                config::KubeletServing::Files(_) => {
                    Serving::Given(self.material.kubelet_serving(node, names))
                }
            },
            enable_server: kubelet.enable_server,
            debugging_handlers: kubelet.enable_debugging_handlers,
            // An address of a machine's own in a file is another one on every node.
            address: match kubelet.address {
                given if given.is_unspecified() || given.is_loopback() => given,
                _ => place.machine.address,
            },
            port: kubelet.port,
            read_only_port: kubelet.read_only_port,
            authentication: Authentication {
                anonymous: kubelet.anonymous_auth,
                webhook: kubelet.webhook_authentication,
                client_ca: self.material.kubelet_client_anchors(),
            },
            authorization: match kubelet.authorization {
                config::KubeletAuthorization::AlwaysAllow => Authorization::AlwaysAllow,
                config::KubeletAuthorization::Webhook => Authorization::Webhook,
            },
            caches: Caches {
                token: Duration::from_secs(kubelet.webhook_caches.token_s),
                authorized: Duration::from_secs(kubelet.webhook_caches.authorized_s),
                unauthorized: Duration::from_secs(kubelet.webhook_caches.unauthorized_s),
            },
            pod_cidr: Some(place.pod_cidr),
            version: format!("v{}.0", self.config.version),
            lease_renew_interval: Duration::from_secs(u64::from(lease_seconds.max(4)) / 4),
            lease_duration_seconds: lease_seconds,
            runtime: Arc::new(Builtin::new()),
        }
    }

    /// The service proxy's way to the apiserver: a certificate where its kubeconfig is a file of
    /// its own, a service account's token where it runs in a pod (kubeadm).
    async fn proxy_client(&mut self, host: &HostRef, operator: &Client) -> ClientConfig {
        const IN_POD: &str = "/var/lib/kube-proxy/kubeconfig.conf";
        let own_file = self.config.proxy.kubeconfig.as_ref().filter(|file| file.as_str() != IN_POD);
        if own_file.is_some() {
            return self.client("system:kube-proxy", &["system:node-proxier"]);
        }
        let path = "/api/v1/namespaces/kube-system/serviceaccounts/kube-proxy/token";
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": 31_536_000},
        });
        let issued = operator.create(path, &request).await.ok();
        let token = issued.as_ref().and_then(|issued| issued["status"]["token"].as_str()).unwrap_or_default();
        // A token that was not issued is an empty file, and the client says so.
        let _ = host.disk().write(PROXY_TOKEN, token.as_bytes());
        ClientConfig { credential: Credential::Token(TokenSource::file(PROXY_TOKEN)), ..self.base.clone() }
    }

    /// What the rogue node was issued when it had the first member's address.
    fn former_serving(&mut self) -> Option<Identity> {
        let rogue = &self.layout.members()[self.layout.rogue()?].machine.name;
        let address = self.layout.members().first()?.machine.address;
        let names = vec![San::Ip(address), San::Dns(rogue.clone())];
        match &self.config.kubelet.serving {
            config::KubeletServing::SelfSigned => None,
            config::KubeletServing::Bootstrap => self.material.requested_serving(rogue, names),
            config::KubeletServing::Files(_) => Some(self.material.kubelet_serving(rogue, names)),
        }
    }

    fn ssh_config(&mut self, place: &NodePlace, key: SshPublicKey) -> Option<SshNodeConfig> {
        let config::Egress::SshTunnels { user, .. } = &self.config.apiserver.egress else { return None };
        let known = self.host_keys.get(&place.machine.name).cloned();
        Some(SshNodeConfig {
            listen: SocketAddr::new(place.machine.address, SSH_PORT),
            host_key: known.unwrap_or_else(|| SshKey::generate(self.material.entropy())),
            user: user.clone(),
            authorized_keys: vec![key],
        })
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
