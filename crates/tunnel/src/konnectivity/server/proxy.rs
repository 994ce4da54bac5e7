//! Frontends by gRPC: `ProxyService/Proxy`, a call for each connection.

use super::super::call::{self, Incoming, MAX_DATA_BYTES, Outgoing, Segments};
use super::super::channels::{Channel, Received};
use super::super::metrics::{Counted, Segment};
use super::Shared;
use super::agents::{unknown_method, window};
use super::backend::{DialFailure, Established};
use async_trait::async_trait;
use bytes::Bytes;
use ravelin_stream::grpc::Status;
use ravelin_stream::konnectivity::{FLOW_METADATA, MAX_ADDRESS_BYTES, PROXY_METHOD, Packet};
use ravelin_transport::http2::holding;
use ravelin_transport::{Handler, PeerInfo, Request, Response};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// How long an agent may take to close a connection, as clients wait (`CloseTimeout`).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct ProxyService(pub(super) Arc<Shared>);

#[async_trait]
impl Handler for ProxyService {
    async fn handle(&self, request: Request, _peer: &PeerInfo) -> Response {
        if let Some(refusal) = call::refusal(&request) {
            return refusal;
        }
        if request.uri().path() != PROXY_METHOD {
            return call::failure(&unknown_method(request.uri().path()));
        }
        let shared = &self.0;
        let ends_alone = window(request.headers()).is_some();
        let segment = |name| Segment { metrics: Arc::clone(&shared.metrics), name };
        let segments = Segments { out: segment("to_client"), incoming: segment("from_client") };
        let (out, incoming, body) = call::taken(request.into_body(), segments);
        let counted = Counted::new(&shared.metrics, "grpc_connections", &[("service_method", "Proxy")]);
        let frontend = FrontendCall { shared: Arc::clone(shared), out, ends_alone, _counted: counted };
        let serving = shared.host.spawn("konnectivity.proxy", Box::pin(frontend.serve(incoming)));
        let flow = ends_alone.then(|| (FLOW_METADATA, "0".to_owned()));
        call::answer(holding(body, serving), &flow.into_iter().collect())
    }
}

/// One call of a frontend.
struct FrontendCall {
    shared: Arc<Shared>,
    out: Outgoing,
    /// Does the frontend know the end of a single direction?
    ends_alone: bool,
    _counted: Counted,
}

/// How the frontend's direction ended.
enum Left {
    /// It asked to close the connection, and waits until it is.
    Closing,
    /// It has gone.
    Gone,
    /// The connection has ended: the other direction knows how.
    Ended,
}

impl FrontendCall {
    async fn serve(self, mut incoming: Incoming) {
        if let Some(established) = self.dialled(&mut incoming).await {
            self.carry(&mut incoming, &established).await;
        }
        self.out.finish(Some(Status::ok()));
    }

    /// Waits for the request to dial, and has it dialled.
    async fn dialled(&self, incoming: &mut Incoming) -> Option<Established> {
        loop {
            match incoming.next().await.ok()?? {
                Packet::DialRequest { protocol, address, random } => {
                    return self.dial(incoming, (&protocol, &address), random).await;
                }
                Packet::Data { connect_id, .. } => {
                    self.close(connect_id, "backend not initialized");
                    return None;
                }
                Packet::CloseRequest { connect_id } => self.close(connect_id, "backend uninitialized"),
                _ => {}
            }
        }
    }

    async fn dial(
        &self,
        incoming: &mut Incoming,
        (protocol, address): (&str, &str),
        random: i64,
    ) -> Option<Established> {
        let refuse = |error: String| {
            let _ = self.out.send(Packet::DialResponse { error, connect_id: 0, random });
        };
        if address.len() > MAX_ADDRESS_BYTES {
            refuse("the address is too long".to_owned());
            return None;
        }
        let backend = match self.shared.choose(address) {
            Ok(backend) => backend,
            Err(none) => {
                refuse(none.to_string());
                return None;
            }
        };
        let mut dial =
            pin!(backend.dial((protocol, address), self.shared.random(), self.shared.backend_dial_timeout));
        let dialled = loop {
            tokio::select! {
                biased;
                dialled = &mut dial => break dialled,
                packet = incoming.next() => match packet {
                    Ok(Some(Packet::CloseDial { random: given_up })) if given_up != random => {}
                    Ok(Some(Packet::CloseDial { .. }) | None) | Err(_) => {
                        self.shared.failed_dial("frontend_close");
                        return None;
                    }
                    Ok(Some(_)) => {}
                },
            }
        };
        let failure = dialled.as_ref().err().map(|failure| failure as &dyn std::fmt::Display);
        self.shared.observe_dial(address, backend.agent_id(), failure);
        match dialled {
            Ok(established) => {
                let connect_id = established.channel.id();
                let response = Packet::DialResponse { error: String::new(), connect_id, random };
                if self.out.send(response).is_err() {
                    self.shared.failed_dial("send_rsp");
                    return None;
                }
                Some(established)
            }
            Err(DialFailure::Closed) => {
                let _ = self.out.send(Packet::CloseDial { random });
                None
            }
            Err(failure) => {
                refuse(failure.to_string());
                None
            }
        }
    }

    /// Carries packets both ways until the connection has ended.
    async fn carry(&self, incoming: &mut Incoming, established: &Established) {
        let channel = &established.channel;
        let mut up = pin!(self.upwards(incoming, channel));
        let mut down = pin!(self.downwards(channel));
        let left = tokio::select! {
            biased;
            () = &mut down => return,
            left = &mut up => left,
        };
        match left {
            Left::Gone => {}
            Left::Ended => down.await,
            Left::Closing => {
                established.ask_to_close();
                if tokio::time::timeout(CLOSE_TIMEOUT, &mut down).await.is_err() {
                    self.close(channel.id(), "close timeout");
                }
            }
        }
    }

    /// From the frontend to the agent.
    async fn upwards(&self, incoming: &mut Incoming, channel: &Channel) -> Left {
        let own = channel.id();
        loop {
            let packet = match incoming.next().await {
                Ok(Some(packet)) => packet,
                Ok(None) | Err(_) => return Left::Gone,
            };
            match packet {
                Packet::Data { connect_id: 0, .. } => {}
                // A frontend speaks for its own connection and no other.
                Packet::Data { connect_id, .. } | Packet::CloseRequest { connect_id }
                    if connect_id != own =>
                {
                    self.close(connect_id, "mismatched connection IDs");
                    self.close(own, "mismatched connection IDs");
                    return Left::Gone;
                }
                Packet::Data { data, .. } => {
                    let sent = channel.send(data).await;
                    if sent.is_err() {
                        return Left::Ended;
                    }
                }
                Packet::CloseRequest { .. } => return Left::Closing,
                Packet::Eof { connect_id } if connect_id == own => {
                    channel.send_eof();
                }
                _ => {}
            }
        }
    }

    /// From the agent to the frontend, to the connection's end.
    async fn downwards(&self, channel: &Channel) {
        loop {
            match channel.receive().await {
                Received::Data(data) => {
                    let forwarded = tokio::select! {
                        biased;
                        forwarded = self.forward(channel.id(), data) => forwarded,
                        // A frontend that takes nothing is not waited for once it is over.
                        ending = channel.abandoned() => return self.close(channel.id(), ending.error()),
                    };
                    if forwarded.is_err() {
                        return;
                    }
                }
                Received::Eof if self.ends_alone => {
                    let _ = self.out.send(Packet::Eof { connect_id: channel.id() });
                    let ending = channel.over().await;
                    return self.close(channel.id(), ending.error());
                }
                // As an original agent: the end of one direction closes both.
                Received::Eof => return self.close(channel.id(), ""),
                Received::Ended(ending) => return self.close(channel.id(), ending.error()),
            }
        }
    }

    async fn forward(&self, connect_id: i64, mut data: Bytes) -> Result<(), call::CallEnded> {
        let began = tokio::time::Instant::now();
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(MAX_DATA_BYTES));
            self.out.send_data(connect_id, piece).await?;
        }
        self.shared.metrics.observe("frontend_write_duration_seconds", began.elapsed());
        Ok(())
    }

    /// Tells the frontend that a connection is closed.
    fn close(&self, connect_id: i64, error: &str) {
        let _ = self.out.send(Packet::CloseResponse { error: error.to_owned(), connect_id });
    }
}
