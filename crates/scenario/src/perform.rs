//! Steps in which somebody asks somebody, and what they are handed.

use crate::attempt::Attempt;
use crate::stream;
use crate::vocabulary::{Actor, Ask, Seat, Wait};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, StatusCode};
use ravelin_client::{Client, ClientConfig, Credential, TokenSource};
use ravelin_cluster::Who;
use ravelin_host::HostRef;
use ravelin_pki::{Identity, ServerTrust};
use ravelin_transport::{HttpConnection, Request, TlsClient, body, collect};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long anybody waits for an answer.
const DEADLINE: Duration = Duration::from_secs(15);
/// How often is looked whether a pod runs.
const LOOK: Duration = Duration::from_millis(200);
/// The longest answer that is read, in bytes.
pub(crate) const MAX_ANSWER_BYTES: usize = 1 << 20;
/// The most that is shown of a refusal, in characters.
const MAX_SHOWN: usize = 300;

/// What proves who somebody is.
enum Proof {
    Nothing,
    Certificate(Identity),
    Token(String),
    /// It should have been found in an earlier step and was not.
    Missing(String),
}

/// What somebody was handed: an answer, or why there was none.
pub(crate) type Handed = Result<(StatusCode, Bytes), String>;

impl Attempt {
    /// Makes a request, notes what came back, and says so in a line.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<String, String> {
        let host = self.host(&ask.seat)?;
        let request = self.request(ask)?;
        let handed = match self.proof(&ask.actor).await? {
            Proof::Missing(why) => Err(why),
            proof => {
                let exchange = self.exchange(&host, ask, (request, proof));
                timeout(DEADLINE, exchange).await.unwrap_or_else(|_| Err("no answer".to_owned()))
            }
        };
        self.note_answer(ask, &handed);
        if let (Some((name, pointer)), Ok((status, answer))) = (&ask.keep, &handed)
            && status.is_success()
            && let Some(token) = token_in(answer, pointer)
        {
            self.keep(name, token);
        }
        Ok(match handed {
            Ok((status, answer)) if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS => {
                format!("{}: answered {}, {} bytes", ask.name, status.as_u16(), answer.len())
            }
            Ok((status, answer)) => {
                format!("{}: refused {}: {}", ask.name, status.as_u16(), message(&answer))
            }
            Err(why) => format!("{}: no answer: {why}", ask.name),
        })
    }

    fn request(&self, ask: &Ask) -> Result<Request, String> {
        let (content_type, content) = &ask.body;
        let mut request = Request::new(body::full(self.filled(content)?));
        *request.method_mut() =
            Method::from_bytes(ask.method.as_bytes()).map_err(|_| format!("no method: {}", ask.method))?;
        let path = self.filled(&ask.path)?;
        *request.uri_mut() = path.parse().map_err(|_| format!("no path: {path}"))?;
        for (name, value) in &ask.headers {
            let known = name.parse::<http::HeaderName>().ok().zip(self.filled(value)?.parse().ok());
            let (name, value) = known.ok_or_else(|| format!("no header: {name}: {value}"))?;
            request.headers_mut().append(name, value);
        }
        if !content.is_empty() {
            let value =
                HeaderValue::try_from(content_type).map_err(|_| format!("no type: {content_type}"))?;
            request.headers_mut().insert(CONTENT_TYPE, value);
        }
        Ok(request)
    }

    async fn proof(&self, actor: &Actor) -> Result<Proof, String> {
        Ok(match actor {
            Actor::Nobody => Proof::Nothing,
            Actor::Admin => match self.admin()?.credential {
                Credential::Certificate(identity) => Proof::Certificate(identity),
                Credential::Token(_) | Credential::Anonymous => Proof::Nothing,
            },
            Actor::RogueNode => Proof::Certificate(self.cluster.rogue()?.client),
            Actor::Kept(name) => match self.kept(name) {
                Some(token) => Proof::Token(token),
                None => Proof::Missing(format!("there is no token {name}: it was never handed out")),
            },
            Actor::ServiceAccount(namespace, name) => Proof::Token(self.issued(namespace, name).await?),
        })
    }

    fn admin(&self) -> Result<ClientConfig, String> {
        let client = self.cluster.client(Who::User)?.ok_or("the cluster has no administrator")?;
        Ok(client.config().clone())
    }

    /// A service account's token, the same one each time.
    async fn issued(&self, namespace: &str, name: &str) -> Result<String, String> {
        let known_as = format!("service-account {namespace}/{name}");
        if let Some(token) = self.kept(&known_as) {
            return Ok(token);
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let wanted = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let issued =
            self.cluster.operator().create(&path, &wanted).await.map_err(|error| error.to_string())?;
        let token = issued["status"]["token"].as_str().ok_or("the apiserver issued no token")?;
        self.keep(&known_as, token.to_owned());
        Ok(token.to_owned())
    }

    async fn exchange(&self, host: &HostRef, ask: &Ask, (request, proof): (Request, Proof)) -> Handed {
        let to = *self.sockets(&ask.place)?.first().ok_or("there is no such server")?;
        let verifies = ask.place.is_api() && ask.seat != Seat::Attacker && ask.through.is_none();
        if ask.stream || ask.connection.is_some() {
            let known = if verifies { Some(self.admin()?) } else { None };
            let (to, request) = (To { address: to, tls: ask.place.is_tls(), known }, request);
            return self.on_a_connection(host, (ask, to), (request, proof)).await;
        }
        if verifies {
            let credential = match proof {
                Proof::Certificate(identity) => Credential::Certificate(identity),
                Proof::Token(token) => Credential::Token(TokenSource::fixed(token)),
                Proof::Nothing | Proof::Missing(_) => Credential::Anonymous,
            };
            let client = Client::new(host.clone(), ClientConfig { server: to, credential, ..self.admin()? });
            let answer = client.raw(request).await.map_err(|error| error.to_string())?;
            return Ok((answer.0, answer.2));
        }
        let to = To { address: to, tls: ask.place.is_tls(), known: None };
        let (mut request, proof) = (request, proof);
        let identity = credential(&mut request, (to.address, proof))?;
        answered(&mut self.opened(host, (ask, &to), identity).await?, request).await
    }

    /// Asks on a connection of its own, which stays open under its name, or for a stream.
    async fn on_a_connection(
        &self,
        host: &HostRef,
        (ask, to): (&Ask, To),
        (mut request, proof): (Request, Proof),
    ) -> Handed {
        let identity = credential(&mut request, (to.address, proof))?;
        if ask.stream {
            let open = || self.opened(host, (ask, &to), identity.clone());
            return stream::exec(host, request, ask.follows, open).await;
        }
        let name = ask.connection.as_deref().unwrap_or_default();
        let kept = self.connections.borrow_mut().remove(name);
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.opened(host, (ask, &to), identity).await?,
        };
        let answer = answered(&mut connection, request).await;
        self.connections.borrow_mut().insert(name.to_owned(), connection);
        answer
    }

    async fn opened(
        &self,
        host: &HostRef,
        (ask, to): (&Ask, &To),
        identity: Option<Identity>,
    ) -> Result<HttpConnection, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let line = self.line(host, to.address, ask.through.as_ref()).await?;
        let stream = if to.tls {
            let (trust, server_name) = match &to.known {
                Some(known) => (known.trust.clone(), known.server_name.clone()),
                None => (ServerTrust::DangerAny, to.address.ip().to_string()),
            };
            let client = TlsClient { trust, identity, server_name };
            client.connect(host, line).await.map_err(|error| text(&error))?.stream
        } else {
            line
        };
        HttpConnection::open(host, stream).await.map_err(|error| text(&error))
    }

    fn note_answer(&self, ask: &Ask, handed: &Handed) {
        let fact = self.notebook.fact("answer").with("request", &ask.name);
        match handed {
            Ok((status, answer)) => {
                self.notebook.note(fact.with("status", status.as_u16()).holding(answer));
                if ask.seat == Seat::Attacker {
                    let read = self.notebook.fact("attacker-read");
                    self.notebook
                        .note(read.with("source", format!("answer to {}", ask.name)).holding(answer));
                }
            }
            Err(why) => self.notebook.note(fact.with("status", "none").holding(why.as_bytes())),
        }
    }

    /// Waits until a pod runs.
    pub(crate) async fn wait(&self, wait: &Wait) -> Result<String, String> {
        let name = format!("{}/{}", wait.namespace, wait.pod);
        let runs = async {
            loop {
                let pod = self.pod(&wait.namespace, &wait.pod);
                if let Some(pod) = pod.filter(|pod| pod["status"]["phase"] == "Running") {
                    break pod["status"]["podIP"].as_str().unwrap_or_default().to_owned();
                }
                sleep(LOOK).await;
            }
        };
        let address = timeout(wait.within, runs).await;
        let address = address.map_err(|_| format!("the pod {name} did not run within {:?}", wait.within))?;
        Ok(format!("{name} runs at {address}"))
    }
}

/// A server, as somebody who asks it knows it.
struct To {
    address: SocketAddr,
    tls: bool,
    /// Whom it must be; `None`: whoever it is.
    known: Option<ClientConfig>,
}

/// Puts a credential into a request, or gives the one that belongs to the connection.
fn credential(request: &mut Request, (to, proof): (SocketAddr, Proof)) -> Result<Option<Identity>, String> {
    let (identity, token) = match proof {
        Proof::Certificate(identity) => (Some(identity), None),
        Proof::Token(token) => (None, Some(token)),
        Proof::Nothing | Proof::Missing(_) => (None, None),
    };
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::try_from(to.to_string()).expect("an address is a header's value"));
    if let Some(token) = token {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| "the token has characters that HTTP forbids")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(identity)
}

async fn answered(connection: &mut HttpConnection, request: Request) -> Handed {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let response = connection.send(request).await.map_err(|error| text(&error))?;
    let status = response.status();
    let answer = collect(response.into_body(), MAX_ANSWER_BYTES).await.map_err(|error| text(&error))?;
    Ok((status, answer))
}

/// The token in an answer: all of it for the pointer `whole`, else what stands at a JSON pointer.
fn token_in(answer: &[u8], pointer: &str) -> Option<String> {
    let text = String::from_utf8(answer.to_vec()).ok()?;
    let token = match pointer {
        "whole" => text,
        pointer => serde_json::from_str::<Value>(&text).ok()?.pointer(pointer)?.as_str()?.to_owned(),
    };
    let token = token.trim();
    (!token.is_empty()).then(|| token.to_owned())
}

/// What a refusal says.
fn message(answer: &[u8]) -> String {
    let status = serde_json::from_slice::<Value>(answer).ok();
    let message = status.as_ref().and_then(|status| status["message"].as_str());
    let text = message.map_or_else(|| String::from_utf8_lossy(answer).into_owned(), str::to_owned);
    text.trim().chars().take(MAX_SHOWN).collect()
}
