//! The ports of the controller manager and of the scheduler: health, metrics, profiles.
//!
//! The secure one asks the apiserver who calls and what they may, as
//! `apiserver/pkg/server/options/{authentication,authorization}.go` have it: callers without
//! credentials are anonymous; some paths are open, and `system:masters` need not be asked about;
//! without an authorization kubeconfig nothing else is allowed. The plain one, as long as Kubernetes
//! had it, was open to everybody.

mod routes;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use ravelin_api::Status;
use ravelin_auth::{Attributes, UserInfo, names};
use ravelin_client::{Client, ClientConfig};
use ravelin_delegated::{Authenticator, AuthenticatorConfig, ReviewCache, Reviews, Shown};
use ravelin_host::{Endpoint, HostRef, Task, field};
use ravelin_pki::{Identity, Profile, San, Subject, TrustAnchors, Usage};
use ravelin_transport::{Handler, PeerInfo, Request, Response, Server, TlsServer, body};
use routes::Answer;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long the apiserver's answers are used (`DelegatingAuthenticationOptions.CacheTTL`,
/// `DelegatingAuthorizationOptions.AllowCacheTTL` and `DenyCacheTTL`).
const CACHE: Duration = Duration::from_secs(10);

/// A self-signed certificate is good for so long, as upstream's.
const SELF_SIGNED_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Whose ports they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
}

impl Component {
    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }
}

/// What a component's ports are told.
#[derive(Clone, Debug)]
pub struct PortsConfig {
    /// Whose they are.
    pub component: Component,
    /// Where it serves HTTPS, if it does (`--bind-address`, `--secure-port`).
    pub secure: Option<SocketAddr>,
    /// Where it serves plain HTTP to everybody (`--address`, `--port` of old versions).
    pub insecure: Option<SocketAddr>,
    /// Its certificate; `None`: one of its own making.
    pub identity: Option<Identity>,
    /// Who signs the certificates of callers, if anybody is believed (`--client-ca-file`, or the
    /// ConfigMap that `--authentication-kubeconfig` leads to).
    pub client_ca: Option<TrustAnchors>,
    /// How it asks whose a token is (`--authentication-kubeconfig`); `None`: tokens are not
    /// looked at.
    pub authentication: Option<ClientConfig>,
    /// How it asks what somebody may (`--authorization-kubeconfig`); `None`: nothing.
    pub authorization: Option<ClientConfig>,
    /// What is open to everybody (`--authorization-always-allow-paths`); a `*` at the end stands
    /// for any rest.
    pub always_allow_paths: Vec<String>,
    /// Does it serve profiles (`--profiling`)?
    pub profiling: bool,
}

/// The open ports of a component; they close when this is dropped.
#[derive(Debug)]
pub struct ComponentPorts {
    _tasks: Vec<Task>,
}

impl ComponentPorts {
    /// Opens a component's ports.
    ///
    /// # Errors
    /// Where one cannot be listened on.
    pub async fn open(host: HostRef, config: PortsConfig) -> std::io::Result<Self> {
        let config = Arc::new(config);
        let mut tasks = Vec::new();
        if let Some(address) = config.insecure {
            let handler = Arc::new(Open(Arc::clone(&config)));
            let listener = host.listen(&Endpoint::Tcp(address)).await?;
            tasks.push(Server { host: host.clone(), listener, tls: None, handler }.run());
        }
        if let Some(address) = config.secure {
            let listener = host.listen(&Endpoint::Tcp(address)).await?;
            let identity = config.identity.clone().unwrap_or_else(|| self_signed(&host, config.component));
            let tls = Some(Arc::new(TlsServer::new(identity).with_client_certificates()));
            let handler = Arc::new(Delegating::new(&host, config));
            tasks.push(Server { host, listener, tls, handler }.run());
        }
        Ok(Self { _tasks: tasks })
    }
}

/// As `MaybeDefaultWithSelfSignedCerts("localhost", nil, 127.0.0.1)` makes it.
fn self_signed(host: &HostRef, component: Component) -> Identity {
    let second = host.now().as_second();
    let now = Timestamp::from_second(second).expect("it was a timestamp's");
    let profile = Profile {
        subject: Subject::new(format!("localhost@{second}"), &[]),
        sans: vec![San::Dns("localhost".to_owned()), San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST))],
        usages: vec![Usage::Server],
        not_before: now - SignedDuration::from_hours(1),
        not_after: now + SELF_SIGNED_LIFETIME,
    };
    let mut entropy = host.entropy(&format!("serving certificate of {}", component.name()));
    ravelin_pki::self_signed(&profile, &mut entropy)
}

/// The plain port.
struct Open(Arc<PortsConfig>);

#[async_trait]
impl Handler for Open {
    async fn handle(&self, request: Request, _: &PeerInfo) -> Response {
        respond(routes::answer(&self.0, &path(&request)))
    }
}

/// The secure port.
struct Delegating {
    host: HostRef,
    config: Arc<PortsConfig>,
    authenticator: Authenticator,
    authentication: Option<Client>,
    reviews: Reviews,
    authorization: Option<Client>,
}

/// An allowed request: made only by [`Delegating::authorize`], and without it nothing is served.
struct Allowed(());

impl Delegating {
    fn new(host: &HostRef, config: Arc<PortsConfig>) -> Self {
        let client = |config: &Option<ClientConfig>| {
            config.as_ref().map(|config| Client::new(host.clone(), config.clone()))
        };
        Self {
            host: host.clone(),
            authenticator: Authenticator::new(AuthenticatorConfig {
                client_ca: config.client_ca.clone(),
                token_cache: config.authentication.is_some().then_some(CACHE),
                danger_any_certificate: false,
            }),
            authentication: client(&config.authentication),
            reviews: Reviews::new(ReviewCache { allowed: CACHE, refused: CACHE }),
            authorization: client(&config.authorization),
            config,
        }
    }

    async fn authenticate(&self, request: &Request, peer: &PeerInfo) -> Option<UserInfo> {
        let proof = (peer.chain.as_slice(), self.host.now());
        match self.authenticator.judge(self.authentication.as_ref(), request.headers(), proof).await {
            Shown::Good(user) => Some(user),
            Shown::Nothing => Some(UserInfo::anonymous()),
            Shown::Bad => None,
        }
    }

    async fn authorize(&self, asked: &Attributes) -> Option<Allowed> {
        let is_master = asked.user.groups.iter().any(|group| group == names::MASTERS);
        let allowed = is_master
            || routes::is_open(&self.config.always_allow_paths, &asked.path)
            || self.reviews.allow(self.authorization.as_ref(), asked).await;
        allowed.then_some(Allowed(()))
    }

    fn serve(&self, path: &str, _allowed: Allowed) -> Answer {
        routes::answer(&self.config, path)
    }
}

#[async_trait]
impl Handler for Delegating {
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response {
        let Some(user) = self.authenticate(&request, peer).await else {
            return respond(Answer::status(&Status::unauthorized()));
        };
        let asked = Attributes {
            user,
            verb: request.method().as_str().to_lowercase(),
            path: path(&request),
            ..Attributes::default()
        };
        let answer = match self.authorize(&asked).await {
            Some(allowed) => self.serve(&asked.path, allowed),
            None => Answer::status(&asked.forbidden("")),
        };
        let fields = [
            field("component", self.config.component.name()),
            field("user", &asked.user.name),
            field("verb", &asked.verb),
            field("path", &asked.path),
            field("code", answer.status.as_u16()),
        ];
        self.host.observe("component.request", &fields);
        respond(answer)
    }
}

/// The decoded path; one that cannot be decoded is nobody's.
fn path(request: &Request) -> String {
    ravelin_api::percent_decode(request.uri().path()).unwrap_or_default()
}

fn respond(answer: Answer) -> Response {
    let failed = !answer.status.is_success();
    let mut response = Response::new(body::full(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.kind));
    if failed {
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

impl Answer {
    fn status(status: &Status) -> Self {
        Self {
            status: StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            kind: "application/json",
            body: status.render().into(),
        }
    }
}
