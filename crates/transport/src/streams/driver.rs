//! The task that moves the bytes of a session, and the handles through which others wait for it.

use super::StreamError;
use bytes::{Buf, Bytes};
use ravelin_host::{BoxedStream, HostRef};
use ravelin_stream::Session;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long nothing may pass over a connection (`streamingConnectionIdleTimeout`'s default).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(4 * 60 * 60);

/// How often Kubernetes' clients send pings (`pingPeriod` of client-go).
pub const PING_PERIOD: Duration = Duration::from_secs(5);

/// How long a peer that is pinged may send nothing at all (`pingReadDeadline` of client-go). A peer
/// that does not even take what is sent to it is given [`IDLE_TIMEOUT`]: it may be waiting for a
/// slow reader of its own.
pub const PING_TIMEOUT: Duration = Duration::from_secs(61);

/// How long what is still to be sent may take once a connection is closed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a closed connection waits for the peer to close too: bytes in flight are lost where a
/// connection is closed under them.
const LINGER: Duration = Duration::from_secs(2);

const READ_BYTES: usize = 32 * 1024;

/// How often one poll may go round before others get their turn.
const ROUNDS: usize = 32;

/// What somebody waits for at a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// Bytes, or the peer's answer to its being opened.
    Read,
    /// Room.
    Write,
    /// New streams, at stream 0.
    Accept,
    /// That all is sent, at stream 0.
    Sent,
    /// The end of the connection, at stream 0.
    Ended,
}

pub(super) struct State<S> {
    pub(super) session: S,
    /// Why the connection ended, once it has.
    pub(super) ended: Option<StreamError>,
    /// Everything was sent after the connection was closed.
    sent: bool,
    closing: bool,
    ping_every: Option<Duration>,
    waiting: BTreeMap<(u32, Side), Waker>,
    driver: Option<Waker>,
}

impl<S: Session> State<S> {
    fn wake_touched(&mut self) {
        let touched = self.session.take_touched();
        if touched.is_empty() {
            return;
        }
        self.wake(0, Side::Accept);
        for stream in touched {
            self.wake(stream, Side::Read);
            self.wake(stream, Side::Write);
        }
    }

    fn wake(&mut self, stream: u32, side: Side) {
        if let Some(waker) = self.waiting.remove(&(stream, side)) {
            waker.wake();
        }
    }

    fn wake_writers(&mut self) {
        for ((_, side), waker) in &self.waiting {
            if *side == Side::Write {
                waker.wake_by_ref();
            }
        }
        self.waiting.retain(|(_, side), _| *side != Side::Write);
    }

    fn wake_all(&mut self) {
        for waker in std::mem::take(&mut self.waiting).into_values() {
            waker.wake();
        }
    }

    fn kick(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }
}

type Shared<S> = Arc<Mutex<State<S>>>;

fn lock<S>(shared: &Shared<S>) -> MutexGuard<'_, State<S>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A hold on a connection. The connection ends when the last is dropped.
pub(super) struct Link<S: Session + 'static>(Arc<Hold<S>>);

impl<S: Session + 'static> Clone for Link<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Hold<S: Session + 'static>(Shared<S>);

impl<S: Session + 'static> Drop for Hold<S> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.session.abandon();
        state.closing = true;
        state.kick();
    }
}

impl<S: Session + 'static> Link<S> {
    /// Drives `session` over `stream` by a task of the host.
    pub(super) fn drive(host: &HostRef, stream: BoxedStream, session: S) -> Self {
        let state = State {
            session,
            ended: None,
            sent: false,
            closing: false,
            ping_every: None,
            waiting: BTreeMap::new(),
            driver: None,
        };
        let shared = Arc::new(Mutex::new(state));
        let driver = Driver::new(Arc::clone(&shared), stream);
        // It ends by itself once nobody holds the link.
        host.spawn("stream.connection", Box::pin(driver.run())).detach();
        Self(Arc::new(Hold(shared)))
    }

    /// Changes the session, which may have something to send then.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut S) -> T) -> T {
        let mut state = lock(&self.0.0);
        let result = change(&mut state.session);
        state.kick();
        result
    }

    /// Asks the session for something, or waits at this side of this stream.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        at: (u32, Side),
        ask: impl FnOnce(&mut State<S>) -> Poll<T>,
    ) -> Poll<T> {
        let mut state = lock(&self.0.0);
        let wanted = state.session.wants_input();
        let result = ask(&mut state);
        if result.is_pending() {
            state.waiting.insert(at, cx.waker().clone());
        } else if at.1 == Side::Write || !wanted {
            state.kick();
        }
        result
    }

    /// Sends pings from now on.
    pub(super) fn ping_every(&self, period: Duration) {
        let mut state = lock(&self.0.0);
        state.ping_every = Some(period);
        state.kick();
    }

    /// Waits until the connection has ended.
    pub(super) async fn ended(&self) {
        std::future::poll_fn(|cx| {
            self.poll(cx, (0, Side::Ended), |state| {
                if state.ended.is_some() { Poll::Ready(()) } else { Poll::Pending }
            })
        })
        .await;
    }

    /// Ends the connection in order, whoever still holds it, and waits until all is sent.
    pub(super) async fn close(&self) {
        {
            let mut state = lock(&self.0.0);
            state.session.close();
            state.closing = true;
            state.kick();
        }
        // The driver has its own deadline, so this ends.
        std::future::poll_fn(|cx| {
            self.poll(cx, (0, Side::Sent), |state| {
                if state.sent || state.ended.is_some() { Poll::Ready(()) } else { Poll::Pending }
            })
        })
        .await;
    }
}

struct Driver<S> {
    shared: Shared<S>,
    stream: BoxedStream,
    buffer: Box<[u8]>,
    sending: Bytes,
    unflushed: bool,
    shut_down: bool,
    /// Why it ends, once what is to be sent is sent.
    failed: Option<StreamError>,
    last_input: Instant,
    last_activity: Instant,
    timer: Pin<Box<Sleep>>,
    next_ping: Option<Instant>,
    /// When a closed connection is given up.
    give_up: Option<Instant>,
}

impl<S: Session> Driver<S> {
    fn new(shared: Shared<S>, stream: BoxedStream) -> Self {
        let now = Instant::now();
        Self {
            shared,
            stream,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            sending: Bytes::new(),
            unflushed: false,
            shut_down: false,
            failed: None,
            last_input: now,
            last_activity: now,
            timer: Box::pin(tokio::time::sleep_until(now + IDLE_TIMEOUT)),
            next_ping: None,
            give_up: None,
        }
    }

    async fn run(mut self) {
        let why = std::future::poll_fn(|cx| self.poll(cx)).await;
        let mut state = lock(&self.shared);
        state.session.receive_end();
        state.ended = Some(why);
        state.wake_all();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        for _ in 0..ROUNDS {
            let mut progress = match self.send(cx) {
                Ok(progress) => progress,
                Err(error) => return Poll::Ready(error),
            };
            match self.receive(cx) {
                Ok(more) => progress |= more,
                Err(error) => return Poll::Ready(error),
            }
            if let Poll::Ready(error) = self.end(cx) {
                return Poll::Ready(error);
            }
            if let Poll::Ready(error) = self.clock(cx) {
                return Poll::Ready(error);
            }
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what there is; was there progress?
    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, StreamError> {
        {
            let mut state = lock(&self.shared);
            state.driver = Some(cx.waker().clone());
            if self.sending.is_empty() {
                self.sending = state.session.transmit();
                if !self.sending.is_empty() {
                    state.wake_writers();
                }
            }
        }
        if self.shut_down {
            return Ok(false);
        }
        if !self.sending.is_empty() {
            return match Pin::new(&mut self.stream).poll_write(cx, &self.sending) {
                Poll::Ready(Ok(0)) => Err(StreamError::Lost),
                Poll::Ready(Ok(length)) => {
                    self.sending.advance(length);
                    self.unflushed = true;
                    self.last_activity = Instant::now();
                    Ok(true)
                }
                Poll::Ready(Err(error)) => Err(StreamError::Network(error.to_string())),
                Poll::Pending => Ok(false),
            };
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Err(StreamError::Network(error.to_string())),
                Poll::Pending => {}
            }
        }
        Ok(false)
    }

    /// Reads what the session wants; was there progress?
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, StreamError> {
        let wanted = lock(&self.shared).session.wants_input();
        // After all is sent, what still comes is only read to see its end.
        if self.failed.is_none() && !wanted && !self.shut_down {
            return Ok(false);
        }
        let mut buffer = ReadBuf::new(&mut self.buffer);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(error)) => return Err(StreamError::Network(error.to_string())),
            Poll::Ready(Ok(())) => {}
        }
        let length = buffer.filled().len();
        if length == 0 {
            return Err(self.failed.take().unwrap_or(StreamError::Lost));
        }
        self.last_input = Instant::now();
        self.last_activity = self.last_input;
        let mut state = lock(&self.shared);
        if self.failed.is_none()
            && wanted
            && let Err(violation) = state.session.receive(&mut self.buffer[..length])
        {
            self.failed = Some(violation.into());
        }
        state.wake_touched();
        Ok(true)
    }

    /// Ends a connection that is closed, over or failed, once all is sent.
    fn end(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        let (over, unsent) = {
            let state = lock(&self.shared);
            let over = state.session.is_over();
            if !state.closing && !over && self.failed.is_none() {
                return Poll::Pending;
            }
            (over, state.session.has_unsent())
        };
        let give_up = *self.give_up.get_or_insert_with(|| Instant::now() + CLOSE_TIMEOUT);
        if Instant::now() >= give_up {
            return Poll::Ready(self.failed.take().unwrap_or(StreamError::Lost));
        }
        if !self.shut_down {
            if unsent || !self.sending.is_empty() || self.unflushed {
                return Poll::Pending;
            }
            match Pin::new(&mut self.stream).poll_shutdown(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(_) => {
                    self.shut_down = true;
                    self.give_up = Some(Instant::now() + LINGER);
                    let mut state = lock(&self.shared);
                    state.sent = true;
                    state.wake(0, Side::Sent);
                    // The next round reads for the first time with nothing to send.
                    cx.waker().wake_by_ref();
                }
            }
        }
        if over { Poll::Ready(self.failed.take().unwrap_or(StreamError::Lost)) } else { Poll::Pending }
    }

    /// Pings, and ends a connection that is silent or idle.
    fn clock(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        let now = Instant::now();
        let (every, wanted) = {
            let state = lock(&self.shared);
            (state.ping_every.filter(|_| !state.closing), state.session.wants_input())
        };
        if now >= self.last_activity + IDLE_TIMEOUT {
            return Poll::Ready(StreamError::Idle);
        }
        if let Some(every) = every {
            let next = *self.next_ping.get_or_insert(now + every);
            if now >= next {
                self.next_ping = Some(now + every);
                // While the peer takes nothing, or we read nothing, its silence says nothing.
                if !self.sending.is_empty() || !wanted {
                    self.last_input = now;
                } else if now >= self.last_input + PING_TIMEOUT {
                    return Poll::Ready(StreamError::Silent);
                } else {
                    lock(&self.shared).session.ping();
                    cx.waker().wake_by_ref();
                }
            }
        }
        let idle = self.last_activity + IDLE_TIMEOUT;
        let next = [self.next_ping.filter(|_| every.is_some()), self.give_up].into_iter().flatten();
        let next = next.fold(idle, Instant::min);
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
