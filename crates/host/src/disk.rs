//! A computer's small files.

/// Small files by name, as a component keeps certificates and keys in. Names are plain strings;
/// a file is replaced whole, or grows.
pub trait Disk: Send + Sync {
    /// The content of a file, or `None` where there is none.
    fn read(&self, name: &str) -> Option<Vec<u8>>;

    /// Replaces a file.
    ///
    /// # Errors
    /// As `write(2)`.
    fn write(&self, name: &str, content: &[u8]) -> std::io::Result<()>;

    /// Adds to the end of a file, which is made where there is none: what logs are written with.
    ///
    /// # Errors
    /// As `write(2)` to a file opened with `O_APPEND`.
    fn append(&self, name: &str, content: &[u8]) -> std::io::Result<()>;

    /// Removes a file; removing one that is not there is no error.
    ///
    /// # Errors
    /// As `unlink(2)`.
    fn remove(&self, name: &str) -> std::io::Result<()>;
}
