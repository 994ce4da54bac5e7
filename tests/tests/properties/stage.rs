//! A real apiserver on an in-memory network, and callers who ask it over TLS.

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use ravelin_apiserver::{
    Anonymous, Apiserver, ApiserverConfig, AuthorizationMode, Key, KubeletClientConfig, Running,
    ServiceAccountKeys, Store, TokenLives,
};
use ravelin_client::{ClientConfig, Credential, Watches};
use ravelin_controllers::{Controllers, ControllersConfig, Signers};
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use ravelin_host::{Endpoint, Flaws, HostRef, Task};
use ravelin_pki::{Authority, Identity, KeyPair, Profile, San, ServerTrust, Subject, TrustAnchors, Usage};
use ravelin_transport::egress::Direct;
use ravelin_transport::{HttpConnection, Request, Response, TlsClient, body, collect};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where the apiserver is.
const API: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
/// Who issues service account tokens, and for whom they are by default.
pub const ISSUER: &str = "https://kubernetes.default.svc";
/// The longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// Runs something in a world of its own: no time passes but the one that it waits for, and all
/// chance comes from the seed.
pub fn play<T>(seed: u64, act: impl Future<Output = T>) -> T {
    let _simulated = ravelin_entropy::enter(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime can be built").block_on(act)
}

/// An apiserver and its authority.
pub struct Stage {
    pub network: Network,
    pub host: HostRef,
    pub api: Running,
    pub authority: Arc<Authority>,
    begun: Timestamp,
}

/// What somebody shows: a certificate, a token, or nothing.
#[derive(Clone, Default)]
pub struct Shown {
    pub certificate: Option<Identity>,
    pub token: Option<String>,
}

/// A code, headers and a body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub method: String,
    pub path: String,
    pub body: Option<String>,
    pub media_type: Option<&'static str>,
    pub headers: Vec<(&'static str, String)>,
}

impl Ask {
    pub fn new(method: &str, path: impl Into<String>) -> Self {
        Self { method: method.to_owned(), path: path.into(), ..Self::default() }
    }

    pub fn with(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string());
        self
    }
}

impl Stage {
    pub async fn new(change: impl FnOnce(&mut ApiserverConfig)) -> Self {
        Self::flawed(Flaws::none(), change).await
    }

    pub async fn flawed(flaws: Flaws, change: impl FnOnce(&mut ApiserverConfig)) -> Self {
        let network = Network::new();
        let host = network.flawed_host("api", API, flaws);
        let begun = host.now();
        let mut entropy = host.entropy("authority");
        let (from, until) =
            (begun - SignedDuration::from_hours(1), begun + SignedDuration::from_hours(87_600));
        let key = KeyPair::generate(&mut entropy);
        let authority = Arc::new(Authority::new("kubernetes", key, from, until, &mut entropy));
        let key = Arc::new(KeyPair::generate(&mut entropy));
        let mut config = configuration(&host, &authority, &key);
        change(&mut config);
        let api = Apiserver::start(Arc::clone(&host), config).await.expect("the configuration is good");
        Self { network, host, api, authority, begun }
    }

    pub fn store(&self) -> Arc<Store> {
        self.api.store()
    }

    /// Puts an object into the store.
    pub fn given(&self, object: Value) -> Arc<Value> {
        self.store().seed(object).expect("the object is well formed")
    }

    /// A client certificate for the next ten hours.
    pub fn client(&self, user: &str, groups: &[&str]) -> Shown {
        let (from, until) =
            (self.begun - SignedDuration::from_mins(5), self.begun + SignedDuration::from_hours(10));
        self.client_between(user, groups, (from, until))
    }

    pub fn client_between(
        &self,
        user: &str,
        groups: &[&str],
        (from, until): (Timestamp, Timestamp),
    ) -> Shown {
        let profile = Profile {
            subject: Subject::new(user, groups),
            sans: Vec::new(),
            usages: vec![Usage::Client],
            not_before: from,
            not_after: until,
        };
        let identity = self.authority.identity(&profile, &mut self.host.entropy("client"));
        Shown { certificate: Some(identity), token: None }
    }

    pub fn admin(&self) -> Shown {
        self.client("admin", &["system:masters"])
    }

    /// Sets the wall clock to so many seconds after the beginning.
    pub fn set_clock(&self, seconds: i64) {
        self.network.set_clock(self.begun + SignedDuration::from_secs(seconds));
    }

    /// So many seconds after the beginning.
    pub fn at(&self, seconds: i64) -> Timestamp {
        self.begun + SignedDuration::from_secs(seconds)
    }

    /// Somebody who asks, over one connection while it lasts.
    pub async fn caller(&self, shown: Shown) -> Caller {
        let host = self.network.host("caller", [10, 0, 0, 9]);
        let trust = TrustAnchors::new([self.authority.certificate()]).expect("it is an authority's");
        let mut caller = Caller { host, trust, shown, http: None };
        caller.connect().await;
        caller
    }

    /// The controller manager's loops but for those that are switched off; certificates that it signs
    /// live so many seconds at most.
    pub fn controllers(&self, flaws: Flaws, longest: i64, disabled: &[&str]) -> ravelin_controllers::Running {
        let anchors = TrustAnchors::new([self.authority.certificate()]).expect("it is an authority's");
        let identity = self.admin().certificate.expect("the administrator has one");
        let client = ClientConfig {
            server: SocketAddr::new(API, 6443),
            server_name: API.to_string(),
            trust: ServerTrust::Anchors(anchors),
            credential: Credential::Certificate(identity),
            request_timeout: Duration::from_secs(10),
        };
        let signer = || Some(Arc::clone(&self.authority));
        let config = ControllersConfig {
            controller_manager: client.clone(),
            scheduler: client,
            signers: Signers {
                apiserver_client: signer(),
                kubelet_client: signer(),
                kubelet_serving: signer(),
            },
            signing_duration: SignedDuration::from_secs(longest),
            root_ca_pem: self.authority.certificate_pem(),
            service_account_key: None,
            cluster_cidr: None,
            node_cidrs: BTreeMap::new(),
            node_cidr_prefix: 24,
            node_monitor_grace: Duration::from_secs(50),
            disabled: disabled.iter().map(|&name| name.to_owned()).collect(),
            events: false,
            watches: Watches::USUAL,
        };
        Controllers::start(self.network.flawed_host("controllers", [10, 0, 0, 8], flaws), config)
    }

    /// Every object that is stored, and at which revision the store is.
    pub fn snapshot(&self) -> (BTreeMap<Key, Arc<Value>>, u64) {
        let store = self.store();
        let mut all = BTreeMap::new();
        for resource in ravelin_api::RESOURCES.iter().filter(|resource| resource.stored) {
            let name = ravelin_apiserver::store::resource_name(resource.plural, resource.group);
            for object in store.list(&name, None).0 {
                let at = |part: &str| object["metadata"][part].as_str().unwrap_or_default().to_owned();
                all.insert(Key::namespaced(&name, &at("namespace"), &at("name")), object);
            }
        }
        (all, store.revision())
    }
}

fn configuration(host: &HostRef, authority: &Authority, key: &Arc<KeyPair>) -> ApiserverConfig {
    let anchors = TrustAnchors::new([authority.certificate()]).expect("it is an authority's");
    let now = host.now();
    let profile = Profile {
        subject: Subject::new("kube-apiserver", &[]),
        sans: vec![San::Ip(API)],
        usages: vec![Usage::Server],
        not_before: now - SignedDuration::from_mins(5),
        not_after: now + SignedDuration::from_hours(87_000),
    };
    ApiserverConfig {
        secure: SocketAddr::new(API, 6443),
        insecure: None,
        advertise: SocketAddr::new(API, 6443),
        tls: authority.identity(&profile, &mut host.entropy("server")),
        client_ca: Some(anchors.clone()),
        front_proxy: None,
        anonymous: Anonymous::On,
        token_cache: Duration::ZERO,
        audit: None,
        bootstrap_tokens: true,
        static_tokens: None,
        service_accounts: ServiceAccountKeys {
            issuers: vec![ISSUER.to_owned()],
            lookup: true,
            jwks_uri: None,
            verify: vec![key.public().clone()],
            sign: Some(Arc::clone(key)),
            audiences: vec![ISSUER.to_owned()],
        },
        token_lives: TokenLives { extended: false, max_seconds: None },
        authorization: vec![AuthorizationMode::Node, AuthorizationMode::Rbac],
        admission: [
            "NodeRestriction",
            "NamespaceLifecycle",
            "ServiceAccount",
            "CertificateApproval",
            "CertificateSigning",
            "CertificateSubjectRestriction",
        ]
        .map(str::to_owned)
        .to_vec(),
        service_range: "10.96.0.0/16".parse().expect("it is a range"),
        node_ports: (30_000, 32_767),
        kubelet: KubeletClientConfig {
            identity: None,
            trust: ServerTrust::Anchors(anchors),
            cert_cn_validation: false,
            preferred_address_types: vec!["InternalIP".to_owned()],
            default_port: 10250,
        },
        egress: Arc::new(Direct(Arc::clone(host))),
        kubernetes_version: (1, 34),
    }
}

/// Somebody who asks.
pub struct Caller {
    host: HostRef,
    trust: TrustAnchors,
    pub shown: Shown,
    http: Option<HttpConnection>,
}

impl Caller {
    async fn connect(&mut self) {
        let connection = self.host.connect(&Endpoint::tcp(API, 6443)).await.expect("it listens");
        let trust = ServerTrust::Anchors(self.trust.clone());
        let tls = TlsClient { trust, identity: self.shown.certificate.clone(), server_name: API.to_string() };
        let secured = tls.connect(&self.host, connection.stream).await.expect("its certificate is good");
        self.http = Some(HttpConnection::open(&self.host, secured.stream).await.expect("it speaks HTTP"));
    }

    /// Sends a request, over a new connection where the last one has ended.
    pub async fn send(&mut self, ask: &Ask) -> Response {
        let is_open = match &mut self.http {
            Some(http) => http.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            self.connect().await;
        }
        let request = self.request(ask);
        let http = self.http.as_mut().expect("it was opened");
        http.send(request).await.unwrap_or_else(|error| panic!("no answer to {ask:?}: {error}"))
    }

    fn request(&self, ask: &Ask) -> Request {
        let body = ask.body.clone().map_or_else(body::empty, body::full);
        let mut request = Request::new(body);
        *request.method_mut() = ask.method.parse::<Method>().expect("it is a method");
        *request.uri_mut() = ask.path.parse().unwrap_or_else(|_| panic!("{:?} is no path", ask.path));
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("api"));
        let media_type = ask.media_type.unwrap_or("application/json");
        if ask.body.is_some() {
            headers.insert("content-type", HeaderValue::from_static(media_type));
        }
        if let Some(token) = &self.shown.token {
            let bearer = format!("Bearer {token}").parse().expect("tokens are plain text");
            headers.insert("authorization", bearer);
        }
        for (name, value) in &ask.headers {
            headers.append(HeaderName::from_static(name), value.parse().expect("it is a header"));
        }
        *request.headers_mut() = headers;
        request
    }

    pub async fn ask(&mut self, ask: &Ask) -> Answer {
        let answer = self.send(ask).await;
        let code = answer.status().as_u16();
        let bytes = collect(answer.into_body(), MAX_ANSWER_BYTES).await;
        let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        Answer { code, text }
    }

    pub async fn get(&mut self, path: impl Into<String>) -> Answer {
        self.ask(&Ask::new("GET", path)).await
    }

    /// Asks, and writes down whatever comes until the task is dropped.
    pub async fn listen(&mut self, ask: &Ask, heard: &Heard) -> (u16, Option<Task>) {
        let answer = self.send(ask).await;
        let code = answer.status().as_u16();
        // The connection goes with the watch.
        let kept = self.http.take();
        let heard = heard.clone();
        let reading: BoxFuture<'static, ()> = Box::pin(async move {
            let _kept = kept;
            let mut body = answer.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                if let Some(data) = frame.data_ref() {
                    heard.write(data);
                }
            }
        });
        (code, (code == 200).then(|| self.host.spawn("watch", reading)))
    }
}

/// What somebody has heard.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    fn write(&self, data: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(data);
    }

    pub fn text(&self) -> String {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// What a token says, whoever signed it.
pub fn claims(token: &str) -> Option<Value> {
    use base64::Engine;
    let payload = token.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// A namespace.
pub fn namespace(name: &str) -> Value {
    json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}, "status": {"phase": "Active"}})
}

/// A service account.
pub fn account(namespace: &str, name: &str) -> Value {
    json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"namespace": namespace, "name": name}})
}

/// Chance of the operating system's, for what no case depends on.
pub fn chance(label: &str) -> Entropy {
    ravelin_entropy::stream(&["properties", label])
}
