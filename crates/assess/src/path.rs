//! The paths, by the names that they have everywhere.

use std::fmt;

/// One way that a component reaches another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Path {
    /// A new node asks for its certificate with a bootstrap token.
    NodeBootstrap,
    /// A kubelet to the apiserver.
    NodeToApiserver,
    /// A pod to the `kubernetes` service address.
    PodToApiserver,
    /// The service proxy to the apiserver.
    ProxyToApiserver,
    /// The controller manager to the apiserver.
    ControllerToApiserver,
    /// A user to the apiserver.
    UserToApiserver,
    /// The apiserver to a kubelet, for a container's log.
    KubeletLogs,
    /// The same, for a command in a container.
    KubeletExec,
    /// The same, for a container's main process.
    KubeletAttach,
    /// The same, for a connection to a port of a pod.
    KubeletPortForward,
    /// The apiserver to a server on a node's own address, in the clear.
    NodeHttp,
    /// The same over TLS.
    NodeHttps,
    /// The apiserver to a server in a pod, in the clear.
    PodHttp,
    /// The same over TLS.
    PodHttps,
    /// The apiserver to a pod behind a service, in the clear.
    ServiceHttp,
    /// The same over TLS.
    ServiceHttps,
    /// An attacker to the apiserver's secure port.
    DirectApiserver,
    /// An attacker to the apiserver's plain port (8080), as old versions have it.
    DirectInsecure,
    /// An attacker to kubelets' HTTPS endpoints.
    DirectKubelet,
    /// An attacker to kubelets' read-only ports.
    DirectReadOnly,
    /// An attacker to the ports of the controller manager and of the scheduler.
    DirectComponent,
}

impl Path {
    /// Every path, in the order in which they are run and reported.
    pub const ALL: [Self; 21] = [
        Self::NodeBootstrap,
        Self::NodeToApiserver,
        Self::PodToApiserver,
        Self::ProxyToApiserver,
        Self::ControllerToApiserver,
        Self::UserToApiserver,
        Self::KubeletLogs,
        Self::KubeletExec,
        Self::KubeletAttach,
        Self::KubeletPortForward,
        Self::NodeHttp,
        Self::NodeHttps,
        Self::PodHttp,
        Self::PodHttps,
        Self::ServiceHttp,
        Self::ServiceHttps,
        Self::DirectApiserver,
        Self::DirectInsecure,
        Self::DirectKubelet,
        Self::DirectReadOnly,
        Self::DirectComponent,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeBootstrap => "node-bootstrap",
            Self::NodeToApiserver => "node-to-apiserver",
            Self::PodToApiserver => "pod-to-apiserver",
            Self::ProxyToApiserver => "proxy-to-apiserver",
            Self::ControllerToApiserver => "controller-to-apiserver",
            Self::UserToApiserver => "user-to-apiserver",
            Self::KubeletLogs => "apiserver-to-kubelet/logs",
            Self::KubeletExec => "apiserver-to-kubelet/exec",
            Self::KubeletAttach => "apiserver-to-kubelet/attach",
            Self::KubeletPortForward => "apiserver-to-kubelet/port-forward",
            Self::NodeHttp => "apiserver-to-node/http",
            Self::NodeHttps => "apiserver-to-node/https",
            Self::PodHttp => "apiserver-to-pod/http",
            Self::PodHttps => "apiserver-to-pod/https",
            Self::ServiceHttp => "apiserver-to-service/http",
            Self::ServiceHttps => "apiserver-to-service/https",
            Self::DirectApiserver => "direct-to-apiserver",
            Self::DirectInsecure => "direct-to-apiserver-insecure",
            Self::DirectKubelet => "direct-to-kubelet",
            Self::DirectReadOnly => "direct-to-kubelet-read-only",
            Self::DirectComponent => "direct-to-component",
        }
    }

    /// Does it lead from the control plane to the cluster, and so through the egress?
    pub fn uses_egress(self) -> bool {
        self >= Self::KubeletLogs && !self.is_asked_directly()
    }

    /// Does it lead to a kubelet's own endpoint?
    pub fn leads_to_a_kubelet(self) -> bool {
        (Self::KubeletLogs..=Self::KubeletPortForward).contains(&self)
    }

    /// Is it the attacker itself that asks?
    pub fn is_asked_directly(self) -> bool {
        self >= Self::DirectApiserver
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Does a name fit a pattern, in which `*` stands for any run of characters?
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter(|&at| rest.is_char_boundary(at)).any(|at| matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let table = [
            ("apiserver-to-pod/http", "apiserver-to-pod/http", true),
            ("apiserver-to-pod/http", "apiserver-to-pod/https", false),
            ("apiserver-to-*", "apiserver-to-pod/https", true),
            ("*-to-apiserver", "node-to-apiserver", true),
            ("*-to-apiserver", "apiserver-to-pod/http", false),
            ("*/http*", "apiserver-to-pod/https", true),
            ("*", "", true),
            ("", "x", false),
        ];
        for (pattern, name, fits) in table {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
