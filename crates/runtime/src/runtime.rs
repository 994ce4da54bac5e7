//! What a kubelet asks of whatever runs its pods (the part that the CRI plays in Kubernetes).

use crate::{LogOptions, PodView, RunOutput};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use ravelin_host::HostRef;
use std::collections::BTreeMap;

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
    Running,
    /// It could not be started: a reason as Kubernetes writes it (`ErrImagePull`, `RunContainerError`)
    /// and a text.
    Waiting {
        /// The reason.
        reason: &'static str,
        /// What went wrong.
        message: String,
    },
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
        self.containers.values().all(|state| *state == ContainerState::Running)
    }
}

/// Why a runtime could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No pod with this UID runs here.
    #[error("pod {0:?} does not exist")]
    NoSuchPod(String),
    /// The pod has no such container.
    #[error("container {0:?} does not exist")]
    NoSuchContainer(String),
    /// The computer failed.
    #[error("the pod's computer failed")]
    Local(#[from] std::io::Error),
}

/// What runs pods.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Starts a pod, or starts it again where a container of it waits. When this returns, its
    /// servers listen.
    ///
    /// # Errors
    /// Where its files cannot be written. A container that cannot start is a state, no error.
    async fn run_pod(&self, sandbox: Sandbox) -> Result<PodState, RuntimeError>;

    /// Replaces the files of a running pod: those that are not named are no more.
    ///
    /// # Errors
    /// Where the pod does not run or the files cannot be written.
    async fn write_files(&self, uid: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<(), RuntimeError>;

    /// Ends a pod and removes its files. Ending one that does not run is no error.
    async fn stop_pod(&self, uid: &str);

    /// How a pod is, where it runs here.
    async fn status(&self, uid: &str) -> Option<PodState>;

    /// Runs a command in a container, and waits for its end.
    ///
    /// # Errors
    /// Where the pod or the container does not exist. A command that fails is no error.
    async fn run(&self, uid: &str, container: &str, argv: &[String]) -> Result<RunOutput, RuntimeError>;

    /// A part of a container's log.
    ///
    /// # Errors
    /// Where the pod or the container does not exist.
    async fn logs(&self, uid: &str, container: &str, options: &LogOptions) -> Result<Bytes, RuntimeError>;
}
