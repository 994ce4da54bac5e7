//! The files of a pod, as the commands in its containers see them: small ones, on its computer's disk
//! below the pod's root. All containers of a pod see the same ones. What was mounted cannot be written,
//! and what was written goes with the pod.

use jiff::Timestamp;
use ravelin_host::HostRef;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest file that a command may write.
pub const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

/// What commands may write in one pod.
pub const MAX_WRITTEN_BYTES: usize = 64 * 1024 * 1024;

/// How many files and directories commands may make in one pod.
pub const MAX_WRITTEN_FILES: usize = 10_000;

/// The longest path.
const MAX_PATH_BYTES: usize = 4096;

/// The directories that every container has.
const DIRECTORIES: [&str; 12] =
    ["/bin", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/usr", "/usr/bin", "/var"];

/// Why a file could not be used; the texts are the C library's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    #[error("No such file or directory")]
    Missing,
    #[error("Is a directory")]
    IsDirectory,
    #[error("Not a directory")]
    NotDirectory,
    #[error("Directory not empty")]
    NotEmpty,
    #[error("File exists")]
    Exists,
    #[error("Read-only file system")]
    ReadOnly,
    #[error("File too large")]
    TooLarge,
    #[error("No space left on device")]
    NoSpace,
    #[error("File name too long")]
    NameTooLong,
    #[error("Input/output error")]
    Disk,
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) is_directory: bool,
    pub(crate) bytes: usize,
    pub(crate) modified: Timestamp,
}

/// The files of one pod.
pub(crate) struct Files {
    host: HostRef,
    root: String,
    began: Timestamp,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    mounted: BTreeMap<String, Meta>,
    written: BTreeMap<String, Meta>,
    directories: BTreeSet<String>,
    /// The pod has gone: what a command still wrote would be left to whoever gets its address.
    is_over: bool,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}

/// The absolute path that is meant by `path` from the directory `from`.
pub(crate) fn absolute(from: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{from}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

impl Held {
    /// Every name of a file, in order within each kind.
    fn files(&self) -> impl Iterator<Item = (&String, &Meta)> {
        self.mounted.iter().chain(&self.written)
    }

    fn is_directory(&self, path: &str) -> bool {
        let below = format!("{}/", path.trim_end_matches('/'));
        let has_below = |names: &BTreeMap<String, Meta>| {
            names.range(below.clone()..).next().is_some_and(|(name, _)| name.starts_with(&below))
        };
        path == "/"
            || DIRECTORIES.contains(&path)
            || self.directories.contains(path)
            || self.directories.range(below.clone()..).next().is_some_and(|name| name.starts_with(&below))
            || has_below(&self.mounted)
            || has_below(&self.written)
    }

    /// Is there room for so much more in one more file?
    fn has_room(&self, bytes: usize) -> bool {
        let held: usize = self.written.values().map(|meta| meta.bytes).sum();
        held + bytes <= MAX_WRITTEN_BYTES && self.written.len() + self.directories.len() < MAX_WRITTEN_FILES
    }
}

impl Files {
    /// The files of a pod that were mounted, and no others yet.
    pub(crate) fn new(host: HostRef, root: &str, mounted: &BTreeMap<String, Vec<u8>>) -> Self {
        let (began, root) = (host.now(), root.to_owned());
        let files = Self { host, root, began, held: Mutex::default() };
        files.mount(mounted);
        files
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These files are mounted from now on, and no others.
    pub(crate) fn mount(&self, files: &BTreeMap<String, Vec<u8>>) {
        let modified = self.host.now();
        let meta = |content: &Vec<u8>| Meta { is_directory: false, bytes: content.len(), modified };
        self.held().mounted = files.iter().map(|(name, content)| (name.clone(), meta(content))).collect();
    }

    /// Removes what commands wrote; they write nothing any more.
    pub(crate) fn remove_written(&self) {
        let mut held = self.held();
        held.is_over = true;
        for name in std::mem::take(&mut held.written).into_keys() {
            // A file that stays is no reason to keep the pod.
            let _ = self.host.disk().remove(&self.on_disk(&name));
        }
    }

    fn on_disk(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// What there is at an absolute path.
    pub(crate) fn meta(&self, path: &str) -> Option<Meta> {
        let held = self.held();
        let known = held.mounted.get(path).or_else(|| held.written.get(path)).copied();
        let directory = Meta { is_directory: true, bytes: 4096, modified: self.began };
        known.or_else(|| held.is_directory(path).then_some(directory))
    }

    /// The content of a file.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        if let Some(content) = self.host.disk().read(&self.on_disk(path)) {
            return Ok(content);
        }
        Err(if self.held().is_directory(path) { FileError::IsDirectory } else { FileError::Missing })
    }

    /// The names within a directory, in order.
    pub(crate) fn list(&self, directory: &str) -> Vec<String> {
        let held = self.held();
        let below = format!("{}/", directory.trim_end_matches('/'));
        let fixed = DIRECTORIES.iter().map(|name| (*name).to_owned());
        let all = held.files().map(|(name, _)| name.clone()).chain(held.directories.iter().cloned());
        let within = |name: String| {
            let rest = name.strip_prefix(&below)?;
            Some(rest.split('/').next().unwrap_or_default().to_owned()).filter(|name| !name.is_empty())
        };
        let names: BTreeSet<String> = all.chain(fixed).filter_map(within).collect();
        names.into_iter().collect()
    }

    /// Opens a file to be written: from its start, or at its end.
    pub(crate) fn open(self: &Arc<Self>, path: &str, at_end: bool) -> Result<FileWriter, FileError> {
        let mut held = self.held();
        if path.len() > MAX_PATH_BYTES {
            return Err(FileError::NameTooLong);
        }
        if held.is_over {
            return Err(FileError::Disk);
        }
        if held.mounted.contains_key(path) {
            return Err(FileError::ReadOnly);
        }
        if held.is_directory(path) {
            return Err(FileError::IsDirectory);
        }
        let directory = parent(path);
        if held.files().any(|(name, _)| name == directory) {
            return Err(FileError::NotDirectory);
        }
        if !held.is_directory(directory) {
            return Err(FileError::Missing);
        }
        let kept = held.written.get(path).map(|meta| meta.bytes).filter(|_| at_end);
        if kept.is_none() && !held.has_room(0) {
            return Err(FileError::NoSpace);
        }
        if kept.is_none() {
            self.host.disk().write(&self.on_disk(path), b"").map_err(|_| FileError::Disk)?;
        }
        let bytes = kept.unwrap_or(0);
        let meta = Meta { is_directory: false, bytes, modified: self.host.now() };
        held.written.insert(path.to_owned(), meta);
        Ok(FileWriter { files: Arc::clone(self), path: path.to_owned() })
    }

    /// Makes a directory, and those above it where `parents` is set.
    pub(crate) fn make_directory(&self, path: &str, parents: bool) -> Result<(), FileError> {
        let mut held = self.held();
        if path.len() > MAX_PATH_BYTES {
            return Err(FileError::NameTooLong);
        }
        if held.files().any(|(name, _)| name == path) {
            return Err(FileError::Exists);
        }
        if held.is_directory(path) {
            return if parents { Ok(()) } else { Err(FileError::Exists) };
        }
        let above = parent(path);
        if !parents && !held.is_directory(above) {
            return Err(FileError::Missing);
        }
        if held.files().any(|(name, _)| path.starts_with(&format!("{name}/"))) {
            return Err(FileError::NotDirectory);
        }
        if !held.has_room(0) {
            return Err(FileError::NoSpace);
        }
        held.directories.insert(path.to_owned());
        Ok(())
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: &str) -> Result<(), FileError> {
        let mut held = self.held();
        if held.mounted.contains_key(path) {
            return Err(FileError::ReadOnly);
        }
        if held.written.remove(path).is_some() {
            // Its directory stays, though nothing is left in it.
            held.directories.insert(parent(path).to_owned());
            return self.host.disk().remove(&self.on_disk(path)).map_err(|_| FileError::Disk);
        }
        Err(if held.is_directory(path) { FileError::IsDirectory } else { FileError::Missing })
    }

    /// Removes an empty directory.
    pub(crate) fn remove_directory(&self, path: &str) -> Result<(), FileError> {
        if !self.list(path).is_empty() {
            return Err(FileError::NotEmpty);
        }
        let mut held = self.held();
        if held.directories.remove(path) {
            return Ok(());
        }
        Err(if held.is_directory(path) { FileError::ReadOnly } else { FileError::Missing })
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct FileWriter {
    files: Arc<Files>,
    path: String,
}

impl FileWriter {
    /// Adds to the file's end.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), FileError> {
        let mut held = self.files.held();
        let has_room = held.has_room(bytes.len());
        let meta = held.written.get_mut(&self.path).ok_or(FileError::Missing)?;
        if meta.bytes + bytes.len() > MAX_FILE_BYTES {
            return Err(FileError::TooLarge);
        }
        if !has_room {
            return Err(FileError::NoSpace);
        }
        let disk = self.files.host.disk();
        disk.append(&self.files.on_disk(&self.path), bytes).map_err(|_| FileError::Disk)?;
        meta.bytes += bytes.len();
        meta.modified = self.files.host.now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ravelin_host::memory::Network;

    fn files() -> Arc<Files> {
        let host = Network::new().host("node-1", [10, 0, 0, 2]);
        host.disk().write("/pods/p/run/token", b"its token").unwrap();
        host.disk().write("/var/key", b"the node's").unwrap();
        let mounted = BTreeMap::from([("/run/token".to_owned(), b"its token".to_vec())]);
        Arc::new(Files::new(host, "/pods/p", &mounted))
    }

    #[test]
    fn paths_never_lead_out_of_the_root() {
        for (from, path, expected) in
            [("/", "a", "/a"), ("/tmp", "../../../x", "/x"), ("/tmp", "/a//b/./c/..", "/a/b"), ("/", "", "/")]
        {
            assert_eq!(absolute(from, path), expected, "{from} {path}");
        }
        assert_eq!(files().read(&absolute("/", "../../var/key")), Err(FileError::Missing));
    }

    #[test]
    fn what_is_written_is_found_and_what_is_mounted_stays() {
        let files = files();
        assert_eq!(files.read("/run/token").unwrap(), b"its token");
        assert_eq!(files.open("/run/token", false).unwrap_err(), FileError::ReadOnly);
        assert_eq!(files.open("/nowhere/x", false).unwrap_err(), FileError::Missing);
        assert_eq!(files.open("/tmp", false).unwrap_err(), FileError::IsDirectory);
        assert_eq!(files.open("/run/token/x", false).unwrap_err(), FileError::NotDirectory);
        files.open("/tmp/a", false).unwrap().write(b"one").unwrap();
        files.open("/tmp/a", true).unwrap().write(b"two").unwrap();
        assert_eq!(files.read("/tmp/a").unwrap(), b"onetwo");
        files.open("/tmp/a", false).unwrap().write(b"x").unwrap();
        assert_eq!(files.meta("/tmp/a").unwrap().bytes, 1);
        assert_eq!(files.list("/tmp"), ["a"]);
        assert_eq!(files.list("/run"), ["token"]);
        files.remove("/tmp/a").unwrap();
        assert_eq!(files.read("/tmp/a"), Err(FileError::Missing));
        files.open("/tmp/b", false).unwrap();
        let writer = files.open("/tmp/b", true).unwrap();
        files.remove_written();
        assert!(files.list("/tmp").is_empty());
        assert_eq!(writer.write(b"late"), Err(FileError::Missing), "a command outlives no pod");
        assert_eq!(files.open("/tmp/c", false).unwrap_err(), FileError::Disk);
    }

    #[test]
    fn directories_are_made_and_removed() {
        let files = files();
        assert_eq!(files.make_directory("/data/deep", false), Err(FileError::Missing));
        files.make_directory("/data/deep", true).unwrap();
        assert_eq!(files.list("/data"), ["deep"]);
        assert_eq!(files.make_directory("/data", false), Err(FileError::Exists));
        assert_eq!(files.remove_directory("/data"), Err(FileError::NotEmpty));
        files.remove_directory("/data/deep").unwrap();
        assert_eq!(files.make_directory("/run/token/x", true), Err(FileError::NotDirectory));
        assert_eq!(files.remove_directory("/tmp"), Err(FileError::ReadOnly));
    }

    #[test]
    fn a_file_and_a_pod_have_a_size_that_they_cannot_outgrow() {
        let files = files();
        let writer = files.open("/tmp/big", false).unwrap();
        let mebibyte = vec![0; 1024 * 1024];
        for _ in 0..16 {
            writer.write(&mebibyte).unwrap();
        }
        assert_eq!(writer.write(b"x"), Err(FileError::TooLarge));
        for number in 0..3 {
            let writer = files.open(&format!("/tmp/{number}"), false).unwrap();
            (0..16).for_each(|_| writer.write(&mebibyte).unwrap());
        }
        let writer = files.open("/tmp/more", false).unwrap();
        assert_eq!(writer.write(b"x"), Err(FileError::NoSpace));
    }
}
