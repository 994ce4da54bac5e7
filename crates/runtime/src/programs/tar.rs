//! `tar`, as far as `kubectl cp` needs it: archives to standard output and from standard input.

mod create;
mod extract;
mod header;

use crate::process::{Input, Process};
use std::io;

/// What is asked for.
struct Asked {
    action: char,
    is_verbose: bool,
    /// The archive, `-` for the streams.
    archive: String,
    directory: String,
    names: Vec<String>,
}

impl Asked {
    fn read(process: &Process, arguments: &[String]) -> Result<Self, String> {
        let mut asked = Self {
            action: ' ',
            is_verbose: false,
            archive: "-".to_owned(),
            directory: process.directory.clone(),
            names: Vec::new(),
        };
        let mut rest = arguments.iter();
        let mut is_first = true;
        while let Some(argument) = rest.next() {
            let letters = match argument.strip_prefix('-') {
                Some(long) if long.starts_with('-') => {
                    asked.long(process, long)?;
                    continue;
                }
                Some(letters) if !letters.is_empty() => letters,
                None if is_first => argument,
                _ => {
                    asked.names.push(argument.clone());
                    continue;
                }
            };
            is_first = false;
            for letter in letters.chars() {
                match letter {
                    'c' | 'x' | 't' => asked.action = letter,
                    'v' => asked.is_verbose = true,
                    'f' => asked.archive = rest.next().ok_or("option requires an argument -- f")?.clone(),
                    'C' => {
                        let to = rest.next().ok_or("option requires an argument -- C")?;
                        asked.change(process, to)?;
                    }
                    // Owners, modes and times are none here.
                    'm' | 'o' | 'p' | 'k' => {}
                    other => return Err(format!("invalid option -- {other}")),
                }
            }
        }
        Ok(asked)
    }

    fn long(&mut self, process: &Process, option: &str) -> Result<(), String> {
        match option {
            "-no-same-owner" | "-no-same-permissions" | "-touch" => {}
            "-create" => self.action = 'c',
            "-extract" => self.action = 'x',
            "-list" => self.action = 't',
            "-verbose" => self.is_verbose = true,
            _ => match option.split_once('=') {
                Some(("-file", archive)) => self.archive = archive.to_owned(),
                Some(("-directory", to)) => return self.change(process, to),
                _ => return Err(format!("unrecognized option '-{option}'")),
            },
        }
        Ok(())
    }

    fn change(&mut self, process: &Process, to: &str) -> Result<(), String> {
        let path = crate::files::absolute(&self.directory, to);
        match process.around.files.meta(&path) {
            Some(meta) if meta.is_directory => {
                self.directory = path;
                Ok(())
            }
            Some(_) => Err(format!("can't change directory to '{to}': Not a directory")),
            None => Err(format!("can't change directory to '{to}': No such file or directory")),
        }
    }
}

pub(super) async fn tar(process: &Process, arguments: &[String]) -> io::Result<i32> {
    let asked = match Asked::read(process, arguments) {
        Ok(asked) => asked,
        Err(text) => return process.complain(format!("tar: {text}")).await,
    };
    match asked.action {
        'c' => create::create(process, &asked).await,
        'x' | 't' => {
            let archive = match asked.archive.as_str() {
                "-" => process.streams.stdin.clone(),
                name => match super::open_input(process, &process.path(name)) {
                    Ok(input) => input,
                    Err(error) => {
                        return process.complain(format!("tar: can't open '{name}': {error}")).await;
                    }
                },
            };
            extract::extract(process, &asked, &archive).await
        }
        _ => process.complain("tar: must specify one of -c, -x, -t").await,
    }
}

/// Reads exactly so many bytes; `None` where the input ends before.
async fn exactly(input: &Input, count: usize) -> io::Result<Option<Vec<u8>>> {
    let mut whole = Vec::with_capacity(count);
    while whole.len() < count {
        let piece = input.read(count - whole.len()).await?;
        if piece.is_empty() {
            return Ok(None);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(Some(whole))
}
