//! Where every value came from, for the report.

use serde::Serialize;

/// A program of the cluster, by its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Component {
    /// kube-apiserver.
    #[serde(rename = "kube-apiserver")]
    Apiserver,
    /// kube-controller-manager.
    #[serde(rename = "kube-controller-manager")]
    ControllerManager,
    /// kube-scheduler.
    #[serde(rename = "kube-scheduler")]
    Scheduler,
    /// kubelet.
    #[serde(rename = "kubelet")]
    Kubelet,
    /// kube-proxy.
    #[serde(rename = "kube-proxy")]
    Proxy,
    /// konnectivity's server, whose program is called `proxy-server`.
    #[serde(rename = "konnectivity-server")]
    KonnectivityServer,
    /// konnectivity's agent, whose program is called `proxy-agent`.
    #[serde(rename = "konnectivity-agent")]
    KonnectivityAgent,
    /// What belongs to no single program (kubeadm's networking).
    #[serde(rename = "cluster")]
    Cluster,
}

impl Component {
    /// The programs, in the order of the report.
    pub const PROGRAMS: [Self; 7] = [
        Self::Apiserver,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelet,
        Self::Proxy,
        Self::KonnectivityServer,
        Self::KonnectivityAgent,
    ];

    /// Whether it is konnectivity's, which has versions of its own.
    #[must_use]
    pub const fn is_konnectivity(self) -> bool {
        matches!(self, Self::KonnectivityServer | Self::KonnectivityAgent)
    }

    /// The program's name, as in its command (konnectivity's: as in its manifest).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apiserver => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Proxy => "kube-proxy",
            Self::KonnectivityServer => "konnectivity-server",
            Self::KonnectivityAgent => "konnectivity-agent",
            Self::Cluster => "cluster",
        }
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where everything in a `ClusterConfig` came from. Each list is in the order of the input, or sorted by component
/// and key; the same input gives the same lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// What a file said and the model took.
    pub settings: Vec<Setting>,
    /// What no file said and Kubernetes itself decides.
    pub defaulted: Vec<Defaulted>,
    /// What no file said and Kubernetes leaves to the installer: one sentence each.
    pub assumed: Vec<Assumed>,
    /// What a file said that changes nothing on any path.
    pub no_effect: Vec<NoEffect>,
    /// What a file said whose effect on some paths is not modelled: those paths are `untested`.
    pub unknown_effect: Vec<UnknownEffect>,
}

/// One value that a file set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Whose value it is.
    pub component: Component,
    /// The flag (`--client-ca-file`) or the key (`authentication.x509.clientCAFile`).
    pub key: String,
    /// The value as written. Never a secret: secrets are in files, and files are only named.
    pub value: String,
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// One value that Kubernetes chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Defaulted {
    /// Whose value it is.
    pub component: Component,
    /// The flag or key.
    pub key: String,
    /// The value.
    pub value: String,
    /// Where Kubernetes sets it.
    pub source: String,
}

/// One thing that was assumed, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Assumed(pub String);

/// One setting that changes nothing on any path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoEffect {
    /// Whose setting it is.
    pub component: Component,
    /// The flag or key.
    pub key: String,
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// One setting that may change something on a path and is not modelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownEffect {
    /// Whose setting it is.
    pub component: Component,
    /// The flag or key.
    pub key: String,
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The paths it may touch: names of the design's section 5, `*` for any run of characters.
    pub paths: Vec<String>,
    /// What it may change, in a few words.
    pub why: String,
}
