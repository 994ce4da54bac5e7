//! A server, callers and backends to test with.

use crate::{
    Anonymous, Apiserver, ApiserverConfig, AuthorizationMode, KubeletClientConfig, Running,
    ServiceAccountKeys, TokenLives,
};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use jiff::{Timestamp, ToSpan};
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use ravelin_host::{Endpoint, Flaws, HostRef, Task};
use ravelin_pki::{Authority, Identity, KeyPair, Profile, San, ServerTrust, Subject, TrustAnchors, Usage};
use ravelin_transport::egress::Direct;
use ravelin_transport::{
    Body, Handler, HttpConnection, PeerInfo, Request, Response, Server, TlsClient, TlsServer, body, collect,
};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) const API: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(super) const NODE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// What 1.33 enables by itself, as far as it exists here, and NodeRestriction.
const ADMISSION: [&str; 6] = [
    "NamespaceLifecycle",
    "ServiceAccount",
    "NodeRestriction",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
];

/// Who calls.
#[derive(Clone)]
pub(super) enum As {
    Nobody,
    Certificate(Identity),
    Token(String),
}

/// An authority that issues for this test's clock.
pub(super) struct Issuer {
    authority: Authority,
    now: Timestamp,
}

impl Issuer {
    pub(super) fn new(network: &Network) -> Self {
        let now = network.host("clock", [10, 9, 9, 9]).now();
        let mut entropy = Entropy::operating_system();
        let key = KeyPair::generate(&mut entropy);
        let authority = Authority::new("ca", key, now - 1.hour(), now + 100.hours(), &mut entropy);
        Self { authority, now }
    }

    pub(super) fn anchors(&self) -> TrustAnchors {
        TrustAnchors::new([self.authority.certificate()]).unwrap()
    }

    pub(super) fn client(&self, user: &str, groups: &[&str]) -> Identity {
        self.issue(user, groups, (Usage::Client, Vec::new()))
    }

    pub(super) fn server(&self, address: IpAddr) -> Identity {
        self.issue("server", &[], (Usage::Server, vec![San::Ip(address)]))
    }

    /// A kubelet's serving certificate, as the signer for those issues it.
    pub(super) fn kubelet(&self, node: &str, address: IpAddr) -> Identity {
        let usage = (Usage::Server, vec![San::Ip(address)]);
        self.issue(&format!("system:node:{node}"), &["system:nodes"], usage)
    }

    fn issue(&self, name: &str, groups: &[&str], (usage, sans): (Usage, Vec<San>)) -> Identity {
        let profile = Profile {
            subject: Subject {
                common_name: name.to_owned(),
                organizations: groups.iter().map(|group| (*group).to_owned()).collect(),
            },
            sans,
            usages: vec![usage],
            not_before: self.now - 1.hour(),
            not_after: self.now + 10.hours(),
        };
        self.authority.identity(&profile, &mut Entropy::operating_system())
    }
}

/// A server and what it trusts.
pub(super) struct Stage {
    pub(super) network: Network,
    pub(super) issuer: Issuer,
    pub(super) api: Running,
    pub(super) api_host: HostRef,
    pub(super) caller: HostRef,
}

impl Stage {
    pub(super) async fn new() -> Self {
        Self::with(Flaws::none()).await
    }

    pub(super) async fn with(flaws: Flaws) -> Self {
        Self::configured(flaws, |_| {}).await
    }

    /// A server whose configuration is changed before it starts.
    pub(super) async fn configured(flaws: Flaws, change: impl FnOnce(&mut ApiserverConfig)) -> Self {
        Self::of(flaws, |config, _, _| change(config)).await
    }

    /// As [`Self::configured`], with what is there already: the network and the clients' issuer.
    pub(super) async fn of(
        flaws: Flaws,
        change: impl FnOnce(&mut ApiserverConfig, &Network, &Issuer),
    ) -> Self {
        let network = Network::new();
        let issuer = Issuer::new(&network);
        let host = network.flawed_host("api", API, flaws);
        let key = Arc::new(KeyPair::generate(&mut Entropy::operating_system()));
        let mut config = ApiserverConfig {
            secure: SocketAddr::new(API, 6443),
            insecure: None,
            advertise: SocketAddr::new(API, 6443),
            tls: issuer.server(API),
            client_ca: Some(issuer.anchors()),
            front_proxy: None,
            anonymous: Anonymous::On,
            token_cache: Duration::ZERO,
            audit: None,
            bootstrap_tokens: true,
            static_tokens: Some("stat1c,bob,1\n".to_owned()),
            service_accounts: ServiceAccountKeys {
                issuers: vec!["https://kubernetes.default.svc".to_owned()],
                lookup: true,
                jwks_uri: None,
                verify: vec![key.public().clone()],
                sign: Some(key),
                audiences: vec!["https://kubernetes.default.svc".to_owned()],
            },
            token_lives: TokenLives { extended: true, max_seconds: None },
            authorization: vec![AuthorizationMode::Node, AuthorizationMode::Rbac],
            admission: ADMISSION.map(str::to_owned).to_vec(),
            service_range: "10.96.0.0/16".parse().unwrap(),
            node_ports: (30_000, 32_767),
            kubelet: KubeletClientConfig {
                identity: Some(issuer.client("kube-apiserver-kubelet-client", &["kubeadm:cluster-admins"])),
                trust: ServerTrust::Anchors(issuer.anchors()),
                cert_cn_validation: false,
                preferred_address_types: vec!["InternalIP".to_owned()],
                default_port: 10250,
            },
            egress: Arc::new(Direct(Arc::clone(&host))),
            kubernetes_version: (1, 33),
        };
        change(&mut config, &network, &issuer);
        let api = Apiserver::start(Arc::clone(&host), config).await.unwrap();
        let caller = network.host("caller", [10, 0, 0, 9]);
        Self { network, issuer, api, api_host: host, caller }
    }

    pub(super) fn admin(&self) -> As {
        As::Certificate(self.issuer.client("admin", &["system:masters"]))
    }

    /// Puts an object into the store.
    pub(super) fn given(&self, object: Value) {
        self.api.store().seed(object).unwrap();
    }

    /// A node and a pod on it.
    pub(super) fn given_pod(&self, pod_ip: &str) {
        self.given(json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"},
            "status": {"addresses": [{"type": "InternalIP", "address": NODE.to_string()}]}}));
        self.given(
            json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p1", "namespace": "default"},
            "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
            "status": {"podIP": pod_ip, "podIPs": [{"ip": pod_ip}]}}),
        );
    }

    /// Sends a request; the answer's body is still to come.
    pub(super) async fn send(&self, who: &As, mut request: Request) -> Response {
        let connection = self.caller.connect(&Endpoint::tcp(API, 6443)).await.unwrap();
        let identity = match who {
            As::Certificate(identity) => Some(identity.clone()),
            _ => None,
        };
        let trust = ServerTrust::Anchors(self.issuer.anchors());
        let tls = TlsClient { trust, identity, server_name: API.to_string() };
        let secured = tls.connect(&self.caller, connection.stream).await.unwrap();
        if let As::Token(token) = who {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let mut http = HttpConnection::open(&self.caller, secured.stream).await.unwrap();
        http.send(request).await.unwrap()
    }

    /// A request and its whole answer.
    pub(super) async fn ask(&self, who: &As, request: &str, content: Option<Value>) -> (u16, Value) {
        let (code, bytes) = self.ask_raw(who, request, content).await;
        (code, serde_json::from_str(&bytes).unwrap_or(Value::Null))
    }

    pub(super) async fn ask_raw(&self, who: &As, request: &str, content: Option<Value>) -> (u16, String) {
        let (method, uri) = request.split_once(' ').unwrap();
        let media_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = http::Request::builder()
            .method(method.parse::<Method>().unwrap())
            .uri(uri)
            .header("content-type", media_type)
            .header("host", "api")
            .body(content.map_or_else(body::empty, |content| body::full(content.to_string())))
            .unwrap();
        let answer = self.send(who, request).await;
        let code = answer.status().as_u16();
        let bytes = collect(answer.into_body(), 1 << 20).await.unwrap();
        (code, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// The message of a failure.
    pub(super) async fn refused(&self, who: &As, request: &str, content: Option<Value>) -> (u16, String) {
        let (code, status) = self.ask(who, request, content).await;
        (code, status["message"].as_str().unwrap_or_default().to_owned())
    }
}

/// A backend that records what it is asked.
#[derive(Clone, Default)]
pub(super) struct Backend {
    pub(super) seen: Arc<Mutex<Vec<(String, HeaderMap, usize)>>>,
    /// Does its answer break off?
    pub(super) breaks_off: bool,
    /// Does its answer never end?
    pub(super) silent: bool,
    /// Where does it redirect to, if it does?
    pub(super) redirect: Option<String>,
}

impl Backend {
    pub(super) async fn start(&self, host: HostRef, port: u16, tls: Option<Identity>) -> Task {
        let listener = host.listen(&Endpoint::tcp(host.addresses()[0], port)).await.unwrap();
        let tls = tls.map(|identity| Arc::new(TlsServer::new(identity).with_client_certificates()));
        Server { host, listener, tls, handler: Arc::new(self.clone()) }.run()
    }

    pub(super) fn requests(&self) -> Vec<(String, HeaderMap, usize)> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl Handler for Backend {
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response {
        let (head, _) = request.into_parts();
        self.seen.lock().unwrap().push((
            format!("{} {}", head.method, head.uri),
            head.headers,
            peer.chain.len(),
        ));
        let mut answer = Response::new(match self {
            Self { breaks_off: true, .. } => broken(Duration::from_millis(50)),
            Self { silent: true, .. } => broken(Duration::from_secs(1_000_000)),
            _ => body::full("genuine"),
        });
        *answer.status_mut() = StatusCode::OK;
        if let Some(location) = &self.redirect {
            *answer.status_mut() = StatusCode::FOUND;
            answer.headers_mut().insert("location", location.parse().unwrap());
        }
        answer
    }
}

fn broken(after: Duration) -> Body {
    // The head and the first piece are on their way before it breaks.
    body::stream(futures_util::stream::unfold(0, move |step| async move {
        match step {
            0 => Some((Ok(Bytes::from_static(b"genu")), 1)),
            _ => {
                tokio::time::sleep(after).await;
                Some((Err("the backend died".into()), 2))
            }
        }
    }))
}

/// Reads until the body ends or breaks off: what came, and whether it was whole.
pub(super) async fn read(answer: Response) -> (Vec<u8>, bool) {
    let (mut came, mut body) = (Vec::new(), answer.into_body());
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => came.extend_from_slice(frame.data_ref().unwrap()),
            Err(_) => return (came, false),
        }
    }
    (came, true)
}
