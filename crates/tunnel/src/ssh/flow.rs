//! What waits for one channel's reader, so that it holds up nobody else.
//!
//! All channels of a session share one connection, and russh grants a channel more window when bytes
//! arrive, not when they are read: a reader that stops reading would in the end stop the session. So
//! what it has not read waits here, and the other end is asked to pause this one channel and, later, to
//! go on ([`Side`]). Our own ends heed that, as long as it takes. OpenSSH does not know the request and
//! ignores it: once [`CUSHION_BYTES`] wait, such a channel's reader has [`MAX_STALL`] to go on, or its
//! channel is closed, and the others live.

use bytes::Bytes;
use russh::{ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig, client, server};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

/// How long one channel's reader may hold up all others.
pub(super) const MAX_STALL: Duration = Duration::from_secs(60);
/// What may wait for one channel's reader without holding up others.
const CUSHION_BYTES: usize = 16 * 1024 * 1024;
/// With more than this waiting, the other end is asked to pause.
const PAUSE_BYTES: usize = 2 * 1024 * 1024;
/// With less, to go on.
const RESUME_BYTES: usize = 512 * 1024;

/// The names of both requests, as signals (RFC 4254 section 6.9; names of one's own have an `@`).
const PAUSE_SIGNAL: &str = "STOP@ravelin.dev";
const RESUME_SIGNAL: &str = "CONT@ravelin.dev";
/// The same as exit statuses: a server has no signals to send. No forwarded connection has one.
const PAUSE_STATUS: u32 = 0x5354_4f50;
const RESUME_STATUS: u32 = 0x434f_4e54;

/// An end of a session: how it asks the other to pause a channel, or to go on.
pub(crate) trait Side: From<(ChannelId, ChannelMsg)> + Send + Sync + Sized + 'static {
    /// Asks; where the session has ended, nobody is there to hear.
    fn ask(to: &ChannelWriteHalf<Self>, pause: bool) -> impl Future<Output = ()> + Send;
}

impl Side for client::Msg {
    async fn ask(to: &ChannelWriteHalf<Self>, pause: bool) {
        let name = if pause { PAUSE_SIGNAL } else { RESUME_SIGNAL };
        let _ = to.signal(Sig::Custom(name.to_owned())).await;
    }
}

impl Side for server::Msg {
    async fn ask(to: &ChannelWriteHalf<Self>, pause: bool) {
        let _ = to.exit_status(if pause { PAUSE_STATUS } else { RESUME_STATUS }).await;
    }
}

/// What the other end asks for, if this is such a request.
fn asked(message: &ChannelMsg) -> Option<bool> {
    match message {
        ChannelMsg::Signal { signal: Sig::Custom(name) } if name == PAUSE_SIGNAL => Some(true),
        ChannelMsg::Signal { signal: Sig::Custom(name) } if name == RESUME_SIGNAL => Some(false),
        ChannelMsg::ExitStatus { exit_status: PAUSE_STATUS } => Some(true),
        ChannelMsg::ExitStatus { exit_status: RESUME_STATUS } => Some(false),
        _ => None,
    }
}

/// How filling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// The channel was closed, or nobody wants its bytes any more.
    Closed,
    /// The session ended before the channel did.
    Lost,
    /// The reader stalled.
    Stalled,
}

/// Between the channel and its reader.
struct Cushion {
    waiting: AtomicUsize,
    drained: Notify,
    /// Should the other end pause?
    pause: watch::Sender<bool>,
}

/// The end that the channel's bytes come in at.
pub(super) struct Inlet {
    cushion: Arc<Cushion>,
    queue: Option<mpsc::UnboundedSender<Bytes>>,
    /// Has the other end asked us to pause?
    paused: watch::Sender<bool>,
}

/// The end that they are read from.
pub(super) struct Outlet {
    cushion: Arc<Cushion>,
    queue: mpsc::UnboundedReceiver<Bytes>,
}

/// A new cushion: its two ends, what to ask of the other end of the session, and what that asks of us.
pub(super) fn cushion() -> (Inlet, Outlet, watch::Receiver<bool>, watch::Receiver<bool>) {
    let (pause, to_ask) = watch::channel(false);
    let (paused, asked) = watch::channel(false);
    // What is in it is bounded by `CUSHION_BYTES`.
    let (sender, receiver) = mpsc::unbounded_channel();
    let cushion = Arc::new(Cushion { waiting: AtomicUsize::new(0), drained: Notify::new(), pause });
    let inlet = Inlet { cushion: Arc::clone(&cushion), queue: Some(sender), paused };
    (inlet, Outlet { cushion, queue: receiver }, to_ask, asked)
}

/// Passes on what to ask of the other end, as long as there is anything to ask.
pub(super) async fn ask<S: Side>(to: &ChannelWriteHalf<S>, mut pause: watch::Receiver<bool>) {
    while pause.changed().await.is_ok() {
        let wanted = *pause.borrow_and_update();
        S::ask(to, wanted).await;
    }
    std::future::pending().await
}

impl Inlet {
    /// From the channel to its cushion, until the channel is closed or its reader has stalled.
    pub(super) async fn fill(mut self, mut from: ChannelReadHalf) -> Filled {
        while let Some(message) = from.wait().await {
            match message {
                ChannelMsg::Data { data } => {
                    if let Err(end) = self.take(data).await {
                        return end;
                    }
                }
                ChannelMsg::Eof => self.queue = None,
                ChannelMsg::Close => return Filled::Closed,
                other => {
                    if let Some(pause) = asked(&other) {
                        self.paused.send_replace(pause);
                    }
                }
            }
        }
        if self.queue.is_some() { Filled::Lost } else { Filled::Closed }
    }

    async fn take(&self, data: Bytes) -> Result<(), Filled> {
        // What comes after the end is nobody's.
        let Some(queue) = &self.queue else { return Ok(()) };
        let cushion = &self.cushion;
        let waiting = cushion.waiting.fetch_add(data.len(), Ordering::Relaxed) + data.len();
        if queue.send(data).is_err() {
            return Err(Filled::Closed);
        }
        if waiting > PAUSE_BYTES {
            cushion.should_pause(true);
        }
        let room = async {
            while cushion.waiting.load(Ordering::Relaxed) > CUSHION_BYTES && !queue.is_closed() {
                cushion.drained.notified().await;
            }
        };
        timeout(MAX_STALL, room).await.map_err(|_| Filled::Stalled)
    }
}

impl Cushion {
    fn should_pause(&self, pause: bool) {
        self.pause.send_if_modified(|paused| std::mem::replace(paused, pause) != pause);
    }
}

impl Outlet {
    /// From the cushion to the stream, until the channel's end, which is passed on. `false`: the
    /// stream takes no more.
    pub(super) async fn pour(&mut self, mut to: impl AsyncWrite + Unpin) -> bool {
        while let Some(data) = self.queue.recv().await {
            let written = to.write_all(&data).await.is_ok();
            let flushed = !self.queue.is_empty() || to.flush().await.is_ok();
            if !(written && flushed) {
                return false;
            }
            let waiting = self.cushion.waiting.fetch_sub(data.len(), Ordering::Relaxed) - data.len();
            if waiting < RESUME_BYTES {
                self.cushion.should_pause(false);
            }
            self.cushion.drained.notify_one();
        }
        to.shutdown().await.is_ok()
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.queue.close();
        self.cushion.drained.notify_one();
    }
}
