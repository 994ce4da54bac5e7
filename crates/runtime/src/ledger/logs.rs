//! The logs of a pod's containers, and what was handed out of them.

use super::{Ledger, MAX_RETAINED, MAX_SERVED, Retention};
use crate::LogStream;
use crate::log::{LogLine, LogOptions, LogRead, LogReader, SharedLog};
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What is remembered of all that was handed out of a pod's logs; past it, readings are remembered
/// without their bytes.
const MAX_READ_BYTES: usize = 64 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Logs {
    by_container: BTreeMap<String, OfContainer>,
    reads: VecDeque<Reading>,
    /// How many were forgotten.
    forgotten: usize,
    /// How many bytes the readings hold.
    held: usize,
}

#[derive(Default)]
struct OfContainer {
    current: Arc<SharedLog>,
    previous: Option<Arc<SharedLog>>,
}

struct Reading {
    at: Timestamp,
    container: String,
    options: LogOptions,
    bytes: BytesMut,
}

impl Logs {
    fn forget(&mut self) {
        if let Some(reading) = self.reads.pop_front() {
            self.forgotten += 1;
            self.held -= reading.bytes.len();
        }
    }
}

impl Ledger {
    /// Appends to a container's log.
    pub fn log_line(&self, at: Timestamp, container: &str, text: &str) {
        self.log(container).write_lines(at, text);
    }

    /// The lines that a container's log holds.
    pub fn log_lines(&self, container: &str) -> Vec<LogLine> {
        let log = self.book().logs.by_container.get(container).map(|of| Arc::clone(&of.current));
        log.map(|log| log.lines()).unwrap_or_default()
    }

    /// Every reading of a log so far, in order.
    pub fn log_reads(&self) -> Vec<LogRead> {
        let book = self.book();
        let read = |reading: &Reading| LogRead {
            at: reading.at,
            container: reading.container.clone(),
            options: reading.options.clone(),
            bytes: Bytes::copy_from_slice(&reading.bytes),
        };
        book.logs.reads.iter().map(read).collect()
    }

    /// The log of a container's present run.
    pub(crate) fn log(&self, container: &str) -> Arc<SharedLog> {
        let mut book = self.book();
        Arc::clone(&book.logs.by_container.entry(container.to_owned()).or_default().current)
    }

    /// A container runs anew: its log until now is the previous one.
    pub(crate) fn begin_log(&self, container: &str) {
        let mut book = self.book();
        let of = book.logs.by_container.entry(container.to_owned()).or_default();
        let ended = std::mem::take(&mut of.current);
        ended.end();
        of.previous = Some(ended);
    }

    /// Begins to read a container's log, and records what is handed out; `None` where the previous
    /// log is asked for and there is none.
    pub(crate) fn open_log(
        self: &Arc<Self>,
        at: Timestamp,
        container: &str,
        options: &LogOptions,
    ) -> Option<LogStream> {
        let mut book = self.book();
        let of = book.logs.by_container.entry(container.to_owned()).or_default();
        let log = if options.previous { of.previous.clone()? } else { Arc::clone(&of.current) };
        if book.retention == Retention::Newest && book.logs.reads.len() >= MAX_RETAINED {
            book.logs.forget();
        }
        let number = (book.logs.reads.len() < MAX_SERVED).then(|| {
            let (container, options) = (container.to_owned(), options.clone());
            book.logs.reads.push_back(Reading { at, container, options, bytes: BytesMut::new() });
            book.logs.forgotten + book.logs.reads.len() - 1
        });
        drop(book);
        let state = (LogReader::new(&log, options), Arc::clone(self));
        let pieces = futures_util::stream::unfold(state, move |(mut reader, ledger)| async move {
            let piece = reader.next().await?;
            ledger.handed_out(number, &piece);
            Some((Ok(piece), (reader, ledger)))
        });
        Some(Box::pin(pieces))
    }

    fn handed_out(&self, number: Option<usize>, piece: &Bytes) {
        let logs = &mut self.book().logs;
        let index = number.and_then(|number| number.checked_sub(logs.forgotten));
        if let Some(reading) = index.and_then(|index| logs.reads.get_mut(index))
            && logs.held + piece.len() <= MAX_READ_BYTES
        {
            logs.held += piece.len();
            reading.bytes.extend_from_slice(piece);
        }
    }
}
