//! hyper's own tasks, on the host.

use hyper::rt::Executor;
use ravelin_host::{HostRef, Task};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs hyper's tasks on a host, for as long as its [`Owner`] lives.
#[derive(Clone)]
pub(super) struct HostExecutor {
    host: HostRef,
    tasks: Arc<Mutex<Option<Vec<Task>>>>,
}

/// Ends all tasks of an executor when it is dropped. A task may hold its executor, so only this can.
pub(super) struct Owner(Arc<Mutex<Option<Vec<Task>>>>);

impl HostExecutor {
    pub(super) fn new(host: &HostRef) -> (Self, Owner) {
        let tasks = Arc::new(Mutex::new(Some(Vec::new())));
        (Self { host: Arc::clone(host), tasks: Arc::clone(&tasks) }, Owner(tasks))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for HostExecutor {
    fn execute(&self, future: F) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tasks) = &mut *tasks {
            tasks.retain(|task| !task.is_finished());
            tasks.push(self.host.spawn("http2.task", Box::pin(future)));
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // The lock is free again before the tasks end: their futures may hold an executor.
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(tasks);
    }
}
