//! One agent that is connected.

use super::super::channels::{Channel, Channels, Ending};
use super::super::metrics::{Counted, Metrics};
use ravelin_stream::konnectivity::{AgentIdentifiers, Packet};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The most dials of one agent that wait for an answer.
const MAX_PENDING: usize = 4096;

/// Why a dial did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DialFailure {
    /// The agent could not reach the target, in its words.
    #[error("{0}")]
    Endpoint(String),
    /// The agent gave the dial up (`DIAL_CLS`).
    #[error("dial closed")]
    Closed,
    /// It did not answer in time (`errBackendDialTimeout`).
    #[error("timed out waiting for backend dial")]
    Timeout,
    /// It has gone.
    #[error("{0}")]
    Gone(String),
}

impl DialFailure {
    /// The reason in `dial_failure_count`.
    fn reason(&self) -> &'static str {
        match self {
            Self::Endpoint(_) => "error_response",
            Self::Timeout => "backend_dial_timeout",
            Self::Closed | Self::Gone(_) => "backend_close",
        }
    }
}

type Answer = oneshot::Sender<Result<Established, DialFailure>>;

#[derive(Default)]
struct Pending {
    dials: BTreeMap<i64, Answer>,
    over: Option<String>,
}

/// An agent that is connected.
pub(super) struct Backend {
    agent_id: String,
    identifiers: AgentIdentifiers,
    channels: Arc<Channels>,
    draining: AtomicBool,
    pending: Mutex<Pending>,
    metrics: Arc<Metrics>,
}

impl Backend {
    pub(super) fn new(
        agent_id: String,
        identifiers: AgentIdentifiers,
        channels: Arc<Channels>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            agent_id,
            identifiers,
            channels,
            draining: AtomicBool::new(false),
            pending: Mutex::default(),
            metrics,
        })
    }

    pub(super) fn agent_id(&self) -> &str {
        &self.agent_id
    }

    pub(super) fn identifiers(&self) -> &AgentIdentifiers {
        &self.identifiers
    }

    /// Is it about to stop?
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// How many connections it has open.
    pub(super) fn established(&self) -> usize {
        self.channels.len()
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the agent for a connection. Giving up on this tells it so. `random` must not be in use.
    pub(super) async fn dial(
        &self,
        (protocol, address): (&str, &str),
        random: i64,
        limit: Option<Duration>,
    ) -> Result<Established, DialFailure> {
        let began = Instant::now();
        let result = self.ask((protocol, address), random, limit).await;
        match &result {
            Ok(_) => self.metrics.observe("dial_duration_seconds", began.elapsed()),
            Err(failure) => self.metrics.add("dial_failure_count", &[("reason", failure.reason())], 1),
        }
        result
    }

    async fn ask(
        &self,
        (protocol, address): (&str, &str),
        random: i64,
        limit: Option<Duration>,
    ) -> Result<Established, DialFailure> {
        let (answer, mut answered) = oneshot::channel();
        {
            let mut pending = self.pending();
            if let Some(why) = &pending.over {
                return Err(DialFailure::Gone(why.clone()));
            }
            if pending.dials.len() >= MAX_PENDING || pending.dials.contains_key(&random) {
                return Err(DialFailure::Gone("too many dials wait for this agent".to_owned()));
            }
            pending.dials.insert(random, answer);
        }
        let _counted = Counted::new(&self.metrics, "pending_backend_dials", &[]);
        let forgotten = Forgotten { backend: self, random };
        let request =
            Packet::DialRequest { protocol: protocol.to_owned(), address: address.to_owned(), random };
        let gone = |_| DialFailure::Gone("the agent's connection has ended".to_owned());
        self.channels.out().send(request).map_err(|_| gone(()))?;
        let result = match limit {
            None => (&mut answered).await.map_err(|_| gone(())),
            Some(limit) => match tokio::time::timeout(limit, &mut answered).await {
                Ok(result) => result.map_err(|_| gone(())),
                Err(_) => Err(DialFailure::Timeout),
            },
        };
        drop(forgotten);
        result?
    }

    /// Takes a packet of the agent.
    pub(super) fn take(self: &Arc<Self>, packet: Packet) {
        match packet {
            Packet::DialResponse { error, connect_id, random } => self.answered(error, connect_id, random),
            Packet::CloseDial { random } => {
                if let Some(answer) = self.pending().dials.remove(&random) {
                    let _ = answer.send(Err(DialFailure::Closed));
                }
            }
            Packet::Data { connect_id, data, .. } => {
                let known = connect_id == 0 || self.channels.data(connect_id, data);
                if !known {
                    self.close(connect_id);
                }
            }
            Packet::CloseResponse { error, connect_id } => drop(self.channels.close(connect_id, error)),
            Packet::Credit { connect_id, bytes } => drop(self.channels.credit(connect_id, bytes)),
            Packet::Eof { connect_id } => drop(self.channels.eof(connect_id)),
            Packet::Drain => self.draining.store(true, Ordering::Relaxed),
            // Nothing that an agent says.
            _ => {}
        }
    }

    fn answered(self: &Arc<Self>, error: String, connect_id: i64, random: i64) {
        let answer = self.pending().dials.remove(&random);
        let Some(answer) = answer else {
            let reason = [("reason", "unrecognized_response")];
            self.metrics.add("dial_failure_count", &reason, 1);
            if connect_id != 0 {
                self.close(connect_id);
            }
            return;
        };
        let result = if error.is_empty() {
            match self.channels.open(connect_id) {
                Some(channel) => Ok(Established {
                    channel,
                    backend: Arc::clone(self),
                    began: Instant::now(),
                    _counted: Counted::new(&self.metrics, "established_connections", &[]),
                }),
                None => Err(DialFailure::Endpoint("the agent gave a wrong connection id".to_owned())),
            }
        } else {
            Err(DialFailure::Endpoint(error))
        };
        // Whoever gave up meanwhile drops what it got, and with it closes the connection.
        let _ = answer.send(result);
    }

    fn close(&self, connect_id: i64) {
        let _ = self.channels.out().send(Packet::CloseRequest { connect_id });
    }

    /// The agent has gone: all its dials fail, and all its connections.
    pub(super) fn end(&self, why: &str) {
        let waiting = {
            let mut pending = self.pending();
            pending.over.get_or_insert_with(|| why.to_owned());
            std::mem::take(&mut pending.dials)
        };
        for answer in waiting.into_values() {
            let _ = answer.send(Err(DialFailure::Gone(why.to_owned())));
        }
        self.channels.end(why);
    }
}

/// Takes a dial back that nobody waits for any more.
struct Forgotten<'a> {
    backend: &'a Backend,
    random: i64,
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        if self.backend.pending().dials.remove(&self.random).is_some() {
            let _ = self.backend.channels.out().send(Packet::CloseDial { random: self.random });
        }
    }
}

/// A connection through an agent. Dropping it closes it there, unless the agent has.
pub(super) struct Established {
    pub(super) channel: Channel,
    backend: Arc<Backend>,
    began: Instant,
    _counted: Counted,
}

impl Established {
    /// Asks the agent to close it, which it answers with the connection's end.
    pub(super) fn ask_to_close(&self) {
        if !matches!(self.channel.ending(), Some(Ending::ByPeer(_))) {
            self.backend.close(self.channel.id());
        }
    }

    /// The agent that it goes through.
    pub(super) fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }
}

impl Drop for Established {
    fn drop(&mut self) {
        self.backend.metrics.observe("connection_duration_seconds", self.began.elapsed());
        self.ask_to_close();
    }
}
