//! The impostor stands between Konnectivity's agents and their server: an agent that takes it for the
//! server sends it whatever proves the agent to be one, and the impostor passes it on.
//!
//! It changes nothing: what is plain inside the tunnel it reads.

use super::Tactic;
use crate::field::{Field, Probe, STEP};
use crate::forge;
use crate::listen::{Heard, read};
use crate::notes::Notes;
use crate::target::{Konnectivity, Target, Transport};
use async_trait::async_trait;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use ravelin_host::{BoxedStream, Connection, Endpoint};
use ravelin_oracle::dissect::Secrets;
use ravelin_oracle::{Attempt, Property, Protection};
use ravelin_sim::{Divert, DivertGuard, Diverted};
use ravelin_transport::danger;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout, timeout_at};

/// How long agents get to come back that were cut off.
const REOPENING: Duration = Duration::from_secs(12);
/// How long the server gets to let agents in, through the impostor.
const SETTLING: Duration = Duration::from_secs(1);
const CHUNK_BYTES: usize = 16_384;
/// More of one direction is passed on and not read.
const MAX_RECORDED_BYTES: usize = 16 << 20;

/// What TLS between agent and server keeps from whoever is between them.
const AIMS: &[Property] = &[Property::RequestSecret, Property::ResponseSecret];

/// Standing between agents and server.
pub struct BetweenAgentAndServer;

#[async_trait(?Send)]
impl Tactic for BetweenAgentAndServer {
    fn name(&self) -> &'static str {
        "between-agent-and-server"
    }

    async fn run(&self, field: &Field, target: &Target, mut probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        let Transport::Konnectivity(tunnel) = &target.transport else { return notes.finish() };
        let rule = |to: &SocketAddr| Divert { sources: None, to: Some(to.ip()), port: Some(to.port()) };
        let guards: Vec<DivertGuard> =
            tunnel.servers.iter().map(|server| field.wire().divert(rule(server))).collect();
        let cut = field.cut(target).len();
        notes.tell(format!("cut {cut} agents off their server"));
        let lines = Lines { notes: &notes, tunnel, recorded: RefCell::default(), came: Cell::default() };
        let mut working: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        let opened = Instant::now() + REOPENING;
        while lines.came.get() < cut {
            if timeout_at(opened, lines.step(&mut working)).await.is_err() {
                break;
            }
        }
        let settled = Instant::now() + SETTLING;
        while timeout_at(settled, lines.step(&mut working)).await.is_ok() {}
        loop {
            tokio::select! {
                biased;
                () = &mut probe => break,
                () = lines.step(&mut working) => {}
            }
        }
        drop((working, guards));
        for learned in read(&lines.heard(), &Secrets::default(), field.now()) {
            notes.learned(&learned.flow, learned.bytes);
        }
        drop(lines);
        notes.finish()
    }
}

/// The connections between agents and servers that pass the impostor.
struct Lines<'a> {
    notes: &'a Notes<'a>,
    tunnel: &'a Konnectivity,
    recorded: RefCell<Vec<Heard>>,
    /// How many agents came.
    came: Cell<usize>,
}

/// Which of the two sides of a recorded connection.
#[derive(Clone, Copy)]
enum Way {
    ToServer,
    ToAgent,
}

impl<'a> Lines<'a> {
    /// Waits for something to happen.
    async fn step<'b>(&'b self, working: &mut FuturesUnordered<LocalBoxFuture<'b, ()>>) {
        let diverted = self.notes.field().wire().diverted();
        tokio::select! {
            biased;
            _ = working.next(), if !working.is_empty() => {}
            taken = diverted.accept() => match taken {
                Ok(taken) => working.push(Box::pin(self.serve(taken))),
                Err(_) => std::future::pending().await,
            }
        }
    }

    fn heard(&self) -> Vec<Heard> {
        self.recorded.borrow().clone()
    }

    async fn serve(&self, taken: Diverted) {
        let (field, to) = (self.notes.field(), taken.original);
        let flow = format!("{} > {to} (the impostor)", taken.source);
        let heard = Heard {
            client: taken.source,
            server: to,
            opened_at: field.now(),
            from_client: Vec::new(),
            from_server: Vec::new(),
        };
        let Some(agent) = self.accept(&flow, taken).await else {
            self.came.set(self.came.get() + 1);
            return;
        };
        self.came.set(self.came.get() + 1);
        let Some(server) = self.connect(to).await else { return };
        let number = self.recorded.borrow().len();
        self.recorded.borrow_mut().push(heard);
        let (agent_reads, agent_writes) = tokio::io::split(agent);
        let (server_reads, server_writes) = tokio::io::split(server);
        let up = self.pass((agent_reads, server_writes), (number, Way::ToServer));
        let down = self.pass((server_reads, agent_writes), (number, Way::ToAgent));
        let (_, ended) = tokio::join!(biased; up, down);
        let answered = !self.recorded.borrow()[number].from_server.is_empty();
        if let (Err(error), false) = (ended, answered) {
            let text = format!("an agent's words without its certificate: {error}");
            self.notes.refused(&field.flow(to), Protection::AgentCredential, text, AIMS);
        }
    }

    /// Ends the agent's TLS.
    async fn accept(&self, flow: &str, taken: Diverted) -> Option<BoxedStream> {
        let field = self.notes.field();
        let (local, peer) = (Endpoint::Tcp(taken.original), Endpoint::Tcp(taken.source));
        let connection = Connection { stream: taken.connection.stream, local, peer };
        let identity = forge::tunnel_server(field, self.tunnel);
        match danger::accept_http2(field.host(), identity, connection).await {
            Ok(secured) => {
                self.notes.tell(format!("{flow}: the agent accepted the forged certificate"));
                Some(secured.stream)
            }
            Err(alerted) if alerted.by_peer => {
                let text = format!("the agent refused the certificate: {}", alerted.alert);
                self.notes.refused(flow, Protection::TunnelServer, text, AIMS);
                None
            }
            Err(alerted) => {
                self.notes.tell(format!("{flow}: no handshake: {}", alerted.alert));
                None
            }
        }
    }

    /// A connection to the genuine server, in nobody's name.
    async fn connect(&self, to: SocketAddr) -> Option<BoxedStream> {
        let field = self.notes.field();
        let connection = field.connect(to).await.ok()?;
        let name = to.ip().to_string();
        let secured = danger::connect_http2(field.host(), connection.stream, &name, None);
        Some(timeout(STEP, secured).await.ok()?.ok()?.stream)
    }

    async fn pass(
        &self,
        (mut from, mut to): (ReadHalf<BoxedStream>, WriteHalf<BoxedStream>),
        (number, way): (usize, Way),
    ) -> io::Result<()> {
        let mut buffer = [0; CHUNK_BYTES];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return to.shutdown().await;
            }
            self.record((number, way), &buffer[..count]);
            to.write_all(&buffer[..count]).await?;
            to.flush().await?;
        }
    }

    fn record(&self, (number, way): (usize, Way), bytes: &[u8]) {
        let mut recorded = self.recorded.borrow_mut();
        let side = match way {
            Way::ToServer => &mut recorded[number].from_client,
            Way::ToAgent => &mut recorded[number].from_server,
        };
        let room = MAX_RECORDED_BYTES.saturating_sub(side.len()).min(bytes.len());
        side.extend_from_slice(&bytes[..room]);
    }
}
