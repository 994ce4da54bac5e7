//! A WebSocket over a stream of bytes: whole messages in both directions.

use super::StreamError;
use super::driver::{Link, Side};
use super::half::Held;
use ravelin_host::{BoxedStream, HostRef};
use ravelin_stream::Writing;
use ravelin_stream::websocket::{Close, Messages, Role};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

pub use ravelin_stream::websocket::{Kind, Message};

/// The longest message that is received, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// One end of a WebSocket. Pings are answered by themselves.
pub struct WebSocket(Arc<Held<Messages>>);

impl std::fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebSocket")
    }
}

/// A client's role, whose masks come from the host.
pub(super) fn client_role(host: &HostRef) -> Role {
    let mut masks = host.entropy("websocket.masks");
    Role::Client(Box::new(move || masks.bytes()))
}

impl WebSocket {
    /// The end that asked for it; messages of the peer may have [`MAX_MESSAGE_BYTES`].
    pub fn client(host: &HostRef, stream: BoxedStream) -> Self {
        Self::new(host, stream, client_role(host))
    }

    /// The end that answered.
    pub fn server(host: &HostRef, stream: BoxedStream) -> Self {
        Self::new(host, stream, Role::Server)
    }

    fn new(host: &HostRef, stream: BoxedStream, role: Role) -> Self {
        let link = Link::drive(host, stream, Messages::new(role, MAX_MESSAGE_BYTES));
        Self(Held::new(&link, 0))
    }

    /// Sends pings. A peer that sends nothing for [`super::PING_TIMEOUT`] is gone.
    pub fn with_pings(self, every: Duration) -> Self {
        self.0.link.ping_every(every);
        self
    }

    /// Its two directions.
    pub fn into_split(self) -> (WebSocketSender, WebSocketReceiver) {
        (WebSocketSender(Arc::clone(&self.0)), WebSocketReceiver(self.0))
    }
}

/// What messages are sent by.
pub struct WebSocketSender(Arc<Held<Messages>>);

impl std::fmt::Debug for WebSocketSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebSocketSender")
    }
}

impl WebSocketSender {
    /// Sends a message, once there is room for it.
    ///
    /// # Errors
    /// Where the WebSocket is closed.
    pub async fn send(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), StreamError> {
        poll_fn(|cx| {
            self.0.link.poll(cx, (0, Side::Write), |state| match state.session.send(kind, bytes) {
                Writing::Taken(_) => Poll::Ready(Ok(())),
                Writing::Full => Poll::Pending,
                Writing::Closed => Poll::Ready(Err(state.ended.clone().unwrap_or(StreamError::Lost))),
            })
        })
        .await
    }

    /// Waits until the connection has ended, whatever still waits to be received.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let link = self.0.link.clone();
        async move { link.ended().await }
    }

    /// Closes with this code (1000 where all is well), and waits until all was sent.
    pub async fn close(self, code: u16) {
        self.0.link.with(|session| session.close_with(code));
        self.0.link.close().await;
    }
}

/// What messages are received by.
pub struct WebSocketReceiver(Arc<Held<Messages>>);

impl std::fmt::Debug for WebSocketReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebSocketReceiver")
    }
}

impl WebSocketReceiver {
    /// The next message; `None` after the peer closed with code 1000.
    ///
    /// # Errors
    /// Where the peer closed with another code, or the connection ended.
    pub async fn receive(&mut self) -> Result<Option<Message>, StreamError> {
        poll_fn(|cx| {
            self.0.link.poll(cx, (0, Side::Read), |state| {
                if let Some(message) = state.session.take_message() {
                    return Poll::Ready(Ok(Some(message)));
                }
                match state.session.closed() {
                    Some(Close::Normal) => Poll::Ready(Ok(None)),
                    Some(_) => Poll::Ready(Err(state.ended.clone().unwrap_or(StreamError::Lost))),
                    None => Poll::Pending,
                }
            })
        })
        .await
    }
}
