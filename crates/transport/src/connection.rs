//! The client's end of an HTTP/1.1 connection.

use crate::adapter::Io;
use crate::upgrade::{self, Upgraded};
use crate::{Body, BoxError, Request, Response, TlsError};
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{Builder, SendRequest};
use ravelin_host::{BoxedStream, HostRef, Task};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// The longest head of a response, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long a connection that takes no more requests may take to say why.
const ENDING: Duration = Duration::from_secs(1);

/// Why a request got no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The connection was closed before the request was sent.
    #[error("the connection was closed before the request was sent")]
    Closed,
    /// The connection ended before the response was whole; the server may have executed the
    /// request.
    #[error("the connection ended before the response")]
    Truncated,
    /// What the peer sent is not HTTP.
    #[error("the peer sent a malformed response: {0}")]
    Malformed(String),
    /// The request cannot be sent as HTTP/1.1.
    #[error("the request cannot be sent: {0}")]
    BadRequest(String),
    /// TLS failed after the handshake, as when the peer refuses our certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The network failed.
    #[error("the connection failed: {0}")]
    Unavailable(String),
}

impl From<hyper::Error> for HttpError {
    fn from(error: hyper::Error) -> Self {
        if let Some(tls) = TlsError::within(&error) {
            return Self::Tls(tls);
        }
        if error.is_parse() {
            return Self::Malformed(error.to_string());
        }
        if error.is_canceled() || error.is_closed() {
            return Self::Closed;
        }
        if error.is_incomplete_message() {
            return Self::Truncated;
        }
        if error.is_user() {
            return Self::BadRequest(error.to_string());
        }
        Self::Unavailable(causes(&error))
    }
}

/// One connection, used for one request after another. It closes when it and every response body
/// from it are dropped.
pub struct HttpConnection {
    sender: SendRequest<Body>,
    driver: Arc<Task>,
    /// Why the connection ended, once it has.
    ended: Option<oneshot::Receiver<HttpError>>,
}

impl std::fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpConnection(open: {})", self.is_open())
    }
}

impl HttpConnection {
    /// Speaks HTTP over a stream.
    ///
    /// # Errors
    /// Where hyper cannot start.
    pub async fn open(host: &HostRef, stream: BoxedStream) -> Result<Self, HttpError> {
        let (sender, connection) =
            Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(Io::new(stream)).await?;
        let (end, ended) = oneshot::channel();
        let drive = async move {
            if let Err(error) = connection.with_upgrades().await {
                // Nobody asks any more where the connection was dropped.
                let _ = end.send(error.into());
            }
        };
        let driver = Arc::new(host.spawn("http.connection", Box::pin(drive)));
        Ok(Self { sender, driver, ended: Some(ended) })
    }

    /// Waits until the connection can take a request.
    ///
    /// # Errors
    /// Where it has ended; nothing was sent then.
    pub async fn ready(&mut self) -> Result<(), HttpError> {
        match self.sender.ready().await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.why_ended().await.unwrap_or(HttpError::Closed)),
        }
    }

    /// Sends a request that asks for an upgrade, and waits for what becomes of the connection. An answer
    /// other than 101 switches nothing (CVE-2018-1002105). There is no deadline for the answer here,
    /// as in [`HttpConnection::send`].
    ///
    /// # Errors
    /// As [`HttpError`] says.
    pub async fn upgrade(mut self, request: Request) -> Result<Upgraded, HttpError> {
        upgrade::switched(self.send(request).await?).await
    }

    /// Sends a request and waits for the head of its response. There is no deadline here: the
    /// caller knows how long an answer may take.
    ///
    /// # Errors
    /// As [`HttpError`] says.
    pub async fn send(&mut self, mut request: Request) -> Result<Response, HttpError> {
        // RFC 9112 section 3.2: a Host is always sent, an empty one where none is known.
        request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static(""));
        self.ready().await?;
        let response = match self.sender.send_request(request).await.map_err(HttpError::from) {
            Ok(response) => response,
            // Whether the request went out before the connection ended, nobody can tell.
            Err(HttpError::Closed) => {
                return Err(self.why_ended().await.unwrap_or(HttpError::Truncated));
            }
            Err(error) => return Err(error),
        };
        let driver = Arc::clone(&self.driver);
        Ok(response.map(|body| {
            let body = body.map_err(|error| BoxError::from(causes(&error))).boxed();
            Driven { body, _driver: driver }.boxed()
        }))
    }

    /// Is it not known to be closed? A request on it may still find that the peer just left.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// A peer may refuse us (with a TLS alert, say) before a request is under way; then only the
    /// connection itself knows.
    async fn why_ended(&mut self) -> Option<HttpError> {
        tokio::time::timeout(ENDING, self.ended.take()?).await.ok()?.ok()
    }
}

/// A body that keeps the connection alive which it comes from.
pub(crate) struct Driven<D> {
    pub(crate) body: Body,
    pub(crate) _driver: D,
}

impl<D: Unpin> http_body::Body for Driven<D> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
