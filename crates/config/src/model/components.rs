//! The smaller components, and what belongs to the cluster as a whole.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use super::{FileName, FilePair};

/// What the kube-controller-manager's flags say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControllerManagerConfig {
    /// Its HTTPS listener; default 0.0.0.0:10257.
    pub listener: ServingListener,
    /// The plain-HTTP listener (`--port`, `--address`; without effect from 1.20, gone with 1.24). `None`: off.
    pub insecure: Option<super::InsecureListener>,
    /// `--cluster-signing-cert-file` and `--cluster-signing-key-file`. `None`: signing requests are not signed.
    pub cluster_signing: Option<SigningFiles>,
    /// `--cluster-signing-kubelet-serving-cert-file` and key (since 1.19): only for kubelets' serving certificates.
    pub kubelet_serving_signing: Option<SigningFiles>,
    /// `--cluster-signing-kubelet-client-cert-file` and key (since 1.19): only for kubelets' client certificates.
    pub kubelet_client_signing: Option<SigningFiles>,
    /// `--cluster-signing-kube-apiserver-client-cert-file` and key (since 1.19): only for other clients'.
    pub client_signing: Option<SigningFiles>,
    /// `--cluster-signing-duration`, in seconds. Default 1 year.
    pub cluster_signing_duration_s: u64,
    /// `--root-ca-file`: what pods get as `ca.crt`. `None`: what its own kubeconfig trusts.
    pub root_ca_file: Option<FileName>,
    /// `--service-account-private-key-file`: signs tokens in secrets. `None`: none are made.
    pub service_account_private_key_file: Option<FileName>,
    /// `--kubeconfig`, the credentials it uses.
    pub kubeconfig: FileName,
    /// `--allocate-node-cidrs`. Default false.
    pub allocate_node_cidrs: bool,
    /// `--controllers`, as given. Default `*`.
    pub controllers: Vec<String>,
    /// `--node-monitor-grace-period`, in seconds: how long a node may be silent. Default 50, before 1.32 40.
    pub node_monitor_grace_period_s: u64,
    /// `--node-monitor-period`, in seconds: how often nodes are looked at. Default 5.
    pub node_monitor_period_s: u64,
    /// `--profiling`. Default true.
    pub profiling: bool,
}

/// The names of controllers until and since 1.28 (cmd/kube-controller-manager/names/controller_names.go and
/// `ControllerAliases`), of those that run here.
const CONTROLLERS: &[(&str, &str)] = &[
    ("bootstrapsigner", "bootstrap-signer-controller"),
    ("clusterrole-aggregation", "clusterrole-aggregation-controller"),
    ("csrapproving", "certificatesigningrequest-approving-controller"),
    ("csrcleaner", "certificatesigningrequest-cleaner-controller"),
    ("csrsigning", "certificatesigningrequest-signing-controller"),
    ("endpoint", "endpoints-controller"),
    ("endpointslice", "endpointslice-controller"),
    ("endpointslicemirroring", "endpointslice-mirroring-controller"),
    ("garbagecollector", "garbage-collector-controller"),
    ("namespace", "namespace-controller"),
    ("nodeipam", "node-ipam-controller"),
    ("nodelifecycle", "node-lifecycle-controller"),
    ("podgc", "pod-garbage-collector-controller"),
    ("root-ca-cert-publisher", "root-ca-certificate-publisher-controller"),
    ("serviceaccount", "serviceaccount-controller"),
    ("serviceaccount-token", "serviceaccount-token-controller"),
    ("tokencleaner", "token-cleaner-controller"),
];

/// Those that run only where they are named (`ControllersDisabledByDefault`).
const ON_REQUEST: &[&str] = &["bootstrapsigner", "tokencleaner"];

impl ControllerManagerConfig {
    /// Whether a controller runs, by either of its names: the first word of `--controllers` that names it decides,
    /// else `*` (`IsControllerEnabled` of cmd/kube-controller-manager/app/controllermanager.go).
    #[must_use]
    pub fn runs(&self, controller: &str) -> bool {
        let known = CONTROLLERS.iter().find(|(old, new)| [*old, *new].contains(&controller));
        let (old, new) = known.copied().unwrap_or((controller, controller));
        let named = self.controllers.iter().find_map(|word| {
            let (name, on) = word.strip_prefix('-').map_or((word.as_str(), true), |name| (name, false));
            [old, new].contains(&name).then_some(on)
        });
        let by_star = self.controllers.iter().any(|word| word == "*") && !ON_REQUEST.contains(&old);
        named.unwrap_or(by_star)
    }

    /// The controllers that are known here and do not run, by the names that they had until 1.28.
    #[must_use]
    pub fn switched_off(&self) -> Vec<&'static str> {
        CONTROLLERS.iter().map(|(old, _)| *old).filter(|name| !self.runs(name)).collect()
    }
}

/// A CA that signs requests, by the names of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SigningFiles {
    /// The CA's certificate.
    pub cert: FileName,
    /// The CA's private key.
    pub key: FileName,
}

/// What the kube-scheduler's flags say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchedulerConfig {
    /// Its HTTPS listener; default 0.0.0.0:10259.
    pub listener: ServingListener,
    /// The plain-HTTP listener (`--port`, `--address`; without effect from 1.23). `None`: off.
    pub insecure: Option<super::InsecureListener>,
    /// `--kubeconfig`, the credentials it uses.
    pub kubeconfig: FileName,
    /// `--profiling`. Default true.
    pub profiling: bool,
}

/// The HTTPS listener of a control-plane component that is not the apiserver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServingListener {
    /// `--bind-address`.
    pub address: IpAddr,
    /// `--secure-port`. `None` is the flag's 0: it does not listen.
    pub port: Option<u16>,
    /// `--tls-cert-file` and `--tls-private-key-file`. `None`: self-signed.
    pub serving: Option<FilePair>,
    /// `--client-ca-file`.
    pub client_ca_file: Option<FileName>,
    /// `--authentication-kubeconfig`: with it, tokens are asked of the apiserver.
    pub authentication_kubeconfig: Option<FileName>,
    /// `--authorization-kubeconfig`: with it, permissions are asked of the apiserver; without, all is denied but
    /// `always_allow_paths`.
    pub authorization_kubeconfig: Option<FileName>,
    /// `--authorization-always-allow-paths`. Default `/healthz`, `/readyz`, `/livez`.
    pub always_allow_paths: Vec<String>,
}

/// What kube-proxy's flags or `KubeProxyConfiguration` say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KubeProxyConfig {
    /// `clientConnection.kubeconfig`, `--kubeconfig`. `None`: in a pod, with its service account.
    pub kubeconfig: Option<FileName>,
    /// `metricsBindAddress`, `--metrics-bind-address`: plain HTTP. Default 127.0.0.1:10249. `None`: off.
    pub metrics: Option<std::net::SocketAddr>,
    /// `healthzBindAddress`, `--healthz-bind-address`: plain HTTP. Default 0.0.0.0:10256. `None`: off.
    pub healthz: Option<std::net::SocketAddr>,
    /// `clusterCIDR`, `--cluster-cidr`.
    pub cluster_cidr: Option<IpNet>,
}

/// The cluster's address ranges and names, as its files agree on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkConfig {
    /// The pods' range: `--cluster-cidr`, `networking.podSubnet`. Assumed 10.244.0.0/16 if no file says it.
    pub pod_cidr: IpNet,
    /// `--node-cidr-mask-size`: the prefix length of one node's part of `pod_cidr`. Default 24 (IPv6: 64).
    pub node_cidr_mask_size: u8,
    /// The services' range, as the apiserver's.
    pub service_cidr: IpNet,
    /// `networking.dnsDomain`, `clusterDomain`. Default `cluster.local`.
    pub dns_domain: String,
    /// kubeadm's `controlPlaneEndpoint`, host and optional port, as given.
    pub control_plane_endpoint: Option<String>,
    /// Extra names of the apiserver's certificate (kubeadm's `apiServer.certSANs`), as given.
    pub apiserver_cert_sans: Vec<String>,
}
