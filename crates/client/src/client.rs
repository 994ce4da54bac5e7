//! Requests.

use crate::{ClientConfig, ClientError, Credential, Watch, Watches};
use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use http::{Method, StatusCode};
use ravelin_api::{Status, percent_encode};
use ravelin_host::{Endpoint, Flaw, HostRef};
use ravelin_pki::{Identity, ServerTrust};
use ravelin_transport::{HttpConnection, HttpError, Request, Response, TlsClient, body, collect};
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The most that an error repeats of an answer that is no `Status`.
const MAX_MESSAGE_BYTES: usize = 1024;

/// How often a request is sent again because the answer asked for patience (client-go's default).
const MAX_RETRIES: u32 = 10;

/// How a patch is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 7386.
    Merge,
    /// Kubernetes' own merge, which knows lists.
    StrategicMerge,
    /// RFC 6902.
    Json,
}

impl PatchKind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::StrategicMerge => "application/strategic-merge-patch+json",
            Self::Json => "application/json-patch+json",
        }
    }
}

/// A client of one apiserver. Clones share its idle connections.
///
/// A request goes out once. Only where an idle connection turns out to be closed before any
/// byte of an answer is a request that changes nothing (GET, HEAD) sent again, on a new one.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    host: HostRef,
    config: ClientConfig,
    watches: Watches,
    renewed: Mutex<Renewed>,
    idle: Mutex<Vec<Idle>>,
}

/// A certificate that took the place of the configured one.
#[derive(Clone, Default)]
struct Renewed {
    /// How often that happened.
    count: u64,
    identity: Option<Identity>,
}

/// So many connections wait for their next request; beyond, they are closed.
const MAX_IDLE: usize = 16;

/// A connection that waits for its next request.
pub(crate) struct Idle {
    connection: HttpConnection,
    /// How often the certificate had been replaced when it was opened.
    renewed: u64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.0.config).finish()
    }
}

impl Client {
    /// A client that runs on `host`. It connects when it is first used.
    pub fn new(host: HostRef, config: ClientConfig) -> Self {
        Self::made((host, config), Watches::USUAL, Renewed::default())
    }

    /// The same client, whose reflectors watch in this manner.
    #[must_use]
    pub fn with_watches(self, watches: Watches) -> Self {
        Self::made(self.parts(), watches, self.renewed())
    }

    /// The same client with no connection yet.
    pub fn fresh(&self) -> Self {
        Self::made(self.parts(), self.0.watches, self.renewed())
    }

    fn made((host, config): (HostRef, ClientConfig), watches: Watches, renewed: Renewed) -> Self {
        let (renewed, idle) = (Mutex::new(renewed), Mutex::default());
        Self(Arc::new(Shared { host, config, watches, renewed, idle }))
    }

    fn parts(&self) -> (HostRef, ClientConfig) {
        (Arc::clone(&self.0.host), self.0.config.clone())
    }

    fn renewed(&self) -> Renewed {
        self.0.renewed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Presents another certificate from the next connection on, here and in all clones. The idle
    /// connections, which were opened with the one before, are not used again; a running watch is
    /// followed to its end.
    pub fn replace_certificate(&self, identity: Identity) {
        let mut renewed = self.0.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        *renewed = Renewed { count: renewed.count + 1, identity: Some(identity) };
        drop(renewed);
        self.forget_idle();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_idle(&self) {
        // Closed after the lock is given back.
        drop(std::mem::take(&mut *self.idle()));
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, idle: Idle) {
        let known = self.renewed().count;
        let mut waiting = self.idle();
        if idle.renewed == known && waiting.len() < MAX_IDLE {
            waiting.push(idle);
        }
    }

    /// The open connection that was used last.
    fn take_idle(&self) -> Option<Idle> {
        let mut waiting = self.idle();
        while let Some(idle) = waiting.pop() {
            if idle.connection.is_open() {
                return Some(idle);
            }
        }
        None
    }

    /// How its reflectors watch.
    pub(crate) fn watches(&self) -> Watches {
        self.0.watches
    }

    /// What it was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// The computer it runs on.
    pub fn host(&self) -> &HostRef {
        &self.0.host
    }

    /// Reads one object, or whatever is at a path (which may have a query).
    ///
    /// # Errors
    /// As [`ClientError`] says; so for all that follow.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.exchange(Outgoing::new(Method::GET, path)).await
    }

    /// Reads a collection with parameters such as `labelSelector`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn list(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, ClientError> {
        self.get(&with_query(path, parameters)).await
    }

    /// Creates an object in a collection.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, ClientError> {
        self.exchange(Outgoing::new(Method::POST, path).with_json("application/json", object)).await
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn update(&self, path: &str, object: &Value) -> Result<Value, ClientError> {
        self.exchange(Outgoing::new(Method::PUT, path).with_json("application/json", object)).await
    }

    /// Changes an object.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn patch(&self, path: &str, kind: PatchKind, patch: &Value) -> Result<Value, ClientError> {
        let outgoing = Outgoing::new(Method::PATCH, path).with_json(kind.content_type(), patch);
        self.exchange(outgoing).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.exchange(Outgoing::new(Method::DELETE, path)).await
    }

    /// Sends any request, whose URI is a path, and gives the exact bytes of the answer, whatever
    /// its status. The client's credential is added where the request has none.
    ///
    /// # Errors
    /// Where no whole answer came.
    pub async fn raw(&self, request: Request) -> Result<(StatusCode, HeaderMap, Bytes), ClientError> {
        let (parts, body) = request.into_parts();
        let outgoing = Outgoing {
            method: parts.method,
            path: parts.uri.to_string(),
            headers: parts.headers,
            body: collect(body, MAX_ANSWER_BYTES).await?,
        };
        self.within_deadline(self.answer(&outgoing)).await
    }

    /// Follows a collection from a resource version on, over a connection that nothing else uses
    /// meanwhile.
    ///
    /// # Errors
    /// Where the watch does not start.
    pub async fn watch(
        &self,
        path: &str,
        resource_version: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Watch, ClientError> {
        let mut all = vec![("watch", "true"), ("resourceVersion", resource_version)];
        all.extend_from_slice(parameters);
        let outgoing = Outgoing::new(Method::GET, &with_query(path, &all));
        let began = Instant::now();
        self.within_deadline(async {
            let (idle, response) = self.send(&outgoing).await?;
            if response.status() != StatusCode::OK {
                let status = response.status();
                self.note_refusal(status, began);
                let bytes = collect(response.into_body(), MAX_ANSWER_BYTES).await?;
                return Err(refusal(status, &bytes));
            }
            Ok(Watch::new(response.into_body(), self.0.watches.longest_silence(), (self.clone(), idle)))
        })
        .await
    }

    async fn exchange(&self, outgoing: Outgoing) -> Result<Value, ClientError> {
        let (status, _, bytes) = self.within_deadline(self.persist(&outgoing)).await?;
        if !status.is_success() {
            return Err(refusal(status, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Malformed(error.to_string()))
    }

    /// An answer that asks for patience is waited out, as client-go does it (`with_retry.go`).
    async fn persist(&self, outgoing: &Outgoing) -> Result<(StatusCode, HeaderMap, Bytes), ClientError> {
        for _ in 0..MAX_RETRIES {
            let answer = self.answer(outgoing).await?;
            match retry_after(answer.0, &answer.1).filter(|wait| *wait < self.0.config.request_timeout) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Ok(answer),
            }
        }
        self.answer(outgoing).await
    }

    pub(crate) async fn within_deadline<T>(
        &self,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let Ok(done) = tokio::time::timeout(self.0.config.request_timeout, work).await else {
            // What one connection does not carry, its siblings hardly do.
            self.forget_idle();
            return Err(ClientError::Timeout);
        };
        done
    }

    async fn answer(&self, outgoing: &Outgoing) -> Result<(StatusCode, HeaderMap, Bytes), ClientError> {
        let began = Instant::now();
        let (idle, response) = self.send(outgoing).await?;
        let (parts, body) = response.into_parts();
        self.note_refusal(parts.status, began);
        let bytes = collect(body, MAX_ANSWER_BYTES).await?;
        if parts.headers.get(CONNECTION).is_some_and(|value| value == "close") {
            return Ok((parts.status, parts.headers, bytes));
        }
        self.keep(idle);
        Ok((parts.status, parts.headers, bytes))
    }

    /// A token that the apiserver did not know may have been renewed since it was read.
    fn note_refusal(&self, status: StatusCode, began: Instant) {
        if let (StatusCode::UNAUTHORIZED, Credential::Token(source)) = (status, &self.0.config.credential) {
            source.forget_before(began);
        }
    }

    async fn send(&self, outgoing: &Outgoing) -> Result<(Idle, Response), ClientError> {
        if let Some(mut idle) = self.take_idle()
            && idle.connection.ready().await.is_ok()
        {
            match idle.connection.send(self.prepare(outgoing)?).await {
                Ok(response) => return Ok((idle, response)),
                // As Go's net/http does it (`isReplayable`).
                Err(HttpError::Closed | HttpError::Truncated | HttpError::Unavailable(_))
                    if outgoing.changes_nothing() => {}
                Err(error) => {
                    self.forget_idle();
                    return Err(error.into());
                }
            }
            self.forget_idle();
        }
        let renewed = self.renewed();
        let count = renewed.count;
        let mut connection = self.connect(renewed).await?;
        let response = connection.send(self.prepare(outgoing)?).await?;
        Ok((Idle { connection, renewed: count }, response))
    }

    /// A connection that nothing else uses.
    pub(crate) async fn connect_anew(&self) -> Result<HttpConnection, ClientError> {
        self.connect(self.renewed()).await
    }

    async fn connect(&self, renewed: Renewed) -> Result<HttpConnection, ClientError> {
        let Shared { host, config, .. } = &*self.0;
        let trust = match config.trust.clone() {
            _ if host.flaws().has(Flaw::ClientsTrustAnyServer) => ServerTrust::DangerAny,
            trust if host.flaws().has(Flaw::ClientsIgnoreServerName) => trust.danger_any_name(),
            trust => trust,
        };
        let identity = match &config.credential {
            Credential::Certificate(identity) => renewed.identity.or_else(|| Some(identity.clone())),
            _ => None,
        };
        let tls = TlsClient { trust, identity, server_name: config.server_name.clone() };
        let connection = host.connect(&Endpoint::Tcp(config.server)).await?;
        let secured = tls.connect(host, connection.stream).await?;
        Ok(HttpConnection::open(host, secured.stream).await?)
    }

    pub(crate) fn prepare(&self, outgoing: &Outgoing) -> Result<Request, ClientError> {
        let Shared { host, config, .. } = &*self.0;
        let mut request = Request::new(body::full(outgoing.body.clone()));
        *request.method_mut() = outgoing.method.clone();
        *request.uri_mut() = outgoing.path.parse().map_err(|_| bad_path())?;
        let headers = request.headers_mut();
        *headers = outgoing.headers.clone();
        let server = HeaderValue::try_from(config.server.to_string())
            .expect("an address has only characters that HTTP allows");
        headers.entry(HOST).or_insert(server);
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("ravelin"));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        if let Credential::Token(source) = &config.credential
            && !headers.contains_key(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, source.authorization(host.disk())?);
        }
        Ok(request)
    }
}

/// How long an answer asks to wait before the request is sent again: it must be one that was not
/// executed, and name a time (`checkWait` of client-go's rest/request.go).
fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let asks = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    let seconds = headers.get(RETRY_AFTER).filter(|_| asks)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A request that may have to be sent twice.
pub(crate) struct Outgoing {
    method: Method,
    path: String,
    pub(crate) headers: HeaderMap,
    body: Bytes,
}

impl Outgoing {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    fn with_json(mut self, content_type: &'static str, value: &Value) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = value.to_string().into();
        self
    }

    fn changes_nothing(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
}

fn bad_path() -> ClientError {
    let text = "the path cannot be part of a request";
    ClientError::Unavailable(std::io::Error::new(std::io::ErrorKind::InvalidInput, text))
}

pub(crate) fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)))
        .collect();
    match (pairs.is_empty(), path.contains('?')) {
        (true, _) => path.to_owned(),
        (false, true) => format!("{path}&{}", pairs.join("&")),
        (false, false) => format!("{path}?{}", pairs.join("&")),
    }
}

/// What an answer that is no success says. Redirections are none: they are not followed.
pub(crate) fn refusal(code: StatusCode, bytes: &[u8]) -> ClientError {
    let parsed = serde_json::from_slice::<Value>(bytes).ok();
    let status = parsed.and_then(|value| Status::from_value(&value, code.as_u16()));
    let mut status = status.unwrap_or_else(|| {
        let shown = &bytes[..bytes.len().min(MAX_MESSAGE_BYTES)];
        let message = String::from_utf8_lossy(shown).trim().to_owned();
        Status { code: code.as_u16(), reason: None, message, details: None }
    });
    // What HTTP says decides: a body cannot make a success of a failure.
    status.code = code.as_u16();
    ClientError::Status(Box::new(status))
}
