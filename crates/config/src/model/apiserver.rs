//! The kube-apiserver's configuration.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::Serialize;

use super::{FileName, SshTunnelSettings};

/// What the kube-apiserver's flags say (`kube-apiserver --help`; one field is one flag unless it says otherwise).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiserverConfig {
    /// `--bind-address`: where the secure port listens. Default 0.0.0.0 (`::` from 1.16 on is the same here).
    pub bind_address: IpAddr,
    /// `--advertise-address`: what the `kubernetes` service's endpoint says. `None`: the bind address, or if that is
    /// unspecified, the machine's own address.
    pub advertise_address: Option<IpAddr>,
    /// `--secure-port`, 1…65535. Default 6443.
    pub secure_port: u16,
    /// `--insecure-port` and `--insecure-bind-address` (both gone with 1.24; without effect from 1.20):
    /// the plain-HTTP listener without authentication and authorization. `None`: it does not listen.
    pub insecure: Option<InsecureListener>,
    /// `--tls-cert-file` and `--tls-private-key-file`. `None`: a certificate that it signs itself, in `--cert-dir`.
    pub serving: Option<FilePair>,
    /// `--anonymous-auth`, or `anonymous` of an `AuthenticationConfiguration`. Default true, but see
    /// `authorization_modes`: Kubernetes turns it off with `AlwaysAllow`.
    pub anonymous_auth: bool,
    /// `anonymous.conditions[].path` of an `AuthenticationConfiguration`: the only paths at which one may ask
    /// anonymously. Empty: all.
    pub anonymous_paths: Vec<String>,
    /// `--client-ca-file`. `None`: no client certificate authenticates anybody.
    pub client_ca_file: Option<FileName>,
    /// `--token-auth-file`: static bearer tokens.
    pub token_auth_file: Option<FileName>,
    /// The users in that file, where it is in the input.
    pub token_auth_users: Option<Vec<StaticUser>>,
    /// `--enable-bootstrap-token-auth`. Default false.
    pub enable_bootstrap_token_auth: bool,
    /// The front proxy's headers and who may set them; `None` without `--requestheader-client-ca-file`.
    pub request_header: Option<RequestHeader>,
    /// `--proxy-client-cert-file` and `--proxy-client-key-file`: what aggregated API servers see.
    pub proxy_client: Option<FilePair>,
    /// `--authorization-mode`, in order, without repetitions. Default `AlwaysAllow`.
    pub authorization_modes: Vec<AuthorizationMode>,
    /// `--apiserver-count`, or how many machines are given each with an apiserver of its own. Default 1.
    pub count: u32,
    /// `--audit-log-path`, where `--audit-policy-file` says that anything is written. `None`: nothing is.
    pub audit_log: Option<FileName>,
    /// Which admission plugins run.
    pub admission: AdmissionPlugins,
    /// How kubelets are reached and judged.
    pub kubelet: KubeletVerification,
    /// Keys and names of service account tokens.
    pub service_accounts: ServiceAccounts,
    /// `--service-cluster-ip-range`, the first range (IPv4 or IPv6). Default 10.0.0.0/24.
    pub service_cluster_ip_range: IpNet,
    /// `--service-node-port-range`, first and last. Default 30000 to 32767.
    pub service_node_ports: (u16, u16),
    /// How connections to nodes, pods and services leave.
    pub egress: Egress,
    /// What the egress selector's file says of them, also where the other end is not in the input. `None`: direct.
    pub connection: Option<super::EgressConnection>,
    /// `--profiling`. Default true.
    pub profiling: bool,
    /// `--tls-min-version`. Default TLS 1.2 (1.0 before 1.14: never negotiated here).
    pub tls_min_version: super::TlsVersion,
}

/// A certificate and its private key, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FilePair {
    /// The certificate (a chain, its own certificate first).
    pub cert: FileName,
    /// Its private key. Often the same file as `cert`.
    pub key: FileName,
}

/// The plain-HTTP listener of old API servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct InsecureListener {
    /// Address and port (default 127.0.0.1:8080 in those versions).
    pub address: SocketAddr,
}

/// `--requestheader-*`: whose word about somebody else's identity is believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestHeader {
    /// `--requestheader-client-ca-file`.
    pub client_ca_file: FileName,
    /// `--requestheader-allowed-names`: common names. Empty: any certificate of that CA.
    pub allowed_names: Vec<String>,
    /// `--requestheader-username-headers`.
    pub username_headers: Vec<String>,
    /// `--requestheader-group-headers`.
    pub group_headers: Vec<String>,
    /// `--requestheader-uid-headers` (since 1.32).
    pub uid_headers: Vec<String>,
    /// `--requestheader-extra-headers-prefix`.
    pub extra_headers_prefix: Vec<String>,
}

/// A user of `--token-auth-file`, without the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StaticUser {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its groups.
    pub groups: Vec<String>,
}

/// One authorizer, in the spelling of `--authorization-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum AuthorizationMode {
    /// Allows everything.
    AlwaysAllow,
    /// Denies everything.
    AlwaysDeny,
    /// A policy file; not modelled: every path that is authorized by the apiserver is of unknown effect.
    #[serde(rename = "ABAC")]
    Abac,
    /// A remote service; not modelled, as `ABAC`.
    Webhook,
    /// Role-based access control.
    #[serde(rename = "RBAC")]
    Rbac,
    /// What nodes may do.
    Node,
}

impl AuthorizationMode {
    /// Every mode in the order of Kubernetes' own help text.
    pub const ALL: [Self; 6] =
        [Self::AlwaysAllow, Self::AlwaysDeny, Self::Abac, Self::Webhook, Self::Rbac, Self::Node];

    /// The spelling of the flag.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlwaysAllow => "AlwaysAllow",
            Self::AlwaysDeny => "AlwaysDeny",
            Self::Abac => "ABAC",
            Self::Webhook => "Webhook",
            Self::Rbac => "RBAC",
            Self::Node => "Node",
        }
    }
}

impl std::fmt::Display for AuthorizationMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `--enable-admission-plugins` and `--disable-admission-plugins` (or the older `--admission-control`), on top of the
/// version's own default set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdmissionPlugins {
    /// Switched on by name, in the order given.
    pub enabled: Vec<String>,
    /// Switched off by name, in the order given.
    pub disabled: Vec<String>,
    /// Everything that runs: the version's defaults, with both lists applied; sorted.
    pub effective: Vec<String>,
}

impl AdmissionPlugins {
    /// Whether the plugin runs.
    #[must_use]
    pub fn runs(&self, plugin: &str) -> bool {
        self.effective.iter().any(|p| p == plugin)
    }
}

/// How the apiserver speaks with kubelets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KubeletVerification {
    /// `--kubelet-certificate-authority`. `None`: a kubelet's certificate is not verified at all.
    pub certificate_authority: Option<FileName>,
    /// `--kubelet-client-certificate` and `--kubelet-client-key`. `None`: the apiserver shows none.
    pub client: Option<FilePair>,
    /// `--enable-kubelet-cert-cn-validation` (KEP-4872): must a kubelet's certificate also have the common name
    /// `system:node:<node>`? Default false.
    pub cert_cn_validation: bool,
    /// `--kubelet-preferred-address-types`, in order. Default Hostname, InternalDNS, InternalIP, ExternalDNS, ExternalIP.
    pub preferred_address_types: Vec<KubeletAddressType>,
    /// `--kubelet-https` (without effect from 1.19, gone with 1.22). Default HTTPS.
    pub scheme: KubeletScheme,
    /// `--kubelet-port` (deprecated): the port if a node says none. Default 10250; 0 is none.
    pub default_port: u16,
}

/// How the apiserver speaks with kubelets: `--kubelet-https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum KubeletScheme {
    /// TLS.
    Https,
    /// Plain HTTP, to the kubelet's read-only port or a plain proxy of its own.
    Http,
}

/// A kind of node address, in the spelling of `--kubelet-preferred-address-types`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum KubeletAddressType {
    /// The node's own name.
    Hostname,
    /// A name that resolves inside the cluster's network.
    #[serde(rename = "InternalDNS")]
    InternalDns,
    /// An address inside the cluster's network.
    #[serde(rename = "InternalIP")]
    InternalIp,
    /// A name that resolves outside.
    #[serde(rename = "ExternalDNS")]
    ExternalDns,
    /// An address that is reachable from outside.
    #[serde(rename = "ExternalIP")]
    ExternalIp,
    /// The old name of an address of either kind (gone with 1.10).
    #[serde(rename = "LegacyHostIP")]
    LegacyHostIp,
}

impl KubeletAddressType {
    /// Every kind, in Kubernetes' default order.
    pub const ALL: [Self; 6] = [
        Self::Hostname,
        Self::InternalDns,
        Self::InternalIp,
        Self::ExternalDns,
        Self::ExternalIp,
        Self::LegacyHostIp,
    ];

    /// The spelling of the flag and of `status.addresses[].type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hostname => "Hostname",
            Self::InternalDns => "InternalDNS",
            Self::InternalIp => "InternalIP",
            Self::ExternalDns => "ExternalDNS",
            Self::ExternalIp => "ExternalIP",
            Self::LegacyHostIp => "LegacyHostIP",
        }
    }
}

/// Service account tokens: who signs, whose signature counts, for whom they are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceAccounts {
    /// `--service-account-issuer`: the first signs, all are accepted. Empty only before 1.20.
    pub issuers: Vec<String>,
    /// `--service-account-key-file`: public keys that verify; without any, the TLS private key's (Kubernetes' own
    /// rule).
    pub key_files: Vec<FileName>,
    /// `--service-account-signing-key-file`. `None` (before 1.20): no bound tokens, only those in secrets.
    pub signing_key_file: Option<FileName>,
    /// The one of `key_files` that is the signing key's public half: it has the same name but for endings such as
    /// `.pub`, `.key` and `-key.pem`. Before 1.20, tokens are the controller manager's, and it is its key. `None`:
    /// what is signed here is not believed here.
    pub signed_with: Option<FileName>,
    /// `--service-account-jwks-uri`: where the keys are said to be published. `None`: at the apiserver.
    pub jwks_uri: Option<String>,
    /// `--api-audiences`; default the first issuer.
    pub api_audiences: Vec<String>,
    /// `--service-account-lookup`: tokens of deleted accounts and pods stop. Default true.
    pub lookup: bool,
    /// `--service-account-extend-token-expiration`: injected tokens really live a year. Default true (since 1.20).
    pub extend_token_expiration: bool,
    /// `--service-account-max-token-expiration`, in seconds. `None`: no limit.
    pub max_token_expiration_s: Option<u64>,
}

/// How the apiserver's connections to nodes, pods and services leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Egress {
    /// Straight over the network.
    Direct,
    /// `--ssh-user` and `--ssh-keyfile` (gone with 1.22): through an SSH connection to the node.
    SshTunnels {
        /// The user on the nodes.
        user: String,
        /// The private key, by name.
        key_file: FileName,
        /// What they verify, and what they do for want of a tunnel: Ravelin's own `--ssh-tunnel-config-file`.
        settings: SshTunnelSettings,
    },
    /// `--egress-selector-config-file`: through the konnectivity server's agents.
    Konnectivity(Box<super::KonnectivityConfig>),
    /// Something that cannot be run here, and is never replaced by something else.
    Unmodelled {
        /// What it is, for the report.
        why: String,
    },
}
