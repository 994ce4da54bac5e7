//! What the model has to know of a cluster: few facts, and the statements about them that the
//! conditions of `rules.md` name.

use ravelin_config::{
    AgentAuthentication, AuthorizationMode, ClusterConfig, Egress, KubeletAuthorization, KubeletServing,
    ProxyStrategy, SigningFiles, SshHostKeys, SshUnknownNode,
};
use std::net::IpAddr;

/// The name of a file with a certification authority. Two names are two authorities.
pub type Ca = String;

/// Where a kubelet's serving certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// The kubelet signs one itself.
    SelfSigned,
    /// Somebody put one beside it, from the authority that the apiserver verifies kubelets by.
    Given,
    /// The cluster's signer issues it, if it has one.
    Issued(Option<Ca>),
}

/// How the apiserver comes to know a bootstrap token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// As a Secret, or in a token file.
    Known,
    /// Not at all.
    Unknown,
}

/// How kubelets come to their client certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeClients {
    /// They come with them, from the authority that the apiserver trusts.
    Given,
    /// They ask for them with a bootstrap token; the cluster's signer issues them, if it has one.
    Bootstrapped(TokenSource, Option<Ca>),
}

/// What the apiserver reaches the cluster through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnels {
    /// Is it Konnectivity? Else SSH.
    pub konnectivity: bool,
    /// Does whoever is at the other end prove who it is: by a host key that the apiserver verifies, by
    /// an agent's credential that the server asks for?
    pub guarded: bool,
    /// May a connection to a pod take any node's tunnel?
    pub random: bool,
}

/// A cluster and its network, as far as the model knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The minor version of Kubernetes.
    pub version: u32,
    /// How many nodes there are.
    pub nodes: u32,
    /// Is the attacker between control plane or users, and nodes?
    pub access: bool,
    /// Is it between nodes?
    pub fabric: bool,
    /// `--client-ca-file` of the apiserver.
    pub client_ca: Ca,
    /// May anonymous requests in (`--anonymous-auth`; off beside `AlwaysAllow`)?
    pub anonymous: bool,
    /// Only for some paths (`anonymous.conditions` of an AuthenticationConfiguration)?
    pub anonymous_at_some_paths: bool,
    /// Is everybody with a client certificate a front proxy (`--requestheader-client-ca-file` is the
    /// clients' CA, and `--requestheader-allowed-names` are not given)?
    pub clients_are_front_proxies: bool,
    /// Do service accounts' tokens end with what they are bound to (`--service-account-lookup`)?
    pub token_lookup: bool,
    /// Does the admission plugin `DenyServiceExternalIPs` run?
    pub external_ips_denied: bool,
    /// Is the `Node` authorizer on?
    pub node_authorizer: bool,
    /// Is `RBAC` on?
    pub rbac: bool,
    /// Is `AlwaysAllow` on?
    pub always_allow: bool,
    /// Does the admission plugin `NodeRestriction` run?
    pub node_restriction: bool,
    /// `--insecure-port` where it is served: is it reachable from outside its machine?
    pub insecure_port: Option<bool>,
    /// `--kubelet-certificate-authority`.
    pub kubelet_ca: Option<Ca>,
    /// `--enable-kubelet-cert-cn-validation`.
    pub kubelet_cn: bool,
    /// Has the apiserver a client certificate for kubelets?
    pub kubelet_client: bool,
    /// Does the apiserver reach the cluster through tunnels, and what do they verify?
    pub tunnels: Option<Tunnels>,
    /// Kubelets' client certificates.
    pub node_clients: NodeClients,
    /// Does the bootstrap token stay on a node that has joined? kubeadm removes its file.
    pub bootstrap_token_stays: bool,
    /// Kubelets' serving certificates.
    pub serving: Serving,
    /// Does the kubelet listen (`enableServer`)?
    pub kubelet_listens: bool,
    /// Does it serve logs (`enableDebuggingHandlers`)?
    pub kubelet_debugging: bool,
    /// Does it let anonymous requests in?
    pub kubelet_anonymous: bool,
    /// Does it ask the apiserver about bearer tokens?
    pub kubelet_webhook: bool,
    /// Whose client certificates it believes.
    pub kubelet_client_ca: Option<Ca>,
    /// Does it ask the apiserver what callers may do? Else they may everything.
    pub kubelet_authorizes: bool,
    /// Its read-only port.
    pub kubelet_read_only: Option<u16>,
    /// Does the service proxy hold a token? Else a certificate.
    pub proxy_token: bool,
    /// Ports of the controller manager and the scheduler that ask nobody who they are, and that can
    /// be reached from other machines.
    pub open_component_ports: bool,
    /// Their HTTPS ports, that can be reached from other machines.
    pub guarded_component_ports: bool,
}

impl Facts {
    /// What a configuration says of `nodes` nodes, with an attacker on (`access`, `fabric`).
    pub fn of(config: &ClusterConfig, nodes: u32, (access, fabric): (bool, bool)) -> Self {
        let (apiserver, kubelet) = (&config.apiserver, &config.kubelet);
        let manager = &config.controller_manager;
        let has = |mode: AuthorizationMode| apiserver.authorization_modes.contains(&mode);
        let signer = |own: &Option<SigningFiles>| {
            own.as_ref().or(manager.cluster_signing.as_ref()).map(|files| files.cert.to_string())
        };
        let token = match (apiserver.enable_bootstrap_token_auth, &apiserver.token_auth_file) {
            (false, None) => TokenSource::Unknown,
            _ => TokenSource::Known,
        };
        let is_reachable = |address: IpAddr| !address.is_loopback();
        let plain = [&manager.insecure, &config.scheduler.insecure];
        let guarded = [&manager.listener, &config.scheduler.listener];
        Self {
            version: config.version.minor_number(),
            nodes,
            access,
            fabric,
            client_ca: apiserver.client_ca_file.as_ref().map(ToString::to_string).unwrap_or_default(),
            anonymous: apiserver.anonymous_auth,
            anonymous_at_some_paths: !apiserver.anonymous_paths.is_empty(),
            clients_are_front_proxies: apiserver.request_header.as_ref().is_some_and(|proxy| {
                proxy.allowed_names.is_empty()
                    && Some(&proxy.client_ca_file) == apiserver.client_ca_file.as_ref()
            }),
            token_lookup: apiserver.service_accounts.lookup,
            external_ips_denied: apiserver.admission.runs("DenyServiceExternalIPs"),
            node_authorizer: has(AuthorizationMode::Node),
            rbac: has(AuthorizationMode::Rbac),
            always_allow: has(AuthorizationMode::AlwaysAllow),
            node_restriction: apiserver.admission.runs("NodeRestriction"),
            insecure_port: apiserver.insecure.map(|listener| is_reachable(listener.address.ip())),
            kubelet_ca: apiserver.kubelet.certificate_authority.as_ref().map(ToString::to_string),
            kubelet_cn: apiserver.kubelet.cert_cn_validation,
            kubelet_client: apiserver.kubelet.client.is_some(),
            tunnels: tunnels(&apiserver.egress),
            node_clients: match kubelet.bootstrap_kubeconfig {
                None => NodeClients::Given,
                Some(_) => NodeClients::Bootstrapped(token, signer(&manager.kubelet_client_signing)),
            },
            bootstrap_token_stays: kubelet
                .bootstrap_kubeconfig
                .as_ref()
                .is_some_and(|file| file.as_str() != "/etc/kubernetes/bootstrap-kubelet.conf"),
            serving: match kubelet.serving {
                KubeletServing::SelfSigned => Serving::SelfSigned,
                KubeletServing::Files(_) => Serving::Given,
                KubeletServing::Bootstrap => Serving::Issued(signer(&manager.kubelet_serving_signing)),
            },
            kubelet_listens: kubelet.enable_server,
            kubelet_debugging: kubelet.enable_debugging_handlers,
            kubelet_anonymous: kubelet.anonymous_auth,
            kubelet_webhook: kubelet.webhook_authentication,
            kubelet_client_ca: kubelet.client_ca_file.as_ref().map(ToString::to_string),
            kubelet_authorizes: kubelet.authorization == KubeletAuthorization::Webhook,
            kubelet_read_only: kubelet.read_only_port,
            proxy_token: config.proxy.kubeconfig.is_none(),
            open_component_ports: tells_anybody(&apiserver.egress)
                || plain.iter().any(|port| port.is_some_and(|port| is_reachable(port.address.ip()))),
            guarded_component_ports: guarded
                .iter()
                .any(|port| port.port.is_some() && is_reachable(port.address)),
        }
    }

    /// Is the statement of this name true? `None` where there is no such statement.
    pub fn holds(&self, statement: &str) -> Option<bool> {
        STATEMENTS.iter().find(|known| known.0 == statement).map(|known| known.1(self))
    }

    /// Kubelets get certificates that the apiserver believes.
    fn nodes_are_known(&self) -> bool {
        match &self.node_clients {
            NodeClients::Given => true,
            NodeClients::Bootstrapped(TokenSource::Unknown, _) => false,
            NodeClients::Bootstrapped(TokenSource::Known, signer) => signer.as_ref() == Some(&self.client_ca),
        }
    }

    /// The group `system:nodes` has the rights of nodes.
    fn nodes_may_act(&self) -> bool {
        self.node_authorizer || self.always_allow
    }

    /// A kubelet believes the client certificate of another node.
    fn kubelets_believe_nodes(&self) -> bool {
        let issued_by = match &self.node_clients {
            NodeClients::Given => Some(&self.client_ca),
            NodeClients::Bootstrapped(_, signer) => signer.as_ref(),
        };
        self.kubelet_client_ca.is_some() && self.kubelet_client_ca.as_ref() == issued_by
    }

    /// Whom a kubelet takes the apiserver for.
    fn apiserver_at_kubelets(&self) -> Caller {
        match (self.kubelet_client, &self.kubelet_client_ca) {
            (true, Some(ca)) if *ca == self.client_ca => Caller::Apiserver,
            // A certificate that was shown and is not good is no anonymous request.
            (true, Some(_)) => Caller::Nobody,
            _ if self.kubelet_anonymous => Caller::Anonymous,
            _ => Caller::Nobody,
        }
    }

    /// A kubelet serves whoever comes without a credential.
    fn kubelets_serve_anyone(&self) -> bool {
        self.kubelet_anonymous && !self.kubelets_ask_what_anyone_may()
    }

    /// A kubelet has callers' rights decided by an authorizer that can say no.
    fn kubelets_ask_what_anyone_may(&self) -> bool {
        self.kubelet_authorizes && !self.always_allow
    }
}

/// What the egress verifies.
fn tunnels(egress: &Egress) -> Option<Tunnels> {
    match egress {
        Egress::SshTunnels { settings, .. } => Some(Tunnels {
            konnectivity: false,
            guarded: settings.host_keys != SshHostKeys::DangerAny,
            random: settings.unknown_node == SshUnknownNode::DangerRandom,
        }),
        Egress::Konnectivity(given) => Some(Tunnels {
            konnectivity: true,
            guarded: given.server.authentication != AgentAuthentication::DangerNone,
            random: given.server.strategies.first() != Some(&ProxyStrategy::DestHost),
        }),
        _ => None,
    }
}

/// Does Konnectivity's server tell its metrics to anybody? It does at its port for health, wherever
/// that is bound.
fn tells_anybody(egress: &Egress) -> bool {
    let Egress::Konnectivity(given) = egress else { return false };
    [given.server.health, given.server.admin].iter().any(|own| !own.ip().is_loopback())
}

/// Whom a server takes its caller for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    Apiserver,
    Anonymous,
    Nobody,
}

/// A statement about a cluster, by its name.
type Statement = (&'static str, fn(&Facts) -> bool);

/// The conditions of `rules.md`.
const STATEMENTS: &[Statement] = &[
    ("access", |f| f.access),
    ("fabric", |f| f.fabric),
    ("several-nodes", |f| f.nodes > 1),
    ("three-nodes", |f| f.nodes > 2),
    ("tunnels", |f| f.tunnels.is_some()),
    ("konnectivity", |f| f.tunnels.is_some_and(|tunnels| tunnels.konnectivity)),
    ("guarded-tunnels", |f| f.tunnels.is_some_and(|tunnels| tunnels.guarded)),
    ("random-tunnels", |f| f.tunnels.is_some_and(|tunnels| tunnels.random)),
    ("bootstraps", |f| f.node_clients != NodeClients::Given),
    ("bootstrap-token-stays", |f| f.bootstrap_token_stays),
    ("bootstrap-token-known", |f| matches!(f.node_clients, NodeClients::Bootstrapped(TokenSource::Known, _))),
    ("node-clients-signed", |f| matches!(f.node_clients, NodeClients::Bootstrapped(_, Some(_)))),
    ("nodes-known", Facts::nodes_are_known),
    ("nodes-allowed", Facts::nodes_may_act),
    ("anonymous", |f| f.anonymous),
    ("always-allow", |f| f.always_allow),
    ("clients-are-front-proxies", |f| f.clients_are_front_proxies),
    ("node-restriction", |f| f.node_restriction),
    ("addresses-claimable", |f| !f.node_restriction || f.always_allow),
    ("insecure-port-reachable", |f| f.insecure_port == Some(true)),
    ("kubelet-listens", |f| f.kubelet_listens),
    ("kubelet-debugging", |f| f.kubelet_debugging),
    ("kubelet-has-certificate", |f| match &f.serving {
        Serving::SelfSigned | Serving::Given => true,
        // Only a node that has joined may ask for one.
        Serving::Issued(signer) => signer.is_some() && f.nodes_are_known() && f.nodes_may_act(),
    }),
    ("kubelet-self-signed", |f| f.serving == Serving::SelfSigned),
    ("kubelet-verified", |f| f.kubelet_ca.is_some()),
    ("kubelet-verifies", |f| match &f.serving {
        Serving::SelfSigned => false,
        Serving::Given => true,
        Serving::Issued(signer) => *signer == f.kubelet_ca,
    }),
    ("kubelet-named", |f| f.kubelet_cn),
    ("kubelet-webhook", |f| f.kubelet_webhook),
    ("kubelet-read-only", |f| f.kubelet_read_only.is_some()),
    ("kubelet-believes-certificates", |f| f.kubelet_client_ca.is_some()),
    ("kubelet-believes-clients", |f| f.kubelet_client_ca.as_ref() == Some(&f.client_ca)),
    ("kubelet-believes-nodes", Facts::kubelets_believe_nodes),
    ("kubelet-asks-rights", Facts::kubelets_ask_what_anyone_may),
    ("kubelet-open", Facts::kubelets_serve_anyone),
    ("client-certificate-for-kubelets", |f| f.kubelet_client),
    ("apiserver-known-at-kubelet", |f| f.apiserver_at_kubelets() == Caller::Apiserver),
    ("apiserver-anonymous-at-kubelet", |f| f.apiserver_at_kubelets() == Caller::Anonymous),
    ("proxy-token", |f| f.proxy_token),
    ("open-component-port", |f| f.open_component_ports),
    ("guarded-component-port", |f| f.guarded_component_ports),
];
