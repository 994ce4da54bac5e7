//! A computer's small files.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Small files by name, as a component keeps certificates and keys in. Names are plain strings;
/// a file is replaced whole, or grows.
pub trait Disk: Send + Sync {
    /// The content of a file, or `None` where there is none.
    fn read(&self, name: &str) -> Option<Vec<u8>>;

    /// Replaces a file.
    ///
    /// # Errors
    /// As `write(2)`.
    fn write(&self, name: &str, content: &[u8]) -> io::Result<()>;

    /// Adds to the end of a file, which is made where there is none: what logs are written with.
    ///
    /// # Errors
    /// As `write(2)` to a file opened with `O_APPEND`.
    fn append(&self, name: &str, content: &[u8]) -> io::Result<()>;

    /// What is directly in a folder, in order; a folder's name ends with `/`. `None` where there is no such
    /// folder; one without files need not be there.
    fn list(&self, folder: &str) -> Option<Vec<String>>;

    /// Removes a file; removing one that is not there is no error.
    ///
    /// # Errors
    /// As `unlink(2)`.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// What is directly in a folder of a disk that knows its files by their whole names, as [`Disk::list`]
/// has it.
pub fn listed<'a>(names: impl Iterator<Item = &'a String>, folder: &str) -> Option<Vec<String>> {
    let folder = format!("{}/", folder.trim_end_matches('/'));
    let within = names.filter_map(|name| name.strip_prefix(&folder));
    let direct = within.map(|rest| match rest.split_once('/') {
        Some((below, _)) => format!("{below}/"),
        None => rest.to_owned(),
    });
    let direct: BTreeSet<String> = direct.collect();
    (!direct.is_empty()).then(|| direct.into_iter().collect())
}

/// Files in memory: they are gone with it.
#[derive(Default)]
pub struct MemoryDisk(Mutex<BTreeMap<String, Vec<u8>>>);

impl MemoryDisk {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryDisk(hidden)")
    }
}

impl Disk for MemoryDisk {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.files().get(name).cloned()
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.files().insert(name.to_owned(), content.to_vec());
        Ok(())
    }

    fn append(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.files().entry(name.to_owned()).or_default().extend_from_slice(content);
        Ok(())
    }

    fn list(&self, folder: &str) -> Option<Vec<String>> {
        listed(self.files().keys(), folder)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_hold_what_is_directly_in_them() {
        let disk = MemoryDisk::default();
        for name in ["/var/log/b.log", "/var/log/a/1", "/var/log/a/2", "/var/logs", "/var/log.old"] {
            disk.write(name, b"").unwrap();
        }
        for folder in ["/var/log", "/var/log/"] {
            assert_eq!(disk.list(folder).unwrap(), ["a/", "b.log"]);
        }
        assert_eq!(disk.list("/var/log/a").unwrap(), ["1", "2"]);
        assert_eq!(disk.list("/var/log/none"), None);
        assert_eq!(disk.list("/var/log/b.log"), None, "a file is no folder");
    }
}
