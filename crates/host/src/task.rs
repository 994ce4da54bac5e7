//! A task that runs on a computer.

use tokio::task::AbortHandle;

/// A running task; dropping it ends it.
#[derive(Debug)]
pub struct Task(Option<AbortHandle>);

impl Task {
    /// Takes over a spawned task.
    pub fn new(handle: AbortHandle) -> Self {
        Self(Some(handle))
    }

    /// Lets the task go on without this handle.
    pub fn detach(mut self) {
        self.0 = None;
    }

    /// Has the task ended?
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(AbortHandle::is_finished)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            handle.abort();
        }
    }
}
