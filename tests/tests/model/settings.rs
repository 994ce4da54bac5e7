//! What varies: every setting that the model knows, as an administrator would change it, one choice
//! after the other. The first state of all is kubeadm's default.

use ravelin_tests::model::{Facts, NodeClients, Serving, TokenSource, Tunnels};

/// The cluster's CA.
pub const CLUSTER_CA: &str = "/etc/kubernetes/pki/ca.crt";
/// Another one.
pub const OTHER_CA: &str = "/etc/kubernetes/pki/kubelet-ca.crt";
/// Where the controller manager looks for a signer if no flag says it (until 1.19).
const OLD_SIGNER: &str = "/etc/kubernetes/ca/ca.pem";

/// A choice within a theme: how it reads, and what it changes.
pub type Choice = (&'static str, fn(&mut Settings));

/// What can vary, with the ways to vary it.
pub const THEMES: &[(&str, &[Choice])] = &[
    (
        "version",
        &[
            ("1.18", |s| s.version = 18),
            ("1.21", |s| s.version = 21),
            ("1.29", |s| s.version = 29),
            ("1.36", |s| s.version = 36),
        ],
    ),
    ("apiserver's file", &[("a unit", |s| s.apiserver_unit = true)]),
    ("kubelet's file", &[("flags alone", |s| s.kubelet_file = false)]),
    (
        "--authorization-mode",
        &[
            ("RBAC,Node", |s| s.authorization = Some("RBAC,Node")),
            ("RBAC", |s| s.authorization = Some("RBAC")),
            ("AlwaysAllow", |s| s.authorization = Some("AlwaysAllow")),
            ("Node,RBAC,AlwaysAllow", |s| s.authorization = Some("Node,RBAC,AlwaysAllow")),
            ("Node,RBAC,AlwaysDeny", |s| s.authorization = Some("Node,RBAC,AlwaysDeny")),
            ("not given", |s| s.authorization = None),
        ],
    ),
    ("AuthorizationConfiguration", &[("instead of the flag", |s| s.authorization_file = true)]),
    ("--anonymous-auth", &[("false", |s| s.anonymous = Some(false)), ("true", |s| s.anonymous = Some(true))]),
    (
        "AuthenticationConfiguration",
        &[
            ("anonymous requests for health alone", |s| s.anonymous_file = Some(true)),
            ("no anonymous requests", |s| s.anonymous_file = Some(false)),
        ],
    ),
    (
        "--requestheader-client-ca-file",
        &[
            ("another CA and a name", |s| s.front_proxy = FrontProxy::OwnCa),
            ("the clients' CA and a name", |s| s.front_proxy = FrontProxy::Named),
            ("the clients' CA", |s| s.front_proxy = FrontProxy::AnyClient),
        ],
    ),
    ("--service-account-lookup", &[("false", |s| s.lookup = false)]),
    ("--service-account-extend-token-expiration", &[("false", |s| s.extends = false)]),
    ("DenyServiceExternalIPs", &[("on", |s| s.external_ips_denied = true)]),
    ("--audit-log-path", &[("given", |s| s.audit = true)]),
    ("rotateCertificates", &[("off", |s| s.rotates = Some(false)), ("on", |s| s.rotates = Some(true))]),
    ("NodeRestriction", &[("off", |s| s.node_restriction = false)]),
    (
        "--kubelet-certificate-authority",
        &[
            ("the cluster's", |s| s.kubelet_ca = Some(CLUSTER_CA)),
            ("another", |s| s.kubelet_ca = Some(OTHER_CA)),
        ],
    ),
    ("--enable-kubelet-cert-cn-validation", &[("true", |s| s.kubelet_cn = true)]),
    ("--kubelet-client-certificate", &[("none", |s| s.kubelet_client = false)]),
    (
        "kubelets' serving certificates",
        &[
            ("tlsCertFile", |s| s.serving = Certificates::Files),
            ("serverTLSBootstrap", |s| s.serving = Certificates::Bootstrap),
        ],
    ),
    (
        "--cluster-signing",
        &[
            ("another CA for kubelets' serving certificates", |s| s.serving_signer = Some(OTHER_CA)),
            ("another CA for kubelets' client certificates", |s| s.client_signer = Some(OTHER_CA)),
            ("none", |s| s.signer = None),
        ],
    ),
    (
        "kubelets' anonymous access",
        &[("on", |s| s.kubelet_anonymous = Some(true)), ("off", |s| s.kubelet_anonymous = Some(false))],
    ),
    (
        "kubelets' token reviews",
        &[("on", |s| s.kubelet_webhook = Some(true)), ("off", |s| s.kubelet_webhook = Some(false))],
    ),
    (
        "kubelets' authorization",
        &[
            ("AlwaysAllow", |s| s.kubelet_authorizes = Some(false)),
            ("Webhook", |s| s.kubelet_authorizes = Some(true)),
        ],
    ),
    (
        "kubelets' clientCAFile",
        &[("none", |s| s.kubelet_client_ca = None), ("another", |s| s.kubelet_client_ca = Some(OTHER_CA))],
    ),
    ("readOnlyPort", &[("10255", |s| s.read_only = Some(10255)), ("0", |s| s.read_only = Some(0))]),
    ("enableServer", &[("off", |s| s.kubelet_listens = false)]),
    ("enableDebuggingHandlers", &[("off", |s| s.kubelet_debugging = false)]),
    (
        "egress",
        &[
            ("SSH tunnels", |s| s.egress = Egress::Ssh),
            ("SSH tunnels with known host keys", |s| s.egress = Egress::VerifiedSsh),
            ("Konnectivity", |s| s.egress = Egress::Konnectivity),
            ("Konnectivity that anybody may join", |s| s.egress = Egress::OpenKonnectivity),
        ],
    ),
    (
        "bootstrap",
        &[
            ("none", |s| s.bootstrap = Bootstrap::None),
            ("with a token file", |s| s.bootstrap = Bootstrap::File),
            ("with a token that nobody knows", |s| s.bootstrap = Bootstrap::Unknown),
        ],
    ),
    ("--bootstrap-kubeconfig", &[("is left on nodes", |s| s.bootstrap_stays = true)]),
    (
        "insecure ports",
        &[
            ("of the apiserver on every address", |s| s.insecure = Insecure::Everywhere),
            ("of the apiserver off", |s| s.insecure = Insecure::Off),
            ("not given", |s| s.insecure = Insecure::Default),
        ],
    ),
    ("controllers' --bind-address", &[("every address", |s| s.components_everywhere = true)]),
    ("kube-proxy", &[("with its own kubeconfig", |s| s.proxy_token = false)]),
    ("what does not matter", &[("--event-ttl, maxPods", |s| s.noise = true)]),
];

/// Where kubelets' serving certificates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// No file says it.
    SelfSigned,
    /// `tlsCertFile`.
    Files,
    /// `serverTLSBootstrap`.
    Bootstrap,
}

/// How kubelets come to their client certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// `--enable-bootstrap-token-auth`.
    Token,
    /// `--token-auth-file`.
    File,
    /// Kubelets have a token, and the apiserver does not know it.
    Unknown,
    /// Kubelets have certificates.
    None,
}

/// Whose word about others the apiserver believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontProxy {
    /// Nobody's.
    None,
    /// Whoever has a certificate of a CA of its own and a certain name.
    OwnCa,
    /// Whoever has a certificate as clients do and a certain name.
    Named,
    /// Whoever has a certificate as clients do.
    AnyClient,
}

/// How the apiserver reaches the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// No flag says it: straight.
    Direct,
    /// `--ssh-user`.
    Ssh,
    /// The same with an `SSHTunnelConfiguration` that names the hosts' keys.
    VerifiedSsh,
    /// An `EgressSelectorConfiguration` with Konnectivity, whose agents have tokens.
    Konnectivity,
    /// The same, and nobody asks agents for anything.
    OpenKonnectivity,
}

impl Egress {
    /// Is it by SSH?
    pub fn is_ssh(self) -> bool {
        matches!(self, Self::Ssh | Self::VerifiedSsh)
    }

    /// Is it by Konnectivity?
    pub fn is_konnectivity(self) -> bool {
        matches!(self, Self::Konnectivity | Self::OpenKonnectivity)
    }

    /// By default pods are reached through any node, and who is at the other end is believed.
    fn tunnels(self) -> Option<Tunnels> {
        match self {
            Self::Direct => None,
            Self::Ssh => Some(Tunnels { konnectivity: false, guarded: false, random: true }),
            Self::VerifiedSsh => Some(Tunnels { konnectivity: false, guarded: true, random: false }),
            Self::Konnectivity => Some(Tunnels { konnectivity: true, guarded: true, random: true }),
            Self::OpenKonnectivity => Some(Tunnels { konnectivity: true, guarded: false, random: true }),
        }
    }
}

/// The apiserver's plain port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insecure {
    /// No flag says it.
    Default,
    /// `--insecure-port=0`.
    Off,
    /// `--insecure-bind-address=0.0.0.0`.
    Everywhere,
}

/// Everything that varies in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub version: u32,
    pub apiserver_unit: bool,
    pub kubelet_file: bool,
    pub authorization: Option<&'static str>,
    pub authorization_file: bool,
    pub anonymous: Option<bool>,
    pub anonymous_file: Option<bool>,
    pub front_proxy: FrontProxy,
    pub lookup: bool,
    pub extends: bool,
    pub external_ips_denied: bool,
    pub audit: bool,
    pub rotates: Option<bool>,
    pub node_restriction: bool,
    pub kubelet_ca: Option<&'static str>,
    pub kubelet_cn: bool,
    pub kubelet_client: bool,
    pub serving: Certificates,
    pub signer: Option<&'static str>,
    pub serving_signer: Option<&'static str>,
    pub client_signer: Option<&'static str>,
    pub kubelet_anonymous: Option<bool>,
    pub kubelet_webhook: Option<bool>,
    pub kubelet_authorizes: Option<bool>,
    pub kubelet_client_ca: Option<&'static str>,
    pub read_only: Option<u16>,
    pub kubelet_listens: bool,
    pub kubelet_debugging: bool,
    pub egress: Egress,
    pub bootstrap: Bootstrap,
    pub bootstrap_stays: bool,
    pub insecure: Insecure,
    pub components_everywhere: bool,
    pub proxy_token: bool,
    pub noise: bool,
}

impl Settings {
    /// What kubeadm sets up.
    pub fn kubeadm() -> Self {
        Self {
            version: 34,
            apiserver_unit: false,
            kubelet_file: true,
            authorization: Some("Node,RBAC"),
            authorization_file: false,
            anonymous: None,
            anonymous_file: None,
            front_proxy: FrontProxy::None,
            lookup: true,
            extends: true,
            external_ips_denied: false,
            audit: false,
            rotates: None,
            node_restriction: true,
            kubelet_ca: None,
            kubelet_cn: false,
            kubelet_client: true,
            serving: Certificates::SelfSigned,
            signer: Some(CLUSTER_CA),
            serving_signer: None,
            client_signer: None,
            kubelet_anonymous: None,
            kubelet_webhook: None,
            kubelet_authorizes: None,
            kubelet_client_ca: Some(CLUSTER_CA),
            read_only: None,
            kubelet_listens: true,
            kubelet_debugging: true,
            egress: Egress::Direct,
            bootstrap: Bootstrap::Token,
            bootstrap_stays: false,
            insecure: Insecure::Default,
            components_everywhere: false,
            proxy_token: true,
            noise: false,
        }
    }

    /// kubeadm's, with these choices (a theme's index, and a choice's within it).
    pub fn with(choices: &[(usize, usize)]) -> Self {
        let mut settings = Self::kubeadm();
        for (theme, choice) in choices {
            let (_, choices) = THEMES[*theme];
            choices[choice % choices.len()].1(&mut settings);
        }
        settings.settle()
    }

    /// Moves to a version in which all of it exists.
    fn settle(mut self) -> Self {
        if self.insecure == Insecure::Everywhere && self.egress.is_konnectivity() {
            // Konnectivity came when that port was about to go.
            self.egress = Egress::Direct;
        }
        if self.egress.is_ssh() {
            self.version = self.version.min(21);
        }
        if self.egress.is_konnectivity() {
            self.version = self.version.max(29);
        }
        if self.insecure == Insecure::Everywhere {
            self.version = self.version.min(19);
        }
        // What came later than the tunnels, and than that port, gives way to them.
        let is_old = self.egress.is_ssh() || self.insecure == Insecure::Everywhere;
        self.authorization_file &= self.authorization.is_some() && !is_old;
        self.anonymous_file = self.anonymous_file.filter(|_| !is_old);
        self.external_ips_denied &= !is_old || self.version >= 21;
        self.extends |= is_old && self.version < 20;
        if self.authorization_file {
            self.version = self.version.max(30);
        }
        if self.anonymous_file.is_some() {
            // The flag is refused beside the file.
            self.anonymous = None;
            self.version = self.version.max(32);
        }
        if self.external_ips_denied || !self.extends {
            self.version = self.version.max(21);
        }
        let closed_in_file = self.kubelet_file && !self.kubelet_listens;
        if self.serving_signer.is_some() || self.client_signer.is_some() || closed_in_file {
            self.version = self.version.max(19);
        }
        // It needs an authority, and what only older versions have takes precedence.
        self.kubelet_cn &=
            self.kubelet_ca.is_some() && !self.egress.is_ssh() && self.insecure != Insecure::Everywhere;
        if self.kubelet_cn {
            self.version = 37;
        }
        self
    }

    /// What the model has to know of it: by the documented defaults, and without reading a file.
    pub fn facts(&self, nodes: u32, (access, fabric): (bool, bool)) -> Facts {
        // Without the flag every request is allowed (kube-apiserver's reference page).
        let modes: Vec<&str> = self.authorization.unwrap_or("AlwaysAllow").split(',').collect();
        let always_allow = modes.contains(&"AlwaysAllow");
        // Until 1.19 the flag has a default (kube-controller-manager's reference page).
        let old = (self.version < 20).then_some(OLD_SIGNER);
        let signer = self.signer.or(old).map(str::to_owned);
        let issued_by = |own: Option<&str>| own.map(str::to_owned).or_else(|| signer.clone());
        let flags_alone = !self.kubelet_file;
        Facts {
            version: self.version,
            nodes,
            access,
            fabric,
            client_ca: CLUSTER_CA.to_owned(),
            anonymous: self.anonymous_file.or(self.anonymous).unwrap_or(true) && !always_allow,
            anonymous_at_some_paths: self.anonymous_file == Some(true),
            clients_are_front_proxies: self.front_proxy == FrontProxy::AnyClient,
            token_lookup: self.lookup,
            external_ips_denied: self.external_ips_denied,
            node_authorizer: modes.contains(&"Node"),
            rbac: modes.contains(&"RBAC"),
            always_allow,
            node_restriction: self.node_restriction,
            insecure_port: match self.insecure {
                _ if self.version >= 20 => None,
                Insecure::Off => None,
                Insecure::Default => Some(false),
                Insecure::Everywhere => Some(true),
            },
            kubelet_ca: self.kubelet_ca.map(str::to_owned),
            kubelet_cn: self.kubelet_cn,
            kubelet_client: self.kubelet_client,
            tunnels: self.egress.tunnels(),
            node_clients: match self.bootstrap {
                Bootstrap::None => NodeClients::Given,
                Bootstrap::Unknown => {
                    NodeClients::Bootstrapped(TokenSource::Unknown, issued_by(self.client_signer))
                }
                Bootstrap::Token | Bootstrap::File => {
                    NodeClients::Bootstrapped(TokenSource::Known, issued_by(self.client_signer))
                }
            },
            bootstrap_token_stays: self.bootstrap_stays && self.bootstrap != Bootstrap::None,
            serving: match self.serving {
                Certificates::SelfSigned => Serving::SelfSigned,
                Certificates::Files => Serving::Given,
                Certificates::Bootstrap => Serving::Issued(issued_by(self.serving_signer)),
            },
            kubelet_listens: self.kubelet_listens,
            kubelet_debugging: self.kubelet_debugging,
            // Kubelets with a configuration file are closed, with flags alone they are open
            // (the kubelet's reference page against KubeletConfiguration v1beta1).
            kubelet_anonymous: self.kubelet_anonymous.unwrap_or(flags_alone),
            kubelet_webhook: self.kubelet_webhook.unwrap_or(self.kubelet_file),
            kubelet_client_ca: self.kubelet_client_ca.map(str::to_owned),
            kubelet_authorizes: self.kubelet_authorizes.unwrap_or(self.kubelet_file),
            kubelet_read_only: match self.read_only {
                None => flags_alone.then_some(10255),
                Some(port) => Some(port).filter(|port| *port != 0),
            },
            proxy_token: self.proxy_token,
            // Konnectivity's server shows its metrics where it says how it is.
            open_component_ports: self.version < 23 || self.egress.is_konnectivity(),
            guarded_component_ports: self.components_everywhere,
        }
    }
}
