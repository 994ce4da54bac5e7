//! The main process of a container: how it is started, what it is attached to, and how it ended.

mod attach;
mod console;
mod start;
#[cfg(test)]
mod tests;

pub(crate) use console::Console;
pub(crate) use start::{Place, environment, not_started, start, typing};

use crate::process::Terminal;
use crate::workload::Started;
use crate::{ContainerState, Terminated};
use jiff::Timestamp;
use ravelin_host::Task;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::DuplexStream;
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
    Process { task: Task, console: Arc<Console>, terminal: Option<Arc<Terminal>>, stdin: Option<Arc<Stdin>> },
}

/// What a main process reads, as those who are attached to it write it.
pub(crate) struct Stdin {
    writer: Mutex<Option<Arc<AsyncMutex<DuplexStream>>>>,
    /// Does it end with the first who was attached (`stdinOnce`)?
    is_once: bool,
}

impl Stdin {
    fn writer(&self) -> Option<Arc<AsyncMutex<DuplexStream>>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn close(&self) {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Main {
    fn ended(started: Timestamp, end: Terminated) -> Self {
        Self { started, end: watch::Sender::new(Some(end)), work: Work::None }
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
                Work::Process { task, .. } => !task.is_finished(),
            }
    }

    /// Somebody who waits for the end.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Terminated>> {
        self.end.subscribe()
    }
}
