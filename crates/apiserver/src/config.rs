//! What an apiserver is told.

use crate::front_proxy::FrontProxyConfig;
use ipnet::IpNet;
use ravelin_auth::token::ServiceAccountKeys;
use ravelin_pki::{Identity, ServerTrust, TrustAnchors};
use ravelin_transport::egress::Egress;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How an apiserver is to run. Nothing has a default here: `config` knows Kubernetes' own.
#[derive(Clone)]
pub struct ApiserverConfig {
    /// Where it listens (`--bind-address`, `--secure-port`).
    pub secure: SocketAddr,
    /// Where it listens without TLS, and allows everything to everybody (`--insecure-bind-address`,
    /// `--insecure-port`); with `None` it does not.
    pub insecure: Option<SocketAddr>,
    /// Under which address the cluster knows it (`--advertise-address`).
    pub advertise: SocketAddr,
    /// What it presents (`--tls-cert-file`, `--tls-private-key-file`).
    pub tls: Identity,
    /// Who issues client certificates (`--client-ca-file`); with `None` they count for nothing.
    pub client_ca: Option<TrustAnchors>,
    /// Whose word about others counts; with `None` nobody's.
    pub front_proxy: Option<FrontProxyConfig>,
    /// May one ask without a credential (`--anonymous-auth`)?
    pub anonymous: Anonymous,
    /// Are bootstrap tokens good (`--enable-bootstrap-token-auth`)?
    pub bootstrap_tokens: bool,
    /// The content of `--token-auth-file`.
    pub static_tokens: Option<String>,
    /// How service-account tokens are made and judged.
    pub service_accounts: ServiceAccountKeys,
    /// How long those live that it issues.
    pub token_lives: TokenLives,
    /// How long a good bearer token is believed without being looked at again; not at all for zero
    /// (10 s in `pkg/kubeapiserver/authenticator/config.go`).
    pub token_cache: Duration,
    /// Who decides, in order (`--authorization-mode`). With none, everything is denied.
    pub authorization: Vec<AuthorizationMode>,
    /// The admission plugins that run, those included that Kubernetes enables by itself
    /// (`--enable-admission-plugins`, `--disable-admission-plugins`).
    pub admission: Vec<String>,
    /// Where requests are written down; with `None` they are not.
    pub audit: Option<AuditConfig>,
    /// Where services' addresses come from (`--service-cluster-ip-range`).
    pub service_range: IpNet,
    /// Where their node ports come from, first and last (`--service-node-port-range`).
    pub node_ports: (u16, u16),
    /// How it speaks with kubelets.
    pub kubelet: KubeletClientConfig,
    /// How it reaches the cluster.
    pub egress: Arc<dyn Egress>,
    /// The version whose behaviour it shows: major, minor.
    pub kubernetes_version: (u32, u32),
}

impl fmt::Debug for ApiserverConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiserverConfig")
            .field("secure", &self.secure)
            .field("insecure", &self.insecure)
            .field("authorization", &self.authorization)
            .field("egress", &self.egress.name())
            .finish_non_exhaustive()
    }
}

/// Where one may ask without a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Nowhere.
    Off,
    /// Everywhere.
    On,
    /// At these paths only (`anonymous.conditions` of an AuthenticationConfiguration, KEP-4633).
    OnPaths(Vec<String>),
}

/// Where requests are written down, at the level Metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// The file on the server's disk (`--audit-log-path`): one JSON object a line.
    pub path: String,
}

/// How long service-account tokens live, whatever is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLives {
    /// Do the tokens that kubelets ask for, for pods, really live a year
    /// (`--service-account-extend-token-expiration`)?
    pub extended: bool,
    /// The longest life, in seconds (`--service-account-max-token-expiration`).
    pub max_seconds: Option<u64>,
}

/// How an apiserver speaks with kubelets.
#[derive(Clone, Debug)]
pub struct KubeletClientConfig {
    /// What it presents to them (`--kubelet-client-certificate`, `--kubelet-client-key`).
    pub identity: Option<Identity>,
    /// How it judges them (`--kubelet-certificate-authority`; without it any certificate will do).
    pub trust: ServerTrust,
    /// Must their certificates also name the node that was meant, as `system:node:<name>`
    /// (`--enable-kubelet-cert-cn-validation`, KEP-4872)? Not where any certificate will do.
    pub cert_cn_validation: bool,
    /// Which of a node's addresses to use, best first (`--kubelet-preferred-address-types`).
    pub preferred_address_types: Vec<String>,
    /// Where a kubelet listens that does not say so.
    pub default_port: u16,
}

/// A way to decide what a user may do (`--authorization-mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationMode {
    /// Kubelets may what their pods need.
    Node,
    /// By roles and bindings.
    Rbac,
    /// Everything is allowed.
    AlwaysAllow,
    /// Everything is denied.
    AlwaysDeny,
}
