//! A container's log as files of the node, in the form and under the names that Kubernetes has them
//! (`/var/log/pods`; `pkg/kubelet/logs/container_log_manager.go`). They are for people: what the kubelet
//! hands out is read from memory.

use crate::PodView;
use crate::log::{ENTRY_HEAD_BYTES, Entry, Keeps, LogSource, MAX_LOG_BYTES, MAX_LOG_FILES};
use ravelin_host::program::Programs;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The files of one run of a container.
pub(super) struct LogFile {
    programs: Arc<dyn Programs>,
    name: String,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    bytes: usize,
    /// The files before the present one.
    rotated: VecDeque<String>,
    rotations: u64,
}

impl LogFile {
    /// The files of a container's run, by how often it was started before.
    pub(super) fn of(programs: &Arc<dyn Programs>, pod: &PodView, (container, starts): (&str, u32)) -> Self {
        let folder = format!("{}_{}_{}", pod.namespace, pod.name, pod.uid);
        let name = format!("logs/pods/{folder}/{container}/{starts}.log");
        Self { programs: Arc::clone(programs), name, written: Mutex::default() }
    }

    fn rotate(&self, written: &mut Written, entry: &Entry) {
        written.rotations += 1;
        let at = entry.at.strftime("%Y%m%d-%H%M%S");
        let name = format!("{}.{at}.{}", self.name, written.rotations);
        if self.programs.rename(&self.name, &name).is_err() {
            return;
        }
        written.bytes = 0;
        written.rotated.push_back(name);
        if written.rotated.len() >= MAX_LOG_FILES
            && let Some(oldest) = written.rotated.pop_front()
        {
            // A file that somebody else removed is gone all the same.
            let _ = self.programs.disk().remove(&oldest);
        }
    }
}

impl Keeps for LogFile {
    fn keep(&self, entry: &Entry) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let size = ENTRY_HEAD_BYTES + entry.text.len() + 1;
        if written.bytes > 0 && written.bytes + size > MAX_LOG_BYTES {
            self.rotate(&mut written, entry);
        }
        written.bytes += size;
        let source = match entry.source {
            LogSource::Stdout => "stdout",
            LogSource::Stderr => "stderr",
        };
        let whole = if entry.is_partial { "P" } else { "F" };
        let mut line = format!("{:.9} {source} {whole} ", entry.at).into_bytes();
        line.extend_from_slice(&entry.text);
        line.push(b'\n');
        // A disk that is full does not stop the container.
        let _ = self.programs.disk().append(&self.name, &line);
    }
}

impl fmt::Debug for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogFile({})", self.name)
    }
}
