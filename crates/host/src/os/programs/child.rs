//! A process that was started, until it has ended.

use crate::program::{Running, Signal};
use rustix::process::{self as system, Pid};
use rustix::termios::{self, Winsize};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child as Process, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The stack of the thread that waits for a process, in bytes.
const STACK_BYTES: usize = 64 * 1024;

/// A session's leader. It is killed with its group when this is dropped.
pub(super) struct Child {
    /// Its group, while the number is its own: until somebody has waited for it.
    group: Arc<Mutex<Option<Pid>>>,
    terminal: Option<OwnedFd>,
    end: watch::Receiver<Option<i32>>,
}

impl Child {
    /// Watches over a process that was just started.
    pub(super) fn watch(mut process: Process, terminal: Option<OwnedFd>) -> io::Result<Self> {
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let (told, end) = watch::channel(None);
        let group = Arc::new(Mutex::new(pid));
        let child = Self { group: Arc::clone(&group), terminal, end };
        let wait = move || {
            // Nothing is collected yet: the group keeps its number until all of it was killed.
            let ended = pid.map(wait_without_collecting);
            let mut held = group.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(pid), Some(Ok(()))) = (pid, ended) {
                kill(pid, Signal::Kill);
            }
            let status = process.wait();
            *held = None;
            drop(held);
            told.send_replace(Some(status.map_or(UNKNOWN, code)));
        };
        std::thread::Builder::new().name("process".to_owned()).stack_size(STACK_BYTES).spawn(wait)?;
        Ok(child)
    }
}

/// The exit status of what cannot be waited for.
const UNKNOWN: i32 = 255;

/// Waits until a process has ended, and leaves it to be collected.
fn wait_without_collecting(pid: Pid) -> rustix::io::Result<()> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => return outcome.map(|_| ()),
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(UNKNOWN)
}

/// Asks the first program to end, as runc does; takes all of them away.
fn kill(group: Pid, signal: Signal) {
    // What has ended hears nothing.
    let _ = match signal {
        Signal::Terminate => system::kill_process(group, system::Signal::TERM),
        // The launcher leads no group before it leads its session: then it is alone.
        Signal::Kill => system::kill_process_group(group, system::Signal::KILL)
            .or_else(|_| system::kill_process(group, system::Signal::KILL)),
    };
}

impl Running for Child {
    fn signal(&self, signal: Signal) {
        let held = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = *held {
            kill(group, signal);
        }
    }

    fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        if let Some(terminal) = &self.terminal {
            // A terminal that is no more has no size.
            let _ = termios::tcsetwinsize(terminal, size);
        }
    }

    fn end(&self) -> watch::Receiver<Option<i32>> {
        self.end.clone()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::Kill);
    }
}
