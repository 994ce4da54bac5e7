//! Konnectivity in a cluster: a server on each control-plane machine, an agent on each node, and the
//! apiserver's way to the server.

use crate::agent_setup::SERVER_USER;
use crate::agents::{AgentPlan, WithAgent};
use crate::cluster::{Cluster, with_certificate};
use crate::layout::Place;
use crate::material::Material;
use crate::member::{supervised, told};
use crate::settings::own_address;
use crate::start::Setup;
use crate::tunnel_settings::{self, TunnelServerParts};
use ravelin_client::{Client, ClientConfig};
use ravelin_config::{self as config, EgressConnection, FileName, KonnectivityConfig, KonnectivityFrontend};
use ravelin_host::HostRef;
use ravelin_pki::{Identity, San, ServerTrust, Subject};
use ravelin_tunnel::konnectivity::{
    AgentAuthentication, FrontendClients, FrontendListener, KonnectivityEgressConfig, KonnectivityServer,
    KonnectivityServerConfig,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How often it is looked whether agents are connected again.
const LOOK: Duration = Duration::from_millis(200);
/// What stands for the authorities of the system where no file is named.
const SYSTEM_AUTHORITIES: &str = "the system's authorities";

/// What is public about a cluster's Konnectivity: where its server is, and what it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KonnectivityAt {
    /// Where the first server awaits agents.
    pub agents: SocketAddr,
    /// Where the first server awaits the apiserver, where that is a port.
    pub frontend: Option<SocketAddr>,
    /// The name that agents verify its certificate by.
    pub server_name: String,
    /// The common name of the authority that agents trust.
    pub authority: String,
    /// How agents prove themselves.
    pub proof: AgentProof,
    /// To how many servers each agent is connected when all is well.
    pub servers: usize,
    /// The configuration, as it was read.
    pub config: KonnectivityConfig,
}

/// How agents prove themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentProof {
    /// By a certificate.
    Certificate,
    /// By a token of this subject for this audience.
    Token {
        /// Whose.
        subject: Subject,
        /// For whom.
        audience: String,
    },
    /// Not at all.
    Nothing,
}

/// What a node's agent proves itself by.
#[derive(Clone)]
pub struct AgentCredential {
    /// Its certificate, where it has one.
    pub identity: Option<Identity>,
    /// Its token, where it has one.
    pub token: Option<String>,
}

impl std::fmt::Debug for AgentCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("AgentCredential");
        shown.field("certificate", &self.identity.is_some()).field("token", &self.token.is_some()).finish()
    }
}

/// A server of a control-plane machine.
pub(crate) struct TunnelServer {
    config: KonnectivityServerConfig,
    running: Option<KonnectivityServer>,
}

impl TunnelServer {
    pub(crate) fn new(config: KonnectivityServerConfig) -> Self {
        Self { config, running: None }
    }

    /// Starts it, anew where it runs. One that cannot listen does not run: the agents show it.
    pub(crate) async fn start(&mut self, host: &HostRef) {
        self.running = None;
        let started = supervised(|| KonnectivityServer::start(host.clone(), self.config.clone())).await;
        self.running = told(host, "tunnel server", started);
    }
}

/// The configuration, where the egress is Konnectivity.
pub(crate) fn of(config: &config::ClusterConfig) -> Option<&KonnectivityConfig> {
    match &config.apiserver.egress {
        config::Egress::Konnectivity(konnectivity) => Some(konnectivity),
        _ => None,
    }
}

/// Is the certificate that agents are shown the apiserver's own?
fn is_the_apiservers(config: &config::ClusterConfig, serving: &config::FilePair) -> bool {
    config.apiserver.serving.as_ref().is_some_and(|own| own.cert == serving.cert)
}

impl Setup<'_> {
    /// What is public about it.
    pub(crate) fn konnectivity_at(&self) -> Option<KonnectivityAt> {
        let given = of(self.config)?;
        let machine = self.layout.control_plane.address;
        let at = |address: SocketAddr| SocketAddr::new(machine, address.port());
        Some(KonnectivityAt {
            agents: at(given.server.agents),
            frontend: match &given.server.frontend {
                KonnectivityFrontend::Unix(_) => None,
                KonnectivityFrontend::Tcp { listen, .. } => Some(at(*listen)),
            },
            server_name: given.agent.server_host.clone(),
            authority: Material::name_of(&self.agents_authority(given)).to_owned(),
            proof: match &given.server.authentication {
                config::AgentAuthentication::Certificate { .. } => AgentProof::Certificate,
                config::AgentAuthentication::DangerNone => AgentProof::Nothing,
                config::AgentAuthentication::Token { namespace, service_account, audience } => {
                    AgentProof::Token {
                        subject: account(namespace, service_account),
                        audience: audience.clone(),
                    }
                }
            },
            servers: usize::try_from(self.server_count(&given.server))
                .unwrap_or(usize::MAX)
                .clamp(1, self.layout.control_planes().count()),
            config: given.clone(),
        })
    }

    /// The file of the authority that agents trust.
    pub(crate) fn agents_authority(&self, given: &KonnectivityConfig) -> String {
        match AgentPlan::trusts_its_pod(&given.agent) {
            true => self.material.servers_file().to_owned(),
            false => given.agent.ca.as_str().to_owned(),
        }
    }

    /// The server of a control-plane machine.
    pub(crate) fn konnectivity_server(
        &mut self,
        host: &HostRef,
        place: &Place,
    ) -> Option<KonnectivityServerConfig> {
        let given = of(self.config)?;
        let mut own = given.server.clone();
        for address in [&mut own.agents, &mut own.health, &mut own.admin] {
            *address = own_address(*address, place.address);
        }
        let parts = TunnelServerParts {
            id: self.server_id(host, (&own, place)),
            count: self.server_count(&own),
            frontend: self.frontend_listener(given, place),
            serving: self.shown_to_agents(given, place),
            authentication: self.agent_authentication(&given.server, (host, place)),
        };
        Some(tunnel_settings::tunnel_server(&own, parts))
    }

    fn server_id(&self, host: &HostRef, (own, place): (&config::KonnectivityServer, &Place)) -> String {
        let alone = self.layout.control_planes().count() == 1;
        match &own.id {
            None => host.entropy("konnectivity server").uuid(),
            Some(id) if alone => id.clone(),
            // Servers that are given one name each are in one file here.
            Some(id) => format!("{id}-{}", place.name),
        }
    }

    /// How many servers agents are told that there are: with leases, as many as there are.
    fn server_count(&self, own: &config::KonnectivityServer) -> u32 {
        let there_are = u32::try_from(self.layout.control_planes().count()).unwrap_or(u32::MAX);
        if own.leases.is_some() { there_are } else { own.count }
    }

    /// The names in a server's certificate: those that it is known by.
    fn server_names(&self, given: &KonnectivityConfig, place: &Place) -> Vec<San> {
        let mut names = vec![San::parse(&given.agent.server_host), San::Ip(place.address)];
        names.extend([San::Dns("localhost".to_owned()), San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST))]);
        if let EgressConnection::HttpConnectTcp { host, .. } = &given.connection {
            names.push(San::parse(host));
        }
        let mut known: Vec<San> = Vec::new();
        for name in names {
            if !known.contains(&name) {
                known.push(name);
            }
        }
        known
    }

    /// What agents are shown: the apiserver's certificate where the files are the same, else one of the
    /// authority that they trust.
    fn shown_to_agents(&mut self, given: &KonnectivityConfig, place: &Place) -> Identity {
        let mut names = self.server_names(given, place);
        if is_the_apiservers(self.config, &given.server.serving) {
            names.splice(..0, self.apiserver_names(place.address));
            return self.material.apiserver(names);
        }
        let file = self.agents_authority(given);
        self.material.server_of(&file, "konnectivity-server", names)
    }

    fn agent_authentication(
        &mut self,
        server: &config::KonnectivityServer,
        (host, place): (&HostRef, &Place),
    ) -> AgentAuthentication {
        match &server.authentication {
            config::AgentAuthentication::DangerNone => AgentAuthentication::DangerNone,
            config::AgentAuthentication::Certificate { ca } => {
                AgentAuthentication::ClientCertificate(self.material.anchors(ca.as_str()))
            }
            config::AgentAuthentication::Token { namespace, service_account, audience } => {
                let client = self.reviewer(server.kubeconfig.as_ref(), place);
                AgentAuthentication::ServiceAccountToken {
                    namespace: namespace.clone(),
                    service_account: service_account.clone(),
                    audience: audience.clone(),
                    reviewer: Client::new(host.clone(), client),
                }
            }
        }
    }

    /// How a server asks its apiserver whose a token is: with the documented user, or the administrator's
    /// kubeconfig where it has been given that.
    fn reviewer(&mut self, kubeconfig: Option<&FileName>, place: &Place) -> ClientConfig {
        let admins = ["/admin.conf", "/super-admin.conf"];
        let is_admins = kubeconfig.is_some_and(|file| admins.iter().any(|end| file.as_str().ends_with(end)));
        let identity = match is_admins {
            true => self.material.client("kubernetes-admin", &["system:masters"]),
            false => self.material.client(SERVER_USER, &[]),
        };
        let server = SocketAddr::new(place.address, self.base.server.port());
        let base = ClientConfig { server, server_name: place.address.to_string(), ..self.base.clone() };
        with_certificate(&base, identity)
    }

    fn frontend_listener(&mut self, given: &KonnectivityConfig, place: &Place) -> FrontendListener {
        match &given.server.frontend {
            KonnectivityFrontend::Unix(path) => FrontendListener::Unix { path: path.as_str().to_owned() },
            KonnectivityFrontend::Tcp { listen, .. } if is_plain(&given.connection) => {
                FrontendListener::DangerPlain { listen: own_address(*listen, place.address) }
            }
            KonnectivityFrontend::Tcp { listen, serving, client_ca } => {
                let names = self.server_names(given, place);
                let clients = match client_ca {
                    Some(ca) => FrontendClients::Certificate(self.material.anchors(ca.as_str())),
                    None => FrontendClients::DangerAnybody,
                };
                let file = match is_the_apiservers(self.config, serving) {
                    true => self.material.servers_file().to_owned(),
                    false => frontend_authority(&given.connection),
                };
                FrontendListener::Tls {
                    listen: own_address(*listen, place.address),
                    identity: self.material.server_of(&file, "konnectivity-server", names),
                    clients,
                }
            }
        }
    }

    /// How an apiserver reaches the server of its machine.
    pub(crate) fn konnectivity_egress(
        &mut self,
        given: &KonnectivityConfig,
        place: &Place,
    ) -> KonnectivityEgressConfig {
        let path = |socket: &FileName| socket.as_str().to_owned();
        match &given.connection {
            EgressConnection::GrpcUnix { socket } => KonnectivityEgressConfig::Grpc { path: path(socket) },
            EgressConnection::HttpConnectUnix { socket } => {
                KonnectivityEgressConfig::HttpConnectUnix { path: path(socket) }
            }
            EgressConnection::HttpConnectTcp { host, port, tls: None } => {
                KonnectivityEgressConfig::DangerHttpConnect { host: dialled(host, place), port: *port }
            }
            EgressConnection::HttpConnectTcp { host, port, tls: Some(tls) } => {
                let client = match &given.server.frontend {
                    KonnectivityFrontend::Tcp { client_ca: Some(ca), .. } => ca.as_str(),
                    // Nobody asks for it.
                    _ => tls.client.cert.as_str(),
                };
                KonnectivityEgressConfig::HttpConnectTls {
                    host: dialled(host, place),
                    port: *port,
                    trust: ServerTrust::Anchors(
                        self.material.anchors(&frontend_authority(&given.connection)),
                    ),
                    identity: Some(self.material.client_of(client, "kube-apiserver")),
                    server_name: Some(host.clone()),
                }
            }
        }
    }
}

/// What an account is called at the apiserver.
fn account(namespace: &str, name: &str) -> Subject {
    Subject::new(
        format!("system:serviceaccount:{namespace}:{name}"),
        &["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")],
    )
}

fn is_plain(connection: &EgressConnection) -> bool {
    matches!(connection, EgressConnection::HttpConnectTcp { tls: None, .. })
}

/// The file of the authority that the apiserver trusts at the frontend.
fn frontend_authority(connection: &EgressConnection) -> String {
    match connection {
        EgressConnection::HttpConnectTcp { tls: Some(tls), .. } => {
            tls.ca_bundle.as_ref().map_or(SYSTEM_AUTHORITIES, FileName::as_str).to_owned()
        }
        _ => SYSTEM_AUTHORITIES.to_owned(),
    }
}

/// Where the apiserver's URL leads: its own machine, whatever that is called there.
fn dialled(host: &str, place: &Place) -> String {
    match host.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => host.to_owned(),
        _ if host == "localhost" => Ipv4Addr::LOCALHOST.to_string(),
        _ => place.address.to_string(),
    }
}

impl Cluster {
    /// What is public about its Konnectivity, where that is its egress.
    pub fn konnectivity(&self) -> Option<&KonnectivityAt> {
        self.facts.konnectivity.as_ref()
    }

    /// What a node's agent proves itself by, by the node's number.
    pub fn agent_credential(&self, node: usize) -> Option<AgentCredential> {
        let member = self.members.get(node)?;
        let plan = member.plan.agent.as_ref()?;
        let token = plan.options.token.as_ref().and_then(|file| match &plan.options.pod {
            None => member.host.disk().read(file.as_str()),
            Some(_) => {
                let runtime = std::sync::Arc::clone(&member.running.borrow().runtime);
                let mut sandboxes = runtime.ledgers().into_keys().filter_map(|uid| runtime.sandbox(&uid));
                let own = sandboxes.find(|sandbox| plan.is_in(&sandbox.pod))?;
                own.host.disk().read(&format!("{}{file}", own.root))
            }
        });
        let token = token.and_then(|token| String::from_utf8(token).ok()).filter(|token| !token.is_empty());
        Some(AgentCredential { identity: plan.identity.clone(), token })
    }

    /// Is every node's agent connected to every server?
    pub fn agents_are_connected(&self) -> bool {
        let servers = self.facts.konnectivity.as_ref().map_or(0, |at| at.servers);
        let has = |agent: &WithAgent| agent.connected() >= servers;
        let connected =
            |running: &crate::member::Components| running.agent.as_ref().is_none_or(|agent| has(agent));
        self.members.iter().all(|member| connected(&member.running.borrow()))
    }

    /// Waits until every agent is connected, or until the time is up.
    pub async fn wait_for_agents(&self, limit: Duration) {
        let began = tokio::time::Instant::now();
        while !self.agents_are_connected() && began.elapsed() < limit {
            tokio::time::sleep(LOOK).await;
        }
    }
}
