//! An apiserver on a network in memory, for the recorded answers and the benchmark.

mod authorities;

pub use authorities::{Authorities, anchors};

use ravelin_apiserver::{
    Anonymous, ApiserverConfig, AuthorizationMode, FrontProxyConfig, KubeletClientConfig, ServiceAccountKeys,
    TokenLives,
};
use ravelin_host::HostRef;
use ravelin_pki::{KeyPair, ServerTrust};
use ravelin_transport::egress::Direct;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Where the apiserver is.
pub const API: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
/// Who issues its tokens, and for whom.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// The configuration of a server, as kubeadm has it; `key` signs service-account tokens.
///
/// # Panics
/// Never: what it is made of is our own.
pub fn configured(authorities: &Authorities, (host, key): (&HostRef, &Arc<KeyPair>)) -> ApiserverConfig {
    let kubelet_client = authorities.client("cert", "kube-apiserver-kubelet-client/kubeadm:cluster-admins");
    ApiserverConfig {
        secure: SocketAddr::new(API, 6443),
        insecure: None,
        advertise: SocketAddr::new(API, 6443),
        tls: authorities.server(&authorities.clients, Authorities::at(API)),
        client_ca: Some(authorities.anchors()),
        front_proxy: Some(FrontProxyConfig {
            client_ca: anchors(&authorities.front_proxies),
            allowed_names: vec!["front-proxy-client".to_owned()],
            username_headers: vec!["X-Remote-User".to_owned()],
            uid_headers: vec!["X-Remote-Uid".to_owned()],
            group_headers: vec!["X-Remote-Group".to_owned()],
            extra_headers_prefixes: vec!["X-Remote-Extra-".to_owned()],
        }),
        anonymous: Anonymous::On,
        token_cache: Duration::from_secs(10),
        audit: None,
        bootstrap_tokens: true,
        static_tokens: None,
        service_accounts: ServiceAccountKeys {
            issuers: vec![ISSUER.to_owned()],
            lookup: true,
            jwks_uri: None,
            verify: vec![key.public().clone()],
            sign: Some(Arc::clone(key)),
            audiences: vec![ISSUER.to_owned()],
        },
        token_lives: TokenLives { extended: true, max_seconds: None },
        authorization: vec![AuthorizationMode::Node, AuthorizationMode::Rbac],
        admission: ADMISSION.map(str::to_owned).to_vec(),
        service_range: "10.96.0.0/16".parse().expect("it is a range"),
        node_ports: (30_000, 32_767),
        kubelet: KubeletClientConfig {
            identity: kubelet_client,
            trust: ServerTrust::Anchors(authorities.anchors()),
            cert_cn_validation: false,
            preferred_address_types: vec!["InternalIP".to_owned()],
            default_port: 10250,
        },
        egress: Arc::new(Direct(Arc::clone(host))),
        kubernetes_version: (1, 36),
    }
}

/// What runs by itself, as far as it concerns the rows (`pkg/kubeapiserver/options/plugins.go`), and
/// NodeRestriction, as kubeadm enables it.
const ADMISSION: [&str; 6] = [
    "NamespaceLifecycle",
    "ServiceAccount",
    "NodeRestriction",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
];
