//! A tunnel by gRPC (`konnectivity-client/pkg/client`): one call for one connection.

use super::super::call::{self, CallEnded, Incoming, MAX_DATA_BYTES, Origin, Outgoing, Segments};
use super::super::metrics::{Counted, Metrics, Segment};
use super::super::relay::{Verdict, pipe};
use super::super::{KEEPALIVE, server::window};
use bytes::BytesMut;
use ravelin_host::{BoxedStream, HostRef};
use ravelin_stream::konnectivity::{FLOW_METADATA, PROXY_METHOD, Packet};
use ravelin_transport::egress::EgressError;
use ravelin_transport::http2::Http2Connection;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long the server may take to close a connection (`CloseTimeout`), and how long bytes that were
/// written before a stream was dropped may take to go out.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks a frontend, over a stream, for a connection to `target`. Giving up on this ends the call.
pub(in super::super) async fn dial(
    host: &HostRef,
    stream: BoxedStream,
    target: &str,
    metrics: &Arc<Metrics>,
) -> Result<BoxedStream, EgressError> {
    let dialling = Counted::new(metrics, "client_connections", &[("status", "dialing")]);
    let dialled = ask(host, stream, target, metrics).await;
    drop(dialling);
    let tunnel = match dialled {
        Ok(tunnel) => tunnel,
        Err((reason, text)) => {
            metrics.add("dial_failure_total", &[("reason", reason)], 1);
            return Err(match reason {
                "endpoint" if text.contains("connection refused") => EgressError::Refused(text),
                _ => EgressError::Unavailable(text),
            });
        }
    };
    let counted = Counted::new(metrics, "client_connections", &[("status", "ok")]);
    let (handed_out, ours, verdict, gone) = pipe();
    let carry = async move {
        tunnel.carry(ours, &verdict, gone).await;
        drop(counted);
    };
    host.spawn("konnectivity.tunnel", Box::pin(carry)).detach();
    Ok(Box::new(handed_out))
}

type Failed = (&'static str, String);

async fn ask(
    host: &HostRef,
    stream: BoxedStream,
    target: &str,
    metrics: &Arc<Metrics>,
) -> Result<Tunnel, Failed> {
    let connection = Http2Connection::open(host, stream, KEEPALIVE).await;
    let connection = connection.map_err(|error| ("unknown", error.to_string()))?;
    let segment = |name| Segment { metrics: Arc::clone(metrics), name };
    let segments = Segments { out: segment("from_client"), incoming: segment("to_client") };
    let metadata = vec![(FLOW_METADATA, "0".to_owned())];
    let call = call::begin(connection, (&Origin::socket(), PROXY_METHOD), &metadata, segments);
    let (out, mut incoming) = call.map_err(|status| ("unknown", status.to_string()))?;
    let random = i64::try_from(host.entropy("konnectivity.tunnel").number() >> 1).unwrap_or(i64::MAX);
    let request = Packet::DialRequest { protocol: "tcp".to_owned(), address: target.to_owned(), random };
    let closed = || ("tunnelclosed", "tunnel closed".to_owned());
    out.send(request).map_err(|CallEnded| closed())?;
    loop {
        match incoming.next().await {
            Ok(Some(Packet::DialResponse { error, connect_id, random: answers })) if answers == random => {
                if !error.is_empty() {
                    return Err(("endpoint", error));
                }
                return Ok(Tunnel { out, incoming, connect_id });
            }
            Ok(Some(Packet::CloseDial { .. })) => return Err(("dialclosed", "dial closed".to_owned())),
            Ok(Some(_)) => {}
            Ok(None) => return Err(closed()),
            Err(status) => return Err(("tunnelclosed", format!("tunnel closed: {status}"))),
        }
    }
}

/// A call after its dial.
struct Tunnel {
    out: Outgoing,
    incoming: Incoming,
    connect_id: i64,
}

impl Tunnel {
    /// Carries bytes until the server closes the connection, or the stream that was handed out is gone.
    async fn carry(self, ours: DuplexStream, verdict: &Verdict, gone: oneshot::Receiver<()>) {
        let Self { out, mut incoming, connect_id } = self;
        // The head came with the answer to the dial.
        let ends_alone = incoming.known_head().and_then(window).is_some();
        let (from, to) = tokio::io::split(ours);
        let mut gone = pin!(async {
            let _ = gone.await;
        });
        {
            let mut up = pin!(upwards(from, &out, connect_id, ends_alone));
            let mut down = pin!(downwards(&mut incoming, to, connect_id, verdict));
            tokio::select! {
                biased;
                () = &mut down => return,
                () = &mut up => {
                    tokio::select! {
                        biased;
                        () = &mut down => return,
                        () = &mut gone => {}
                    }
                }
                () = &mut gone => {
                    let _ = timeout(CLOSE_TIMEOUT, &mut up).await;
                }
            }
        }
        let _ = out.send(Packet::CloseRequest { connect_id });
        let _ = timeout(CLOSE_TIMEOUT, closed(&mut incoming, connect_id)).await;
    }
}

/// From the stream to the server, until its end.
async fn upwards(mut from: ReadHalf<DuplexStream>, out: &Outgoing, connect_id: i64, ends_alone: bool) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(MAX_DATA_BYTES);
        match (&mut from).take(MAX_DATA_BYTES as u64).read_buf(&mut buffer).await {
            Ok(1..) => {
                if out.send_data(connect_id, buffer.split().freeze()).await.is_err() {
                    return;
                }
            }
            Ok(0) | Err(_) => break,
        }
    }
    if ends_alone {
        let _ = out.send(Packet::Eof { connect_id });
    }
}

/// From the server to the stream, until the connection is closed or nobody reads it.
async fn downwards(
    incoming: &mut Incoming,
    mut to: WriteHalf<DuplexStream>,
    connect_id: i64,
    verdict: &Verdict,
) {
    let mut wanted = true;
    loop {
        match incoming.next().await {
            Ok(Some(Packet::Data { connect_id: of, data, .. })) if of == connect_id && wanted => {
                wanted = to.write_all(&data).await.is_ok();
            }
            Ok(Some(Packet::Eof { connect_id: of })) if of == connect_id => {
                let _ = to.shutdown().await;
            }
            Ok(Some(Packet::CloseResponse { connect_id: of, error })) if of == connect_id => {
                if !error.is_empty() {
                    verdict.failed(&error);
                }
                return;
            }
            Ok(Some(_)) => {}
            Ok(None) => return verdict.failed("tunnel closed"),
            Err(status) => return verdict.failed(&format!("tunnel closed: {status}")),
        }
    }
}

/// Waits until the server has closed the connection.
async fn closed(incoming: &mut Incoming, connect_id: i64) {
    loop {
        match incoming.next().await {
            Ok(Some(Packet::CloseResponse { connect_id: of, .. })) if of == connect_id => return,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
}
