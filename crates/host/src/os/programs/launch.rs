//! Starting a program, and becoming one.

use super::child::Child;
use super::path;
use super::terminal::{self, Screen};
use crate::program::{NotStarted, Program, ProgramInput, ProgramOutput, Started};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use tokio::net::unix::pipe;

/// Tells a launcher to make its standard input the terminal of its session.
const WITH_TERMINAL: &str = "--terminal";

/// Is this process the superuser's, so that what it starts may do everything?
pub fn may_harm_everything() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a launcher does with the arguments that it was given: leads a session, dies with its parent,
/// and becomes the program: `[--terminal] FILE NAME [ARGUMENT…]`. Returns only where that fails.
pub fn become_program(arguments: impl IntoIterator<Item = OsString>) -> io::Error {
    let mut arguments = arguments.into_iter().peekable();
    let has_terminal = arguments.next_if(|argument| argument == WITH_TERMINAL).is_some();
    let (Some(file), Some(name)) = (arguments.next(), arguments.next()) else {
        return io::ErrorKind::InvalidInput.into();
    };
    match lead(has_terminal) {
        Ok(()) => Command::new(file).arg0(name).args(arguments).exec(),
        Err(error) => error,
    }
}

fn lead(has_terminal: bool) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    rustix::process::setsid()?;
    if has_terminal {
        rustix::process::ioctl_tiocsctty(io::stdin())?;
    }
    Ok(())
}

/// Starts a program by its launcher.
pub(super) fn start(launcher: &[String], program: &Program) -> Result<Started, NotStarted> {
    let file = path::find(program)?;
    let (launching, arguments) = launcher.split_first().ok_or(NotStarted::NotExecutable)?;
    let mut command = Command::new(launching);
    command.args(arguments);
    if program.terminal {
        command.arg(WITH_TERMINAL);
    }
    command.arg(file).args(&program.argv).env_clear().envs(&program.env).current_dir(&program.directory);
    let started = if program.terminal { on_terminal(command) } else { with_pipes(command, program.stdin) };
    started.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => NotStarted::NotExecutable,
        _ => NotStarted::Local(error),
    })
}

fn with_pipes(mut command: Command, is_read: bool) -> io::Result<Started> {
    command.stdin(if is_read { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let stdin = match child.stdin.take() {
        Some(stdin) => Some(Box::new(pipe::Sender::from_owned_fd(stdin.into())?) as ProgramInput),
        None => None,
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // From here on the child ends with what holds it.
    let running = Child::watch(child, None)?;
    let read = |fd: Option<OwnedFd>| -> io::Result<ProgramOutput> {
        let fd = fd.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Box::new(pipe::Receiver::from_owned_fd(fd)?))
    };
    let (stdout, stderr) = (read(stdout.map(Into::into))?, read(stderr.map(Into::into))?);
    Ok(Started { stdin, stdout, stderr: Some(stderr), running: Box::new(running) })
}

fn on_terminal(mut command: Command) -> io::Result<Started> {
    let (ours, theirs) = terminal::pair()?;
    command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
    let child = command.spawn()?;
    // It holds the other end of the terminal, which must close when the program ends.
    drop(command);
    let running = Child::watch(child, Some(ours.try_clone()?))?;
    let keyboard = terminal::keyboard(ours.try_clone()?)?;
    let (stdin, stdout) = (Some(Box::new(keyboard) as ProgramInput), Box::new(Screen::new(ours)?));
    Ok(Started { stdin, stdout, stderr: None, running: Box::new(running) })
}
