//! What a container wrote, as a node keeps it: files that are rotated, read by whoever follows.

mod options;
mod reader;
mod writer;

pub use options::{LogOptions, LogSource};
pub(crate) use reader::LogReader;
pub(crate) use writer::LineWriter;

use bytes::Bytes;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A log file is rotated at this size, as Kubernetes does (`containerLogMaxSize`,
/// pkg/kubelet/apis/config/v1beta1/defaults.go).
pub const MAX_LOG_BYTES: usize = 10 * 1024 * 1024;

/// So many files are kept of one log (`containerLogMaxFiles`). Who follows finds all of them; who begins
/// to read, the newest.
pub const MAX_LOG_FILES: usize = 5;

/// What stands before each entry of a log file: its time, its output, and whether it is whole
/// (`containerd/internal/cri/io/logger.go`). It keeps a log of empty lines from growing without bound.
pub(crate) const ENTRY_HEAD_BYTES: usize = "2026-01-01T00:00:00.000000000Z stdout F ".len();

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// The line without its newline.
    pub text: String,
}

/// A log that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// When the reading began.
    pub at: Timestamp,
    /// Which container's.
    pub container: String,
    /// Which part was asked for.
    pub options: LogOptions,
    /// The exact bytes that were handed out so far.
    pub bytes: Bytes,
}

/// A piece of a log: a line, or a part of one that is too long.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) source: LogSource,
    /// Without its newline.
    pub(crate) text: Bytes,
    /// Does the line go on in the next entry?
    pub(crate) is_partial: bool,
}

/// One run's log of a container.
#[derive(Debug, Default)]
pub(crate) struct Log {
    files: VecDeque<File>,
    /// The number of the oldest file that is held.
    first: u64,
    /// Nothing more will be written.
    has_ended: bool,
}

#[derive(Debug, Default)]
struct File {
    entries: Vec<Entry>,
    bytes: usize,
}

impl Log {
    fn write(&mut self, entry: Entry) {
        let size = ENTRY_HEAD_BYTES + entry.text.len() + 1;
        let is_full = self
            .files
            .back()
            .is_none_or(|file| !file.entries.is_empty() && file.bytes + size > MAX_LOG_BYTES);
        if is_full {
            self.files.push_back(File::default());
        }
        if self.files.len() > MAX_LOG_FILES {
            self.files.pop_front();
            self.first += 1;
        }
        let file = self.files.back_mut().expect("one was made");
        file.bytes += size;
        file.entries.push(entry);
    }

    fn lines(&self) -> Vec<LogLine> {
        let entries = self.files.iter().flat_map(|file| &file.entries);
        let mut lines: Vec<LogLine> = Vec::new();
        let mut goes_on = false;
        for entry in entries {
            let text = String::from_utf8_lossy(&entry.text);
            match lines.last_mut().filter(|_| goes_on) {
                Some(line) => line.text.push_str(&text),
                None => lines.push(LogLine { at: entry.at, text: text.into_owned() }),
            }
            goes_on = entry.is_partial;
        }
        lines
    }
}

/// Who keeps a log elsewhere too.
pub(crate) trait Keeps: std::fmt::Debug + Send + Sync {
    /// This is written next.
    fn keep(&self, entry: &Entry);
}

/// A log with its readers.
#[derive(Debug, Default)]
pub(crate) struct SharedLog {
    log: Mutex<Log>,
    kept: Option<Box<dyn Keeps>>,
    /// Told of whatever is written.
    changed: watch::Sender<()>,
}

impl SharedLog {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty log that somebody keeps elsewhere too.
    pub(crate) fn kept_by(kept: Box<dyn Keeps>) -> Self {
        Self { kept: Some(kept), ..Self::default() }
    }

    /// Appends the text, an entry for each of its lines.
    pub(crate) fn write_lines(&self, at: Timestamp, text: &str) {
        for line in text.lines() {
            let text = Bytes::copy_from_slice(line.as_bytes());
            self.write(Entry { at, source: LogSource::Stdout, text, is_partial: false });
        }
    }

    pub(crate) fn write(&self, entry: Entry) {
        if let Some(kept) = &self.kept {
            kept.keep(&entry);
        }
        self.log().write(entry);
        self.changed.send_replace(());
    }

    /// Nothing more is written: who follows is done at its end.
    pub(crate) fn end(&self) {
        self.log().has_ended = true;
        self.changed.send_replace(());
    }

    /// A log that had ended goes on: its computer came back.
    pub(crate) fn go_on(&self) {
        self.log().has_ended = false;
    }

    /// Every line that is still held.
    pub(crate) fn lines(&self) -> Vec<LogLine> {
        self.log().lines()
    }
}

#[cfg(test)]
mod tests;
