//! Programs of this computer: its processes, with pipes or a terminal.
//!
//! Nothing isolates them. A program is started through a *launcher*, a program that makes itself
//! the leader of a session (with the terminal as its own), asks to be killed when its parent
//! dies, and then becomes what was asked for: see [`become_program`]. Nothing between `fork` and `exec`
//! is ours, so that none of it is `unsafe`.

mod child;
mod launch;
mod path;
mod terminal;

pub use launch::{become_program, may_harm_everything};

use super::folder::Folder;
use super::socket;
use crate::program::{NotStarted, Program, Started};
use crate::{BoxedStream, Disk};
use async_trait::async_trait;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The programs of this computer, with their files below a folder.
#[derive(Debug)]
pub struct Programs {
    root: PathBuf,
    disk: Folder,
    launcher: Vec<String>,
}

impl Programs {
    /// Programs whose files are below `root`, started by `launcher`: a program and its first arguments,
    /// which are followed by those of [`become_program`].
    ///
    /// # Errors
    /// As `mkdir(2)`.
    pub fn new(root: &Path, launcher: Vec<String>) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        let disk = Folder::new(&root, Vec::new());
        let programs = Self { root, disk, launcher };
        programs.make(&programs.root)?;
        Ok(programs)
    }

    /// Where the files are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes all files, and the folder. What is in use goes on without.
    ///
    /// # Errors
    /// As `rmdir(2)` and `unlink(2)`.
    pub fn clear(&self) -> io::Result<()> {
        removed(&self.root)
    }

    fn make(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }
}

fn removed(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[async_trait]
impl crate::program::Programs for Programs {
    fn disk(&self) -> &dyn Disk {
        &self.disk
    }

    fn folder(&self, name: &str) -> io::Result<String> {
        let path = self.disk.path(name)?;
        self.make(&path)?;
        path.into_os_string().into_string().map_err(|_| io::ErrorKind::InvalidInput.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.disk.path(from)?, self.disk.path(to)?)
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        removed(&self.disk.path(name)?)
    }

    fn start(&self, program: &Program) -> Result<Started, NotStarted> {
        launch::start(&self.launcher, program)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<BoxedStream> {
        if !to.ip().is_loopback() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(socket::connect(to).await?.stream)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "folders for the tests' own files")]
mod tests;
