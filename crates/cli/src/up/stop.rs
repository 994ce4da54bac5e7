//! When a person, or a supervisor, wants the process to end.

use crate::files::Refused;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask for an end.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Stop {
    /// From now on these signals are asked for, and do not kill the process.
    pub(crate) fn new() -> Result<Self, Refused> {
        let failed = |error| Refused::failed(format!("signals cannot be received: {error}"));
        let listen = |kind| signal(kind).map_err(failed);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them, and gives its name.
    pub(crate) async fn wait(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "told to end",
            _ = self.hangup.recv() => "hung up",
        }
    }
}
