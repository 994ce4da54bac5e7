//! Which part of a log is asked for.

use jiff::Timestamp;

/// Which of a process's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogSource {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// Which part of a log is asked for (`v1.PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// At most this many bytes, from the first selected line on.
    pub limit_bytes: Option<u64>,
    /// Only this many of the last lines.
    pub tail_lines: Option<u64>,
    /// Only what was written since.
    pub since: Option<Timestamp>,
    /// Only what was written to this output.
    pub source: Option<LogSource>,
    /// Each line after its time.
    pub timestamps: bool,
    /// Also what is written from now on.
    pub follow: bool,
    /// The log of the container's run before this one.
    pub previous: bool,
}
