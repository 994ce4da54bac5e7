//! What a kubelet asks of whatever runs its pods (the part that the CRI plays in Kubernetes).

use crate::{LogOptions, LogStream, PodView, ProcessIo, RunOutput};
use async_trait::async_trait;
use jiff::Timestamp;
use ravelin_host::{BoxedStream, HostRef};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, DuplexStream};
use tokio::sync::watch;

/// What a command that is waited for may write to one of its outputs; the rest is cut (16 MiB, as
/// containerd's ExecSync has it).
pub const MAX_RUN_OUTPUT_BYTES: usize = 16 * 1024 * 1024;

/// How much may wait between a command and who collects its output.
const PIPE_BYTES: usize = 64 * 1024;

/// All that a pod is run from.
#[derive(Clone)]
pub struct Sandbox {
    /// What to run.
    pub pod: PodView,
    /// The computer it runs on: its own, or its node's with `hostNetwork`.
    pub host: HostRef,
    /// What its file names are prefixed with on that computer: empty on a computer of its own.
    pub root: String,
    /// The files it finds, by absolute path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Environment variables that every container gets besides its own.
    pub env: BTreeMap<String, String>,
}

/// How a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// It runs and is ready.
    Running {
        /// Since when.
        started: Timestamp,
    },
    /// It could not be started: a reason as Kubernetes writes it (`ErrImagePull`, `RunContainerError`)
    /// and a text.
    Waiting {
        /// The reason.
        reason: &'static str,
        /// What went wrong.
        message: String,
    },
    /// Its main process has ended.
    Terminated(Terminated),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminated {
    /// The exit status of its main process.
    pub exit_code: i32,
    /// `Completed` for 0, else `Error`; `StartError` where it could not even be started.
    pub reason: &'static str,
    /// What went wrong there; else empty.
    pub message: String,
    /// When it was started.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

impl ContainerState {
    /// Does it run?
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Could it not be started?
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }
}

/// How a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodState {
    /// When it was started.
    pub started: Timestamp,
    /// Its containers by name.
    pub containers: BTreeMap<String, ContainerState>,
}

impl PodState {
    /// Do all containers run?
    pub fn is_ready(&self) -> bool {
        self.containers.values().all(ContainerState::is_running)
    }

    /// Was every container started, whether it still runs or not?
    pub fn is_started(&self) -> bool {
        !self.containers.values().any(ContainerState::is_waiting)
    }
}

/// Why a runtime could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No pod with this UID runs here.
    #[error("pod {0:?} does not exist")]
    NoSuchPod(String),
    /// The pod has no such container, or it does not run.
    #[error("container {0:?} does not exist")]
    NoSuchContainer(String),
    /// The container was never started before.
    #[error("previous terminated container {0:?} not found")]
    NoPreviousContainer(String),
    /// A command could not be started; the text is containerd's.
    #[error("{0}")]
    CommandNotStarted(String),
    /// A port of a pod could not be connected to; the text is containerd's.
    #[error("{0}")]
    PortNotReached(String),
    /// Too many commands were run in this pod.
    #[error("too many commands were run in this pod")]
    TooManyCommands,
    /// The computer failed.
    #[error("the pod's computer failed")]
    Local(#[from] std::io::Error),
}

/// What runs pods.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Starts a pod, or starts those containers of it that wait. When this returns, its servers listen.
    ///
    /// # Errors
    /// Where its files cannot be written. A container that cannot start is a state, no error.
    async fn run_pod(&self, sandbox: Sandbox) -> Result<PodState, RuntimeError>;

    /// Starts a container anew whose main process has ended. Its log until now becomes the previous one.
    ///
    /// # Errors
    /// Where the pod or the container does not exist.
    async fn restart(&self, uid: &str, container: &str) -> Result<ContainerState, RuntimeError>;

    /// Replaces the files of a running pod: those that are not named are no more.
    ///
    /// # Errors
    /// Where the pod does not run or the files cannot be written.
    async fn write_files(&self, uid: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<(), RuntimeError>;

    /// Ends a pod and removes its files, and says whether it has ended. While it has not, it was told to,
    /// and is killed after `grace`; it is asked for again when [`Runtime::changes`] says that something has
    /// ended. Without grace it ends at once. Ending one that does not run is no error.
    async fn stop_pod(&self, uid: &str, grace: Duration) -> bool;

    /// How a pod is, where it runs here.
    async fn status(&self, uid: &str) -> Option<PodState>;

    /// A value that changes whenever a container's main process has ended.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Runs a command in a container. Returns its exit status when it has ended and all of its output
    /// was written. Dropping the future ends the command.
    ///
    /// # Errors
    /// Where the pod or the container does not run, or the command cannot be started. A command that
    /// fails is no error.
    async fn exec(
        &self,
        uid: &str,
        container: &str,
        argv: &[String],
        io: ProcessIo,
    ) -> Result<i32, RuntimeError>;

    /// Joins a container's own main process: what it writes from now on, and what it reads. Returns
    /// when that has ended. Dropping the future lets go of it.
    ///
    /// # Errors
    /// Where the pod or the container does not run.
    async fn attach(&self, uid: &str, container: &str, io: ProcessIo) -> Result<(), RuntimeError>;

    /// Connects to a port inside a pod.
    ///
    /// # Errors
    /// Where the pod does not run, or nothing listens there.
    async fn port_forward(&self, uid: &str, port: u16) -> Result<BoxedStream, RuntimeError>;

    /// A part of a container's log.
    ///
    /// # Errors
    /// Where the pod or the container does not exist, or was never started before the previous log was
    /// asked for.
    async fn logs(&self, uid: &str, container: &str, options: &LogOptions)
    -> Result<LogStream, RuntimeError>;

    /// Runs a command in a container without input, and waits for its end.
    ///
    /// # Errors
    /// As [`Runtime::exec`].
    async fn run(&self, uid: &str, container: &str, argv: &[String]) -> Result<RunOutput, RuntimeError> {
        let (stdout, from_stdout) = tokio::io::duplex(PIPE_BYTES);
        let (stderr, from_stderr) = tokio::io::duplex(PIPE_BYTES);
        let io = ProcessIo {
            stdout: Some(Box::new(stdout)),
            stderr: Some(Box::new(stderr)),
            ..ProcessIo::default()
        };
        let (exit_code, stdout, stderr) = tokio::join!(
            biased;
            self.exec(uid, container, argv, io),
            collected(from_stdout),
            collected(from_stderr),
        );
        Ok(RunOutput { exit_code: exit_code?, stdout: stdout.into(), stderr: stderr.into() })
    }
}

/// What comes out of a pipe, up to [`MAX_RUN_OUTPUT_BYTES`].
async fn collected(mut pipe: DuplexStream) -> Vec<u8> {
    let mut collected = Vec::new();
    let mut limited = (&mut pipe).take(MAX_RUN_OUTPUT_BYTES as u64);
    // What a pipe in memory gave before it broke is all there is.
    let _ = limited.read_to_end(&mut collected).await;
    drain(&mut pipe).await;
    collected
}

/// A command that writes too much is not held up.
async fn drain(pipe: &mut (impl AsyncRead + Unpin)) {
    let mut nowhere = vec![0; PIPE_BYTES];
    while pipe.read(&mut nowhere).await.is_ok_and(|count| count > 0) {}
}
