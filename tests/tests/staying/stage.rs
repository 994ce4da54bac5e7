//! A small cluster of real components on a simulated network, whose authorities can be changed.

use jiff::{SignedDuration, Timestamp};
use ravelin_apiserver::{
    Anonymous, Apiserver, ApiserverConfig, AuthorizationMode, Key, KubeletClientConfig, Running,
    ServiceAccountKeys, TokenLives,
};
use ravelin_client::{Client, ClientConfig, Credential, TokenSource, Watches};
use ravelin_controllers::{Controllers, ControllersConfig, Operator, OperatorConfig, Signers};
use ravelin_entropy::Entropy;
use ravelin_host::Flaws;
use ravelin_kubelet::{
    ApiserverTarget, Authentication, Authorization, Caches, Kubelet, KubeletConfig, Serving,
};
use ravelin_pki::{
    Authority, Identity, KeyPair, Profile, San, ServerTrust, Subject, TrustAnchors, Usage, inspect,
};
use ravelin_runtime::Builtin;
use ravelin_sim::{Finished, MachineSpec, Place, SimConfig, Topology, World};
use ravelin_transport::egress::Direct;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub const CONTROL: [u8; 4] = [10, 0, 0, 1];
const OPERATOR: [u8; 4] = [10, 0, 0, 3];
const TOKEN: &str = "abcdef.0123456789abcdef";
const ISSUER: &str = "https://kubernetes.default.svc";
pub const NODES: &str = "nodes";
pub const CSRS: &str = "certificatesigningrequests.certificates.k8s.io";

/// How the cluster is paced.
#[derive(Clone)]
pub struct Pace {
    /// How long certificates are signed for.
    pub signing: SignedDuration,
    /// How often leases are renewed.
    pub lease: Duration,
    /// How long a node may be silent.
    pub grace: Duration,
    /// How often a node's status is written.
    pub report: Duration,
    /// How often pods are given what their volumes hold by then.
    pub sync: Duration,
    /// How collections are watched.
    pub watches: Watches,
}

impl Pace {
    /// As Kubernetes has it, but for certificates that live two days.
    pub fn usual() -> Self {
        Self {
            signing: SignedDuration::from_hours(48),
            lease: Duration::from_secs(10),
            grace: Duration::from_secs(50),
            report: Duration::from_secs(300),
            sync: Duration::from_secs(60),
            watches: Watches::USUAL,
        }
    }

    /// A cluster that hardly moves, for runs over weeks: certificates of a day, all else stretched.
    pub fn stretched() -> Self {
        Self {
            signing: SignedDuration::from_hours(24),
            lease: Duration::from_secs(3600),
            grace: Duration::from_secs(3 * 3600),
            report: Duration::from_secs(6 * 3600),
            sync: Duration::from_secs(3600),
            watches: Watches { timeout: Duration::from_secs(12 * 3600), bookmarks: false },
        }
    }
}

/// What a stage is made of.
pub struct Cast {
    pub pace: Pace,
    pub nodes: u8,
    pub flaws: Flaws,
}

/// Runs a scenario in a simulation of its own.
pub fn play<T: Send + 'static>(
    (seed, limit): (u64, Duration),
    cast: Cast,
    scenario: impl FnOnce(Stage) -> Pin<Box<dyn Future<Output = T>>> + Send + 'static,
) -> Finished<T> {
    let mut config = SimConfig::new(seed);
    config.conditions.limit = limit;
    config.flaws = cast.flaws.clone();
    let machine = |name: String, address: [u8; 4], place| MachineSpec {
        name,
        addresses: vec![IpAddr::from(address)],
        place,
    };
    let mut machines = vec![
        machine("control".to_owned(), CONTROL, Place::ControlPlane),
        machine("controllers".to_owned(), [10, 0, 0, 2], Place::ControlPlane),
        machine("operator".to_owned(), OPERATOR, Place::ControlPlane),
    ];
    for node in 1..=cast.nodes {
        machines.push(machine(format!("node-{node}"), node_address(node), Place::Node(node.into())));
        for pod in 1..=3 {
            let place = Place::Pod { node: node.into() };
            machines.push(machine(format!("pod-{node}-{pod}"), [10, 244, node, pod + 1], place));
        }
    }
    let topology = Topology { machines, names: BTreeMap::new() };
    let ran = ravelin_sim::run(config, topology, move |world| {
        Box::pin(async move { scenario(Stage::new(world, cast).await).await })
    });
    ran.unwrap_or_else(|error| panic!("{error}"))
}

pub fn node_address(node: u8) -> [u8; 4] {
    [10, 0, 1, node]
}

/// The cluster.
pub struct Stage {
    pub world: World,
    pub cast: Cast,
    pub authority: Arc<Authority>,
    pub api: Running,
    /// What service account tokens are signed with.
    token_key: Arc<KeyPair>,
    pub manager: Option<ravelin_controllers::Running>,
    pub kubelets: BTreeMap<u8, Node>,
    /// Whom the nodes believe about the apiserver.
    pub trust: TrustAnchors,
    _operator: Operator,
}

/// A node's kubelet and what it runs.
pub struct Node {
    pub kubelet: ravelin_kubelet::Running,
    pub runtime: Arc<Builtin>,
}

pub fn anchors(authorities: &[&Arc<Authority>]) -> TrustAnchors {
    let certificates = authorities.iter().map(|authority| authority.certificate());
    TrustAnchors::new(certificates).expect("they are certificates")
}

impl Stage {
    async fn new(world: World, cast: Cast) -> Self {
        let authority = Self::authority(&world, "kubernetes");
        let token_key = Arc::new(KeyPair::generate(&mut world.host("control").entropy("service accounts")));
        let api = Self::apiserver(&world, &authority, &token_key).await;
        for object in seeded() {
            api.store().seed(object).expect("it is well formed");
        }
        let trust = anchors(&[&authority]);
        let operator = OperatorConfig {
            client: Self::client_config(&world, &authority, "operator"),
            nodes: (1..=cast.nodes)
                .map(|node| (format!("node-{node}"), vec![IpAddr::from(node_address(node))]))
                .collect(),
            danger_rubber_stamp: false,
            watches: cast.pace.watches,
        };
        let _operator = Operator::start(world.host("operator"), operator);
        let mut stage = Self {
            world,
            cast,
            authority,
            api,
            token_key,
            manager: None,
            kubelets: BTreeMap::new(),
            trust,
            _operator,
        };
        let (signer, root) = (Arc::clone(&stage.authority), stage.trust.to_pem());
        stage.start_controllers(&signer, &root);
        stage
    }

    /// An authority of ten years.
    pub fn authority(world: &World, name: &str) -> Arc<Authority> {
        let now = world.now();
        let mut entropy = world.host("control").entropy("authority");
        let key = KeyPair::generate(&mut entropy);
        let until = now + SignedDuration::from_hours(87_600);
        Arc::new(Authority::new(name, key, now - SignedDuration::from_hours(24), until, &mut entropy))
    }

    /// A certificate of ten years.
    pub fn identity(
        (world, authority): (&World, &Authority),
        subject: Subject,
        usage: (Usage, Vec<San>),
    ) -> Identity {
        let now = world.now();
        let profile = Profile {
            subject,
            sans: usage.1,
            usages: vec![usage.0],
            not_before: now - SignedDuration::from_hours(24),
            not_after: now + SignedDuration::from_hours(87_600),
        };
        authority.identity(&profile, &mut world.host("control").entropy("identity"))
    }

    /// What the apiserver presents.
    pub fn serving(world: &World, authority: &Authority) -> Identity {
        let names = vec![San::Ip(CONTROL.into())];
        Self::identity((world, authority), Subject::new("kube-apiserver", &[]), (Usage::Server, names))
    }

    fn client_config(world: &World, authority: &Arc<Authority>, name: &str) -> ClientConfig {
        let groups: &[&str] = if name.starts_with("system:kube-") { &[] } else { &["system:masters"] };
        let subject = Subject::new(name, groups);
        ClientConfig {
            server: SocketAddr::from((CONTROL, 6443)),
            server_name: IpAddr::from(CONTROL).to_string(),
            // What the control plane believes of itself is not what is tested.
            trust: ServerTrust::DangerAny,
            credential: Credential::Certificate(Self::identity(
                (world, authority),
                subject,
                (Usage::Client, vec![]),
            )),
            request_timeout: Duration::from_secs(10),
        }
    }

    async fn apiserver(world: &World, authority: &Arc<Authority>, key: &Arc<KeyPair>) -> Running {
        let host = world.host("control");
        let config = ApiserverConfig {
            secure: SocketAddr::from((CONTROL, 6443)),
            insecure: None,
            advertise: SocketAddr::from((CONTROL, 6443)),
            tls: Self::serving(world, authority),
            client_ca: Some(anchors(&[authority])),
            front_proxy: None,
            anonymous: Anonymous::On,
            bootstrap_tokens: true,
            static_tokens: None,
            service_accounts: ServiceAccountKeys {
                issuers: vec![ISSUER.to_owned()],
                verify: vec![key.public().clone()],
                sign: Some(Arc::clone(key)),
                audiences: vec![ISSUER.to_owned()],
                lookup: true,
                jwks_uri: None,
            },
            token_lives: TokenLives { extended: false, max_seconds: None },
            token_cache: Duration::from_secs(10),
            authorization: vec![AuthorizationMode::Node, AuthorizationMode::Rbac],
            admission: ["NamespaceLifecycle", "NodeRestriction", "ServiceAccount"].map(str::to_owned).into(),
            audit: None,
            service_range: "10.96.0.0/16".parse().expect("it is a range"),
            node_ports: (30_000, 32_767),
            kubelet: KubeletClientConfig {
                identity: None,
                trust: ServerTrust::DangerAny,
                cert_cn_validation: false,
                preferred_address_types: vec!["InternalIP".to_owned()],
                default_port: 10250,
            },
            egress: Arc::new(Direct(Arc::clone(&host))),
            kubernetes_version: (1, 34),
        };
        Apiserver::start(host, config).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the controllers, or starts them anew with another signer and another root certificate.
    pub fn start_controllers(&mut self, signer: &Arc<Authority>, root_ca_pem: &str) {
        self.manager = None;
        let client = |name: &str| Self::client_config(&self.world, signer, name);
        let config = ControllersConfig {
            controller_manager: client("system:kube-controller-manager"),
            scheduler: client("system:kube-scheduler"),
            signers: Signers {
                apiserver_client: Some(Arc::clone(signer)),
                kubelet_client: Some(Arc::clone(signer)),
                kubelet_serving: Some(Arc::clone(signer)),
            },
            signing_duration: self.cast.pace.signing,
            root_ca_pem: root_ca_pem.to_owned(),
            service_account_key: Some(Arc::clone(&self.token_key)),
            cluster_cidr: None,
            node_cidrs: BTreeMap::new(),
            node_cidr_prefix: 24,
            node_monitor_grace: self.cast.pace.grace,
            disabled: BTreeSet::new(),
            events: false,
            watches: self.cast.pace.watches,
        };
        self.manager = Some(Controllers::start(self.world.host("controllers"), config));
    }

    /// Starts a node's kubelet; its disk is kept from before.
    pub async fn start_kubelet(&mut self, node: u8) {
        self.start_kubelet_with(node, |_| {}).await;
    }

    pub async fn start_kubelet_with(&mut self, node: u8, change: impl FnOnce(&mut KubeletConfig)) {
        self.kubelets.remove(&node);
        // What held its ports ends at the next turn.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let runtime = Arc::new(Builtin::new());
        let mut config = self.kubelet_config(node, Arc::clone(&runtime));
        change(&mut config);
        let host = self.world.host(&format!("node-{node}"));
        let kubelet = Kubelet::start(host, config).await.unwrap_or_else(|error| panic!("{error}"));
        self.kubelets.insert(node, Node { kubelet, runtime });
    }

    fn kubelet_config(&self, node: u8, runtime: Arc<Builtin>) -> KubeletConfig {
        let pace = &self.cast.pace;
        let seconds = u32::try_from(pace.grace.as_secs()).expect("it is not centuries");
        KubeletConfig {
            node_name: format!("node-{node}"),
            addresses: vec![node_address(node).into()],
            labels: BTreeMap::new(),
            taints: Vec::new(),
            register_node: true,
            apiserver: ApiserverTarget {
                address: SocketAddr::from((CONTROL, 6443)),
                server_name: IpAddr::from(CONTROL).to_string(),
                trust: ServerTrust::Anchors(self.trust.clone()),
            },
            bootstrap_token: Some(TOKEN.to_owned()),
            client_identity: None,
            rotate_certificates: true,
            serving: Serving::Bootstrap,
            enable_server: true,
            debugging_handlers: true,
            streaming_idle_timeout: Duration::from_secs(4 * 3600),
            address: node_address(node).into(),
            port: 10250,
            read_only_port: None,
            authentication: Authentication {
                anonymous: false,
                webhook: true,
                client_ca: Some(self.trust.clone()),
            },
            authorization: Authorization::AlwaysAllow,
            caches: Caches {
                token: Duration::from_secs(120),
                authorized: Duration::from_secs(300),
                unauthorized: Duration::from_secs(30),
            },
            pod_cidr: Some(format!("10.244.{node}.0/24").parse().expect("it is a range")),
            version: "v1.34.0".to_owned(),
            lease_renew_interval: pace.lease,
            lease_duration_seconds: seconds,
            status_update_interval: Some(Duration::from_secs(10)),
            status_report_interval: pace.report,
            sync_interval: Some(pace.sync),
            events: false,
            watches: pace.watches,
            runtime,
        }
    }

    /// The operator's client.
    pub fn operator(&self) -> Client {
        let config = Self::client_config(&self.world, &self.authority, "admin");
        Client::new(self.world.host("operator"), config)
    }

    /// An object of the store.
    pub fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.api.store().get(&Key::namespaced(resource, namespace, name))
    }

    /// A node's object.
    pub fn node(&self, node: u8) -> Option<Arc<Value>> {
        self.object(NODES, "", &format!("node-{node}"))
    }

    /// The status of a node's Ready condition; empty where there is none.
    pub fn ready(&self, node: u8) -> String {
        let object = self.node(node).unwrap_or_default();
        let conditions = ravelin_api::object::list(&object, "status.conditions");
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        ready.map_or_else(String::new, |ready| ready["status"].as_str().unwrap_or_default().to_owned())
    }

    /// The keys of a node's taints with their effects.
    pub fn taints(&self, node: u8) -> Vec<String> {
        let object = self.node(node).unwrap_or_default();
        let taints = ravelin_api::object::list(&object, "spec.taints").iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        taints.map(|taint| format!("{}:{}", text(&taint["key"]), text(&taint["effect"]))).collect()
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, seconds: u64, holds: impl Fn(&Self) -> bool) {
        for _ in 0..seconds * 2 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let nodes = self.kubelets.keys().map(|node| (node, self.ready(*node), self.taints(*node)));
        let nodes: Vec<_> = nodes.collect();
        panic!("not within {seconds} s: {what}; nodes: {nodes:?}");
    }

    /// The certificate that a kubelet shows the apiserver.
    pub fn client_certificate(&self, node: u8) -> Option<ravelin_pki::Inspected> {
        match self.kubelets[&node].kubelet.client_config()?.credential {
            Credential::Certificate(identity) => inspect(identity.chain.first()?),
            _ => None,
        }
    }

    /// Runs a pod on a node.
    pub async fn run_pod(&self, node: u8, name: &str) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" },
            "spec": {
                "nodeName": format!("node-{node}"),
                "containers": [{ "name": "c", "image": "ravelin.test/http", "ports": [{ "containerPort": 80 }] }],
            },
        });
        let operator = self.operator();
        for _ in 0..60 {
            // Until the namespace has its service account.
            if operator.create("/api/v1/namespaces/default/pods", &pod).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let running = |stage: &Self| stage.is_pod_ready(name);
        self.until("the pod runs", 120, running).await;
    }

    /// Is a pod ready?
    pub fn is_pod_ready(&self, name: &str) -> bool {
        let pod = self.object("pods", "default", name).unwrap_or_default();
        ravelin_api::object::has_condition(&pod, "Ready")
    }

    /// A file of a pod, as the pod reads it.
    pub fn pod_file(&self, node: u8, (name, file): (&str, &str)) -> String {
        let pod = self.object("pods", "default", name).expect("the pod is there");
        let uid = ravelin_api::object::uid(&pod);
        let sandbox = self.kubelets[&node].runtime.sandbox(uid).expect("the pod runs");
        let path = format!("/var/run/secrets/kubernetes.io/serviceaccount/{file}");
        let content = sandbox.host.disk().read(&path).expect("the file is there");
        String::from_utf8(content).expect("it is text")
    }

    /// Is a pod's token good? Asked by way of the pod's own root certificate.
    pub async fn is_token_good(&self, node: u8, pod: &str) -> bool {
        let config = ClientConfig {
            server: SocketAddr::from((CONTROL, 6443)),
            server_name: IpAddr::from(CONTROL).to_string(),
            trust: ServerTrust::Anchors(
                TrustAnchors::from_pem(&self.pod_file(node, (pod, "ca.crt"))).expect("it is a bundle"),
            ),
            credential: Credential::Token(TokenSource::fixed(self.pod_file(node, (pod, "token")))),
            request_timeout: Duration::from_secs(10),
        };
        let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
        let client = Client::new(self.world.host(&format!("node-{node}")), config);
        let answer = client.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await;
        let user = answer.map(|answer| answer["status"]["userInfo"]["username"].clone());
        user.is_ok_and(|user| user == "system:serviceaccount:default:default")
    }

    /// Does the apiserver know a kubelet by its present certificate?
    pub async fn is_kubelet_known(&self, node: u8) -> bool {
        let Some(config) = self.kubelets[&node].kubelet.client_config() else { return false };
        let client = Client::new(self.world.host(&format!("node-{node}")), config);
        client.get(&format!("/api/v1/nodes/node-{node}")).await.is_ok()
    }

    /// Does a kubelet's endpoint answer with a certificate that this authority issued?
    pub async fn is_endpoint_good(&self, node: u8, authority: &Arc<Authority>) -> bool {
        let address = IpAddr::from(node_address(node));
        let identity = Self::identity(
            (&self.world, &self.authority),
            Subject::new("kube-apiserver-kubelet-client", &["system:masters"]),
            (Usage::Client, vec![]),
        );
        let config = ClientConfig {
            server: SocketAddr::new(address, 10250),
            server_name: address.to_string(),
            trust: ServerTrust::Anchors(anchors(&[authority])),
            credential: Credential::Certificate(identity),
            request_timeout: Duration::from_secs(10),
        };
        let request = http::Request::get("/healthz").body(ravelin_client::body::empty());
        let client = Client::new(self.world.host("control"), config);
        client.raw(request.expect("it is a request")).await.is_ok_and(|(code, _, _)| code.is_success())
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// How often something was observed so far on a machine, in a finished run's trace.
    pub fn count<T>(finished: &Finished<T>, kind: &str, holds: &str) -> usize {
        let kind = format!("\"kind\":\"{kind}\"");
        finished.trace.iter().filter(|line| line.contains(&kind) && line.contains(holds)).count()
    }

    /// A source of randomness of the harness.
    pub fn entropy(&self, label: &str) -> Entropy {
        self.world.host("operator").entropy(label)
    }
}

/// What an installer puts into the store.
fn seeded() -> Vec<Value> {
    let encoded = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    let (id, secret) = TOKEN.split_once('.').expect("it has two parts");
    let mut objects = ravelin_auth::rbac::kubeadm_objects();
    objects.extend(ravelin_auth::rbac::run_by_controller_manager());
    objects.push(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": { "name": format!("bootstrap-token-{id}"), "namespace": "kube-system" },
        "data": {
            "token-id": encoded(id), "token-secret": encoded(secret),
            "usage-bootstrap-authentication": encoded("true"),
            "auth-extra-groups": encoded("system:bootstrappers:kubeadm:default-node-token"),
        },
    }));
    // What pods are told of the apiserver; nothing here goes by it.
    objects.push(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "kubernetes", "namespace": "default" },
        "spec": { "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "type": "ClusterIP",
                  "ports": [{ "name": "https", "protocol": "TCP", "port": 443, "targetPort": 6443 }] },
    }));
    objects
}
