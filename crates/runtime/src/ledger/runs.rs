//! The commands that were run in a pod.

use super::{Ledger, MAX_RETAINED, MAX_SERVED, Retention};
use bytes::Bytes;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;

/// So much is remembered of each of a command's streams; the rest passes unrecorded.
pub const MAX_RECORDING_BYTES: usize = 64 * 1024;

/// So much is remembered of all commands of a pod together.
pub const MAX_RECORDED_BYTES: usize = 64 * 1024 * 1024;

/// So much is remembered of what commands of a pod were started as; past it, none is started.
pub const MAX_ARGV_BYTES: usize = 64 * 1024 * 1024;

/// The exit status of what was killed.
pub(crate) const KILLED: i32 = 128 + 9;

/// What a command that was run left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutput {
    /// Its exit status; 0 is success.
    pub exit_code: i32,
    /// What it wrote.
    pub stdout: Bytes,
    /// What it complained of.
    pub stderr: Bytes,
}

/// A command that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// When it was started.
    pub at: Timestamp,
    /// In which container.
    pub container: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What it read, at most [`MAX_RECORDING_BYTES`].
    pub stdin: Bytes,
    /// What it left: of each output at most [`MAX_RECORDING_BYTES`], and 137 as its exit status while it
    /// has not ended by itself.
    pub output: RunOutput,
    /// Has it ended by itself?
    pub has_ended: bool,
}

/// Which of a command's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Stdin,
    Stdout,
    Stderr,
}

#[derive(Default)]
pub(super) struct Runs {
    all: VecDeque<Run>,
    /// How many were forgotten.
    forgotten: usize,
    /// How many bytes they hold.
    held: usize,
    /// How many their programs and arguments do.
    argv_bytes: usize,
}

struct Run {
    at: Timestamp,
    container: String,
    argv: Vec<String>,
    streams: [Vec<u8>; 3],
    exit_code: Option<i32>,
}

/// The record of one command, while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    ledger: Arc<Ledger>,
    number: usize,
}

impl Runs {
    /// A run by its number, while it is remembered.
    fn run(&mut self, number: usize) -> Option<&mut Run> {
        self.all.get_mut(number.checked_sub(self.forgotten)?)
    }

    fn forget(&mut self) {
        let Some(run) = self.all.pop_front() else { return };
        self.forgotten += 1;
        self.held -= run.streams.iter().map(Vec::len).sum::<usize>();
        self.argv_bytes -= bytes(&run.argv);
    }
}

/// What a program and its arguments take.
fn bytes(argv: &[String]) -> usize {
    argv.iter().map(|word| word.len() + size_of::<String>()).sum()
}

impl Recording {
    /// Bytes that passed.
    pub(crate) fn passed(&self, side: Side, bytes: &[u8]) {
        let runs = &mut self.ledger.book().runs;
        let left = MAX_RECORDED_BYTES - runs.held;
        let Some(run) = runs.run(self.number) else { return };
        let stream = &mut run.streams[side as usize];
        let room = (MAX_RECORDING_BYTES - stream.len()).min(left);
        let kept = &bytes[..bytes.len().min(room)];
        stream.extend_from_slice(kept);
        runs.held += kept.len();
    }

    /// The command has ended.
    pub(crate) fn ended(&self, exit_code: i32) {
        if let Some(run) = self.ledger.book().runs.run(self.number) {
            run.exit_code = Some(exit_code);
        }
    }
}

impl Ledger {
    /// Every command that was run so far, in order.
    pub fn runs(&self) -> Vec<Ran> {
        let ran = |run: &Run| {
            let [stdin, stdout, stderr] = &run.streams;
            let copy = |bytes: &Vec<u8>| Bytes::copy_from_slice(bytes);
            let exit_code = run.exit_code.unwrap_or(KILLED);
            Ran {
                at: run.at,
                container: run.container.clone(),
                argv: run.argv.clone(),
                stdin: copy(stdin),
                output: RunOutput { exit_code, stdout: copy(stdout), stderr: copy(stderr) },
                has_ended: run.exit_code.is_some(),
            }
        };
        self.book().runs.all.iter().map(ran).collect()
    }

    /// Writes a command down that is about to run; `None` where it is one too many, and must not run.
    pub(crate) fn begin_run(
        self: &Arc<Self>,
        at: Timestamp,
        container: &str,
        argv: &[String],
    ) -> Option<Recording> {
        let mut book = self.book();
        let forgets = book.retention == Retention::Newest;
        let (runs, bytes) = (&mut book.runs, bytes(argv));
        while forgets
            && !runs.all.is_empty()
            && (runs.all.len() >= MAX_RETAINED || runs.argv_bytes + bytes > MAX_ARGV_BYTES)
        {
            runs.forget();
        }
        if runs.all.len() >= MAX_SERVED || runs.argv_bytes + bytes > MAX_ARGV_BYTES {
            return None;
        }
        runs.argv_bytes += bytes;
        let (container, argv) = (container.to_owned(), argv.to_vec());
        runs.all.push_back(Run { at, container, argv, streams: Default::default(), exit_code: None });
        Some(Recording { ledger: Arc::clone(self), number: runs.forgotten + runs.all.len() - 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_were_started_as_has_a_bound() {
        let ledger = Arc::new(Ledger::new());
        let argv = vec!["x".repeat(1024 * 1024)];
        let begun =
            (0..100).filter(|_| ledger.begin_run(Timestamp::UNIX_EPOCH, "c", &argv).is_some()).count();
        assert_eq!(begun, MAX_ARGV_BYTES / (1024 * 1024) - 1);
    }
}
