//! Who gets what from a component's ports.

use super::{Component, ComponentPorts, PortsConfig};
use async_trait::async_trait;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use ravelin_client::{Client, ClientConfig, Credential, ServerTrust, TokenSource};
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use ravelin_host::{Endpoint, HostRef, Task};
use ravelin_pki::{Authority, Identity, KeyPair, Profile, San, Subject, TrustAnchors, Usage};
use ravelin_transport::{Handler, PeerInfo, Request, Response, Server, TlsServer, body, collect};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const START: Timestamp = Timestamp::constant(1_767_225_600, 0);
const APISERVER: [u8; 4] = [10, 0, 0, 1];
const COMPONENT: [u8; 4] = [10, 0, 0, 2];
const SECURE: u16 = 10257;
const PLAIN: u16 = 10252;

struct Stage {
    authority: Authority,
    caller: HostRef,
    machine: HostRef,
    reviewed: Arc<Reviewer>,
    _apiserver: Task,
}

/// Knows the token `good` (of `reader`), and lets `reader` see `/metrics`.
#[derive(Default)]
struct Reviewer(Mutex<Vec<Value>>);

#[async_trait]
impl Handler for Reviewer {
    async fn handle(&self, request: Request, _: &PeerInfo) -> Response {
        let sent = collect(request.into_body(), 1 << 16).await.unwrap();
        let mut review: Value = serde_json::from_slice(&sent).unwrap();
        let spec = review["spec"].clone();
        self.0.lock().unwrap().push(spec.clone());
        review["status"] = match review["kind"].as_str().unwrap() {
            "TokenReview" if spec["token"] == "good" => {
                json!({ "authenticated": true, "user": { "username": "reader" } })
            }
            "TokenReview" => json!({ "error": "invalid bearer token" }),
            _ => {
                let asked = &spec["nonResourceAttributes"];
                let allowed =
                    spec["user"] == "reader" && asked["path"] == "/metrics" && asked["verb"] == "get";
                json!({ "allowed": allowed })
            }
        };
        Response::new(body::full(review.to_string()))
    }
}

impl Stage {
    async fn new() -> Self {
        let mut entropy = Entropy::from_key([1; 32]);
        let key = KeyPair::generate(&mut entropy);
        let until = START + SignedDuration::from_hours(9999);
        let authority = Authority::new("test", key, START, until, &mut entropy);
        let network = Network::new();
        let host = network.host("apiserver", APISERVER);
        let reviewed = Arc::new(Reviewer::default());
        let serving = identity(&authority, &Subject::new("api", &[]), Usage::Server);
        let server = Server {
            listener: host.listen(&Endpoint::tcp(APISERVER, 6443)).await.unwrap(),
            host,
            tls: Some(Arc::new(TlsServer::new(serving))),
            handler: reviewed.clone(),
        };
        let (caller, machine) = (network.host("caller", [10, 0, 0, 9]), network.host("component", COMPONENT));
        Self { authority, caller, machine, reviewed, _apiserver: server.run() }
    }

    fn anchors(&self) -> TrustAnchors {
        TrustAnchors::new([self.authority.certificate()]).unwrap()
    }

    fn config(&self) -> PortsConfig {
        let own = identity(&self.authority, &Subject::new("component", &[]), Usage::Client);
        let apiserver = ClientConfig {
            server: SocketAddr::from((APISERVER, 6443)),
            server_name: "10.0.0.1".to_owned(),
            trust: ServerTrust::Anchors(self.anchors()),
            credential: Credential::Certificate(own),
            request_timeout: Duration::from_secs(10),
        };
        PortsConfig {
            component: Component::ControllerManager,
            secure: Some(SocketAddr::from((COMPONENT, SECURE))),
            insecure: None,
            identity: None,
            client_ca: Some(self.anchors()),
            authentication: Some(apiserver.clone()),
            authorization: Some(apiserver),
            always_allow_paths: ["/healthz", "/open/*"].map(str::to_owned).to_vec(),
            profiling: true,
        }
    }

    /// Status and body of a GET as somebody.
    async fn get(&self, credential: Credential, path: &str) -> (u16, String) {
        let config = ClientConfig {
            server: SocketAddr::from((COMPONENT, SECURE)),
            server_name: "localhost".to_owned(),
            trust: ServerTrust::DangerAny,
            credential,
            request_timeout: Duration::from_secs(10),
        };
        let request = http::Request::get(path).body(body::empty()).unwrap();
        let (status, _, bytes) = Client::new(self.caller.clone(), config).raw(request).await.unwrap();
        (status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
    }

    fn certificate(&self, subject: &Subject) -> Credential {
        Credential::Certificate(identity(&self.authority, subject, Usage::Client))
    }
}

fn identity(authority: &Authority, subject: &Subject, usage: Usage) -> Identity {
    let profile = Profile {
        subject: subject.clone(),
        sans: vec![San::Ip(IpAddr::from(APISERVER))],
        usages: vec![usage],
        not_before: START,
        not_after: START + SignedDuration::from_hours(999),
    };
    authority.identity(&profile, &mut Entropy::from_key([9; 32]))
}

fn token(token: &str) -> Credential {
    Credential::Token(TokenSource::fixed(token))
}

#[tokio::test(start_paused = true)]
async fn the_secure_port_serves_what_the_apiserver_allows() {
    let stage = Stage::new().await;
    let _ports = ComponentPorts::open(stage.machine.clone(), stage.config()).await.unwrap();
    let master = Subject::new("boss", &["system:masters"]);
    let table = [
        (Credential::Anonymous, "/healthz", 200),
        (Credential::Anonymous, "/healthz/ping", 403),
        (Credential::Anonymous, "/open/anything", 404),
        (Credential::Anonymous, "/metrics", 403),
        (Credential::Anonymous, "/configz", 403),
        (Credential::Anonymous, "/debug/pprof/", 403),
        (Credential::Anonymous, "/nothing", 403),
        (token("bad"), "/healthz", 401),
        (token("good"), "/metrics", 200),
        (token("good"), "/configz", 403),
        (stage.certificate(&Subject::new("reader", &[])), "/metrics", 200),
        (stage.certificate(&master), "/debug/pprof/", 200),
        (stage.certificate(&master), "/nothing", 404),
    ];
    for (credential, path, status) in table {
        let what = format!("{credential:?} {path}");
        assert_eq!(stage.get(credential, path).await.0, status, "{what}");
    }
    let (_, refusal) = stage.get(Credential::Anonymous, "/metrics").await;
    let wanted = r#"forbidden: User \"system:anonymous\" cannot get path \"/metrics\""#;
    assert!(refusal.contains(wanted), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn answers_of_the_apiserver_are_used_for_ten_seconds() {
    let stage = Stage::new().await;
    let _ports = ComponentPorts::open(stage.machine.clone(), stage.config()).await.unwrap();
    let asked = || stage.reviewed.0.lock().unwrap().len();
    for (after, reviews) in [(0, 2), (9, 2), (1, 4)] {
        tokio::time::advance(Duration::from_secs(after)).await;
        assert_eq!(stage.get(token("good"), "/metrics").await.0, 200);
        assert_eq!(asked(), reviews, "{after} s later");
    }
}

#[tokio::test(start_paused = true)]
async fn without_kubeconfigs_and_ca_only_open_paths_are_served() {
    let stage = Stage::new().await;
    let config = PortsConfig { authentication: None, authorization: None, client_ca: None, ..stage.config() };
    let _ports = ComponentPorts::open(stage.machine.clone(), config).await.unwrap();
    let master = stage.certificate(&Subject::new("boss", &["system:masters"]));
    for credential in [Credential::Anonymous, token("good"), master] {
        assert_eq!(stage.get(credential.clone(), "/healthz").await.0, 200);
        assert_eq!(stage.get(credential, "/metrics").await.0, 403);
    }
    assert!(stage.reviewed.0.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_plain_port_serves_everybody_and_profiles_only_where_wanted() {
    for (profiling, status) in [(true, StatusCode::OK), (false, StatusCode::NOT_FOUND)] {
        let stage = Stage::new().await;
        let plain = SocketAddr::from((COMPONENT, PLAIN));
        let config = PortsConfig { insecure: Some(plain), secure: None, profiling, ..stage.config() };
        let _ports = ComponentPorts::open(stage.machine.clone(), config).await.unwrap();
        for (path, status) in [("/metrics", StatusCode::OK), ("/debug/pprof/", status)] {
            let connection = stage.caller.connect(&Endpoint::Tcp(plain)).await.unwrap();
            let mut http =
                ravelin_transport::HttpConnection::open(&stage.caller, connection.stream).await.unwrap();
            let request = http::Request::get(path).header("host", "h").body(body::empty()).unwrap();
            assert_eq!(http.send(request).await.unwrap().status(), status, "{path}");
        }
        assert!(stage.caller.connect(&Endpoint::tcp(COMPONENT, SECURE)).await.is_err());
    }
}
