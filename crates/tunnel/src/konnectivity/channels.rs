//! The connections of one call, at either of its ends.
//!
//! The call is read without ever waiting for a connection's reader, so that a slow one holds up nobody.
//! What it does not take yet waits here. Between two of ours each connection has a window
//! ([`WINDOW_BYTES`]), so that a sender waits for a slow reader. The originals' protocol has none:
//! there, a reader may fall behind by [`MAX_BEHIND_BYTES`], then its connection is closed, and no other.
//! Where all connections of a call together hold more than [`MAX_HELD_BYTES`], the one that holds most
//! is closed.

use super::call::{CallEnded, MAX_DATA_BYTES, Outgoing};
use bytes::Bytes;
use ravelin_stream::konnectivity::Packet;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What may be under way on one connection, each way, between two of ours.
pub(super) const WINDOW_BYTES: u64 = 512 * 1024;
/// How far a reader may fall behind where there are no windows.
const MAX_BEHIND_BYTES: usize = 64 * 1024 * 1024;
/// What all connections of a call may hold together.
const MAX_HELD_BYTES: usize = 256 * 1024 * 1024;
/// The most connections of a call.
pub(super) const MAX_CONNECTIONS: usize = 16 * 1024;
/// How long a reader may take nothing of what came before the peer closed a connection.
const LINGER: Duration = Duration::from_secs(10);
/// What an error says where a reader fell too far behind.
const TOO_SLOW: &str = "the reader of this connection is too slow";

/// Why a connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The peer closed it, with an error or without.
    ByPeer(String),
    /// We did, or the call has ended.
    Failed(String),
}

impl Ending {
    /// What went wrong; empty for nothing.
    pub(super) fn error(&self) -> &str {
        match self {
            Self::ByPeer(error) | Self::Failed(error) => error,
        }
    }
}

/// What comes out of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Bytes.
    Data(Bytes),
    /// No more bytes will come; the other direction goes on.
    Eof,
    /// It is over.
    Ended(Ending),
}

/// The connections of a call.
pub(super) struct Channels {
    out: Outgoing,
    /// The window that the peer grants at the beginning of each connection, where it grants windows.
    granted: Option<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: BTreeMap<i64, Connection>,
    held: usize,
    over: Option<String>,
}

struct Connection {
    waiting: VecDeque<Bytes>,
    held: usize,
    eof: bool,
    ending: Option<Ending>,
    /// How many bytes may be sent; without windows it is not looked at.
    budget: u64,
    /// How many bytes were read and not granted anew yet.
    read: u64,
    wakers: Arc<Wakers>,
}

#[derive(Default)]
struct Wakers {
    readable: Notify,
    writable: Notify,
    abandoned: Notify,
}

impl Channels {
    pub(super) fn new(out: Outgoing, granted: Option<u64>) -> Arc<Self> {
        Arc::new(Self { out, granted, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the peer know windows, and ends of single directions?
    pub(super) fn has_flow(&self) -> bool {
        self.granted.is_some()
    }

    /// The call's sending half.
    pub(super) fn out(&self) -> &Outgoing {
        &self.out
    }

    /// How many connections are open.
    pub(super) fn len(&self) -> usize {
        self.state().connections.len()
    }

    /// Begins a connection; `None` where the number is taken or there are too many.
    pub(super) fn open(self: &Arc<Self>, id: i64) -> Option<Channel> {
        let mut state = self.state();
        let taken = state.connections.contains_key(&id) || id == 0;
        if taken || state.over.is_some() || state.connections.len() >= MAX_CONNECTIONS {
            return None;
        }
        let wakers = Arc::<Wakers>::default();
        let connection = Connection {
            waiting: VecDeque::new(),
            held: 0,
            eof: false,
            ending: None,
            budget: self.granted.unwrap_or(0),
            read: 0,
            wakers: Arc::clone(&wakers),
        };
        state.connections.insert(id, connection);
        Some(Channel { id, channels: Arc::clone(self), wakers })
    }

    /// Bytes have come. `false` where there is no such connection.
    pub(super) fn data(&self, id: i64, data: Bytes) -> bool {
        let mut state = self.state();
        let Some(connection) = state.connections.get_mut(&id) else { return false };
        if connection.ending.is_some() || connection.eof || data.is_empty() {
            return true;
        }
        let length = data.len();
        connection.held += length;
        connection.waiting.push_back(data);
        connection.wakers.readable.notify_one();
        let behind = connection.held;
        let allowed = match self.granted {
            // A peer that overruns its window does not keep to what it said.
            Some(_) => usize::try_from(WINDOW_BYTES).unwrap_or(usize::MAX),
            None => MAX_BEHIND_BYTES,
        };
        state.held += length;
        if behind > allowed {
            state.fail(id, TOO_SLOW);
        } else if state.held > MAX_HELD_BYTES {
            let most = state.connections.iter().max_by_key(|(_, connection)| connection.held);
            if let Some(id) = most.map(|(id, _)| *id) {
                state.fail(id, TOO_SLOW);
            }
        }
        true
    }

    /// The peer will send no more bytes of a connection.
    pub(super) fn eof(&self, id: i64) -> bool {
        self.change(id, |connection| connection.eof = true)
    }

    /// The peer takes more bytes of a connection.
    pub(super) fn credit(&self, id: i64, bytes: u64) -> bool {
        // No peer has read more than was sent to it.
        let most = self.granted.unwrap_or(0);
        self.change(id, |connection| connection.budget = connection.budget.saturating_add(bytes).min(most))
    }

    /// The peer has closed a connection. What it sent before is still to be read.
    pub(super) fn close(&self, id: i64, error: String) -> bool {
        self.change(id, |connection| {
            connection.ending.get_or_insert(Ending::ByPeer(error));
        })
    }

    /// The call is over, and all connections with it.
    pub(super) fn end(&self, why: &str) {
        let mut state = self.state();
        state.over.get_or_insert_with(|| why.to_owned());
        for connection in state.connections.values_mut() {
            connection.ending.get_or_insert(Ending::Failed(why.to_owned()));
            connection.wake();
        }
    }

    fn change(&self, id: i64, change: impl FnOnce(&mut Connection)) -> bool {
        let mut state = self.state();
        let Some(connection) = state.connections.get_mut(&id) else { return false };
        change(connection);
        connection.wake();
        true
    }
}

impl State {
    /// Gives a connection up, and what it holds.
    fn fail(&mut self, id: i64, why: &str) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        self.held -= connection.held;
        connection.held = 0;
        connection.waiting.clear();
        connection.ending = Some(Ending::Failed(why.to_owned()));
        connection.wake();
    }
}

impl Connection {
    fn wake(&self) {
        self.wakers.readable.notify_one();
        self.wakers.writable.notify_one();
        self.wakers.abandoned.notify_one();
    }
}

/// One connection. It is forgotten when this is dropped; closing it is for its owner.
pub(super) struct Channel {
    id: i64,
    channels: Arc<Channels>,
    wakers: Arc<Wakers>,
}

impl Channel {
    /// Its number.
    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// What comes next. Waiting can be given up and begun again, by one task at a time.
    pub(super) async fn receive(&self) -> Received {
        loop {
            if let Some(received) = self.poll() {
                return received;
            }
            self.wakers.readable.notified().await;
        }
    }

    fn poll(&self) -> Option<Received> {
        let mut state = self.channels.state();
        let Some(connection) = state.connections.get_mut(&self.id) else {
            return Some(Received::Ended(Ending::Failed("connection is closed".to_owned())));
        };
        if let Some(data) = connection.waiting.pop_front() {
            let length = data.len();
            connection.held -= length;
            connection.read += length as u64;
            let granted = connection.read;
            // Small grants would be a packet for each packet.
            let grants = self.channels.has_flow() && granted >= WINDOW_BYTES / 2;
            if grants {
                connection.read = 0;
            }
            state.held -= length;
            drop(state);
            if grants {
                let _ = self.channels.out.send(Packet::Credit { connect_id: self.id, bytes: granted });
            }
            return Some(Received::Data(data));
        }
        if let Some(ending) = &connection.ending {
            return Some(Received::Ended(ending.clone()));
        }
        connection.eof.then_some(Received::Eof)
    }

    /// How it ended, if it has, whatever still waits to be read.
    pub(super) fn ending(&self) -> Option<Ending> {
        match self.channels.state().connections.get(&self.id) {
            Some(connection) => connection.ending.clone(),
            None => Some(Ending::Failed("connection is closed".to_owned())),
        }
    }

    /// Waits until it is over, for the task that sends.
    pub(super) async fn ended(&self) -> Ending {
        loop {
            if let Some(ending) = self.ending() {
                return ending;
            }
            self.wakers.writable.notified().await;
        }
    }

    /// Waits until it is over, for the task that receives and has seen [`Received::Eof`].
    pub(super) async fn over(&self) -> Ending {
        loop {
            if let Some(ending) = self.ending() {
                return ending;
            }
            self.wakers.readable.notified().await;
        }
    }

    /// Waits until nobody need wait any more for a reader that takes nothing, for the task that
    /// receives: the connection failed, or the peer closed it [`LINGER`] ago.
    pub(super) async fn abandoned(&self) -> Ending {
        loop {
            match self.ending() {
                Some(failed @ Ending::Failed(_)) => return failed,
                Some(closed @ Ending::ByPeer(_)) => {
                    tokio::time::sleep(LINGER).await;
                    return closed;
                }
                None => self.wakers.abandoned.notified().await,
            }
        }
    }

    /// Sends bytes, once the peer takes them; by one task at a time.
    ///
    /// # Errors
    /// Where the connection or the call has ended.
    pub(super) async fn send(&self, mut data: Bytes) -> Result<(), Ending> {
        while !data.is_empty() {
            let may = self.allowance(data.len().min(MAX_DATA_BYTES)).await?;
            let piece = data.split_to(may);
            let sent = self.channels.out.send_data(self.id, piece).await;
            sent.map_err(|CallEnded| Ending::Failed("the call has ended".to_owned()))?;
        }
        Ok(())
    }

    /// Takes up to `wanted` bytes of the budget.
    async fn allowance(&self, wanted: usize) -> Result<usize, Ending> {
        loop {
            {
                let mut state = self.channels.state();
                let Some(connection) = state.connections.get_mut(&self.id) else {
                    return Err(Ending::Failed("connection is closed".to_owned()));
                };
                if let Some(ending) = &connection.ending {
                    return Err(ending.clone());
                }
                if self.channels.granted.is_none() {
                    return Ok(wanted);
                }
                let may = wanted.min(usize::try_from(connection.budget).unwrap_or(usize::MAX));
                if may > 0 {
                    connection.budget -= may as u64;
                    return Ok(may);
                }
            }
            self.wakers.writable.notified().await;
        }
    }

    /// Tells the peer that no more bytes will be sent. `false` where its protocol cannot say it.
    pub(super) fn send_eof(&self) -> bool {
        self.channels.has_flow() && self.channels.out.send(Packet::Eof { connect_id: self.id }).is_ok()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let mut state = self.channels.state();
        if let Some(connection) = state.connections.remove(&self.id) {
            state.held -= connection.held;
        }
    }
}
