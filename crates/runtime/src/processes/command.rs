//! A command that is run in a container beside its main process.

use super::folder::Folder;
use super::main_process::environment;
use super::pump::{Output, feed, show};
use crate::container::not_started as as_runc_says_it;
use crate::exec::not_executed;
use crate::programs::Missing;
use crate::{ContainerView, ProcessIo, RuntimeError, Sandbox, Terminated};
use ravelin_host::HostRef;
use ravelin_host::program::{NotStarted, Program, Started};
use tokio::sync::watch;

/// What a command ends with that was killed.
const KILLED: i32 = 128 + 9;

/// The program of a command.
pub(super) fn program(
    (sandbox, folder): (&Sandbox, &Folder),
    view: &ContainerView,
    (argv, io): (&[String], &ProcessIo),
) -> Result<Program, RuntimeError> {
    let (root, directory) = folder.places(view)?;
    let mut env = environment(sandbox, view, &root);
    if io.tty {
        env.insert("TERM".to_owned(), "xterm".to_owned());
    }
    Ok(Program { argv: argv.to_vec(), env, directory, stdin: io.stdin.is_some(), terminal: io.tty })
}

/// Why a program could not be started, as runc says it.
pub(super) fn why(program: &str, why: &NotStarted) -> String {
    let missing = match why {
        NotStarted::NotInPath => Missing::NotInPath,
        NotStarted::NoFile => Missing::NoFile,
        NotStarted::NotExecutable => Missing::NoProgram,
        NotStarted::Local(error) => return format!("exec: {program:?}: {error}: unknown"),
        _ => return "chdir to cwd set in config.json failed: no such file or directory: unknown".to_owned(),
    };
    as_runc_says_it(program, missing)
}

/// What is said of a command that could not be started.
pub(super) fn not_started(host: &HostRef, argv: &[String], error: &NotStarted) -> RuntimeError {
    let program = argv.first().map_or("", String::as_str);
    not_executed(host, &why(program, error))
}

/// Lets a command run to its end, or its container's.
pub(super) async fn run(
    started: Started,
    io: ProcessIo,
    mut container: watch::Receiver<Option<Terminated>>,
) -> i32 {
    let Started { stdin, stdout, stderr, running } = started;
    let mut end = running.end();
    let output = |reader| Output::new(reader, end.clone());
    let (stdout, stderr) = (output(stdout), stderr.map(output));
    let showing = async { tokio::join!(biased; show(Some(stdout), io.stdout), show(stderr, io.stderr)) };
    let sizes = io.resize;
    let resizing = async {
        if let Some(mut sizes) = sizes {
            while let Some(size) = sizes.recv().await {
                running.resize(size.width, size.height);
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        _ = container.wait_for(Option::is_some) => return KILLED,
        () = resizing => {}
        () = feed(io.stdin, stdin, io.tty) => {}
        _ = showing => {}
    }
    end.wait_for(Option::is_some).await.ok().and_then(|end| *end).unwrap_or(KILLED)
}
