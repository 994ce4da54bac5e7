//! A network with a stub apiserver, and what a kubelet needs to run on it.

use crate::{
    ApiserverTarget, Authentication, Authorization, Caches, Kubelet, KubeletConfig, Running, Serving,
};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use ravelin_client::{Client, ClientConfig, Credential, Watches};
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use ravelin_host::{Endpoint, Flaws, HostRef, Task};
use ravelin_pki::{
    Authority, Identity, KeyPair, Profile, San, ServerTrust, SigningRequest, Subject, TrustAnchors, Usage,
    certificates_to_pem,
};
use ravelin_runtime::Builtin;
use ravelin_transport::{Handler, PeerInfo, Request, Response, Server, TlsServer, body, collect};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast;

pub(super) const START: Timestamp = Timestamp::constant(1_767_225_600, 0);
const APISERVER: [u8; 4] = [10, 0, 0, 1];
const NODE: [u8; 4] = [10, 0, 0, 2];
const CALLER: [u8; 4] = [10, 0, 0, 9];

pub(super) struct Stage {
    pub(super) network: Network,
    pub(super) authority: Arc<Authority>,
    pub(super) stub: Arc<Stub>,
    pub(super) runtime: Arc<Builtin>,
    pub(super) node: HostRef,
    _apiserver: Task,
}

/// What the stub was asked, and what it has.
pub(super) struct Stub {
    authority: Arc<Authority>,
    pub(super) requests: Mutex<Vec<(String, Value)>>,
    pub(super) pods: Mutex<Vec<Value>>,
    pub(super) csr: Mutex<Option<Value>>,
    /// The root certificate's ConfigMap, where there is one.
    pub(super) root: Mutex<Option<String>>,
    changes: broadcast::Sender<String>,
}

pub(super) fn authority(seed: u8) -> Authority {
    let mut entropy = Entropy::from_key([seed; 32]);
    let key = KeyPair::generate(&mut entropy);
    Authority::new("test", key, START, START + SignedDuration::from_hours(9999), &mut entropy)
}

pub(super) fn identity(authority: &Authority, name: &str, usage: Usage, address: [u8; 4]) -> Identity {
    let profile = Profile {
        subject: Subject::new(name, &[]),
        sans: vec![San::Ip(IpAddr::from(address))],
        usages: vec![usage],
        not_before: START,
        not_after: START + SignedDuration::from_hours(999),
    };
    authority.identity(&profile, &mut Entropy::from_key([9; 32]))
}

impl Stage {
    pub(super) async fn new(flaws: Flaws) -> Self {
        let network = Network::new();
        let authority = Arc::new(authority(1));
        let stub = Arc::new(Stub {
            authority: Arc::clone(&authority),
            requests: Mutex::default(),
            pods: Mutex::default(),
            csr: Mutex::default(),
            root: Mutex::new(Some("root".to_owned())),
            changes: broadcast::Sender::new(16),
        });
        let host = network.host("apiserver", APISERVER);
        let server = Server {
            listener: host.listen(&Endpoint::tcp(APISERVER, 6443)).await.unwrap(),
            host,
            tls: Some(Arc::new(TlsServer::new(identity(&authority, "api", Usage::Server, APISERVER)))),
            handler: stub.clone(),
        };
        let node = network.flawed_host("n1", NODE, flaws);
        Self { network, authority, stub, runtime: Arc::default(), node, _apiserver: server.run() }
    }

    pub(super) fn config(&self) -> KubeletConfig {
        let anchors = TrustAnchors::from_pem(&self.authority.certificate_pem()).unwrap();
        KubeletConfig {
            node_name: "n1".to_owned(),
            addresses: vec![NODE.into()],
            labels: BTreeMap::new(),
            taints: Vec::new(),
            register_node: true,
            apiserver: ApiserverTarget {
                address: SocketAddr::from((APISERVER, 6443)),
                server_name: "10.0.0.1".to_owned(),
                trust: ServerTrust::Anchors(anchors.clone()),
            },
            bootstrap_token: Some("abcdef.0123456789abcdef".to_owned()),
            client_identity: Some(identity(&self.authority, "system:node:n1", Usage::Client, NODE)),
            rotate_certificates: true,
            serving: Serving::SelfSigned,
            enable_server: true,
            debugging_handlers: true,
            streaming_idle_timeout: Duration::from_secs(4 * 3600),
            address: NODE.into(),
            port: 10250,
            read_only_port: None,
            authentication: Authentication { anonymous: false, webhook: true, client_ca: Some(anchors) },
            authorization: Authorization::Webhook,
            caches: Caches {
                token: Duration::from_secs(120),
                authorized: Duration::from_secs(300),
                unauthorized: Duration::from_secs(30),
            },
            pod_cidr: Some("10.244.1.0/24".parse().unwrap()),
            version: "v1.33.0".to_owned(),
            lease_renew_interval: Duration::from_secs(10),
            lease_duration_seconds: 40,
            status_update_interval: Some(Duration::from_secs(10)),
            status_report_interval: Duration::from_secs(300),
            sync_interval: Some(Duration::from_secs(60)),
            events: false,
            watches: Watches::USUAL,
            runtime: self.runtime.clone(),
        }
    }

    pub(super) async fn start(&self, config: KubeletConfig) -> Running {
        Kubelet::start(Arc::clone(&self.node), config).await.unwrap()
    }

    /// A caller of the kubelet's endpoint.
    pub(super) fn caller(&self, credential: Credential) -> Client {
        let config = ClientConfig {
            server: SocketAddr::from((NODE, 10250)),
            server_name: "10.0.0.2".to_owned(),
            trust: ServerTrust::DangerAny,
            credential,
            request_timeout: Duration::from_secs(10),
        };
        Client::new(self.network.host("caller", CALLER), config)
    }

    pub(super) fn certificate(&self, name: &str) -> Credential {
        Credential::Certificate(identity(&self.authority, name, Usage::Client, CALLER))
    }

    /// The body of the first request with this line, once it has come.
    pub(super) async fn request(&self, line: &str) -> Value {
        self.nth_request(line, 1).await
    }

    /// The body of the `n`th request with this line, once it has come.
    pub(super) async fn nth_request(&self, line: &str, n: usize) -> Value {
        let found = || {
            self.stub.requests.lock().unwrap().iter().filter(|(asked, _)| asked == line).nth(n - 1).cloned()
        };
        for _ in 0..600 {
            if let Some((_, body)) = found() {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let asked: Vec<_> = self.stub.requests.lock().unwrap().iter().map(|(line, _)| line.clone()).collect();
        panic!("never asked: {line}; asked: {asked:#?}")
    }
}

/// A pod as admission leaves it: with the token, root certificate and namespace to be mounted.
pub(super) fn with_token(mut pod: Value) -> Value {
    let path = "/var/run/secrets/kubernetes.io/serviceaccount";
    pod["spec"]["volumes"] = json!([{ "name": "api", "projected": { "sources": [
        { "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } },
        { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
        { "downwardAPI": { "items": [{ "path": "namespace", "fieldRef": { "fieldPath": "metadata.namespace" } }] } },
    ] } }]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "api", "mountPath": path }]);
    pod
}

/// Gets a path and gives status and body.
pub(super) async fn get(client: &Client, path: &str) -> (u16, String) {
    let request = http::Request::get(path).body(body::empty()).unwrap();
    let (status, _, bytes) = client.raw(request).await.unwrap();
    (status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
}

#[async_trait]
impl Handler for Stub {
    async fn handle(&self, request: Request, _: &PeerInfo) -> Response {
        let line = format!("{} {}", request.method(), request.uri().path());
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let sent = collect(request.into_body(), 1 << 20).await.unwrap();
        let sent: Value = serde_json::from_slice(&sent).unwrap_or(Value::Null);
        self.requests.lock().unwrap().push((line.clone(), sent.clone()));
        if is_watch {
            let changes = self.changes.subscribe();
            let events = futures_util::stream::unfold(changes, |mut changes| async move {
                let event: String = changes.recv().await.ok()?;
                Some((Ok::<_, ravelin_transport::BoxError>(Bytes::from(event)), changes))
            });
            return Response::new(body::stream(events));
        }
        match self.answer(&line, sent) {
            Some(value) => Response::new(body::full(value.to_string())),
            None => {
                let mut missing = Response::new(body::full(
                    r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"NotFound","code":404,"metadata":{}}"#,
                ));
                // What cannot be created is there already.
                let created = line.starts_with("POST");
                *missing.status_mut() = if created { StatusCode::CONFLICT } else { StatusCode::NOT_FOUND };
                missing
            }
        }
    }
}

impl Stub {
    fn answer(&self, line: &str, mut sent: Value) -> Option<Value> {
        match line {
            "POST /api/v1/nodes" => sent["metadata"]["uid"] = json!("node-uid"),
            "POST /apis/authentication.k8s.io/v1/tokenreviews" => {
                let good = sent["spec"]["token"] == "good";
                let user = json!({ "username": "reader", "groups": ["g"], "extra": { "a.b/c": ["d"] } });
                sent["status"] =
                    json!({ "authenticated": good, "user": if good { user } else { json!({}) } });
            }
            "POST /apis/authorization.k8s.io/v1/subjectaccessreviews" => {
                let spec = &sent["spec"];
                let sees_pods =
                    spec["user"] == "reader" && spec["resourceAttributes"]["subresource"] == "pods";
                sent["status"] = json!({ "allowed": spec["user"] == "admin" || sees_pods });
            }
            "GET /api/v1/pods" => {
                let items = self.pods.lock().unwrap().clone();
                sent = json!({ "kind": "PodList", "metadata": { "resourceVersion": "1" }, "items": items });
            }
            "GET /api/v1/nodes" => {
                sent = json!({ "kind": "NodeList", "metadata": { "resourceVersion": "1" }, "items": [] });
            }
            "GET /api/v1/services" => {
                let kubernetes = json!({ "metadata": { "namespace": "default", "name": "kubernetes" },
                    "spec": { "clusterIP": "10.96.0.1", "ports": [{ "name": "https", "port": 443 }] } });
                sent = json!({ "kind": "ServiceList", "metadata": { "resourceVersion": "1" }, "items": [kubernetes] });
            }
            "POST /api/v1/namespaces/default/serviceaccounts/default/token" => {
                sent["status"] =
                    json!({ "token": "pod-token", "expirationTimestamp": "2026-01-01T01:00:07Z" });
            }
            "GET /api/v1/namespaces/default/configmaps/kube-root-ca.crt" => {
                let root = self.root.lock().unwrap().clone()?;
                sent = json!({ "data": { "ca.crt": root } });
            }
            "POST /apis/certificates.k8s.io/v1/certificatesigningrequests" => {
                if sent["metadata"]["name"].is_null() {
                    sent["metadata"]["name"] = json!("csr-1");
                }
                let known = self.csr.lock().unwrap();
                if known.as_ref().is_some_and(|known| known["metadata"]["name"] == sent["metadata"]["name"]) {
                    // A name that is taken, unless the server chose it.
                    sent["metadata"]["generateName"].as_str()?;
                }
                drop(known);
                *self.csr.lock().unwrap() = Some(sent.clone());
            }
            line if line.starts_with("GET /apis/certificates.k8s.io/v1/certificatesigningrequests/") => {
                let csr = self.csr.lock().unwrap().clone();
                return csr
                    .filter(|csr| line.ends_with(csr["metadata"]["name"].as_str().unwrap_or_default()));
            }
            line if line.starts_with("GET") => return None,
            _ => {}
        }
        Some(sent)
    }

    /// Sends an event to whoever watches.
    pub(super) fn change(&self, event: &Value) {
        self.changes.send(format!("{event}\n")).expect("somebody watches");
    }

    /// Denies the signing request.
    pub(super) fn deny(&self) {
        let mut csr = self.csr.lock().unwrap();
        let csr = csr.as_mut().expect("a request came");
        csr["status"] = json!({ "conditions": [{ "type": "Denied", "status": "True" }] });
    }

    /// Approves the signing request and issues a certificate for `key`, or for the one it is for.
    pub(super) fn issue(&self, key: Option<&KeyPair>) {
        let mut csr = self.csr.lock().unwrap();
        let csr = csr.as_mut().expect("a request came");
        let pem = STANDARD.decode(csr["spec"]["request"].as_str().unwrap()).unwrap();
        let request = SigningRequest::parse(&String::from_utf8(pem).unwrap()).unwrap();
        let profile = Profile {
            subject: request.subject,
            sans: request.sans,
            usages: vec![Usage::Client],
            not_before: START,
            not_after: START + SignedDuration::from_hours(99),
        };
        let public = key.map_or(request.public_key, |key| key.public().into());
        let certificate = self.authority.issue(&profile, &public, &mut Entropy::from_key([4; 32]));
        let pem = certificates_to_pem(&[certificate]);
        csr["status"] = json!({
            "certificate": STANDARD.encode(pem),
            "conditions": [{ "type": "Approved", "status": "True" }],
        });
    }
}
