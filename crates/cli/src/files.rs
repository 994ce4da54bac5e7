//! Output: files that are opened before anything runs, and standard output.

use crate::console::Console;
use crate::outcome::Status;
use anyhow::Context;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Why there is no result: the status that it means, and the lines to say.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Status, pub(crate) Vec<String>);

impl Refused {
    /// Bad input or usage, in one line.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self(Status::Usage, vec![line.into()])
    }

    /// What should have worked and did not, in one line.
    pub(crate) fn failed(line: impl Into<String>) -> Self {
        Self(Status::Incomplete, vec![line.into()])
    }
}

/// Opens a file for writing before anything runs, and leaves its old content until there is new.
pub(crate) fn open(path: Option<&Path>) -> Result<Option<File>, Refused> {
    let Some(path) = path else { return Ok(None) };
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    opened
        .with_context(|| format!("{}: cannot be written", path.display()))
        .map(Some)
        .map_err(|error| Refused::usage(format!("{error:#}")))
}

/// Replaces what a file held.
pub(crate) fn fill(mut file: File, path: Option<&Path>, content: &[u8]) -> Result<(), Refused> {
    // A pipe or a device has no length to cut.
    let cut = if file.metadata().is_ok_and(|found| found.is_file()) { file.set_len(0) } else { Ok(()) };
    cut.and_then(|()| file.write_all(content))
        .with_context(|| format!("{}: cannot be written", path.unwrap_or(Path::new("-")).display()))
        .map_err(|error| Refused(Status::Incomplete, vec![format!("{error:#}")]))
}

/// Writes to standard output; false where nobody reads it any more (`| head`), which is no failure.
pub(crate) fn print(console: &mut Console<'_>, text: &str) -> Result<bool, Refused> {
    match console.output.write_all(text.as_bytes()).and_then(|()| console.output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Refused(Status::Incomplete, vec![format!("standard output: {error}")])),
    }
}

/// Tells why nothing came of it.
pub(crate) fn status(ended: Result<Status, Refused>, console: &mut Console<'_>) -> Status {
    match ended {
        Ok(status) => status,
        Err(Refused(status, lines)) => {
            for line in lines {
                console.say(&ravelin_report::harmless(&format!("error: {line}")));
            }
            status
        }
    }
}
