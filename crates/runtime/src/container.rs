//! The main process of a container: how it is started, what it is attached to, and how it ended.

mod attach;
mod console;
mod start;
#[cfg(test)]
mod tests;

pub(crate) use console::Console;
pub(crate) use start::{NOT_STARTED, Place, environment, failed_to_create, not_started, start, typing};

use crate::process::Terminal;
use crate::workload::Started;
use crate::{BoxedWriter, ContainerState, Terminated};
use jiff::Timestamp;
use ravelin_host::Task;
use ravelin_stream::TerminalSize;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as AsyncMutex, watch};

/// A container that was started. Its main process ends when this is dropped.
pub(crate) struct Main {
    started: Timestamp,
    /// How it ended, once it has.
    end: watch::Sender<Option<Terminated>>,
    work: Work,
}

/// What a container does.
enum Work {
    /// Nothing: it could not be started.
    None,
    /// One of the servers and such.
    Workload(Started),
    /// A command.
    Process(ProcessParts),
}

/// A command that runs: what follows it to its end, and what those who are attached to it have.
pub(crate) struct ProcessParts {
    pub(crate) task: Task,
    pub(crate) console: Arc<Console>,
    pub(crate) terminal: Option<Arc<dyn Resizes>>,
    pub(crate) stdin: Option<Arc<Stdin>>,
}

/// A terminal, as those who are attached to it see it.
pub(crate) trait Resizes: Send + Sync {
    /// It takes this size.
    fn resize(&self, size: TerminalSize);
}

impl Resizes for Terminal {
    fn resize(&self, size: TerminalSize) {
        Terminal::resize(self, size);
    }
}

/// What a main process reads, as those who are attached to it write it.
pub(crate) struct Stdin {
    writer: Mutex<Option<Arc<AsyncMutex<BoxedWriter>>>>,
    /// Does it end with the first who was attached (`stdinOnce`)?
    is_once: bool,
}

impl Stdin {
    pub(crate) fn new(writer: BoxedWriter, is_once: bool) -> Self {
        Self { writer: Mutex::new(Some(Arc::new(AsyncMutex::new(writer)))), is_once }
    }

    fn writer(&self) -> Option<Arc<AsyncMutex<BoxedWriter>>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn close(&self) {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Main {
    /// One that could not be started.
    pub(crate) fn ended(started: Timestamp, end: Terminated) -> Self {
        Self { started, end: watch::Sender::new(Some(end)), work: Work::None }
    }

    /// One that runs, and says through `end` how it ended.
    pub(crate) fn of_process(
        (started, end): (Timestamp, watch::Sender<Option<Terminated>>),
        parts: ProcessParts,
    ) -> Self {
        Self { started, end, work: Work::Process(parts) }
    }

    /// How the container is.
    pub(crate) fn state(&self) -> ContainerState {
        match &*self.end.borrow() {
            Some(end) => ContainerState::Terminated(end.clone()),
            None => ContainerState::Running { started: self.started },
        }
    }

    /// Does everything run that must, unless it has ended by itself? It does not after a crash of the
    /// computer.
    pub(crate) fn is_alive(&self) -> bool {
        self.end.borrow().is_some()
            || match &self.work {
                Work::None => true,
                Work::Workload(started) => started.is_alive(),
                Work::Process(parts) => !parts.task.is_finished(),
            }
    }

    /// Somebody who waits for the end.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Terminated>> {
        self.end.subscribe()
    }
}
