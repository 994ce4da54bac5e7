//! Containers as programs of this computer (`--runtime process`): whether that may be, what is said of it,
//! and where their files are.

use crate::console::Console;
use crate::files::Refused;
use clap::{Args, ValueEnum};
use ravelin_host::os::{self, Programs};
use ravelin_runtime::Retention;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The command by which this program starts others; people have no use for it.
const LAUNCH: &str = "start-program";

/// What a launcher ends with that could not become its program (as `env` and shells do).
const NOT_STARTED: u8 = 126;

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeKind {
    /// Programs that are built in: nothing of this computer is touched
    Builtin,
    /// Processes of this computer, which nothing isolates
    Process,
}

/// A program that is about to be.
#[derive(Args, Clone, Debug)]
pub(crate) struct StartProgram {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes the program.
pub(crate) fn start(options: &StartProgram, console: &mut Console<'_>) -> ExitCode {
    let error = os::become_program(options.arguments.iter().cloned());
    console.say(&format!("it could not be started: {error}"));
    NOT_STARTED.into()
}

/// What a long run remembers of built-in workloads: nobody judges it.
pub(crate) const RETENTION: Retention = Retention::Newest;

/// May containers be processes here? The superuser's could do anything, so that needs to be said.
pub(crate) fn may_run(kind: RuntimeKind, as_root: bool) -> Result<(), Refused> {
    if kind == RuntimeKind::Process && os::may_harm_everything() && !as_root {
        return Err(Refused::usage(
            "--runtime process: this is the superuser, and so would be whatever a pod's author writes; run it as \
             another user, or give --danger-processes-as-root beside it",
        ));
    }
    Ok(())
}

/// Says what it means.
pub(crate) fn warn(console: &mut Console<'_>) {
    let user = if os::may_harm_everything() { "the superuser, who may do everything" } else { "this user" };
    console.say(&format!(
        "--runtime process: containers are programs of this computer and run as {user}. Nothing isolates \
         them: whoever may create pods or run commands in them does here what they like."
    ));
}

/// Programs of this computer whose files are below a folder.
pub(crate) fn programs(root: &Path) -> Result<Arc<Programs>, Refused> {
    let failed = |why: String| Refused::failed(format!("--runtime process: {why}"));
    let own =
        std::env::current_exe().map_err(|error| failed(format!("this program is not found: {error}")))?;
    let own = own.into_os_string().into_string().map_err(|_| failed("its path is no text".to_owned()))?;
    let launcher = vec![own, LAUNCH.to_owned()];
    let made = Programs::new(root, launcher);
    made.map(Arc::new).map_err(|error| failed(format!("{}: {error}", root.display())))
}

/// A folder of this run's own, below the one for temporary files.
pub(crate) fn folder() -> PathBuf {
    #[allow(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
    let temporary = std::env::temp_dir();
    temporary.join(format!("ravelin-up-{}", std::process::id()))
}
