//! What a process is attached to, and what a log is read through.

use bytes::Bytes;
use futures_util::Stream;
use ravelin_stream::TerminalSize;
use std::fmt;
use std::io;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// Where bytes come from.
pub type BoxedReader = Box<dyn AsyncRead + Send + Unpin>;

/// Where bytes go.
pub type BoxedWriter = Box<dyn AsyncWrite + Send + Unpin>;

/// A log as it is handed out, piece by piece; it ends where the log does, or never.
pub type LogStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What a process is attached to.
#[derive(Default)]
pub struct ProcessIo {
    /// What it reads. Without, it finds the end at once.
    pub stdin: Option<BoxedReader>,
    /// What it writes; without, that is lost. It is shut down when the process has ended.
    pub stdout: Option<BoxedWriter>,
    /// What it complains of; with a terminal that goes to `stdout`.
    pub stderr: Option<BoxedWriter>,
    /// Does it have a terminal, rather than pipes?
    pub tty: bool,
    /// The sizes that the terminal takes.
    pub resize: Option<mpsc::Receiver<TerminalSize>>,
}

impl fmt::Debug for ProcessIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessIo")
    }
}
