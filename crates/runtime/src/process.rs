//! A process in a container: what it reads and writes, and what surrounds it.

mod input;
mod output;
mod terminal;

pub(crate) use input::{Input, Source};
pub(crate) use output::{Output, Sink, pipe};
pub(crate) use terminal::Terminal;

use crate::PodView;
use crate::files::{Files, absolute};
use ravelin_host::HostRef;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// What all processes of a container have in common.
pub(crate) struct Surroundings {
    pub(crate) host: HostRef,
    pub(crate) pod: PodView,
    /// What the main process was started as.
    pub(crate) command: String,
    pub(crate) files: Arc<Files>,
}

impl Surroundings {
    /// The name that the container's computer has for it.
    pub(crate) fn hostname(&self) -> &str {
        if self.pod.host_network { self.host.name() } else { &self.pod.name }
    }
}

/// The three streams of a process.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(crate) stdin: Input,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

/// How deeply programs, and what shells run, may stand within each other: whoever waits for an inner one
/// is on the stack.
pub(crate) const MAX_NESTED: usize = 60;

/// How many processes a command may consist of at a time.
pub(crate) const MAX_PROCESSES: usize = 256;

/// One process.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) around: Arc<Surroundings>,
    pub(crate) env: BTreeMap<String, String>,
    /// Its working directory.
    pub(crate) directory: String,
    pub(crate) streams: Streams,
    pub(crate) terminal: Option<Arc<Terminal>>,
    /// How deeply it stands within others.
    pub(crate) depth: usize,
    /// One hold for each process of the same command.
    pub(crate) family: Arc<()>,
}

impl Process {
    /// The absolute path that it means by a name.
    pub(crate) fn path(&self, name: &str) -> String {
        absolute(&self.directory, name)
    }

    pub(crate) async fn print(&self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.streams.stdout.write(text.as_ref()).await
    }

    /// Is there room for so many more processes beside it?
    pub(crate) fn may_fork(&self, more: usize) -> bool {
        Arc::strong_count(&self.family) + more <= MAX_PROCESSES
    }

    /// Complains, and gives the exit status of a failure.
    pub(crate) async fn complain(&self, text: impl std::fmt::Display) -> io::Result<i32> {
        self.streams.stderr.write(format!("{text}\n").as_bytes()).await?;
        Ok(1)
    }
}
