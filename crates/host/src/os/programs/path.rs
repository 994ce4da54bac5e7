//! Where a program's file is.

use crate::program::{NotStarted, Program};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file of a program: the first of its name in the folders of its `PATH`, or the one that it names,
/// which is relative to the folder that it runs in (`LookPath` of Go's `os/exec`).
pub(super) fn find(program: &Program) -> Result<PathBuf, NotStarted> {
    let directory = Path::new(&program.directory);
    if !directory.is_dir() {
        return Err(NotStarted::NoDirectory);
    }
    let name = program.argv.first().map_or("", String::as_str);
    if name.is_empty() || name.contains('\0') {
        return Err(NotStarted::NotInPath);
    }
    if name.contains('/') {
        let file = directory.join(name);
        return match executable(&file) {
            None => Err(NotStarted::NoFile),
            Some(false) => Err(NotStarted::NotExecutable),
            Some(true) => Ok(file),
        };
    }
    let folders = program.env.get("PATH").map_or("", String::as_str).split(':');
    let files = folders.filter(|folder| folder.starts_with('/')).map(|folder| Path::new(folder).join(name));
    let found = files.into_iter().find(|file| executable(file) == Some(true));
    found.ok_or(NotStarted::NotInPath)
}

/// May the file be executed? `None` where there is none.
fn executable(file: &Path) -> Option<bool> {
    let about = std::fs::metadata(file).ok()?;
    Some(about.is_file() && about.permissions().mode() & 0o111 != 0)
}
