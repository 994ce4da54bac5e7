//! What a kubelet runs: the [`Runtime`] trait and [`Builtin`], its implementation in this process.
//!
//! Each container is one of a few built-in workloads, chosen by its image's name. What a workload
//! was asked and what it answered is written down in its pod's [`Ledger`], which an outside
//! observer reads by the pod's UID. This crate must never know the kubelet, the apiserver's inside
//! or which path a request came by.

mod builtin;
mod container;
mod exec;
mod files;
mod io;
mod ledger;
mod log;
mod pod;
mod ports;
mod process;
mod processes;
mod programs;
mod runtime;
mod shell;
#[cfg(test)]
mod stage;
mod workload;

pub use builtin::Builtin;
pub use files::{MAX_FILE_BYTES, MAX_WRITTEN_BYTES, MAX_WRITTEN_FILES};
pub use io::{BoxedReader, BoxedWriter, LogStream, ProcessIo};
pub use ledger::{
    Answer, Ledger, MAX_RECORDED_BYTES, MAX_RECORDING_BYTES, MAX_SERVED, Ran, Received, Retention, RunOutput,
    Served,
};
pub use log::{LogLine, LogOptions, LogRead, LogSource, MAX_LOG_BYTES, MAX_LOG_FILES};
pub use pod::{ContainerView, MAX_CONTAINERS, MalformedPod, PodView};
pub use processes::Processes;
pub use ravelin_client::{NotInCluster, SERVICE_ACCOUNT_DIRECTORY};
pub use runtime::{
    ContainerState, MAX_RUN_OUTPUT_BYTES, PodState, Runtime, RuntimeError, Sandbox, Terminated,
};
pub use workload::InCluster;
