//! Programs of this computer, as a runtime of pods starts them: the seam for whatever is no task of
//! this process. [`crate::os::Programs`] starts real ones.

use crate::{BoxedStream, Disk};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// A program that is to be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Its name, as a shell would look for it, and its arguments.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// The folder that it runs in, as [`Programs::folder`] gave it, or any other.
    pub directory: String,
    /// Can it be written to? Else it finds the end at once.
    pub stdin: bool,
    /// Does it have a terminal, rather than pipes?
    pub terminal: bool,
}

/// Where a program's bytes come from.
pub type ProgramOutput = Box<dyn AsyncRead + Send + Unpin>;

/// Where what a program reads is written.
pub type ProgramInput = Box<dyn AsyncWrite + Send + Unpin>;

/// A program that was started.
pub struct Started {
    /// What it reads, where it can be written to. With a terminal: its keyboard.
    pub stdin: Option<ProgramInput>,
    /// What it writes. With a terminal: its screen.
    pub stdout: ProgramOutput,
    /// What it complains of, where it has no terminal.
    pub stderr: Option<ProgramOutput>,
    /// The rest of it.
    pub running: Box<dyn Running>,
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Started")
    }
}

/// What a program is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`: it should end.
    Terminate,
    /// `SIGKILL`: it ends.
    Kill,
}

/// A program that runs, with all that it started itself and did not let go of. Killed when dropped.
pub trait Running: Send + Sync {
    /// Tells it something. One that has ended hears nothing.
    fn signal(&self, signal: Signal);

    /// Its terminal takes another size, in characters.
    fn resize(&self, columns: u16, rows: u16);

    /// Its exit status, once it has ended: 128 and the signal's number for what a signal ended.
    fn end(&self) -> watch::Receiver<Option<i32>>;
}

/// Why a program could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotStarted {
    /// No folder of its `PATH` has it.
    NotInPath,
    /// There is no such file.
    NoFile,
    /// It may not be executed, or is no program.
    NotExecutable,
    /// There is no such folder to run in.
    NoDirectory,
    /// The computer cannot start another.
    Local(io::Error),
}

/// The programs of this computer, and a folder for their files.
#[async_trait]
pub trait Programs: Send + Sync {
    /// Small files below the folder, by name.
    fn disk(&self) -> &dyn Disk;

    /// Where a folder of this name is, as programs see it. It is made where it is missing.
    ///
    /// # Errors
    /// As `mkdir(2)`.
    fn folder(&self, name: &str) -> io::Result<String>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// As `rename(2)`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a folder with all that is in it; removing one that is not there is no error.
    ///
    /// # Errors
    /// As `rmdir(2)` and `unlink(2)`.
    fn remove_folder(&self, name: &str) -> io::Result<()>;

    /// Starts a program.
    ///
    /// # Errors
    /// Where there is no such program or folder, or the computer cannot start another.
    fn start(&self, program: &Program) -> Result<Started, NotStarted>;

    /// Connects to a port that programs listen on, at a loopback address of this computer.
    ///
    /// # Errors
    /// As `connect(2)`; `InvalidInput` for any other address.
    async fn connect(&self, to: SocketAddr) -> io::Result<BoxedStream>;
}
