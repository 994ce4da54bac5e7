//! The main process of a container.

use super::command::why;
use super::folder::Folder;
use super::ports::loopback;
use super::pump::Output;
use crate::container::{Console, Main, NOT_STARTED, ProcessParts, Resizes, Stdin, failed_to_create};
use crate::log::{LogSource, SharedLog};
use crate::{ContainerState, ContainerView, Sandbox, Terminated};
use ravelin_host::program::{Program, Programs, Running, Signal, Started};
use ravelin_stream::TerminalSize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The variable that tells a program its pod's loopback address.
const ADDRESS: &str = "RAVELIN_POD_ADDRESS";

/// A program that is a container's main process.
pub(super) struct MainProcess {
    pub(super) main: Main,
    running: Option<Arc<dyn Running>>,
}

/// Where a container runs.
pub(super) struct Place<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) folder: &'a Folder,
    pub(super) programs: &'a dyn Programs,
    pub(super) log: &'a Arc<SharedLog>,
    /// Told of the end.
    pub(super) changes: watch::Sender<u64>,
}

/// Somebody who gives a program's terminal its size.
struct Window(Arc<dyn Running>);

impl Resizes for Window {
    fn resize(&self, size: TerminalSize) {
        self.0.resize(size.width, size.height);
    }
}

impl MainProcess {
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(running) = &self.running {
            running.signal(signal);
        }
    }

    /// What tells it something.
    pub(super) fn control(&self) -> Option<Arc<dyn Running>> {
        self.running.clone()
    }
}

/// The environment of a container's programs, whose root is this folder.
pub(super) fn environment(sandbox: &Sandbox, view: &ContainerView, root: &str) -> BTreeMap<String, String> {
    let hostname = if sandbox.pod.host_network { sandbox.host.name() } else { &sandbox.pod.name };
    let usual = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOSTNAME", hostname),
        ("HOME", root),
    ];
    let mut env: BTreeMap<String, String> =
        usual.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    env.insert(ADDRESS.to_owned(), loopback(sandbox).to_string());
    if view.tty {
        env.insert("TERM".to_owned(), "xterm".to_owned());
    }
    env.extend(sandbox.env.clone());
    env.extend(view.env.clone());
    env
}

/// Starts a container's command.
///
/// # Errors
/// Where it waits, since nothing could be started at all.
pub(super) fn start(place: Place<'_>, view: &ContainerView) -> Result<MainProcess, ContainerState> {
    let waiting = |message: String| ContainerState::Waiting { reason: "CreateContainerError", message };
    let (root, directory) = place.folder.places(view).map_err(|error| waiting(error.to_string()))?;
    let env = environment(place.sandbox, view, &root);
    let argv = view.argv(&env);
    let Some(name) = argv.first().cloned() else {
        return Err(waiting("failed to generate spec: no command specified".to_owned()));
    };
    let begun = place.sandbox.host.now();
    let program = Program { argv, env, directory, stdin: view.stdin, terminal: view.tty };
    match place.programs.start(&program) {
        Ok(started) => Ok(watched(place, view, started)),
        Err(error) => {
            place.log.end();
            let (reason, message) = ("StartError", failed_to_create(&why(&name, &error)));
            let end = Terminated { exit_code: NOT_STARTED, reason, message, started: begun, finished: begun };
            Ok(MainProcess { main: Main::ended(begun, end), running: None })
        }
    }
}

/// Follows a main process to its end.
fn watched(place: Place<'_>, view: &ContainerView, process: Started) -> MainProcess {
    let Started { stdin, stdout, stderr, running } = process;
    let running: Arc<dyn Running> = Arc::from(running);
    let (host, log) = (place.sandbox.host.clone(), Arc::clone(place.log));
    let console = Arc::new(Console::new(host.clone(), &log));
    let (started, end) = (host.now(), watch::Sender::new(None));
    let mut ended = running.end();
    let stdout = Output::new(stdout, ended.clone());
    let stderr = stderr.map(|stderr| Output::new(stderr, ended.clone()));
    let following = {
        let (console, end, host, running) =
            (Arc::clone(&console), end.clone(), host.clone(), Arc::clone(&running));
        async move {
            tokio::join!(
                biased;
                written(Some(stdout), (&console, LogSource::Stdout)),
                written(stderr, (&console, LogSource::Stderr)),
            );
            let exit_code = ended.wait_for(Option::is_some).await.ok().and_then(|end| *end).unwrap_or(255);
            drop(running);
            console.end();
            log.end();
            let reason = if exit_code == 0 { "Completed" } else { "Error" };
            let (message, finished) = (String::new(), host.now());
            end.send_replace(Some(Terminated { exit_code, reason, message, started, finished }));
            place.changes.send_modify(|count| *count += 1);
        }
    };
    let task = host.spawn("container", Box::pin(following));
    let stdin = stdin.filter(|_| view.stdin).map(|stdin| Arc::new(Stdin::new(stdin, view.stdin_once)));
    let terminal = view.tty.then(|| Arc::new(Window(Arc::clone(&running))) as Arc<dyn Resizes>);
    let main = Main::of_process((started, end), ProcessParts { task, console, terminal, stdin });
    MainProcess { main, running: Some(running) }
}

async fn written(output: Option<Output>, (console, source): (&Console, LogSource)) {
    let Some(mut output) = output else { return };
    while let Some(piece) = output.next().await {
        console.write(source, piece).await;
    }
}
