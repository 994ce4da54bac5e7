//! What the tests share: a server, agents on nodes, targets that echo, an apiserver that reviews tokens.

use super::super::*;
use async_trait::async_trait;
use jiff::ToSpan;
use ravelin_client::{Client, ClientConfig, Credential};
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use ravelin_host::{BoxedStream, Endpoint, Flaws, HostRef, Task};
use ravelin_pki::{Authority, Identity, KeyPair, Profile, San, ServerTrust, Subject, TrustAnchors, Usage};
use ravelin_transport::egress::{Destination, Egress, EgressError};
use ravelin_transport::{Handler, PeerInfo, Request, Response, Server, body, collect};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) const DEADLINE: Duration = Duration::from_secs(120);
pub(super) const SOCKET: &str = "/run/konnectivity.sock";
/// `CONNECT` is for targets that do not speak first.
pub(super) const SILENT: u16 = 6;
const SERVER: u8 = 100;

pub(super) fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

pub(super) fn entropy(seed: u8) -> Entropy {
    Entropy::from_key([seed; 32])
}

pub(super) struct Stage {
    pub(super) network: Network,
    /// Where the server and the apiserver run.
    pub(super) control: HostRef,
    pub(super) authority: Authority,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with_flaws(Flaws::none())
    }

    pub(super) fn with_flaws(flaws: Flaws) -> Self {
        let network = Network::new();
        let control = network.flawed_host("control-plane", ip(SERVER), flaws);
        let authority = authority(&control, 1);
        Self { network, control, authority }
    }

    pub(super) fn anchors(&self) -> TrustAnchors {
        TrustAnchors::new([self.authority.certificate()]).unwrap()
    }

    pub(super) fn trust(&self) -> ServerTrust {
        ServerTrust::Anchors(self.anchors())
    }

    /// A certificate of our authority.
    pub(super) fn identity(&self, usage: Usage) -> Identity {
        identity(&self.authority, &self.control, usage)
    }

    /// A server that any agent may connect to, with a frontend on a Unix socket.
    pub(super) fn server_config(&self) -> KonnectivityServerConfig {
        KonnectivityServerConfig {
            server_id: "server-1".to_owned(),
            server_count: 1,
            frontend: self.frontend(FrontendMode::Grpc),
            agents: AgentListener {
                listen: SocketAddr::new(ip(SERVER), AGENT_PORT),
                identity: self.identity(Usage::Server),
                authentication: AgentAuthentication::DangerNone,
            },
            strategies: vec![Strategy::Default],
            backend_dial_timeout: None,
            keepalive: KEEPALIVE,
            frontend_keepalive: KEEPALIVE,
            health: Some(SocketAddr::new(ip(SERVER), SERVER_HEALTH_PORT)),
            admin: None,
        }
    }

    pub(super) fn frontend(&self, mode: FrontendMode) -> Frontend {
        Frontend { mode, listener: FrontendListener::Unix { path: SOCKET.to_owned() } }
    }

    pub(super) fn tls_frontend(&self, mode: FrontendMode, clients: FrontendClients) -> Frontend {
        let listen = SocketAddr::new(ip(SERVER), FRONTEND_PORT);
        let identity = self.identity(Usage::Server);
        Frontend { mode, listener: FrontendListener::Tls { listen, identity, clients } }
    }

    pub(super) async fn serve(&self, config: KonnectivityServerConfig) -> KonnectivityServer {
        KonnectivityServer::start(Arc::clone(&self.control), config).await.unwrap()
    }

    /// The host of node N, at 10.0.0.N, with an echo on port 7 that greets with the node's name, and
    /// one on port [`SILENT`] that does not.
    pub(super) async fn node(&self, number: u8) -> HostRef {
        let name = format!("node-{number}");
        let host = self.network.host(&name, ip(number));
        echo(&host, 7, &format!("{name}\n")).await;
        echo(&host, SILENT, "").await;
        host
    }

    pub(super) fn agent_config(&self, name: &str) -> KonnectivityAgentConfig {
        KonnectivityAgentConfig::new(&ip(SERVER).to_string(), self.trust(), name)
    }

    /// A node with an agent of its name, connected.
    pub(super) async fn agent(&self, number: u8) -> KonnectivityAgent {
        let host = self.node(number).await;
        let agent = start(&host, self.agent_config(&format!("node-{number}"))).await;
        until("the agent is connected", || agent.connected() == 1).await;
        agent
    }

    pub(super) fn egress(&self) -> KonnectivityEgress {
        let config = KonnectivityEgressConfig::Grpc { path: SOCKET.to_owned() };
        KonnectivityEgress::new(Arc::clone(&self.control), config)
    }

    pub(super) fn https_egress(&self, identity: Option<Identity>) -> KonnectivityEgress {
        let config = KonnectivityEgressConfig::HttpConnectTls {
            host: ip(SERVER).to_string(),
            port: FRONTEND_PORT,
            trust: self.trust(),
            identity,
            server_name: None,
        };
        KonnectivityEgress::new(Arc::clone(&self.control), config)
    }

    /// A client of an apiserver that says of each token whose it is and for which audiences.
    pub(super) async fn reviewer(&self, tokens: Vec<(&'static str, Value)>) -> (Client, Task) {
        self.apiserver(Arc::new(Reviews(tokens))).await
    }

    /// A client of an apiserver that answers so.
    pub(super) async fn apiserver(&self, handler: Arc<dyn Handler>) -> (Client, Task) {
        let host = self.network.host("apiserver", ip(101));
        let address = SocketAddr::new(ip(101), 6443);
        let listener = host.listen(&Endpoint::Tcp(address)).await.unwrap();
        let profile = Profile { sans: vec![San::Ip(ip(101))], ..profile(&host, Usage::Server) };
        let tls = ravelin_transport::TlsServer::new(self.authority.identity(&profile, &mut entropy(7)));
        let task = Server { host, listener, tls: Some(Arc::new(tls)), handler }.run();
        let config = ClientConfig {
            server: address,
            server_name: ip(101).to_string(),
            trust: self.trust(),
            credential: Credential::Anonymous,
            request_timeout: Duration::from_secs(10),
        };
        (Client::new(Arc::clone(&self.control), config), task)
    }
}

struct Reviews(Vec<(&'static str, Value)>);

#[async_trait]
impl Handler for Reviews {
    async fn handle(&self, request: Request, _peer: &PeerInfo) -> Response {
        let body = collect(request.into_body(), 1 << 20).await.unwrap();
        let review: Value = serde_json::from_slice(&body).unwrap();
        let known = self.0.iter().find(|(token, _)| review["spec"]["token"] == **token);
        let mut status = known.map_or(json!({ "authenticated": false }), |(_, status)| status.clone());
        // As the apiserver: what the token is for, of what was asked for.
        let asked = review["spec"]["audiences"].as_array().unwrap().clone();
        let of_both: Vec<Value> = status["audiences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|audience| asked.contains(audience))
            .cloned()
            .collect();
        if of_both.is_empty() {
            status = json!({ "authenticated": false });
        } else {
            status["audiences"] = Value::Array(of_both);
        }
        Response::new(body::full(json!({ "status": status }).to_string()))
    }
}

/// The leases of a namespace, by name.
#[derive(Default)]
pub(super) struct Leases(pub(super) Mutex<BTreeMap<String, Value>>);

#[async_trait]
impl Handler for Leases {
    async fn handle(&self, request: Request, _peer: &PeerInfo) -> Response {
        const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
        let (parts, body) = request.into_parts();
        let body = collect(body, 1 << 20).await.unwrap();
        let rest = parts.uri.path().strip_prefix(PATH).unwrap().trim_start_matches('/').to_owned();
        let mut leases = self.0.lock().unwrap();
        let found = match (parts.method.as_str(), rest.as_str()) {
            ("GET", "") => {
                assert_eq!(parts.uri.query(), Some("labelSelector=k8s-app%3Dkonnectivity-server"));
                let labelled =
                    |lease: &&Value| lease["metadata"]["labels"]["k8s-app"] == "konnectivity-server";
                Some(json!({ "items": leases.values().filter(labelled).collect::<Vec<_>>() }))
            }
            ("GET", name) => leases.get(name).cloned(),
            ("DELETE", name) => leases.remove(name),
            (_, _) => {
                let lease: Value = serde_json::from_slice(&body).unwrap();
                leases.insert(lease["metadata"]["name"].as_str().unwrap().to_owned(), lease.clone());
                Some(lease)
            }
        };
        let mut response = Response::new(body::full(found.clone().unwrap_or_default().to_string()));
        if found.is_none() {
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        }
        response
    }
}

pub(super) fn authority(host: &HostRef, seed: u8) -> Authority {
    let key = KeyPair::generate(&mut entropy(seed));
    let (from, until) = (host.now() - 1.hours(), host.now() + 24.hours());
    Authority::new("kubernetes", key, from, until, &mut entropy(seed))
}

fn profile(host: &HostRef, usage: Usage) -> Profile {
    Profile {
        subject: Subject::new("konnectivity", &[]),
        sans: vec![San::Ip(ip(SERVER))],
        usages: vec![usage],
        not_before: host.now() - 1.hours(),
        not_after: host.now() + 1.hours(),
    }
}

pub(super) fn identity(authority: &Authority, host: &HostRef, usage: Usage) -> Identity {
    authority.identity(&profile(host, usage), &mut entropy(3))
}

pub(super) async fn start(host: &HostRef, config: KonnectivityAgentConfig) -> KonnectivityAgent {
    KonnectivityAgent::start(Arc::clone(host), config).await.unwrap()
}

/// Waits for a condition, with a deadline.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Greets, then answers with what it reads; after its end with `.`.
pub(super) async fn echo(host: &HostRef, port: u16, greeting: &str) {
    let listener = host.listen(&Endpoint::tcp(host.addresses()[0], port)).await.unwrap();
    let greeting = greeting.to_owned();
    tokio::spawn(async move {
        while let Ok(mut connection) = listener.accept().await {
            let greeting = greeting.clone();
            tokio::spawn(async move {
                let stream = &mut connection.stream;
                stream.write_all(greeting.as_bytes()).await?;
                let mut buffer = vec![0; 9_000];
                loop {
                    let count = stream.read(&mut buffer).await?;
                    if count == 0 {
                        break;
                    }
                    stream.write_all(&buffer[..count]).await?;
                }
                stream.write_all(b".").await?;
                stream.shutdown().await
            });
        }
    });
}

pub(super) fn pod() -> Destination {
    Destination::Node { node: "some".to_owned() }
}

pub(super) async fn dial(egress: &impl Egress, number: u8, port: u16) -> Result<BoxedStream, EgressError> {
    egress.dial(SocketAddr::new(ip(number), port), &pod()).await
}

pub(super) async fn line(stream: &mut BoxedStream) -> String {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.unwrap() {
            b'\n' => return String::from_utf8(line).unwrap(),
            byte => line.push(byte),
        }
    }
}

/// A connection to the echo of a node, greeted.
pub(super) async fn echoing(egress: &impl Egress, number: u8) -> BoxedStream {
    let mut stream = dial(egress, number, 7).await.unwrap();
    assert_eq!(line(&mut stream).await, format!("node-{number}"));
    stream
}

pub(super) fn failure(result: Result<BoxedStream, EgressError>) -> String {
    result.err().expect("it was dialled").to_string()
}

/// The status and the body of a page.
pub(super) async fn page(host: &HostRef, address: SocketAddr, path: &str) -> (u16, String) {
    let stream = host.connect(&Endpoint::Tcp(address)).await.unwrap().stream;
    let mut http = ravelin_transport::HttpConnection::open(host, stream).await.unwrap();
    let mut request = Request::new(body::empty());
    *request.uri_mut() = path.parse().unwrap();
    let response = http.send(request).await.unwrap();
    let status = response.status().as_u16();
    let text = collect(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(text.to_vec()).unwrap())
}
