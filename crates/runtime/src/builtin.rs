//! The runtime whose workloads are tasks of this process.

use crate::container::{self, Main, Place, environment};
use crate::exec::Command;
use crate::files::Files;
use crate::ports;
use crate::process::Surroundings;
use crate::{
    ContainerState, ContainerView, Ledger, LogOptions, LogStream, PodState, ProcessIo, Retention, Runtime,
    RuntimeError, Sandbox,
};
use async_trait::async_trait;
use jiff::Timestamp;
use ravelin_host::{BoxedStream, HostRef};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Runs the built-in workloads. Its pods end when it is dropped.
#[derive(Default)]
pub struct Builtin {
    retention: Retention,
    pods: Mutex<Pods>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Pods {
    running: BTreeMap<String, RunningPod>,
    /// Ledgers stay when their pod has gone, where all is retained: an observer reads them afterwards.
    ledgers: BTreeMap<String, Arc<Ledger>>,
}

struct RunningPod {
    sandbox: Sandbox,
    files: Arc<Files>,
    started: Timestamp,
    containers: BTreeMap<String, Container>,
}

/// A container, whether it runs or not.
enum Container {
    Started(Main),
    Waiting(ContainerState),
}

impl Container {
    fn of(outcome: Result<Main, ContainerState>) -> Self {
        outcome.map_or_else(Self::Waiting, Self::Started)
    }

    fn state(&self) -> ContainerState {
        match self {
            Self::Started(main) => main.state(),
            Self::Waiting(state) => state.clone(),
        }
    }

    fn is_alive(&self) -> bool {
        match self {
            Self::Started(main) => main.is_alive(),
            Self::Waiting(_) => true,
        }
    }
}

impl RunningPod {
    fn state(&self) -> PodState {
        let states = self.containers.iter().map(|(name, container)| (name.clone(), container.state()));
        PodState { started: self.started, containers: states.collect() }
    }

    fn is_alive(&self) -> bool {
        self.containers.values().all(Container::is_alive)
    }

    /// A container that runs.
    fn main(&self, name: &str) -> Result<&Main, RuntimeError> {
        match self.containers.get(name) {
            Some(Container::Started(main)) if main.state().is_running() => Ok(main),
            _ => Err(RuntimeError::NoSuchContainer(name.to_owned())),
        }
    }

    fn view(&self, name: &str) -> Result<&ContainerView, RuntimeError> {
        let view = self.sandbox.pod.containers.iter().find(|view| view.name == name);
        view.ok_or_else(|| RuntimeError::NoSuchContainer(name.to_owned()))
    }

    fn surroundings(&self, view: &ContainerView) -> Arc<Surroundings> {
        surroundings(&self.sandbox, &self.files, view)
    }
}

fn surroundings(sandbox: &Sandbox, files: &Arc<Files>, view: &ContainerView) -> Arc<Surroundings> {
    let words: Vec<&str> = view.command.iter().chain(&view.args).map(String::as_str).collect();
    let command = if words.is_empty() { view.image_name().to_owned() } else { words.join(" ") };
    let (host, pod) = (sandbox.host.clone(), sandbox.pod.clone());
    Arc::new(Surroundings { host, pod, command, files: Arc::clone(files) })
}

impl Builtin {
    /// A runtime without pods.
    pub fn new() -> Self {
        Self::default()
    }

    /// A runtime without pods that remembers so much of what they did.
    pub fn with(retention: Retention) -> Self {
        Self { retention, ..Self::default() }
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is told when a main process has ended, by whatever runs beside these pods.
    pub(crate) fn changes_sender(&self) -> watch::Sender<u64> {
        self.changes.clone()
    }

    /// The ledger of the pod with this UID; also after its end, where all is retained.
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

    async fn started(
        &self,
        sandbox: &Sandbox,
        (files, ledger): (&Arc<Files>, &Arc<Ledger>),
        view: &ContainerView,
    ) -> Container {
        let around = surroundings(sandbox, files, view);
        let place = Place { sandbox, around, ledger, changes: self.changes.clone() };
        Container::of(container::start(place, view).await)
    }
}

impl Pods {
    /// A pod that runs, and its ledger.
    fn pod(&self, uid: &str) -> Result<(&RunningPod, &Arc<Ledger>), RuntimeError> {
        let pod = self.running.get(uid).ok_or_else(|| RuntimeError::NoSuchPod(uid.to_owned()))?;
        Ok((pod, self.ledgers.get(uid).expect("every pod gets a ledger before it runs")))
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
        if let Some(state) = self.status(&uid).await.filter(PodState::is_started) {
            return Ok(state);
        }
        write(&sandbox.host, &sandbox.root, &sandbox.files)?;
        // What half a pod still holds (ports above all) is let go before it starts again; of one that
        // only waits for some of its containers, the others go on.
        let before = self.pods().running.remove(&uid);
        let before = before.filter(|pod| {
            let is_alive = pod.is_alive();
            if !is_alive {
                pod.files.remove_written();
            }
            is_alive
        });
        let made = || Arc::new(Ledger::with(self.retention));
        let ledger = Arc::clone(self.pods().ledgers.entry(uid.clone()).or_insert_with(made));
        let (files, started, mut kept) = match before {
            Some(pod) => (pod.files, pod.started, pod.containers),
            None => {
                let files = Files::new(sandbox.host.clone(), &sandbox.root, &sandbox.files);
                (Arc::new(files), sandbox.host.now(), BTreeMap::new())
            }
        };
        files.mount(&sandbox.files);
        let mut containers = BTreeMap::new();
        for view in &sandbox.pod.containers {
            let container = match kept.remove(&view.name) {
                Some(started @ Container::Started(_)) => started,
                _ => {
                    ledger.log(&view.name).go_on();
                    self.started(&sandbox, (&files, &ledger), view).await
                }
            };
            containers.insert(view.name.clone(), container);
        }
        let pod = RunningPod { sandbox, files, started, containers };
        let state = pod.state();
        self.pods().running.insert(uid, pod);
        Ok(state)
    }

    async fn restart(&self, uid: &str, container: &str) -> Result<ContainerState, RuntimeError> {
        let (sandbox, files, view, ledger) = {
            let mut pods = self.pods();
            let ledger = Arc::clone(pods.pod(uid)?.1);
            let pod = pods.running.get_mut(uid).ok_or_else(|| RuntimeError::NoSuchPod(uid.to_owned()))?;
            let view = pod.view(container)?.clone();
            if pod.main(container).is_ok() {
                return Ok(ContainerState::Running { started: pod.started });
            }
            (pod.sandbox.clone(), Arc::clone(&pod.files), view, ledger)
        };
        ledger.begin_log(container);
        let started = self.started(&sandbox, (&files, &ledger), &view).await;
        let state = started.state();
        let mut pods = self.pods();
        let pod = pods.running.get_mut(uid).ok_or_else(|| RuntimeError::NoSuchPod(uid.to_owned()))?;
        pod.containers.insert(container.to_owned(), started);
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
        pod.files.mount(files);
        pod.sandbox.files.clone_from(files);
        Ok(())
    }

    async fn stop_pod(&self, uid: &str, _: Duration) -> bool {
        let mut pods = self.pods();
        let Some(pod) = pods.running.remove(uid) else { return true };
        let ledger = match self.retention {
            Retention::All => pods.ledgers.get(uid).map(Arc::clone),
            Retention::Newest => pods.ledgers.remove(uid),
        };
        drop(pods);
        for name in pod.sandbox.files.keys() {
            // A file that stays is no reason to keep the pod.
            let _ = pod.sandbox.host.disk().remove(&format!("{}{name}", pod.sandbox.root));
        }
        pod.files.remove_written();
        for (name, container) in pod.containers {
            drop(container);
            if let Some(ledger) = &ledger {
                ledger.log(&name).end();
            }
        }
        true
    }

    async fn status(&self, uid: &str) -> Option<PodState> {
        let pods = self.pods();
        let pod = pods.running.get(uid)?;
        pod.is_alive().then(|| pod.state())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn exec(
        &self,
        uid: &str,
        container: &str,
        argv: &[String],
        io: ProcessIo,
    ) -> Result<i32, RuntimeError> {
        let command = {
            let pods = self.pods();
            let (pod, ledger) = pods.pod(uid)?;
            let (main, view) = (pod.main(container)?, pod.view(container)?);
            let around = pod.surroundings(view);
            let recording = ledger.begin_run(pod.sandbox.host.now(), container, argv);
            let directory = if view.working_directory.is_empty() { "/" } else { &view.working_directory };
            Command {
                env: environment(&pod.sandbox, view, &around),
                around,
                directory: directory.to_owned(),
                argv: argv.to_vec(),
                recording: recording.ok_or(RuntimeError::TooManyCommands)?,
                container: main.watch(),
            }
        };
        command.run(io).await
    }

    async fn attach(&self, uid: &str, container: &str, io: ProcessIo) -> Result<(), RuntimeError> {
        let joined = {
            let pods = self.pods();
            let (pod, ledger) = pods.pod(uid)?;
            pod.main(container)?.join(&ledger.log(container))
        };
        joined.run(io).await;
        Ok(())
    }

    async fn port_forward(&self, uid: &str, port: u16) -> Result<BoxedStream, RuntimeError> {
        let host = self.pods().pod(uid)?.0.sandbox.host.clone();
        ports::connect(&host, uid, port).await
    }

    async fn logs(
        &self,
        uid: &str,
        container: &str,
        options: &LogOptions,
    ) -> Result<LogStream, RuntimeError> {
        let pods = self.pods();
        let (pod, ledger) = pods.pod(uid)?;
        let missing = || RuntimeError::NoSuchContainer(container.to_owned());
        let held = pod.containers.get(container).ok_or_else(missing)?;
        let log = ledger.open_log(pod.sandbox.host.now(), container, options);
        match (log, held) {
            (None, _) => Err(RuntimeError::NoPreviousContainer(container.to_owned())),
            (Some(_), Container::Waiting(_)) if !options.previous => Err(missing()),
            (Some(log), _) => Ok(log),
        }
    }
}
