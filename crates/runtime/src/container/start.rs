//! Starting a container.

use super::{Console, Main, ProcessParts, Resizes, Stdin, Work};
use crate::log::LogSource;
use crate::process::{Input, Output, Process, Sink, Source, Streams, Surroundings, Terminal};
use crate::programs::{self, Missing};
use crate::workload;
use crate::{ContainerState, ContainerView, Ledger, Sandbox, Terminated};
use bytes::Bytes;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// How much may wait for a process to read it.
const STDIN_BYTES: usize = 64 * 1024;

/// What a container that could not be started ends with.
pub(crate) const NOT_STARTED: i32 = 128;

/// Where a container runs.
pub(crate) struct Place<'a> {
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) around: Arc<Surroundings>,
    pub(crate) ledger: &'a Arc<Ledger>,
    /// Told of the end.
    pub(crate) changes: watch::Sender<u64>,
}

/// The environment of a container's processes.
pub(crate) fn environment(
    sandbox: &Sandbox,
    view: &ContainerView,
    around: &Surroundings,
) -> BTreeMap<String, String> {
    let usual = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOSTNAME", around.hostname()),
        ("HOME", "/root"),
    ];
    let mut env: BTreeMap<String, String> =
        usual.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    if view.tty {
        env.insert("TERM".to_owned(), "xterm".to_owned());
    }
    env.extend(sandbox.env.clone());
    env.extend(view.env.clone());
    env
}

/// Starts a container: its image's workload, or the command that it is told to run instead. When this
/// returns, its servers listen.
///
/// # Errors
/// Where it waits, since it cannot be started.
pub(crate) async fn start(place: Place<'_>, view: &ContainerView) -> Result<Main, ContainerState> {
    let started = place.sandbox.host.now();
    let name = view.image_name();
    if !workload::exists(name) {
        return Err(workload::no_such_image(&view.image));
    }
    let env = environment(place.sandbox, view, &place.around);
    let argv = view.argv(&env);
    if argv.is_empty() && !workload::is_shell(name) {
        let running = workload::start(place.sandbox, view, place.ledger).await?;
        return Ok(Main { started, end: watch::Sender::new(None), work: Work::Workload(running) });
    }
    let argv = if argv.is_empty() { vec!["sh".to_owned()] } else { argv };
    Ok(process(place, view, (argv, env, started)))
}

fn process(
    place: Place<'_>,
    view: &ContainerView,
    (argv, env, started): (Vec<String>, BTreeMap<String, String>, Timestamp),
) -> Main {
    let log = place.ledger.log(&view.name);
    let host = place.sandbox.host.clone();
    let console = Arc::new(Console::new(host.clone(), &log));
    let (stdin, keys) = stdin(view);
    let output = |source| Output::new(Sink::Console(Arc::clone(&console), source));
    let (terminal, streams) = if view.tty {
        let screen = Output::new(Sink::Terminal(output(LogSource::Stdout)));
        let (terminal, typed): (Terminal, mpsc::Receiver<Bytes>) = Terminal::new(screen.clone());
        let stdin = Input::new(Source::Terminal(typed));
        (Some(Arc::new(terminal)), Streams { stdin, stdout: screen.clone(), stderr: screen })
    } else {
        let (stdout, stderr) = (output(LogSource::Stdout), output(LogSource::Stderr));
        (None, Streams { stdin: keys.clone(), stdout, stderr })
    };
    let directory = if view.working_directory.is_empty() { "/" } else { &view.working_directory };
    let (around, directory, family) = (place.around, directory.to_owned(), Arc::default());
    let process = Process { around, env, directory, streams, terminal, depth: 0, family };
    if let Err(missing) = programs::find(&process, &argv[0]) {
        let message = failed_to_create(&not_started(&argv[0], missing));
        log.end();
        let end =
            Terminated { exit_code: NOT_STARTED, reason: "StartError", message, started, finished: started };
        return Main::ended(started, end);
    }
    let end = watch::Sender::new(None);
    let terminal = process.terminal.clone();
    let screen = terminal.clone().map(|terminal| terminal as Arc<dyn Resizes>);
    let running = {
        let (terminal, console, end) = (terminal.clone(), Arc::clone(&console), end.clone());
        let (host, changes) = (host.clone(), place.changes);
        async move {
            let exit_code = run(process, argv, terminal.map(|terminal| (terminal, keys))).await;
            console.end();
            log.end();
            let reason = if exit_code == 0 { "Completed" } else { "Error" };
            let (message, finished) = (String::new(), host.now());
            end.send_replace(Some(Terminated { exit_code, reason, message, started, finished }));
            changes.send_modify(|count| *count += 1);
        }
    };
    let task = host.spawn("container", Box::pin(running));
    Main::of_process((started, end), ProcessParts { task, console, terminal: screen, stdin })
}

/// What those who are attached write, and where it is read.
fn stdin(view: &ContainerView) -> (Option<Arc<Stdin>>, Input) {
    if !view.stdin {
        return (None, Input::new(Source::Nothing));
    }
    let (writer, reader) = tokio::io::duplex(STDIN_BYTES);
    let stdin = Arc::new(Stdin::new(Box::new(writer), view.stdin_once));
    (Some(stdin), Input::new(Source::Reader(Box::new(reader))))
}

/// Runs the main process. An interrupt does not end it, as it does not the first of a computer.
async fn run(process: Process, argv: Vec<String>, terminal: Option<(Arc<Terminal>, Input)>) -> i32 {
    let Some((terminal, keys)) = terminal else { return programs::run(process, argv).await };
    tokio::select! {
        biased;
        () = typing(&terminal, Some(&keys)) => unreachable!("a terminal outlives who types"),
        exit_code = programs::run(process, argv) => exit_code,
    }
}

/// Takes what is typed at a terminal, for ever.
pub(crate) async fn typing(terminal: &Terminal, keys: Option<&Input>) {
    if let Some(keys) = keys {
        terminal.typed(keys).await;
        terminal.hang_up().await;
    }
    std::future::pending().await
}

/// Why a container was not made, as containerd says it.
pub(crate) fn failed_to_create(why: &str) -> String {
    format!(
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create \
         failed: unable to start container process: error during container init: {why}"
    )
}

/// Why a program could not be started, as runc says it.
pub(crate) fn not_started(program: &str, missing: Missing) -> String {
    let why = match missing {
        Missing::NotInPath => "executable file not found in $PATH".to_owned(),
        Missing::NoFile => format!("stat {program}: no such file or directory"),
        Missing::NoProgram => "permission denied".to_owned(),
    };
    format!("exec: {program:?}: {why}: unknown")
}
