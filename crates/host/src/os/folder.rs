//! A computer's small files, in a folder.

use crate::Disk;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest file that is read, in bytes; a larger one counts as missing.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The most files of a folder that are listed.
const MAX_LISTED: usize = 10_000;

/// Files of the owner alone below a root; a name is a path within it.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Names that begin so are elsewhere; the first that fits counts.
    places: Vec<(String, PathBuf)>,
    written: AtomicU64,
}

impl Folder {
    pub(crate) fn new(root: impl Into<PathBuf>, places: Vec<(String, PathBuf)>) -> Self {
        Self { root: root.into(), places, written: AtomicU64::new(0) }
    }

    /// Where a name's file is. A leading `/` is the root; no name leads out of it.
    pub(crate) fn path(&self, name: &str) -> io::Result<PathBuf> {
        let within = |(beginning, place): &(String, PathBuf)| {
            name.strip_prefix(beginning.as_str())
                .filter(|rest| rest.starts_with('/'))
                .map(|rest| (rest.to_owned(), place.clone()))
        };
        let elsewhere = self.places.iter().find_map(within);
        let (name, root) = elsewhere.unwrap_or_else(|| (name.to_owned(), self.root.clone()));
        let mut path = root.clone();
        for part in Path::new(&name).components() {
            match part {
                Component::Normal(part) => path.push(part),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "a file name leads out of the folder",
                    ));
                }
            }
        }
        if path == root {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file name is empty"));
        }
        Ok(path)
    }

    fn prepared(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path(name)?;
        let folder = path.parent().unwrap_or(&self.root);
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(path)
    }
}

impl Disk for Folder {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = File::open(self.path(name).ok()?).ok()?;
        let mut content = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).ok()?;
        (content.len() as u64 <= MAX_FILE_BYTES).then_some(content)
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.prepared(name)?;
        // Nobody reads half a file: the new one takes the old one's place when it is whole.
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{}-{number}.new", std::process::id()));
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).and_then(|mut file| {
                file.write_all(content)?;
                file.sync_all()
            });
        let placed = written.and_then(|()| std::fs::rename(&beside, &path));
        if placed.is_err() {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(&beside);
        }
        placed
    }

    fn append(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.prepared(name)?;
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(content)
    }

    fn list(&self, folder: &str) -> Option<Vec<String>> {
        let entries = std::fs::read_dir(self.path(folder).ok()?).ok()?;
        let names = entries.flatten().take(MAX_LISTED).filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_folder = entry.file_type().ok()?.is_dir();
            Some(if is_folder { name + "/" } else { name })
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        Some(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path(name)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
