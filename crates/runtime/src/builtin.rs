//! The runtime whose workloads are tasks of this process.

use crate::ledger::Side;
use crate::log::LogReader;
use crate::workload::{self, Started};
use crate::{
    ContainerState, Ledger, LogOptions, LogStream, PodState, ProcessIo, Runtime, RuntimeError, Sandbox,
};
use crate::{command, ports};
use async_trait::async_trait;
use ravelin_host::{BoxedStream, HostRef};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

/// Runs the built-in workloads. Its pods end when it is dropped.
#[derive(Default)]
pub struct Builtin {
    pods: Mutex<Pods>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Pods {
    running: BTreeMap<String, RunningPod>,
    /// Ledgers stay when their pod has gone: an observer reads them afterwards.
    ledgers: BTreeMap<String, Arc<Ledger>>,
}

struct RunningPod {
    sandbox: Sandbox,
    state: PodState,
    /// What keeps the containers running.
    started: Vec<Started>,
}

impl Builtin {
    /// A runtime without pods.
    pub fn new() -> Self {
        Self::default()
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a container of a running pod has.
    fn container(&self, uid: &str, container: &str) -> Result<(Sandbox, Arc<Ledger>), RuntimeError> {
        let pods = self.pods();
        let pod = pods.running.get(uid).ok_or_else(|| RuntimeError::NoSuchPod(uid.to_owned()))?;
        if !pod.state.containers.contains_key(container) {
            return Err(RuntimeError::NoSuchContainer(container.to_owned()));
        }
        let ledger = pods.ledgers.get(uid).expect("every pod gets a ledger before it runs");
        Ok((pod.sandbox.clone(), Arc::clone(ledger)))
    }

    /// The ledger of the pod with this UID, also after its end.
    pub fn ledger(&self, uid: &str) -> Option<Arc<Ledger>> {
        self.pods().ledgers.get(uid).cloned()
    }

    /// Every ledger by pod UID.
    pub fn ledgers(&self) -> BTreeMap<String, Arc<Ledger>> {
        self.pods().ledgers.clone()
    }

    /// What a running pod was started from: its computer, files and environment.
    pub fn sandbox(&self, uid: &str) -> Option<Sandbox> {
        self.pods().running.get(uid).map(|pod| pod.sandbox.clone())
    }
}

impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Builtin")
    }
}

fn write(host: &HostRef, root: &str, files: &BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    files.iter().try_for_each(|(name, content)| host.disk().write(&format!("{root}{name}"), content))
}

#[async_trait]
impl Runtime for Builtin {
    async fn run_pod(&self, sandbox: Sandbox) -> Result<PodState, RuntimeError> {
        let uid = sandbox.pod.uid.clone();
        if let Some(state) = self.status(&uid).await.filter(PodState::is_ready) {
            return Ok(state);
        }
        // What half a pod still holds (ports above all) is let go before it starts again.
        self.pods().running.remove(&uid);
        write(&sandbox.host, &sandbox.root, &sandbox.files)?;
        let ledger = self.pods().ledgers.entry(uid.clone()).or_default().clone();
        let mut state = PodState { started: sandbox.host.now(), containers: BTreeMap::new() };
        let mut running = Vec::new();
        for container in &sandbox.pod.containers {
            let outcome = match workload::start(&sandbox, container, &ledger).await {
                Ok(started) => {
                    running.push(started);
                    ContainerState::Running { started: sandbox.host.now() }
                }
                Err(refused) => refused,
            };
            state.containers.insert(container.name.clone(), outcome);
        }
        let pod = RunningPod { sandbox, state: state.clone(), started: running };
        self.pods().running.insert(uid, pod);
        Ok(state)
    }

    async fn write_files(&self, uid: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<(), RuntimeError> {
        let mut pods = self.pods();
        let pod = pods.running.get_mut(uid).ok_or_else(|| RuntimeError::NoSuchPod(uid.to_owned()))?;
        let (host, root) = (&pod.sandbox.host, &pod.sandbox.root);
        write(host, root, files)?;
        for name in pod.sandbox.files.keys().filter(|name| !files.contains_key(*name)) {
            host.disk().remove(&format!("{root}{name}"))?;
        }
        pod.sandbox.files.clone_from(files);
        Ok(())
    }

    async fn stop_pod(&self, uid: &str) {
        let Some(pod) = self.pods().running.remove(uid) else { return };
        for name in pod.sandbox.files.keys() {
            // A file that stays is no reason to keep the pod.
            let _ = pod.sandbox.host.disk().remove(&format!("{}{name}", pod.sandbox.root));
        }
    }

    async fn status(&self, uid: &str) -> Option<PodState> {
        let pods = self.pods();
        let pod = pods.running.get(uid)?;
        pod.started.iter().all(Started::is_alive).then(|| pod.state.clone())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn restart(&self, uid: &str, container: &str) -> Result<ContainerState, RuntimeError> {
        let (sandbox, ledger) = self.container(uid, container)?;
        let view = sandbox.pod.containers.iter().find(|view| view.name == container);
        let view = view.ok_or_else(|| RuntimeError::NoSuchContainer(container.to_owned()))?;
        ledger.begin_log(container);
        let outcome = workload::start(&sandbox, view, &ledger).await;
        let mut pods = self.pods();
        let pod = pods.running.get_mut(uid).ok_or_else(|| RuntimeError::NoSuchPod(uid.to_owned()))?;
        let state = match outcome {
            Ok(started) => {
                pod.started.push(started);
                ContainerState::Running { started: sandbox.host.now() }
            }
            Err(refused) => refused,
        };
        pod.state.containers.insert(container.to_owned(), state.clone());
        Ok(state)
    }

    async fn exec(
        &self,
        uid: &str,
        container: &str,
        argv: &[String],
        io: ProcessIo,
    ) -> Result<i32, RuntimeError> {
        let (sandbox, ledger) = self.container(uid, container)?;
        let recording = ledger.begin_run(sandbox.host.now(), container, argv);
        let recording = recording.ok_or(RuntimeError::TooManyCommands)?;
        let output = command::run(&sandbox, argv);
        recording.passed(Side::Stdout, &output.stdout);
        recording.passed(Side::Stderr, &output.stderr);
        for (bytes, writer) in [(&output.stdout, io.stdout), (&output.stderr, io.stderr)] {
            if let Some(mut writer) = writer {
                writer.write_all(bytes).await?;
                writer.shutdown().await?;
            }
        }
        recording.ended(output.exit_code);
        Ok(output.exit_code)
    }

    async fn attach(&self, uid: &str, container: &str, io: ProcessIo) -> Result<(), RuntimeError> {
        let (_, ledger) = self.container(uid, container)?;
        let log = ledger.log(container);
        let mut reader = LogReader::following(&log, log.end_cursor());
        let Some(mut stdout) = io.stdout else { return Ok(()) };
        while let Some(piece) = reader.next().await {
            stdout.write_all(&piece).await?;
            stdout.flush().await?;
        }
        Ok(stdout.shutdown().await?)
    }

    async fn port_forward(&self, uid: &str, port: u16) -> Result<BoxedStream, RuntimeError> {
        let host = {
            let pods = self.pods();
            let pod = pods.running.get(uid).ok_or_else(|| RuntimeError::NoSuchPod(uid.to_owned()))?;
            pod.sandbox.host.clone()
        };
        ports::connect(&host, uid, port).await
    }

    async fn logs(&self, uid: &str, container: &str, options: &LogOptions) -> Result<LogStream, RuntimeError> {
        let (sandbox, ledger) = self.container(uid, container)?;
        let log = ledger.open_log(sandbox.host.now(), container, options);
        log.ok_or_else(|| RuntimeError::NoPreviousContainer(container.to_owned()))
    }
}
