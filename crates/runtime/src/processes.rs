//! The runtime whose containers are programs of this computer. **It isolates nothing.**
//!
//! A container runs its `command` and `args`; its image is not looked at. Its folder is its root as far
//! as that goes: it is started in `workingDir` below it, and its volumes' files lie at their paths
//! below it. Each pod has a loopback address of its own (`127` and the rest of its own), which its programs are told and
//! may listen on; its `containerPort`s lead there from the pod's address in the cluster.
//!
//! Pods that consist of built-in images alone are built-in workloads here as well.

mod command;
mod folder;
mod log_file;
mod main_process;
mod ports;
mod pump;
#[cfg(test)]
mod tests;

use crate::builtin::Builtin;
use crate::log::{LogReader, SharedLog};
use crate::workload;
use crate::{
    ContainerState, ContainerView, LogOptions, LogStream, PodState, PodView, ProcessIo, Runtime,
    RuntimeError, Sandbox,
};
use async_trait::async_trait;
use folder::Folder;
use jiff::Timestamp;
use log_file::LogFile;
use main_process::{MainProcess, Place};
use ravelin_host::program::{Programs, Signal};
use ravelin_host::{BoxedStream, Task};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How many commands may run in a pod at a time.
const MAX_COMMANDS: usize = 256;

/// Runs containers as programs of this computer. They end when it is dropped.
pub struct Processes {
    builtin: Arc<Builtin>,
    programs: Arc<dyn Programs>,
    pods: Mutex<BTreeMap<String, Pod>>,
    changes: watch::Sender<u64>,
}

struct Pod {
    sandbox: Sandbox,
    folder: Folder,
    started: Timestamp,
    containers: BTreeMap<String, Container>,
    /// What brings connections to its ports.
    _ports: Vec<Task>,
    /// It was told to end, and will be killed.
    ending: Option<Task>,
    /// One hold for each command that runs in it.
    commands: Arc<()>,
}

struct Container {
    run: Run,
    /// How often it was started.
    starts: u32,
    log: Arc<SharedLog>,
    previous: Option<Arc<SharedLog>>,
}

enum Run {
    Started(MainProcess),
    Waiting(ContainerState),
}

impl Container {
    fn state(&self) -> ContainerState {
        match &self.run {
            Run::Started(process) => process.main.state(),
            Run::Waiting(state) => state.clone(),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Run::Started(process) = &self.run {
            process.signal(signal);
        }
    }
}

impl Pod {
    fn state(&self) -> PodState {
        let states = self.containers.iter().map(|(name, container)| (name.clone(), container.state()));
        PodState { started: self.started, containers: states.collect() }
    }

    fn is_running(&self) -> bool {
        self.containers.values().any(|container| container.state().is_running())
    }

    fn view(&self, name: &str) -> Result<&ContainerView, RuntimeError> {
        let view = self.sandbox.pod.containers.iter().find(|view| view.name == name);
        view.ok_or_else(|| RuntimeError::NoSuchContainer(name.to_owned()))
    }

    /// A container that runs.
    fn running(&self, name: &str) -> Result<(&MainProcess, &Container), RuntimeError> {
        match self.containers.get(name) {
            Some(container @ Container { run: Run::Started(process), .. })
                if process.main.state().is_running() =>
            {
                Ok((process, container))
            }
            _ => Err(RuntimeError::NoSuchContainer(name.to_owned())),
        }
    }

    fn signal(&self, signal: Signal) {
        self.containers.values().for_each(|container| container.signal(signal));
    }
}

/// Are these all images of built-in workloads?
fn is_builtin(pod: &PodView) -> bool {
    pod.containers.iter().all(|view| workload::exists(view.image_name()))
}

impl Processes {
    /// A runtime without pods. What consists of built-in images is run by `builtin`.
    pub fn new(builtin: Arc<Builtin>, programs: Arc<dyn Programs>) -> Self {
        let changes = builtin.changes_sender();
        Self { builtin, programs, pods: Mutex::default(), changes }
    }

    fn pods(&self) -> MutexGuard<'_, BTreeMap<String, Pod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        uid: &str,
        look: impl FnOnce(&mut Pod) -> Result<T, RuntimeError>,
    ) -> Option<Result<T, RuntimeError>> {
        self.pods().get_mut(uid).map(look)
    }

    /// Starts a container, the first time or anew.
    fn start(
        &self,
        (sandbox, folder): (&Sandbox, &Folder),
        view: &ContainerView,
        before: Option<Container>,
    ) -> Container {
        let starts = before.as_ref().map_or(0, |before| before.starts);
        let file = LogFile::of(&self.programs, &sandbox.pod, (&view.name, starts));
        let log = Arc::new(SharedLog::kept_by(Box::new(file)));
        let changes = self.changes.clone();
        let place = Place { sandbox, folder, programs: &*self.programs, log: &log, changes };
        let run = match main_process::start(place, view) {
            Ok(process) => Run::Started(process),
            Err(waiting) => Run::Waiting(waiting),
        };
        let previous = before.and_then(|before| match before.run {
            Run::Started(_) => Some(before.log),
            Run::Waiting(_) => before.previous,
        });
        let starts = starts + u32::from(matches!(run, Run::Started(_)));
        Container { run, starts, log, previous }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.pods().values().for_each(|pod| pod.signal(Signal::Kill));
    }
}

#[async_trait]
impl Runtime for Processes {
    async fn run_pod(&self, sandbox: Sandbox) -> Result<PodState, RuntimeError> {
        if is_builtin(&sandbox.pod) {
            return self.builtin.run_pod(sandbox).await;
        }
        let uid = sandbox.pod.uid.clone();
        if let Some(state) = self.status(&uid).await.filter(PodState::is_started) {
            return Ok(state);
        }
        let before = self.pods().remove(&uid);
        let folder = Folder::new(&self.programs, &sandbox.pod)?;
        folder.write(&sandbox.files)?;
        let mut pod = match before {
            Some(pod) => Pod { sandbox, folder, ..pod },
            None => {
                let ports = ports::open(&sandbox, &self.programs).await;
                let started = sandbox.host.now();
                let (containers, commands) = (BTreeMap::new(), Arc::default());
                Pod { sandbox, folder, started, containers, _ports: ports, ending: None, commands }
            }
        };
        let mut kept = std::mem::take(&mut pod.containers);
        for view in &pod.sandbox.pod.containers {
            let container = match kept.remove(&view.name) {
                Some(started @ Container { run: Run::Started(_), .. }) => started,
                before => self.start((&pod.sandbox, &pod.folder), view, before),
            };
            pod.containers.insert(view.name.clone(), container);
        }
        let state = pod.state();
        self.pods().insert(uid, pod);
        Ok(state)
    }

    async fn restart(&self, uid: &str, container: &str) -> Result<ContainerState, RuntimeError> {
        let restarted = self.with(uid, |pod| {
            let view = pod.view(container)?.clone();
            if pod.running(container).is_ok() {
                return Ok(ContainerState::Running { started: pod.started });
            }
            let before = pod.containers.remove(container);
            let started = self.start((&pod.sandbox, &pod.folder), &view, before);
            let state = started.state();
            pod.containers.insert(container.to_owned(), started);
            Ok(state)
        });
        match restarted {
            Some(restarted) => restarted,
            None => self.builtin.restart(uid, container).await,
        }
    }

    async fn write_files(&self, uid: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<(), RuntimeError> {
        let written = self.with(uid, |pod| {
            pod.folder.write(files)?;
            let mut gone = pod.sandbox.files.keys().filter(|name| !files.contains_key(*name));
            gone.try_for_each(|name| pod.folder.remove_file(name))?;
            pod.sandbox.files.clone_from(files);
            Ok(())
        });
        match written {
            Some(written) => written,
            None => self.builtin.write_files(uid, files).await,
        }
    }

    async fn stop_pod(&self, uid: &str, grace: Duration) -> bool {
        let pod = {
            let mut pods = self.pods();
            if let Some(pod) = pods.get_mut(uid)
                && pod.is_running()
                && !grace.is_zero()
            {
                if pod.ending.is_none() {
                    pod.ending = Some(ending(pod, grace));
                }
                return false;
            }
            pods.remove(uid)
        };
        let Some(pod) = pod else { return self.builtin.stop_pod(uid, grace).await };
        pod.signal(Signal::Kill);
        pod.containers.values().for_each(|container| container.log.end());
        pod.folder.clear();
        true
    }

    async fn status(&self, uid: &str) -> Option<PodState> {
        let state = self.pods().get(uid).map(Pod::state);
        match state {
            Some(state) => Some(state),
            None => self.builtin.status(uid).await,
        }
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
        let prepared = self.with(uid, |pod| {
            let (view, (main, _)) = (pod.view(container)?, pod.running(container)?);
            if Arc::strong_count(&pod.commands) > MAX_COMMANDS {
                return Err(RuntimeError::TooManyCommands);
            }
            let program = command::program((&pod.sandbox, &pod.folder), view, (argv, &io))?;
            let (host, hold) = (pod.sandbox.host.clone(), Arc::clone(&pod.commands));
            Ok((program, host, main.main.watch(), hold))
        });
        let Some(prepared) = prepared else { return self.builtin.exec(uid, container, argv, io).await };
        let (program, host, end, _hold) = prepared?;
        let started = self.programs.start(&program).map_err(|why| command::not_started(&host, argv, &why))?;
        Ok(command::run(started, io, end).await)
    }

    async fn attach(&self, uid: &str, container: &str, io: ProcessIo) -> Result<(), RuntimeError> {
        let joined = self.with(uid, |pod| {
            let (process, container) = pod.running(container)?;
            Ok(process.main.join(&container.log))
        });
        let Some(joined) = joined else { return self.builtin.attach(uid, container, io).await };
        joined?.run(io).await;
        Ok(())
    }

    async fn port_forward(&self, uid: &str, port: u16) -> Result<BoxedStream, RuntimeError> {
        let Some(sandbox) = self.with(uid, |pod| Ok(pod.sandbox.clone())) else {
            return self.builtin.port_forward(uid, port).await;
        };
        ports::connect(&*self.programs, &sandbox?, port).await
    }

    async fn logs(
        &self,
        uid: &str,
        container: &str,
        options: &LogOptions,
    ) -> Result<LogStream, RuntimeError> {
        let found = self.with(uid, |pod| {
            let missing = || RuntimeError::NoSuchContainer(container.to_owned());
            let held = pod.containers.get(container).ok_or_else(missing)?;
            match (options.previous, &held.run) {
                (true, _) => {
                    let none = || RuntimeError::NoPreviousContainer(container.to_owned());
                    held.previous.clone().ok_or_else(none)
                }
                (false, Run::Waiting(_)) => Err(missing()),
                (false, Run::Started(_)) => Ok(Arc::clone(&held.log)),
            }
        });
        match found {
            Some(log) => Ok(LogReader::new(&log?, options).stream()),
            None => self.builtin.logs(uid, container, options).await,
        }
    }
}

/// Tells a pod's programs to end, and kills them after their time.
fn ending(pod: &Pod, grace: Duration) -> Task {
    pod.signal(Signal::Terminate);
    let running = pod.containers.values().filter_map(|container| match &container.run {
        Run::Started(process) => process.control(),
        Run::Waiting(_) => None,
    });
    let running: Vec<_> = running.collect();
    let kill = async move {
        tokio::time::sleep(grace).await;
        running.iter().for_each(|running| running.signal(Signal::Kill));
    };
    pod.sandbox.host.spawn("killing", Box::pin(kill))
}
