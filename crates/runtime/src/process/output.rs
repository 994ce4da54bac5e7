//! What a process writes to.

use super::input::{Input, Source};
use crate::BoxedWriter;
use crate::container::Console;
use crate::files::FileWriter;
use crate::ledger::{Recording, Side};
use crate::log::LogSource;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

/// How much may wait in a pipe, as Linux has it.
const PIPE_BYTES: usize = 64 * 1024;

/// What never makes its writer wait takes a millisecond for so many bytes: else who writes without end
/// would stop the clock of a simulation.
const BYTES_PER_MS: usize = 1024 * 1024;

/// Where bytes go. Clones write to the same place; it is closed with the last of them.
#[derive(Clone)]
pub(crate) struct Output(Arc<Writing>);

struct Writing {
    sink: Sink,
    /// Bytes that were written without waiting.
    unpaid: AtomicUsize,
}

/// What is behind an output.
pub(crate) enum Sink {
    /// Nothing.
    Nowhere,
    /// Somebody who reads.
    Writer(Mutex<BoxedWriter>),
    /// The same, written down as it passes.
    Recorded(Mutex<BoxedWriter>, Recording, Side),
    /// A stream that nobody is at, written down all the same.
    Unheard(Recording, Side),
    /// A file.
    File(FileWriter),
    /// The log and whoever is attached.
    Console(Arc<Console>, LogSource),
    /// Another output through a terminal, which writes `\r\n` for `\n`.
    Terminal(Output),
}

/// A pipe.
pub(crate) fn pipe() -> (Output, Input) {
    let (writer, reader) = tokio::io::duplex(PIPE_BYTES);
    (Output::writer(Box::new(writer)), Input::new(Source::Reader(Box::new(reader))))
}

impl Output {
    pub(crate) fn new(sink: Sink) -> Self {
        Self(Arc::new(Writing { sink, unpaid: AtomicUsize::new(0) }))
    }

    pub(crate) fn writer(writer: BoxedWriter) -> Self {
        Self::new(Sink::Writer(Mutex::new(writer)))
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Where nobody reads any more (`BrokenPipe`), or a file has no room.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.0.sink {
            Sink::Terminal(output) => Box::pin(output.write(&with_returns(bytes))).await,
            Sink::Nowhere => self.pay(bytes).await,
            Sink::Writer(writer) => send(writer, bytes).await,
            Sink::Recorded(writer, recording, side) => {
                recording.passed(*side, bytes);
                send(writer, bytes).await
            }
            Sink::Unheard(recording, side) => {
                recording.passed(*side, bytes);
                self.pay(bytes).await
            }
            Sink::File(file) => {
                file.write(bytes).map_err(|error| io::Error::other(error.to_string()))?;
                self.pay(bytes).await
            }
            Sink::Console(console, source) => {
                console.write(*source, bytes).await;
                self.pay(bytes).await
            }
        }
    }

    async fn pay(&self, bytes: &[u8]) -> io::Result<()> {
        if self.0.unpaid.fetch_add(bytes.len().max(1), Ordering::Relaxed) + bytes.len() >= BYTES_PER_MS {
            self.0.unpaid.store(0, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Nothing more comes: a reader finds the end.
    pub(crate) async fn close(&self) {
        match &self.0.sink {
            // Who does not read any more does not miss the end.
            Sink::Writer(writer) | Sink::Recorded(writer, ..) => {
                let _ = writer.lock().await.shutdown().await;
            }
            Sink::Terminal(output) => Box::pin(output.close()).await,
            _ => {}
        }
    }
}

async fn send(writer: &Mutex<BoxedWriter>, bytes: &[u8]) -> io::Result<()> {
    let mut writer = writer.lock().await;
    let sent = match writer.write_all(bytes).await {
        Ok(()) => writer.flush().await,
        failed => failed,
    };
    // However a peer goes away, to who writes it is a pipe without a reader.
    sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
}

fn with_returns(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    for byte in bytes {
        if *byte == b'\n' {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}
