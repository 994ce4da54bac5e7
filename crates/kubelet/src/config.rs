//! What a kubelet is told, already parsed.

use ravelin_client::Watches;
use ravelin_pki::{Identity, ServerTrust, TrustAnchors};
use ravelin_runtime::Runtime;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// From when on a kubelet takes WebSockets of version 5 and tunnels, and declares it
/// (`ExtendWebSocketsToKubelet`).
pub(crate) const EXTENDED_FROM: (u32, u32) = (1, 36);

/// The configuration of one kubelet.
#[derive(Clone)]
pub struct KubeletConfig {
    /// The node's name.
    pub node_name: String,
    /// The node's addresses, reported as `InternalIP`s.
    pub addresses: Vec<IpAddr>,
    /// Labels it registers with, besides host name, system and architecture.
    pub labels: BTreeMap<String, String>,
    /// Taints it registers with (`registerWithTaints`).
    pub taints: Vec<Taint>,
    /// Does it register its node (`registerNode`)? Else somebody else must have made it.
    pub register_node: bool,
    /// Where and how it reaches the apiserver.
    pub apiserver: ApiserverTarget,
    /// What it authenticates with until it has a certificate of its own.
    pub bootstrap_token: Option<String>,
    /// A client certificate that it was given; it then never bootstraps.
    pub client_identity: Option<Identity>,
    /// Does it ask for another client certificate before its own expires (`rotateCertificates`)?
    pub rotate_certificates: bool,
    /// Where the certificate of its HTTPS endpoint comes from.
    pub serving: Serving,
    /// Does it serve HTTPS at all (`enableServer`)?
    pub enable_server: bool,
    /// Does it serve logs and whatever else reaches into containers (`enableDebuggingHandlers`)?
    pub debugging_handlers: bool,
    /// How long nothing may pass over the connection of an exec, an attach or a port-forward
    /// (`streamingConnectionIdleTimeout`; 4 h). Zero: for ever.
    pub streaming_idle_timeout: Duration,
    /// The address that its ports listen on.
    pub address: IpAddr,
    /// The port of its HTTPS endpoint (`port`; 10250).
    pub port: u16,
    /// The port without authentication, where there is one (`readOnlyPort`; none, once 10255).
    pub read_only_port: Option<u16>,
    /// How callers of its endpoint prove who they are.
    pub authentication: Authentication,
    /// What callers of its endpoint may do.
    pub authorization: Authorization,
    /// How long the apiserver's answers about callers are used.
    pub caches: Caches,
    /// The addresses of its pods (CIDR). `None`: what the node object's `spec.podCIDR` says.
    pub pod_cidr: Option<ipnet::IpNet>,
    /// Its version, as `v1.33.0`.
    pub version: String,
    /// How often it renews its lease (a quarter of `nodeLeaseDurationSeconds`; 10 s).
    pub lease_renew_interval: Duration,
    /// How long its lease is good (`nodeLeaseDurationSeconds`; 40 s).
    pub lease_duration_seconds: u32,
    /// How often it looks whether the apiserver says of its node and its pods what it says itself,
    /// and corrects that (`nodeStatusUpdateFrequency`; 10 s). `None`: never.
    pub status_update_interval: Option<Duration>,
    /// How often it writes its node's status where nothing changed (`nodeStatusReportFrequency`;
    /// 5 min).
    pub status_report_interval: Duration,
    /// How often running pods are given what their volumes hold by then (`syncFrequency`; 1 min).
    /// `None`: only when a token of theirs is replaced.
    pub sync_interval: Option<Duration>,
    /// Does it tell of its pods by events?
    pub events: bool,
    /// How it watches its node and its pods.
    pub watches: Watches,
    /// What runs its pods.
    pub runtime: Arc<dyn Runtime>,
}

impl KubeletConfig {
    /// Its version: major, minor. One that cannot be read is the oldest.
    pub(crate) fn version(&self) -> (u32, u32) {
        let version = self.version.trim_start_matches('v');
        let mut numbers = version.split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            _ => (0, 0),
        }
    }
}

/// A taint of a node (`v1.Taint`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, if any.
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// Where the apiserver is, and who it must be.
#[derive(Clone)]
pub struct ApiserverTarget {
    /// The address to dial.
    pub address: SocketAddr,
    /// The name or address that its certificate must carry.
    pub server_name: String,
    /// Who may have signed its certificate.
    pub trust: ServerTrust,
}

/// Where the certificate of the HTTPS endpoint comes from.
#[derive(Clone)]
pub enum Serving {
    /// Made by the kubelet at its start: nobody can verify it.
    SelfSigned,
    /// Files that it was given (`tlsCertFile`, `tlsPrivateKeyFile`).
    Given(Identity),
    /// Asked for by a signing request (`serverTLSBootstrap`).
    Bootstrap,
}

/// How long the apiserver's answers about callers are used; not at all for a zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// Of a TokenReview (`authentication.webhook.cacheTTL`; 2 min).
    pub token: Duration,
    /// Of a SubjectAccessReview that allowed (`authorization.webhook.cacheAuthorizedTTL`; 5 min).
    pub authorized: Duration,
    /// Of one that refused (`authorization.webhook.cacheUnauthorizedTTL`; 30 s).
    pub unauthorized: Duration,
}

/// `authentication` of a KubeletConfiguration.
#[derive(Clone)]
pub struct Authentication {
    /// Are requests without credentials `system:anonymous`?
    pub anonymous: bool,
    /// Are bearer tokens reviewed by the apiserver?
    pub webhook: bool,
    /// Who signs the certificates of callers.
    pub client_ca: Option<TrustAnchors>,
}

/// `authorization.mode` of a KubeletConfiguration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// Whoever is authenticated may do everything.
    AlwaysAllow,
    /// The apiserver is asked.
    Webhook,
}
