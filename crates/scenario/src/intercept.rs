//! The attacker's machine in a server's place.

use crate::attempt::{Attempt, Notebook};
use crate::vocabulary::{Intercept, Place, Presents, Then};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, TRANSFER_ENCODING};
use http::{HeaderValue, StatusCode};
use jiff::ToSpan;
use ravelin_host::{Connection, Endpoint, HostRef, Listener, Task};
use ravelin_pki::{Identity, Profile, San, Subject, Usage, inspect, self_signed};
use ravelin_sim::{Divert, DivertGuard, Wire};
use ravelin_transport::{
    Handler, HttpConnection, PeerInfo, Request, Response, Server, body, collect, danger,
};
use ravelin_tunnel::SshKey;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest message that is passed on, in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// How long SSH clients get to come back after they were cut off.
const REOPENING: Duration = Duration::from_secs(20);
/// How often is looked whether they did.
const LOOK: Duration = Duration::from_millis(100);

/// The attacker's machine at work.
pub(crate) struct Impostor {
    pub(crate) notebook: Notebook,
    wire: Wire,
    pub(crate) host: HostRef,
    names: BTreeMap<IpAddr, String>,
    host_key: SshKey,
    rules: Mutex<Vec<Rule>>,
    guards: Mutex<Vec<DivertGuard>>,
    pub(crate) tasks: Mutex<Vec<Task>>,
}

/// What it does in one server's place.
#[derive(Clone)]
struct Rule {
    at: SocketAddr,
    face: Face,
    then: Then,
}

/// What it shows to clients.
#[derive(Clone)]
enum Face {
    Plain,
    Tls(Identity),
    Ssh(SshKey),
}

/// A connection that ended at the attacker's machine.
pub(crate) struct Taken {
    pub(crate) connection: Connection,
    pub(crate) source: SocketAddr,
    pub(crate) original: SocketAddr,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Impostor {
    /// Ready, and in nobody's place yet.
    pub(crate) fn start(attempt: &Attempt) -> Arc<Self> {
        let host = attempt.world.host("attacker");
        let impostor = Arc::new(Self {
            notebook: attempt.notebook.clone(),
            wire: attempt.world.wire(),
            names: attempt.names(),
            host_key: SshKey::generate(&mut host.entropy("forged-host-key")),
            host: host.clone(),
            rules: Mutex::default(),
            guards: Mutex::default(),
            tasks: Mutex::default(),
        });
        let accepting = Arc::clone(&impostor);
        let task = host.spawn("impostor", Box::pin(async move { accepting.accept_all().await }));
        locked(&impostor.tasks).push(task);
        impostor
    }

    /// Takes a server's place from now on. SSH connections that are open are cut, so that they are
    /// opened again towards the attacker.
    pub(crate) async fn take_place(
        self: &Arc<Self>,
        attempt: &Attempt,
        plan: &Intercept,
    ) -> Result<String, String> {
        if plan.place == Place::KonnectivityAgents {
            return self.pose(attempt, plan).await;
        }
        let sockets = attempt.sockets(&plan.place)?;
        let then = match &plan.then {
            Then::Redirect(location) => Then::Redirect(attempt.filled(location)?),
            Then::Answer(status, body) => Then::Answer(*status, attempt.filled(body)?),
            relay => relay.clone(),
        };
        for at in &sockets {
            let face = self.face(attempt, (plan.presents, at.ip()))?;
            locked(&self.rules).push(Rule { at: *at, face, then: then.clone() });
            let rule = Divert { sources: None, to: Some(at.ip()), port: Some(at.port()) };
            locked(&self.guards).push(self.wire.divert(rule));
        }
        if !matches!(plan.place, Place::SshTunnels | Place::SshTunnel(_)) {
            return Ok(format!("in the place of {}", self.name(sockets.first().copied())));
        }
        let cut = self.cut(&sockets);
        let came_back = async {
            while self.notebook.count("ssh-with-attacker") < cut {
                tokio::time::sleep(LOOK).await;
            }
        };
        // Whoever did not come by then does not come: what follows will tell.
        let _ = tokio::time::timeout(REOPENING, came_back).await;
        Ok(format!("{cut} SSH connections were cut and opened again"))
    }

    fn face(&self, attempt: &Attempt, (presents, address): (Presents, IpAddr)) -> Result<Face, String> {
        Ok(match presents {
            Presents::Nothing => Face::Plain,
            Presents::HostKey => Face::Ssh(self.host_key.clone()),
            Presents::RogueHostKey => {
                let own = attempt.cluster.rogue()?.ssh_host_key;
                Face::Ssh(own.ok_or("the rogue node has no SSH server")?)
            }
            Presents::ForeignAgent | Presents::RogueAgent => {
                return Err("an agent's credential is shown to konnectivity-agents only".to_owned());
            }
            Presents::SelfSigned => Face::Tls(self.self_signed(address)),
            Presents::Rogue => Face::Tls(
                attempt.cluster.rogue()?.serving.ok_or("the rogue node has no serving certificate")?,
            ),
            Presents::RogueFormer => {
                let former = attempt.cluster.rogue()?.former_serving;
                Face::Tls(former.ok_or("nobody issues serving certificates to kubelets here")?)
            }
        })
    }

    fn self_signed(&self, address: IpAddr) -> Identity {
        let now = self.host.now();
        let hours = |hours: i64| now.saturating_add(hours.hours()).unwrap_or(now);
        let profile = Profile {
            subject: Subject::new(address.to_string(), &[]),
            sans: vec![San::Ip(address)],
            usages: vec![Usage::Server],
            not_before: hours(-1),
            not_after: hours(24),
        };
        self_signed(&profile, &mut self.host.entropy("forged-certificate"))
    }

    pub(crate) fn name(&self, address: Option<SocketAddr>) -> String {
        let Some(address) = address else { return "nobody".to_owned() };
        let name = self.names.get(&address.ip());
        name.map_or_else(|| address.to_string(), |name| format!("{name}:{}", address.port()))
    }

    pub(crate) fn machine(&self, address: SocketAddr) -> String {
        self.names.get(&address.ip()).cloned().unwrap_or_else(|| address.ip().to_string())
    }

    /// Ends SSH connections with resets, as anybody can who sees their sequence numbers.
    fn cut(&self, nodes: &[SocketAddr]) -> usize {
        let flows = self.wire.flows();
        let open =
            flows.iter().filter(|flow| nodes.contains(&flow.server) && !flow.by_attacker && !flow.diverted);
        open.filter(|flow| self.wire.reset(flow)).count()
    }

    async fn accept_all(self: Arc<Self>) {
        let diverted = self.wire.diverted();
        while let Ok(taken) = diverted.accept().await {
            let (source, original) = (taken.source, taken.original);
            self.begin(Taken { connection: taken.connection, source, original });
        }
    }

    /// Deals with a connection beside all others.
    pub(crate) fn begin(self: &Arc<Self>, taken: Taken) {
        let serving = Arc::clone(self);
        let task =
            self.host.spawn("impostor.connection", Box::pin(async move { serving.serve(taken).await }));
        locked(&self.tasks).push(task);
    }

    async fn serve(self: Arc<Self>, taken: Taken) {
        let rule = locked(&self.rules).iter().rev().find(|rule| rule.at == taken.original).cloned();
        if rule.as_ref().is_some_and(|rule| rule.then == Then::DeleteFirstPacket) {
            return self.delete_first_packet(taken).await;
        }
        match rule.as_ref().map(|rule| &rule.face) {
            None => self.pass(taken).await,
            Some(Face::Ssh(key)) => self.log_in(taken, key).await,
            Some(Face::Plain) => self.speak(taken, &rule, false),
            Some(Face::Tls(identity)) => {
                let fact = self.notebook.fact("tls-with-attacker").with("from", self.machine(taken.source));
                let fact = fact.with("to", self.name(Some(taken.original)));
                let Taken { connection, source, original } = taken;
                match danger::accept(&self.host, identity.clone(), connection).await {
                    Ok(secured) => {
                        let client = secured.peer_chain.first().and_then(inspect);
                        let client = client.map_or("nobody".to_owned(), |found| found.subject.common_name);
                        self.notebook.note(fact.with("result", "accepted").with("client", client));
                        let connection = Connection {
                            stream: secured.stream,
                            local: original.into(),
                            peer: source.into(),
                        };
                        self.speak(Taken { connection, source, original }, &rule, true);
                    }
                    Err(alerted) => {
                        let fact = fact.with("result", "refused");
                        self.notebook.note(fact.with("client", "nobody").holding(alerted.alert.as_bytes()));
                    }
                }
            }
        }
    }

    /// Passes bytes on without touching them.
    async fn pass(&self, mut taken: Taken) {
        if let Ok(mut genuine) = self.host.connect(&Endpoint::Tcp(taken.original)).await {
            // How it ends, both ends see for themselves.
            let _ = tokio::io::copy_bidirectional(&mut taken.connection.stream, &mut genuine.stream).await;
        }
    }

    /// Speaks HTTP with a client that takes it for the server.
    fn speak(self: &Arc<Self>, taken: Taken, rule: &Option<Rule>, tls: bool) {
        let Some(rule) = rule else { return };
        let Taken { connection, source, original } = taken;
        let handler = InPlace { impostor: Arc::clone(self), then: rule.then.clone(), source, original, tls };
        let listener = Once { local: original.into(), connection: Mutex::new(Some(connection)) };
        let server = Server {
            host: self.host.clone(),
            listener: Box::new(listener),
            tls: None,
            handler: Arc::new(handler),
        };
        locked(&self.tasks).push(server.run());
    }
}

/// Gives out one connection that has come already.
struct Once {
    local: Endpoint,
    connection: Mutex<Option<Connection>>,
}

#[async_trait]
impl Listener for Once {
    async fn accept(&self) -> std::io::Result<Connection> {
        let taken = locked(&self.connection).take();
        match taken {
            Some(connection) => Ok(connection),
            None => std::future::pending().await,
        }
    }

    fn local(&self) -> Endpoint {
        self.local.clone()
    }
}

/// Answers one client in a server's place.
struct InPlace {
    impostor: Arc<Impostor>,
    then: Then,
    source: SocketAddr,
    original: SocketAddr,
    tls: bool,
}

#[async_trait]
impl Handler for InPlace {
    async fn handle(&self, request: Request, _peer: &PeerInfo) -> Response {
        let (head, sent) = request.into_parts();
        let Ok(sent) = collect(sent, MAX_MESSAGE_BYTES).await else { return plain(StatusCode::BAD_REQUEST) };
        self.read_request(&head, &sent);
        match &self.then {
            Then::Answer(status, text) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::OK);
                respond(status, kind_of(text), Bytes::from(text.clone()))
            }
            Then::Redirect(location) => {
                let mut response = plain(StatusCode::TEMPORARY_REDIRECT);
                if let Ok(location) = HeaderValue::try_from(location) {
                    response.headers_mut().insert(LOCATION, location);
                }
                response
            }
            // No HTTP is spoken with SSH peers.
            Then::DeleteFirstPacket => plain(StatusCode::BAD_GATEWAY),
            Then::Relay { request, answer } => {
                let passed = self.relay((head, sent), request).await;
                let Ok((status, kind, body)) = passed else { return plain(StatusCode::BAD_GATEWAY) };
                respond(status, &kind, replaced(&body, answer))
            }
        }
    }
}

impl InPlace {
    fn read_request(&self, head: &http::request::Parts, sent: &[u8]) {
        let (from, to) = (self.impostor.machine(self.source), self.impostor.name(Some(self.original)));
        let mut bytes = format!("{} {}\n", head.method, head.uri).into_bytes();
        for (name, value) in &head.headers {
            bytes.extend_from_slice(format!("{name}: ").as_bytes());
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(sent);
        let fact = self.impostor.notebook.fact("attacker-read");
        self.impostor
            .notebook
            .note(fact.with("source", format!("request of {from} to {to}")).holding(&bytes));
    }

    /// Asks the genuine server, as nobody.
    async fn relay(
        &self,
        (head, sent): (http::request::Parts, Bytes),
        replace: &[(String, String)],
    ) -> Result<(StatusCode, String, Bytes), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let host = &self.impostor.host;
        let connection = host.connect(&Endpoint::Tcp(self.original)).await.map_err(|error| text(&error))?;
        let stream = if self.tls {
            let name = self.original.ip().to_string();
            danger::connect(host, connection.stream, &name, None).await.map_err(|error| text(&error))?.stream
        } else {
            connection.stream
        };
        let mut request = Request::new(body::full(replaced(&sent, replace)));
        *request.method_mut() = head.method;
        let uri = replaced(head.uri.to_string().as_bytes(), replace);
        *request.uri_mut() = http::Uri::try_from(&uri[..]).map_err(|error| text(&error))?;
        *request.headers_mut() = head.headers;
        for framing in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            request.headers_mut().remove(framing);
        }
        let authority = HeaderValue::try_from(self.original.to_string()).map_err(|error| text(&error))?;
        request.headers_mut().insert(HOST, authority);
        let mut http = HttpConnection::open(host, stream).await.map_err(|error| text(&error))?;
        let response = http.send(request).await.map_err(|error| text(&error))?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let (status, kind) = (response.status(), kind.unwrap_or("text/plain").to_owned());
        let body = collect(response.into_body(), MAX_MESSAGE_BYTES).await.map_err(|error| text(&error))?;
        let source = format!("answer of {}", self.impostor.name(Some(self.original)));
        let fact = self.impostor.notebook.fact("attacker-read").with("source", source);
        self.impostor.notebook.note(fact.holding(&body));
        Ok((status, kind, body))
    }
}

fn replaced(bytes: &[u8], replace: &[(String, String)]) -> Bytes {
    let Ok(text) = std::str::from_utf8(bytes) else { return Bytes::copy_from_slice(bytes) };
    let text = replace.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    Bytes::from(text)
}

fn kind_of(text: &str) -> &'static str {
    if text.starts_with('{') { "application/json" } else { "text/plain" }
}

fn plain(status: StatusCode) -> Response {
    respond(status, "text/plain", Bytes::new())
}

fn respond(status: StatusCode, kind: &str, content: Bytes) -> Response {
    let mut response = Response::new(body::full(content));
    *response.status_mut() = status;
    let kind = HeaderValue::try_from(kind).unwrap_or(HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
