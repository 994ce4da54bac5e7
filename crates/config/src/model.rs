//! What a cluster's configuration says, once read: plain structs in which nothing can be wrong any more.
//!
//! None of these has a `Default`: the defaults of each component are one named function in `defaults`, so that
//! every value is either read from a file, taken from Kubernetes' own defaults, or listed as an assumption.

mod apiserver;
mod components;
mod keys;
mod konnectivity;
mod kubelet;
mod provenance;
mod ssh_tunnels;
mod version;

pub use apiserver::{
    AdmissionPlugins, ApiserverConfig, AuthorizationMode, Egress, FilePair, InsecureListener,
    KubeletAddressType, KubeletScheme, KubeletVerification, RequestHeader, ServiceAccounts, StaticUser,
};
pub use components::{
    ControllerManagerConfig, KubeProxyConfig, NetworkConfig, SchedulerConfig, ServingListener, SigningFiles,
};
pub(crate) use keys::public_half;
pub use konnectivity::{
    AgentAuthentication, AgentPod, EgressConnection, EgressTls, KonnectivityAgent, KonnectivityConfig,
    KonnectivityFrontend, KonnectivityMode, KonnectivityServer, LeaseSettings, PLACEHOLDERS, ProxyStrategy,
};
pub use kubelet::{KubeletAuthorization, KubeletConfig, KubeletServing, Taint, TlsVersion, WebhookCaches};
pub use provenance::{Assumed, Component, Defaulted, NoEffect, Provenance, Setting, UnknownEffect};
pub use ssh_tunnels::{SshHostKeys, SshTunnelSettings, SshUnknownNode};
pub use version::{KubernetesVersion, NEWEST, OLDEST, PLANNED, ParseVersionError};

use serde::Serialize;

/// A whole cluster's configuration: what `ravelin` runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterConfig {
    /// The Kubernetes version whose defaults and behaviours apply to every component.
    pub version: KubernetesVersion,
    /// The kube-apiserver.
    pub apiserver: ApiserverConfig,
    /// The kube-controller-manager.
    pub controller_manager: ControllerManagerConfig,
    /// The kube-scheduler.
    pub scheduler: SchedulerConfig,
    /// Every node's kubelet: one configuration for all nodes.
    pub kubelet: KubeletConfig,
    /// Every node's kube-proxy.
    pub proxy: KubeProxyConfig,
    /// The cluster's address ranges and names.
    pub network: NetworkConfig,
    /// RBAC and other API objects, as given and in the order given, to be created in the cluster at its start.
    pub manifests: Vec<Manifest>,
    /// What was read from where, defaulted, assumed, without effect, or of unknown effect.
    pub provenance: Provenance,
}

/// One API object from a file, kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The object; `apiVersion`, `kind` and `metadata.name` are present and are strings.
    pub object: serde_json::Value,
    /// The name of the file it came from.
    pub file: String,
    /// The line on which the object begins, counted from 1.
    pub line: usize,
}

/// The name of a file that an option names. The file itself is never read: options that name the same file share
/// its content, options that name different files do not (a bundle is one name).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct FileName(String);

impl FileName {
    /// A name as it was written in the option. Empty names are the caller's to refuse: Kubernetes reads them as unset.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before its last slash.
    pub(crate) fn directory(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(directory, _)| directory)
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
