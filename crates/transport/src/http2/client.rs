//! The client's end of an HTTP/2 connection.

use super::executor::{HostExecutor, Owner};
use super::{
    CONNECTION_WINDOW_BYTES, MAX_FRAME_BYTES, MAX_HEAD_BYTES, MAX_SEND_BUFFER_BYTES, PING_TIMEOUT,
    STREAM_WINDOW_BYTES, holding,
};
use crate::adapter::{Io, TokioTimer};
use crate::connection::causes;
use crate::{Body, BoxError, HttpError, Request, Response};
use http_body_util::BodyExt;
use hyper::client::conn::http2::{Builder, SendRequest};
use ravelin_host::{BoxedStream, HostRef, Task};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One connection, for many requests at a time. It closes when it, its clones and every response body
/// from it are dropped.
#[derive(Clone)]
pub struct Http2Connection {
    sender: SendRequest<Body>,
    driver: Arc<Driver>,
}

struct Driver {
    _task: Task,
    _tasks: Owner,
    /// Why the connection ended, once it has with an error.
    ended: Arc<Mutex<Option<HttpError>>>,
}

impl std::fmt::Debug for Http2Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Http2Connection(open: {})", self.is_open())
    }
}

impl Http2Connection {
    /// Speaks HTTP/2 over a stream, with prior knowledge or after ALPN. After `keepalive` of silence
    /// the peer is pinged.
    ///
    /// # Errors
    /// Where the peer closes at once.
    pub async fn open(host: &HostRef, stream: BoxedStream, keepalive: Duration) -> Result<Self, HttpError> {
        let (executor, tasks) = HostExecutor::new(host);
        let (sender, connection) = Builder::new(executor)
            .timer(TokioTimer)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(MAX_FRAME_BYTES)
            .max_header_list_size(MAX_HEAD_BYTES)
            .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
            .keep_alive_interval(keepalive)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(Io::new(stream))
            .await?;
        let ended = Arc::new(Mutex::new(None));
        let end = Arc::clone(&ended);
        let drive = async move {
            if let Err(error) = connection.await {
                *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.into());
            }
        };
        let task = host.spawn("http2.connection", Box::pin(drive));
        Ok(Self { sender, driver: Arc::new(Driver { _task: task, _tasks: tasks, ended }) })
    }

    /// Sends a request and waits for the head of its response, which may come before the request's
    /// body has ended. There is no deadline here.
    ///
    /// # Errors
    /// As [`HttpError`] says.
    pub async fn send(&mut self, request: Request) -> Result<Response, HttpError> {
        if self.sender.ready().await.is_err() {
            return Err(self.why_ended().unwrap_or(HttpError::Closed));
        }
        let response = match self.sender.send_request(request).await.map_err(HttpError::from) {
            Ok(response) => response,
            Err(HttpError::Closed) => return Err(self.why_ended().unwrap_or(HttpError::Truncated)),
            Err(error) => return Err(error),
        };
        let driver = Arc::clone(&self.driver);
        Ok(response.map(|body| {
            let body = body.map_err(|error| BoxError::from(causes(&error))).boxed();
            holding(body, driver)
        }))
    }

    /// Is it not known to be closed?
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    fn why_ended(&self) -> Option<HttpError> {
        self.driver.ended.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
