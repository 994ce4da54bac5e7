//! What the tests share: an apiserver that answers as it is told.

use crate::{Client, ClientConfig, Credential, ServerTrust};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use jiff::ToSpan;
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use ravelin_host::{Endpoint, Flaws, HostRef, Redirect, Task};
use ravelin_pki::{Authority, KeyPair, Profile, San, Subject, TrustAnchors, Usage};
use ravelin_transport::{Handler, PeerInfo, Request, Response, Server, TlsServer, body};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) struct Stage {
    pub(super) host: HostRef,
    server: HostRef,
    authority: Authority,
    pub(super) api: Arc<Api>,
}

/// How a path is answered.
#[derive(Clone)]
pub(super) enum Answer {
    /// With this status and body.
    Whole(u16, String),
    /// With 200 and these chunks, one every 100 ms; then the body ends, properly or not.
    Chunks(Vec<&'static str>, bool),
    /// Never.
    Silence,
}

/// The answers by path; where a path has several, one after the other, the last for ever.
#[derive(Default)]
pub(super) struct Api {
    answers: Mutex<BTreeMap<String, Vec<Answer>>>,
    seen: Mutex<Vec<Seen>>,
}

#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) authorization: String,
    pub(super) from: Endpoint,
    pub(super) certificates: usize,
}

impl Api {
    pub(super) fn answer(&self, path: &str, answers: &[Answer]) {
        self.answers.lock().unwrap().insert(path.to_owned(), answers.to_vec());
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

#[async_trait]
impl Handler for Api {
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response {
        let header = request.headers().get("authorization");
        self.seen.lock().unwrap().push(Seen {
            line: format!("{} {}", request.method(), request.uri()),
            authorization: header.map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default(),
            from: peer.address.clone(),
            certificates: peer.chain.len(),
        });
        let next = {
            let mut answers = self.answers.lock().unwrap();
            let queue = answers.get_mut(request.uri().path());
            queue.map(|queue| if queue.len() > 1 { queue.remove(0) } else { queue[0].clone() })
        };
        let (status, body) = match next {
            None => (200, body::full("{}")),
            Some(Answer::Whole(status, text)) => (status, body::full(text)),
            Some(Answer::Chunks(chunks, proper)) => (200, slowly(chunks, proper)),
            Some(Answer::Silence) => std::future::pending().await,
        };
        let mut answer = http::Response::builder().status(status).header("location", "/moved");
        if status == 429 {
            answer = answer.header("retry-after", "2");
        }
        answer.body(body).unwrap()
    }
}

fn slowly(chunks: Vec<&'static str>, proper: bool) -> body::Body {
    let end = (!proper).then_some(None);
    let items: Vec<Option<&str>> = chunks.into_iter().map(Some).chain(end).collect();
    body::stream(stream::unfold(items.into_iter(), |mut items| async {
        let item = items.next()?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let item = item.map(|text| Bytes::from_static(text.as_bytes()));
        Some((item.ok_or_else(|| "cut".into()), items))
    }))
}

pub(super) fn server_address() -> SocketAddr {
    SocketAddr::new(server_ip(), 6443)
}

fn server_ip() -> IpAddr {
    [10, 0, 0, 1].into()
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with_flaws(Flaws::none())
    }

    pub(super) fn with_flaws(flaws: Flaws) -> Self {
        let network = Network::new();
        let host = network.flawed_host("node-1", [10, 0, 0, 2], flaws);
        let server = network.host("control-plane", server_ip());
        let authority = authority(&host, 1);
        Self { host, server, authority, api: Arc::default() }
    }

    /// Serves until the task is dropped.
    pub(super) async fn serve(&self) -> Task {
        self.serve_on(server_address()).await
    }

    /// The same with this handler.
    pub(super) async fn serve_with(&self, handler: Arc<dyn Handler>) -> Task {
        self.serve_by(handler, server_address()).await
    }

    /// Another server of the same API, to which the client's computer redirects from now on.
    pub(super) async fn serve_instead(&self) -> Task {
        let to = SocketAddr::new(server_ip(), 7443);
        let serving = self.serve_on(to).await;
        self.host.set_redirects(vec![Redirect::new(server_address(), vec![to])]);
        serving
    }

    async fn serve_on(&self, address: SocketAddr) -> Task {
        self.serve_by(Arc::clone(&self.api) as _, address).await
    }

    async fn serve_by(&self, handler: Arc<dyn Handler>, address: SocketAddr) -> Task {
        // One that was just dropped gives its address back when its task has ended.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let profile = Profile {
            subject: Subject::new("kube-apiserver", &[]),
            sans: vec![San::Ip(server_ip())],
            usages: vec![Usage::Server],
            not_before: self.host.now() - 1.hours(),
            not_after: self.host.now() + 1.hours(),
        };
        let identity = self.authority.identity(&profile, &mut Entropy::from_key([2; 32]));
        let tls = TlsServer::new(identity).with_client_certificates();
        let listener = self.server.listen(&address.into()).await.unwrap();
        Server { host: Arc::clone(&self.server), listener, tls: Some(Arc::new(tls)), handler }.run()
    }

    pub(super) fn config(&self, credential: Credential) -> ClientConfig {
        ClientConfig {
            server: server_address(),
            server_name: server_ip().to_string(),
            trust: trusting(&self.authority),
            credential,
            request_timeout: Duration::from_secs(10),
        }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(Arc::clone(&self.host), self.config(Credential::Anonymous))
    }

    /// A client that trusts somebody else.
    pub(super) fn misled_client(&self) -> Client {
        let mut config = self.config(Credential::Anonymous);
        config.trust = trusting(&authority(&self.host, 9));
        Client::new(Arc::clone(&self.host), config)
    }

    pub(super) fn client_identity(&self) -> ravelin_pki::Identity {
        let profile = Profile {
            subject: Subject::new("alice", &[]),
            sans: vec![],
            usages: vec![Usage::Client],
            not_before: self.host.now() - 1.hours(),
            not_after: self.host.now() + 1.hours(),
        };
        self.authority.identity(&profile, &mut Entropy::from_key([3; 32]))
    }
}

fn trusting(authority: &Authority) -> ServerTrust {
    ServerTrust::Anchors(TrustAnchors::new([authority.certificate()]).unwrap())
}

fn authority(host: &HostRef, seed: u8) -> Authority {
    let mut entropy = Entropy::from_key([seed; 32]);
    let key = KeyPair::generate(&mut entropy);
    let (from, until) = (host.now() - 1.hours(), host.now() + 24.hours());
    Authority::new("kubernetes", key, from, until, &mut entropy)
}
