//! What the configuration says of a kubelet and of an apiserver, and what is made of names for it: the
//! same for a whole cluster, whose material is its own, and for one component, which reads real files.

use ravelin_apiserver::{
    Anonymous, ApiserverConfig, AuditConfig, AuthorizationMode, FrontProxyConfig, KubeletClientConfig,
    ServiceAccountKeys, TokenLives,
};
use ravelin_client::Watches;
use ravelin_config::{self as config, ClusterConfig};
use ravelin_kubelet::{
    ApiserverTarget, Authentication, Authorization, Caches, KubeletConfig, Serving, Taint,
};
use ravelin_pki::{Identity, KeyPair, PublicKey, ServerTrust, TrustAnchors};
use ravelin_runtime::Builtin;
use ravelin_transport::egress::Egress;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How often kubelets write their status where nothing changed (`nodeStatusReportFrequency`).
const STATUS_REPORT_INTERVAL: Duration = Duration::from_secs(300);
/// How often running pods are given what their volumes hold by then: as old as Kubernetes lets a
/// kubelet's copies become in large clusters (`pkg/controller/ttl`).
const SYNC_INTERVAL: Duration = Duration::from_secs(300);
/// How long the apiserver believes a good token (`pkg/kubeapiserver/authenticator/config.go`).
const TOKEN_CACHE: Duration = Duration::from_secs(10);

/// What a kubelet needs besides its options.
#[derive(Clone)]
pub struct KubeletParts {
    /// The node's name.
    pub node_name: String,
    /// The node's address.
    pub address: IpAddr,
    /// Where the apiserver is.
    pub apiserver: ApiserverTarget,
    /// What it joins with.
    pub bootstrap_token: Option<String>,
    /// Or the certificate that it was given.
    pub client_identity: Option<Identity>,
    /// What its endpoint proves itself by.
    pub serving: Serving,
    /// Who signs its callers' certificates.
    pub client_ca: Option<TrustAnchors>,
    /// Its pods' addresses, where they are known before.
    pub pod_cidr: Option<ipnet::IpNet>,
}

/// A kubelet of this configuration. An `address` of a machine's own in a file is another one on every
/// node: it stands for the node's.
pub fn kubelet(config: &ClusterConfig, parts: KubeletParts) -> KubeletConfig {
    let kubelet = &config.kubelet;
    let lease_seconds = kubelet.node_lease_duration_s;
    let seconds = Duration::from_secs;
    KubeletConfig {
        labels: [("kubernetes.io/hostname".to_owned(), parts.node_name.clone())].into(),
        node_name: parts.node_name,
        addresses: vec![parts.address],
        taints: kubelet.register_with_taints.iter().map(taint).collect(),
        register_node: kubelet.register_node,
        apiserver: parts.apiserver,
        bootstrap_token: parts.bootstrap_token,
        client_identity: parts.client_identity,
        rotate_certificates: kubelet.rotate_certificates,
        serving: parts.serving,
        enable_server: kubelet.enable_server,
        debugging_handlers: kubelet.enable_debugging_handlers,
        streaming_idle_timeout: seconds(kubelet.streaming_idle_timeout_s),
        address: match kubelet.address {
            given if given.is_unspecified() || given.is_loopback() => given,
            _ => parts.address,
        },
        port: kubelet.port,
        read_only_port: kubelet.read_only_port,
        authentication: Authentication {
            anonymous: kubelet.anonymous_auth,
            webhook: kubelet.webhook_authentication,
            client_ca: parts.client_ca,
        },
        authorization: match kubelet.authorization {
            config::KubeletAuthorization::AlwaysAllow => Authorization::AlwaysAllow,
            config::KubeletAuthorization::Webhook => Authorization::Webhook,
        },
        caches: Caches {
            token: seconds(kubelet.webhook_caches.token_s),
            authorized: seconds(kubelet.webhook_caches.authorized_s),
            unauthorized: seconds(kubelet.webhook_caches.unauthorized_s),
        },
        pod_cidr: parts.pod_cidr,
        version: format!("v{}.0", config.version),
        lease_renew_interval: seconds(u64::from(lease_seconds.max(4)) / 4),
        lease_duration_seconds: lease_seconds,
        status_update_interval: Some(seconds(kubelet.node_status_update_frequency_s)),
        status_report_interval: STATUS_REPORT_INTERVAL,
        sync_interval: Some(SYNC_INTERVAL),
        events: false,
        watches: Watches::USUAL,
        runtime: Arc::new(Builtin::new()),
    }
}

fn taint(given: &config::Taint) -> Taint {
    Taint {
        key: given.key.clone(),
        value: Some(given.value.clone()).filter(|value| !value.is_empty()),
        effect: given.effect.clone(),
    }
}

/// What an apiserver needs besides its options.
pub struct ApiserverParts {
    /// Its machine's address.
    pub machine: IpAddr,
    /// What it presents.
    pub tls: Identity,
    /// Who signs clients' certificates.
    pub client_ca: Option<TrustAnchors>,
    /// Who signs front proxies' certificates, where there are any.
    pub front_proxy_ca: Option<TrustAnchors>,
    /// The content of its token file.
    pub static_tokens: Option<String>,
    /// By what it verifies service accounts' tokens.
    pub verify: Vec<PublicKey>,
    /// By what it signs them.
    pub sign: Option<Arc<KeyPair>>,
    /// What it presents to kubelets.
    pub kubelet_identity: Option<Identity>,
    /// How it judges kubelets.
    pub kubelet_trust: ServerTrust,
    /// How it reaches the cluster.
    pub egress: Arc<dyn Egress>,
}

/// An apiserver of this configuration.
pub fn apiserver(config: &ClusterConfig, parts: ApiserverParts) -> ApiserverConfig {
    let apiserver = &config.apiserver;
    let front_proxy = apiserver.request_header.as_ref().zip(parts.front_proxy_ca);
    ApiserverConfig {
        secure: SocketAddr::new(apiserver.bind_address, apiserver.secure_port),
        insecure: apiserver.insecure.map(|port| own_address(port.address, parts.machine)),
        advertise: SocketAddr::new(parts.machine, apiserver.secure_port),
        tls: parts.tls,
        client_ca: parts.client_ca,
        front_proxy: front_proxy.map(|(given, client_ca)| FrontProxyConfig {
            client_ca,
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
        static_tokens: parts.static_tokens,
        service_accounts: service_accounts(&apiserver.service_accounts, (parts.verify, parts.sign)),
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
        authorization: apiserver.authorization_modes.iter().filter_map(|mode| authorizer(*mode)).collect(),
        admission: apiserver.admission.effective.clone(),
        service_range: apiserver.service_cluster_ip_range,
        node_ports: apiserver.service_node_ports,
        kubelet: KubeletClientConfig {
            identity: parts.kubelet_identity,
            trust: parts.kubelet_trust,
            cert_cn_validation: apiserver.kubelet.cert_cn_validation,
            preferred_address_types: apiserver
                .kubelet
                .preferred_address_types
                .iter()
                .map(|kind| kind.as_str().to_owned())
                .collect(),
            default_port: apiserver.kubelet.default_port,
        },
        egress: parts.egress,
        kubernetes_version: config.version.major_minor(),
    }
}

/// The keys of service account tokens, and whom and what the tokens name.
fn service_accounts(
    given: &config::ServiceAccounts,
    (verify, sign): (Vec<PublicKey>, Option<Arc<KeyPair>>),
) -> ServiceAccountKeys {
    let mut issuers = given.issuers.clone();
    if issuers.is_empty() {
        issuers.push("kubernetes/serviceaccount".to_owned());
    }
    let mut audiences = given.api_audiences.clone();
    if audiences.is_empty() {
        audiences.extend(issuers.first().cloned());
    }
    let (lookup, jwks_uri) = (given.lookup, given.jwks_uri.clone());
    ServiceAccountKeys { issuers, verify, sign, audiences, lookup, jwks_uri }
}

/// An address of a machine's own in a file is another one here; loopback and all are the same.
pub(crate) fn own_address(given: SocketAddr, machine: IpAddr) -> SocketAddr {
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
