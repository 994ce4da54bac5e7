//! One server: the call to it, and what it asks for (`pkg/agent/client.go`).

use super::super::call::{self, Incoming, Metadata, Origin, Outgoing, Segments};
use super::super::channels::{Channels, MAX_CONNECTIONS, WINDOW_BYTES};
use super::super::metrics::{Metrics, Segment};
use super::super::server::window;
use super::Shared;
use super::endpoint::{self, Asked, Reach};
use ravelin_host::{BoxedStream, HostRef, Task};
use ravelin_stream::grpc::{Status, code};
use ravelin_stream::konnectivity::{
    AGENT_ID, AGENT_IDENTIFIERS, CONNECT_METHOD, FLOW_METADATA, MAX_ADDRESS_BYTES, Packet, SERVER_COUNT,
    SERVER_ID,
};
use ravelin_transport::http2::Http2Connection;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What an agent says of itself.
pub(in super::super) struct Pose {
    pub(in super::super) agent_id: String,
    /// Encoded.
    pub(in super::super) identifiers: String,
    pub(in super::super) token: Option<String>,
    /// Whom it takes the server for.
    pub(in super::super) origin: Origin,
}

/// A call that the server has taken.
pub(in super::super) struct Opened {
    pub(in super::super) server_id: String,
    pub(in super::super) server_count: u32,
    pub(in super::super) out: Outgoing,
    incoming: Incoming,
    connection: Http2Connection,
    granted: Option<u64>,
}

/// Asks a server, over a stream on which TLS is established, to be taken for an agent.
pub(in super::super) async fn open(
    host: &HostRef,
    stream: BoxedStream,
    pose: &Pose,
    (metrics, keepalive): (&Arc<Metrics>, Duration),
) -> Result<Opened, Status> {
    let unavailable = |error: &dyn std::fmt::Display| {
        Status::new(code::UNAVAILABLE, format!("connection error: desc = \"{error}\""))
    };
    let connection = Http2Connection::open(host, stream, keepalive).await;
    let connection = connection.map_err(|error| unavailable(&error))?;
    let mut metadata: Metadata = vec![
        (AGENT_ID, pose.agent_id.clone()),
        (AGENT_IDENTIFIERS, pose.identifiers.clone()),
        (FLOW_METADATA, WINDOW_BYTES.to_string()),
    ];
    if let Some(token) = &pose.token {
        metadata.push(("authorization", format!("Bearer {token}")));
    }
    let segment = |name| Segment { metrics: Arc::clone(metrics), name };
    let segments = Segments { out: segment("from_agent"), incoming: segment("to_agent") };
    let (out, mut incoming) =
        call::begin(connection.clone(), (&pose.origin, CONNECT_METHOD), &metadata, segments)?;
    let head = incoming.head().await?;
    let values = |name| -> Vec<String> {
        let all = head.get_all(name).iter();
        all.map(|value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned()).collect()
    };
    let wrong = |what: String| Status::new(code::UNKNOWN, what);
    let ids = values(SERVER_ID);
    let [server_id] = &ids[..] else {
        return Err(wrong(format!("expected one server ID in the context, got [{}]", ids.join(" "))));
    };
    let counts = values(SERVER_COUNT);
    let [count] = &counts[..] else {
        return Err(wrong(format!("expected one server count, got {}", counts.len())));
    };
    let server_count = count.parse().map_err(|_| wrong(format!("{count:?} is no server count")))?;
    let (server_id, granted) = (server_id.clone(), window(head));
    Ok(Opened { server_id, server_count, out, incoming, connection, granted })
}

/// A session as others see it; it ends when this is dropped.
pub(super) struct SessionHandle {
    out: Outgoing,
    address: SocketAddr,
    task: Task,
}

impl SessionHandle {
    pub(super) fn new(out: Outgoing, address: SocketAddr, task: Task) -> Self {
        Self { out, address, task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn drain(&self) {
        let _ = self.out.send(Packet::Drain);
    }

    /// The session's own task ends by itself.
    pub(super) fn finished(self) {
        self.task.detach();
    }
}

/// Serves a server until it has gone, or its connection; says why.
pub(super) async fn serve(shared: &Shared, opened: Opened) -> String {
    let config = &shared.config;
    let session = Session::new(&shared.host, &opened, Reach::Network, &shared.metrics);
    session.serve(opened, config.probe_interval).await
}

/// The connections of one server.
pub(in super::super) struct Session {
    host: HostRef,
    channels: Arc<Channels>,
    reach: Reach,
    metrics: Arc<Metrics>,
}

impl Session {
    pub(in super::super) fn new(
        host: &HostRef,
        opened: &Opened,
        reach: Reach,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let channels = Channels::new(opened.out.clone(), opened.granted);
        Self { host: Arc::clone(host), channels, reach, metrics: Arc::clone(metrics) }
    }

    /// Takes packets until the call has ended; all its connections end with it. It never waits for
    /// one of them.
    pub(in super::super) async fn serve(self, opened: Opened, probe_interval: Duration) -> String {
        let Opened { mut incoming, connection, .. } = opened;
        let mut endpoints = Endpoints::default();
        let mut probe = tokio::time::interval(probe_interval.max(Duration::from_millis(1)));
        let why = loop {
            tokio::select! {
                biased;
                packet = incoming.next() => match packet {
                    Ok(Some(packet)) => self.take(packet, &mut endpoints),
                    Ok(None) => break "the server has ended the call".to_owned(),
                    Err(status) => break status.to_string(),
                },
                _ = probe.tick() => if !connection.is_open() {
                    break "the connection has ended".to_owned();
                },
            }
        };
        let failed = [("direction", "from_server")];
        self.metrics.add("server_connection_failure_count", &failed, 1);
        self.channels.end(&why);
        why
    }

    fn take(&self, packet: Packet, endpoints: &mut Endpoints) {
        match packet {
            Packet::DialRequest { protocol, address, random } => {
                self.dial((protocol, address), random, endpoints);
            }
            Packet::Data { connect_id, data, .. } => {
                let known = connect_id == 0 || self.channels.data(connect_id, data);
                self.unless(known, connect_id, "unrecognized connectID");
            }
            Packet::CloseRequest { connect_id } => {
                let known = self.channels.close(connect_id, String::new());
                self.unless(known, connect_id, "Unknown connectID");
            }
            Packet::CloseDial { random } => endpoints.give_up(random),
            Packet::Credit { connect_id, bytes } => drop(self.channels.credit(connect_id, bytes)),
            Packet::Eof { connect_id } => drop(self.channels.eof(connect_id)),
            // Nothing that a server says.
            _ => {}
        }
    }

    fn dial(&self, (protocol, address): (String, String), random: i64, endpoints: &mut Endpoints) {
        let refuse = |error: &str| {
            let error = error.to_owned();
            let _ = self.channels.out().send(Packet::DialResponse { error, connect_id: 0, random });
        };
        if address.len() > MAX_ADDRESS_BYTES {
            return refuse("the address is too long");
        }
        endpoints.forget_ended();
        if endpoints.tasks.len() >= MAX_CONNECTIONS {
            return refuse("too many connections");
        }
        endpoints.last += 1;
        let asked = Asked { protocol, address, random, connect_id: endpoints.last };
        let serving = endpoint::serve(
            Arc::clone(&self.host),
            (Arc::clone(&self.channels), self.reach.clone()),
            asked,
            Arc::clone(&self.metrics),
        );
        let task = self.host.spawn("konnectivity.endpoint", Box::pin(serving));
        endpoints.tasks.insert(endpoints.last, (random, task));
    }

    /// Says of a connection that nobody knows that it is closed.
    fn unless(&self, known: bool, connect_id: i64, error: &str) {
        if known {
            return;
        }
        let _ = self.channels.out().send(Packet::CloseResponse { error: error.to_owned(), connect_id });
    }
}

/// The tasks of the connections, which end with this.
#[derive(Default)]
struct Endpoints {
    /// By the connection's number; with each the dial that it answers.
    tasks: BTreeMap<i64, (i64, Task)>,
    last: i64,
    /// How many there may be before the next look for ended ones.
    before_next_look: usize,
}

impl Endpoints {
    fn forget_ended(&mut self) {
        const LOOKED_AT: usize = 64;
        if self.tasks.len() >= self.before_next_look {
            self.tasks.retain(|_, (_, task)| !task.is_finished());
            self.before_next_look = self.tasks.len() * 2 + LOOKED_AT;
        }
        self.before_next_look = self.before_next_look.min(MAX_CONNECTIONS);
    }

    /// Gives a dial up, if nothing came of it yet: a connection is closed by its number.
    fn give_up(&mut self, random: i64) {
        self.tasks.retain(|_, (dial, _)| *dial != random);
    }
}
