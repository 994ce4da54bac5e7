//! What a process reads from.

use crate::BoxedReader;
use crate::ledger::{Recording, Side};
use bytes::{Buf, Bytes, BytesMut};
use ravelin_entropy::Entropy;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::{Mutex, mpsc};

/// About so much is read at once.
pub(crate) const PIECE_BYTES: usize = 32 * 1024;

/// What never makes its reader wait takes a millisecond for so many bytes, as it does for writers.
const BYTES_PER_MS: usize = 1024 * 1024;

/// The longest line that is looked for the end of.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Where bytes come from. Clones read from the same place, each what the others left.
#[derive(Clone)]
pub(crate) struct Input(Arc<Mutex<Reading>>);

struct Reading {
    /// What was read and not taken.
    left: BytesMut,
    source: Source,
    /// Bytes that were read without waiting.
    unpaid: usize,
}

/// What is behind an input.
pub(crate) enum Source {
    /// Nothing: it ends at once.
    Nothing,
    /// Zeroes without end.
    Zeroes,
    /// Random bytes without end.
    Random(Entropy),
    /// These bytes.
    Bytes(Bytes),
    /// What somebody else writes.
    Reader(BoxedReader),
    /// The same, written down as it passes.
    Recorded(BoxedReader, Recording),
    /// The lines of a terminal; an empty one is an end that is passed once.
    Terminal(mpsc::Receiver<Bytes>),
}

impl Input {
    pub(crate) fn new(source: Source) -> Self {
        Self(Arc::new(Mutex::new(Reading { left: BytesMut::new(), source, unpaid: 0 })))
    }

    /// The next bytes, at most `most`; none at the end.
    pub(crate) async fn read(&self, most: usize) -> io::Result<Bytes> {
        let mut reading = self.0.lock().await;
        if reading.left.is_empty() {
            reading.fill().await?;
        }
        let count = reading.left.len().min(most);
        Ok(reading.left.split_to(count).freeze())
    }

    /// The next line, with its end where it has one; `None` at the end of the input. A line that is
    /// longer than 64 KiB comes in parts.
    pub(crate) async fn line(&self) -> io::Result<Option<Bytes>> {
        let mut reading = self.0.lock().await;
        let mut searched = 0;
        loop {
            if let Some(end) = reading.left[searched..].iter().position(|byte| *byte == b'\n') {
                return Ok(Some(reading.left.split_to(searched + end + 1).freeze()));
            }
            searched = reading.left.len();
            if searched >= MAX_LINE_BYTES || !reading.fill().await? {
                let rest = reading.left.split().freeze();
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
        }
    }
}

impl Reading {
    /// Waits for more; false at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        if matches!(self.source, Source::Zeroes | Source::Random(_)) {
            self.unpaid += PIECE_BYTES;
            if self.unpaid >= BYTES_PER_MS {
                self.unpaid = 0;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let left = &mut self.left;
        let before = left.len();
        match &mut self.source {
            Source::Nothing => {}
            Source::Zeroes => left.resize(before + PIECE_BYTES, 0),
            Source::Random(entropy) => {
                left.resize(before + PIECE_BYTES, 0);
                entropy.fill(&mut left[before..]);
            }
            Source::Bytes(bytes) => {
                let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
                left.extend_from_slice(piece.chunk());
            }
            Source::Reader(reader) => {
                left.reserve(PIECE_BYTES);
                reader.read_buf(left).await?;
            }
            Source::Recorded(reader, recording) => {
                left.reserve(PIECE_BYTES);
                reader.read_buf(left).await?;
                recording.passed(Side::Stdin, &left[before..]);
            }
            Source::Terminal(lines) => {
                let line = lines.recv().await.unwrap_or_default();
                left.extend_from_slice(&line);
            }
        }
        Ok(left.len() > before)
    }
}
