//! A computer's small files.

use std::collections::BTreeMap;
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

    /// Removes a file; removing one that is not there is no error.
    ///
    /// # Errors
    /// As `unlink(2)`.
    fn remove(&self, name: &str) -> io::Result<()>;
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

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name);
        Ok(())
    }
}
