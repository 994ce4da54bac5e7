//! Bytes of an output into entries of a log, as containerd cuts them (`internal/cri/io/logger.go`).

use super::{Entry, LogSource, SharedLog};
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use std::sync::Arc;

/// A longer line is kept in parts of this size (`defaultBufSize`, and the default of
/// `max_container_log_line_size`).
pub(crate) const MAX_ENTRY_BYTES: usize = 16 * 1024;

/// One output of a process on its way into the log.
#[derive(Debug)]
pub(crate) struct LineWriter {
    log: Arc<SharedLog>,
    source: LogSource,
    begun: BytesMut,
}

impl LineWriter {
    pub(crate) fn new(log: Arc<SharedLog>, source: LogSource) -> Self {
        Self { log, source, begun: BytesMut::new() }
    }

    /// Takes what the process wrote; whole lines go into the log.
    pub(crate) fn write(&mut self, at: Timestamp, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.flush(at, false);
        }
        self.begun.extend_from_slice(bytes);
        self.cut(at);
    }

    /// The output has ended: what was begun of a line is one.
    pub(crate) fn end(&mut self, at: Timestamp) {
        if !self.begun.is_empty() {
            self.flush(at, false);
        }
    }

    fn flush(&mut self, at: Timestamp, is_partial: bool) {
        self.cut(at);
        let text = self.begun.split().freeze();
        self.put(at, text, is_partial);
    }

    /// Writes what is too long for one entry.
    fn cut(&mut self, at: Timestamp) {
        while self.begun.len() > MAX_ENTRY_BYTES {
            let part = self.begun.split_to(MAX_ENTRY_BYTES).freeze();
            self.put(at, part, true);
        }
    }

    fn put(&self, at: Timestamp, text: Bytes, is_partial: bool) {
        self.log.write(Entry { at, source: self.source, text, is_partial });
    }
}
