//! The lines a container wrote, and how a reader's options cut them.

use jiff::Timestamp;
use std::collections::VecDeque;

/// A container's log is held up to this size; beyond it the oldest lines go. Kubernetes rotates at
/// the same size (`containerLogMaxSize`, pkg/kubelet/apis/config/v1beta1/defaults.go).
pub const MAX_LOG_BYTES: usize = 10 * 1024 * 1024;

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// The line without its newline.
    pub text: String,
}

/// Which part of a log is asked for (`v1.PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// At most this many bytes, from the first selected line on.
    pub limit_bytes: Option<u64>,
    /// Only this many of the last lines.
    pub tail_lines: Option<u64>,
    /// Each line after its time.
    pub timestamps: bool,
}

/// A log that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// When.
    pub at: Timestamp,
    /// Which container's.
    pub container: String,
    /// Which part was asked for.
    pub options: LogOptions,
    /// The exact bytes that were handed out.
    pub bytes: bytes::Bytes,
}

/// A container's log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: VecDeque<LogLine>,
    bytes: usize,
}

impl Log {
    /// Appends the text, a line for each of its lines.
    pub(crate) fn write(&mut self, at: Timestamp, text: &str) {
        for line in text.lines() {
            self.bytes += line.len() + 1;
            self.lines.push_back(LogLine { at, text: line.to_owned() });
        }
        while self.bytes > MAX_LOG_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len() + 1;
        }
    }

    /// The part that the options select.
    pub(crate) fn read(&self, options: &LogOptions) -> Vec<u8> {
        let wanted = options.tail_lines.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let limit = options.limit_bytes.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let mut read = Vec::new();
        for line in self.lines.iter().skip(self.lines.len().saturating_sub(wanted)) {
            if read.len() >= limit {
                break;
            }
            if options.timestamps {
                read.extend_from_slice(format!("{:.9} ", line.at).as_bytes());
            }
            read.extend_from_slice(line.text.as_bytes());
            read.push(b'\n');
        }
        read.truncate(limit);
        read
    }

    /// Every line that is still held.
    pub(crate) fn lines(&self) -> Vec<LogLine> {
        self.lines.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_select_the_last_lines_then_cut_bytes() {
        let mut log = Log::default();
        log.write(Timestamp::UNIX_EPOCH, "one\ntwo\nthree");
        let read = |tail_lines, limit_bytes, timestamps| {
            String::from_utf8(log.read(&LogOptions { limit_bytes, tail_lines, timestamps })).unwrap()
        };
        assert_eq!(read(None, None, false), "one\ntwo\nthree\n");
        assert_eq!(read(Some(2), None, false), "two\nthree\n");
        assert_eq!(read(Some(2), Some(6), false), "two\nth");
        assert_eq!(read(Some(0), None, false), "");
        assert_eq!(read(Some(1), None, true), "1970-01-01T00:00:00.000000000Z three\n");
    }

    #[test]
    fn the_oldest_lines_go_when_it_is_full() {
        let mut log = Log::default();
        log.write(Timestamp::UNIX_EPOCH, "old");
        log.write(Timestamp::UNIX_EPOCH, &"x".repeat(MAX_LOG_BYTES - 1));
        assert_eq!(log.lines().len(), 1, "the old line made room");
    }
}
