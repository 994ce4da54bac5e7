//! What a main process writes: into its log, and to whoever is attached.

use crate::log::{LineWriter, LogSource, SharedLog};
use bytes::Bytes;
use ravelin_host::HostRef;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// So many pieces may wait for somebody who is attached; then the process waits, too.
const MAX_PIECES: usize = 16;

/// So many may be attached at once; more find nothing.
const MAX_ATTACHED: usize = 64;

type Piece = (LogSource, Bytes);

/// The outputs of one main process.
pub(crate) struct Console {
    host: HostRef,
    state: Mutex<State>,
}

struct State {
    stdout: LineWriter,
    stderr: LineWriter,
    attached: Vec<mpsc::Sender<Piece>>,
}

impl Console {
    pub(crate) fn new(host: HostRef, log: &Arc<SharedLog>) -> Self {
        let stdout = LineWriter::new(Arc::clone(log), LogSource::Stdout);
        let stderr = LineWriter::new(Arc::clone(log), LogSource::Stderr);
        Self { host, state: Mutex::new(State { stdout, stderr, attached: Vec::new() }) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes; waits for those who are attached.
    pub(crate) async fn write(&self, source: LogSource, bytes: &[u8]) {
        let now = self.host.now();
        let attached = {
            let mut state = self.state();
            match source {
                LogSource::Stdout => state.stdout.write(now, bytes),
                LogSource::Stderr => state.stderr.write(now, bytes),
            }
            state.attached.retain(|attached| !attached.is_closed());
            state.attached.clone()
        };
        if attached.is_empty() {
            return;
        }
        let piece = Bytes::copy_from_slice(bytes);
        for one in attached {
            // Who has gone misses nothing.
            let _ = one.send((source, piece.clone())).await;
        }
    }

    /// What is written from now on.
    pub(crate) fn attach(&self) -> mpsc::Receiver<Piece> {
        let (sender, receiver) = mpsc::channel(MAX_PIECES);
        let mut state = self.state();
        state.attached.retain(|attached| !attached.is_closed());
        if state.attached.len() < MAX_ATTACHED {
            state.attached.push(sender);
        }
        receiver
    }

    /// Nothing more is written.
    pub(crate) fn end(&self) {
        let now = self.host.now();
        let mut state = self.state();
        state.stdout.end(now);
        state.stderr.end(now);
        state.attached.clear();
    }
}
