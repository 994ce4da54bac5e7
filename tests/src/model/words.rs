//! The model's own words. They have the names of `docs/threat-model.md`, and share no type with
//! the crates that are judged by them.

use std::fmt;

/// Defines an enum whose variants have names.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every one, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The one of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.name() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

words! {
    /// A path.
    Way {
        /// A new node asks for its certificate.
        NodeBootstrap = "node-bootstrap",
        /// A kubelet to the apiserver.
        NodeToApiserver = "node-to-apiserver",
        /// A pod to the apiserver.
        PodToApiserver = "pod-to-apiserver",
        /// A service proxy to the apiserver.
        ProxyToApiserver = "proxy-to-apiserver",
        /// The controllers to the apiserver.
        ControllerToApiserver = "controller-to-apiserver",
        /// A user to the apiserver.
        UserToApiserver = "user-to-apiserver",
        /// The apiserver to a kubelet, for a log.
        KubeletLogs = "apiserver-to-kubelet/logs",
        /// The same, for a command.
        KubeletExec = "apiserver-to-kubelet/exec",
        /// The same, for a container's main process.
        KubeletAttach = "apiserver-to-kubelet/attach",
        /// The same, for a port of a pod.
        KubeletPortForward = "apiserver-to-kubelet/port-forward",
        /// The apiserver to a server on a node.
        NodeHttp = "apiserver-to-node/http",
        /// The same over TLS.
        NodeHttps = "apiserver-to-node/https",
        /// The apiserver to a pod.
        PodHttp = "apiserver-to-pod/http",
        /// The same over TLS.
        PodHttps = "apiserver-to-pod/https",
        /// The apiserver to a service.
        ServiceHttp = "apiserver-to-service/http",
        /// The same over TLS.
        ServiceHttps = "apiserver-to-service/https",
        /// The attacker asks the apiserver.
        DirectApiserver = "direct-to-apiserver",
        /// The attacker asks the apiserver's plain port.
        DirectInsecure = "direct-to-apiserver-insecure",
        /// The attacker asks kubelets.
        DirectKubelet = "direct-to-kubelet",
        /// The attacker asks kubelets' read-only ports.
        DirectReadOnly = "direct-to-kubelet-read-only",
        /// The attacker asks the other components of the control plane.
        DirectComponent = "direct-to-component",
    }
}

words! {
    /// An attacker.
    Attacker {
        /// Reads.
        Eavesdropper = "eavesdropper",
        /// Takes others' places.
        Impostor = "impostor",
        /// The same, and holds a node.
        RogueNode = "rogue-node",
        /// Is in a pod.
        RoguePod = "rogue-pod",
        /// Is anywhere.
        Outsider = "outsider",
        /// Holds a pod's token.
        TokenThief = "token-thief",
    }
}

words! {
    /// A property.
    Property {
        /// Q.
        RequestSecret = "request_secret",
        /// R.
        ResponseSecret = "response_secret",
        /// F.
        ResponseAuthentic = "response_authentic",
        /// X.
        RequestAuthentic = "request_authentic",
        /// C.
        CredentialSafe = "credential_safe",
        /// A.
        AccessControlled = "access_controlled",
    }
}

impl Property {
    /// Its letter in the tables.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::RequestSecret => "Q",
            Self::ResponseSecret => "R",
            Self::ResponseAuthentic => "F",
            Self::RequestAuthentic => "X",
            Self::CredentialSafe => "C",
            Self::AccessControlled => "A",
        }
    }
}

words! {
    /// The state of a property.
    State {
        /// It breaks.
        Broken = "broken",
        /// It holds, and something shows that it does.
        Held = "held",
        /// Nothing of the path is where the attacker is.
        NotExposed = "not_exposed",
        /// There is nothing to break.
        NotApplicable = "not_applicable",
    }
}

words! {
    /// What a path is without an attacker.
    Outcome {
        /// It works.
        Works = "works",
        /// The configuration has no such path.
        Absent = "absent",
        /// It should work and does not.
        Failed = "failed",
    }
}
