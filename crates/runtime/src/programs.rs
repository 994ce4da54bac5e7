//! The programs that every container has: as few as it takes to look around, to move files, and to
//! try out streams.

mod files;
mod numbers;
mod surroundings;
mod tar;
mod test;
#[cfg(test)]
mod tests;
mod text;

use crate::files::FileError;
use crate::process::{Input, MAX_NESTED, Process, Source};
use crate::shell;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::io;

/// How many files a program has open at a time (`RLIMIT_NOFILE` as it usually is).
const MAX_OPEN_FILES: usize = 1024;

/// What all files that a program names hold together, in bytes; they are read before it begins.
const MAX_OPEN_BYTES: usize = 128 * 1024 * 1024;

/// What a program ends with that writes where nobody reads (`SIGPIPE`).
const BROKEN_PIPE: i32 = 128 + 13;

/// Where programs lie; all are in all of them.
const DIRECTORIES: [&str; 5] = ["/bin", "/sbin", "/usr/bin", "/usr/local/bin", "/usr/sbin"];

/// The programs, in order.
pub(crate) const NAMES: [&str; 38] = [
    "[",
    "ash",
    "cat",
    "date",
    "dd",
    "dirname",
    "echo",
    "env",
    "false",
    "head",
    "hostname",
    "id",
    "ls",
    "mkdir",
    "nproc",
    "printenv",
    "printf",
    "ps",
    "pwd",
    "rm",
    "rmdir",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "stty",
    "tail",
    "tar",
    "tee",
    "test",
    "touch",
    "true",
    "tty",
    "uname",
    "uptime",
    "wc",
    "whoami",
    "yes",
];

/// Why there is no such program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// No file of this name is in `$PATH`.
    NotInPath,
    /// There is no such file.
    NoFile,
    /// There is one, which is no program.
    NoProgram,
}

impl Missing {
    /// What a shell says.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NotInPath | Self::NoFile => "not found",
            Self::NoProgram => "Permission denied",
        }
    }

    /// What a shell ends with.
    pub(crate) fn status(self) -> i32 {
        match self {
            Self::NotInPath | Self::NoFile => 127,
            Self::NoProgram => 126,
        }
    }
}

/// The path of a program.
pub(crate) fn find(process: &Process, name: &str) -> Result<String, Missing> {
    if !name.contains('/') {
        return if NAMES.contains(&name) { Ok(format!("/bin/{name}")) } else { Err(Missing::NotInPath) };
    }
    let path = process.path(name);
    match path.rsplit_once('/') {
        Some((directory, name)) if DIRECTORIES.contains(&directory) && NAMES.contains(&name) => Ok(path),
        _ if process.around.files.meta(&path).is_some() => Err(Missing::NoProgram),
        _ => Err(Missing::NoFile),
    }
}

/// Runs a program that was found; gives its exit status.
pub(crate) fn run(mut process: Process, argv: Vec<String>) -> BoxFuture<'static, i32> {
    process.depth += 1;
    Box::pin(async move {
        let name = argv.first().map(|path| path.rsplit('/').next().unwrap_or_default().to_owned());
        let name = name.unwrap_or_default();
        let stderr = process.streams.stderr.clone();
        match dispatch(&name, process, argv).await {
            Ok(status) => status,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => BROKEN_PIPE,
            Err(error) => {
                // Who cannot complain either ends all the same.
                let _ = stderr.write(format!("{name}: {error}\n").as_bytes()).await;
                1
            }
        }
    })
}

async fn dispatch(name: &str, process: Process, argv: Vec<String>) -> io::Result<i32> {
    let arguments = &argv[1.min(argv.len())..];
    if process.depth > MAX_NESTED {
        return process.complain(format!("{name}: nested too deeply")).await.map(|_| 2);
    }
    match name {
        "sh" | "ash" => shell::main(process, argv).await,
        "true" => Ok(0),
        "false" => Ok(1),
        "cat" => text::cat(&process, arguments).await,
        "echo" => text::echo(&process, arguments).await,
        "printf" => text::printf(&process, arguments).await,
        "head" => text::head(&process, arguments).await,
        "tail" => text::tail(&process, arguments).await,
        "tee" => text::tee(&process, arguments).await,
        "wc" => text::wc(&process, arguments).await,
        "yes" => numbers::yes(&process, arguments).await,
        "seq" => numbers::seq(&process, arguments).await,
        "dd" => numbers::dd(&process, arguments).await,
        "sha256sum" => numbers::sha256sum(&process, arguments).await,
        "tar" => tar::tar(&process, arguments).await,
        "test" | "[" => test::test(&process, name, arguments).await,
        "ls" | "mkdir" | "rm" | "rmdir" | "touch" | "pwd" | "dirname" => {
            files::run(name, &process, arguments).await
        }
        "env" => surroundings::env(process, arguments).await,
        name => surroundings::run(name, &process, arguments).await,
    }
}

/// Opens what a path leads to, to be read.
pub(crate) fn open_input(process: &Process, path: &str) -> Result<Input, FileError> {
    let source = match path {
        "/dev/null" => Source::Nothing,
        "/dev/zero" => Source::Zeroes,
        "/dev/random" | "/dev/urandom" => Source::Random(process.around.host.entropy("/dev/urandom")),
        "/dev/stdin" => return Ok(process.streams.stdin.clone()),
        "/etc/hostname" => Source::Bytes(Bytes::from(format!("{}\n", process.around.hostname()))),
        path => Source::Bytes(Bytes::from(process.around.files.read(path)?)),
    };
    Ok(Input::new(source))
}

/// The inputs that a program's arguments name: its own input where there are none, or for `-`. What
/// cannot be opened is complained of, and left out.
async fn inputs(
    process: &Process,
    (program, names): (&str, &[String]),
) -> io::Result<(Vec<(String, Input)>, i32)> {
    let (mut opened, mut status) = (Vec::new(), 0);
    if names.is_empty() {
        opened.push(("-".to_owned(), process.streams.stdin.clone()));
    }
    let mut bytes = 0;
    for name in names {
        if name == "-" {
            opened.push((name.clone(), process.streams.stdin.clone()));
            continue;
        }
        let path = process.path(name);
        bytes += process.around.files.meta(&path).map_or(0, |meta| meta.bytes);
        if opened.len() >= MAX_OPEN_FILES || bytes > MAX_OPEN_BYTES {
            status = process.complain(format!("{program}: {name}: Too many open files")).await?;
            break;
        }
        match open_input(process, &path) {
            Ok(input) => opened.push((name.clone(), input)),
            Err(error) => status = process.complain(format!("{program}: {name}: {error}")).await?,
        }
    }
    Ok((opened, status))
}
