//! An HTTP/2 server, with or without TLS.

use super::authority::Readable;
use super::executor::HostExecutor;
use super::{
    CONNECTION_WINDOW_BYTES, MAX_FRAME_BYTES, MAX_HEAD_BYTES, MAX_SEND_BUFFER_BYTES, MAX_STREAMS,
    PING_TIMEOUT, STREAM_WINDOW_BYTES,
};
use crate::adapter::{Io, TokioTimer};
use crate::connection::causes;
use crate::server::{ACCEPT_PAUSE, MAX_CONNECTIONS};
use crate::{BoxError, Handler, PeerInfo, TlsServer};
use http_body_util::BodyExt;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use ravelin_host::{Connection, Endpoint, HostRef, Listener, Task, field};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// A server that has not started yet.
pub struct Http2Server {
    /// The computer it runs on.
    pub host: HostRef,
    /// Where it accepts connections.
    pub listener: Box<dyn Listener>,
    /// Its TLS (made by [`TlsServer::with_http2`]), or `None` for HTTP/2 with prior knowledge.
    pub tls: Option<Arc<TlsServer>>,
    /// What answers. A response's body may be sent while the request's is still coming.
    pub handler: Arc<dyn Handler>,
    /// After so much silence a client is pinged.
    pub keepalive: Duration,
}

impl std::fmt::Debug for Http2Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Http2Server({} on {})", self.host.name(), self.listener.local())
    }
}

impl Http2Server {
    /// Serves until the task is dropped; its connections end with it.
    pub fn run(self) -> Task {
        let host = Arc::clone(&self.host);
        host.spawn("http2.server", Box::pin(self.accept_all()))
    }

    async fn accept_all(self) {
        let mut connections: Vec<Task> = Vec::new();
        loop {
            let Ok(connection) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            connections.retain(|task| !task.is_finished());
            if connections.len() >= MAX_CONNECTIONS {
                self.host.observe("http.overload", &[field("peer", &connection.peer)]);
                continue;
            }
            let served = Served {
                host: Arc::clone(&self.host),
                tls: self.tls.clone(),
                handler: Arc::clone(&self.handler),
                keepalive: self.keepalive,
            };
            connections.push(self.host.spawn("http2.served", Box::pin(served.serve(connection))));
        }
    }
}

/// One connection's share of its server.
struct Served {
    host: HostRef,
    tls: Option<Arc<TlsServer>>,
    handler: Arc<dyn Handler>,
    keepalive: Duration,
}

impl Served {
    async fn serve(self, connection: Connection) {
        let mut peer = PeerInfo {
            address: connection.peer.clone(),
            local: connection.local.clone(),
            chain: Vec::new(),
            tls: self.tls.is_some(),
        };
        let stream = match &self.tls {
            None if matches!(connection.local, Endpoint::Unix(_)) => Readable::boxed(connection.stream),
            None => connection.stream,
            Some(tls) => match tls.accept(&self.host, connection).await {
                Ok(secured) => {
                    peer.chain = secured.peer_chain;
                    secured.stream
                }
                Err(_) => return,
            },
        };
        // The calls of this connection are tasks of their own, and end with it.
        let (executor, _owner) = HostExecutor::new(&self.host);
        let (handler, caller) = (self.handler, Arc::new(peer.clone()));
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (handler, caller) = (Arc::clone(&handler), Arc::clone(&caller));
            async move {
                let request =
                    request.map(|body| body.map_err(|error| BoxError::from(causes(&error))).boxed());
                Ok::<_, Infallible>(handler.handle(request, &caller).await)
            }
        });
        let result = Builder::new(executor)
            .timer(TokioTimer)
            .auto_date_header(false)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(MAX_FRAME_BYTES)
            .max_header_list_size(MAX_HEAD_BYTES)
            .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
            .max_concurrent_streams(MAX_STREAMS)
            .keep_alive_interval(self.keepalive)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(Io::new(stream), service)
            .await;
        if let Err(error) = result {
            let fields = [field("peer", &peer.address), field("error", causes(&error))];
            self.host.observe("http.connection.failed", &fields);
        }
    }
}
