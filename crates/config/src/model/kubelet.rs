//! The kubelet's configuration: flags and `KubeletConfiguration` in one.

use std::net::IpAddr;

use serde::Serialize;

use super::{FileName, FilePair};

/// What a kubelet's flags and its `KubeletConfiguration` say (flags win over the file).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KubeletConfig {
    /// `address`, `--address`. Default 0.0.0.0.
    pub address: IpAddr,
    /// `port`, `--port`: the HTTPS endpoint, 1…65535. Default 10250.
    pub port: u16,
    /// `readOnlyPort`, `--read-only-port`: plain HTTP without authentication. `None` is the option's 0. Default: off
    /// with a configuration file, 10255 with flags alone (`applyLegacyDefaults` of cmd/kubelet/app/options/options.go).
    pub read_only_port: Option<u16>,
    /// `authentication.anonymous.enabled`, `--anonymous-auth`. Default: off with a file, on with flags alone.
    pub anonymous_auth: bool,
    /// `authentication.webhook.enabled`, `--authentication-token-webhook`: bearer tokens are asked of the apiserver.
    /// Default: on with a file, off with flags alone.
    pub webhook_authentication: bool,
    /// `authentication.x509.clientCAFile`, `--client-ca-file`. `None`: no client certificate authenticates anybody.
    pub client_ca_file: Option<FileName>,
    /// `authorization.mode`, `--authorization-mode`. Default: `Webhook` with a file, `AlwaysAllow` with flags alone.
    pub authorization: KubeletAuthorization,
    /// How long the apiserver's answers about callers are used.
    pub webhook_caches: WebhookCaches,
    /// Where the serving certificate comes from.
    pub serving: KubeletServing,
    /// `rotateCertificates`, `--rotate-certificates`: renews its client certificate before it ends. Default: on with a
    /// file written by kubeadm, else off.
    pub rotate_certificates: bool,
    /// `--kubeconfig`: how the kubelet reaches the apiserver. `None` is a standalone kubelet, which this never yields:
    /// a cluster's kubelet is assumed to have one.
    pub kubeconfig: FileName,
    /// `--bootstrap-kubeconfig`: how it asks for its first client certificate. `None`: `kubeconfig` holds one already.
    pub bootstrap_kubeconfig: Option<FileName>,
    /// `tlsMinVersion`, `--tls-min-version`. Default TLS 1.2.
    pub tls_min_version: TlsVersion,
    /// `enableServer`: whether it listens at all. Default true.
    pub enable_server: bool,
    /// `enableDebuggingHandlers`, `--enable-debugging-handlers`: logs, exec, attach and port-forward. Default true.
    pub enable_debugging_handlers: bool,
    /// `clusterDNS`, `--cluster-dns`: what pods ask for names. May be empty.
    pub cluster_dns: Vec<IpAddr>,
    /// `clusterDomain`, `--cluster-domain`. Default empty with flags alone; kubeadm writes `cluster.local`.
    pub cluster_domain: String,
    /// `podCIDR`, `--pod-cidr`: only used by a standalone kubelet, kept for the report and for old clusters.
    pub pod_cidr: Option<ipnet::IpNet>,
    /// `staticPodPath`, `--pod-manifest-path`.
    pub static_pod_path: Option<FileName>,
    /// `registerNode`, `--register-node`: whether it creates its own node object. Default true.
    pub register_node: bool,
    /// `registerWithTaints`, `--register-with-taints`: what that object's taints are.
    pub register_with_taints: Vec<Taint>,
    /// `nodeStatusUpdateFrequency`, `--node-status-update-frequency`, in seconds. Default 10.
    pub node_status_update_frequency_s: u64,
    /// `nodeLeaseDurationSeconds`, in seconds. Default 40.
    pub node_lease_duration_s: u32,
    /// `streamingConnectionIdleTimeout`, `--streaming-connection-idle-timeout`, in seconds. Default four
    /// hours; 0 is for ever.
    pub streaming_idle_timeout_s: u64,
}

/// A taint of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// How long a kubelet uses what the apiserver answered it about a caller, in seconds. In a file, 0
/// stands for the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WebhookCaches {
    /// `authentication.webhook.cacheTTL`, `--authentication-token-webhook-cache-ttl`. Default 120.
    pub token_s: u64,
    /// `authorization.webhook.cacheAuthorizedTTL`, `--authorization-webhook-cache-authorized-ttl`. Default 300.
    pub authorized_s: u64,
    /// `authorization.webhook.cacheUnauthorizedTTL`, `--authorization-webhook-cache-unauthorized-ttl`. Default 30.
    pub unauthorized_s: u64,
}

/// The kubelet's authorizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum KubeletAuthorization {
    /// Everybody who was authenticated (with anonymous authentication: everybody) may do everything.
    AlwaysAllow,
    /// The apiserver is asked by `SubjectAccessReview`.
    Webhook,
}

/// Where a kubelet's serving certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum KubeletServing {
    /// `tlsCertFile` and `tlsPrivateKeyFile`, `--tls-cert-file` and `--tls-private-key-file`.
    Files(FilePair),
    /// `serverTLSBootstrap`, or `--rotate-server-certificates` with the gate `RotateKubeletServerCertificate`: signed
    /// by the cluster's signer after somebody approved the request.
    Bootstrap,
    /// Neither: the kubelet signs one itself, which nobody can verify.
    SelfSigned,
}

/// A TLS version, in the spelling of `--tls-min-version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TlsVersion {
    /// TLS 1.0.
    #[serde(rename = "VersionTLS10")]
    Tls10,
    /// TLS 1.1.
    #[serde(rename = "VersionTLS11")]
    Tls11,
    /// TLS 1.2.
    #[serde(rename = "VersionTLS12")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "VersionTLS13")]
    Tls13,
}
