//! Programs that look at files and directories, and make and remove them.

use crate::files::{FileError, Meta};
use crate::process::Process;
use crate::programs::NAMES;
use std::io;

/// How deeply `rm -r` goes.
const MAX_DEPTH: usize = 100;

pub(super) async fn run(name: &str, process: &Process, arguments: &[String]) -> io::Result<i32> {
    let (options, names): (Vec<String>, Vec<String>) =
        arguments.iter().cloned().partition(|argument| argument.len() > 1 && argument.starts_with('-'));
    let has = |letter: char| options.iter().any(|option| option.contains(letter));
    match name {
        "pwd" => process.print(format!("{}\n", process.directory)).await.map(|()| 0),
        "dirname" => {
            let path = names.first().map_or(".", String::as_str);
            let directory = path.rsplit_once('/').map_or(".", |(directory, _)| directory);
            process
                .print(format!("{}\n", if directory.is_empty() { "/" } else { directory }))
                .await
                .map(|()| 0)
        }
        "ls" => ls(process, &names, (has('l'), has('a') || has('A'))).await,
        "mkdir" => {
            each(process, ("mkdir: can't create directory", &names), |path| {
                process.around.files.make_directory(path, has('p'))
            })
            .await
        }
        "rmdir" => {
            each(process, ("rmdir:", &names), |path| process.around.files.remove_directory(path)).await
        }
        "touch" => {
            each(process, ("touch:", &names), |path| process.around.files.open(path, true).map(|_| ())).await
        }
        _ => {
            let remove = |path: &str| match remove(process, path, has('r') || has('R'), 0) {
                Err(FileError::Missing) if has('f') => Ok(()),
                other => other,
            };
            each(process, ("rm: can't remove", &names), remove).await
        }
    }
}

/// Does something for each path, and complains of each that it failed for.
async fn each(
    process: &Process,
    (what, names): (&str, &[String]),
    act: impl Fn(&str) -> Result<(), FileError>,
) -> io::Result<i32> {
    let mut status = 0;
    for name in names {
        if let Err(error) = act(&process.path(name)) {
            status = process.complain(format!("{what} '{name}': {error}")).await?;
        }
    }
    Ok(status)
}

fn remove(process: &Process, path: &str, is_recursive: bool, depth: usize) -> Result<(), FileError> {
    let files = &process.around.files;
    let is_directory = files.meta(path).is_some_and(|meta| meta.is_directory);
    if !is_directory || !is_recursive || depth > MAX_DEPTH {
        return files.remove(path);
    }
    for name in files.list(path) {
        remove(process, &format!("{}/{name}", path.trim_end_matches('/')), true, depth + 1)?;
    }
    files.remove_directory(path)
}

async fn ls(process: &Process, names: &[String], (is_long, all): (bool, bool)) -> io::Result<i32> {
    let files = &process.around.files;
    let here = [".".to_owned()];
    let (names, mut status) = (if names.is_empty() { &here[..] } else { names }, 0);
    for name in names {
        let path = process.path(name);
        let Some(meta) = files.meta(&path) else {
            status = process.complain(format!("ls: {name}: {}", FileError::Missing)).await?;
            continue;
        };
        if !meta.is_directory {
            process.print(line(name, meta, is_long)).await?;
            continue;
        }
        if names.len() > 1 {
            process.print(format!("{name}:\n")).await?;
        }
        let mut within = files.list(&path);
        if matches!(path.as_str(), "/bin" | "/usr/bin") {
            within.extend(NAMES.iter().map(|name| (*name).to_owned()));
            within.sort();
        }
        for within in within.into_iter().filter(|name| all || !name.starts_with('.')) {
            let program = Meta { is_directory: false, bytes: 0, modified: meta.modified };
            let meta = files.meta(&format!("{}/{within}", path.trim_end_matches('/'))).unwrap_or(program);
            process.print(line(&within, meta, is_long)).await?;
        }
    }
    Ok(status)
}

fn line(name: &str, meta: Meta, is_long: bool) -> String {
    if !is_long {
        return format!("{name}\n");
    }
    let (mode, links) = if meta.is_directory { ("drwxr-xr-x", 2) } else { ("-rw-r--r--", 1) };
    let at = meta.modified.strftime("%b %e %H:%M");
    format!("{mode} {links:>4} root     root     {:>9} {at} {name}\n", meta.bytes)
}
