//! A small shell: pipelines, `&&` and `||`, variables, quotes, redirections, `if`, `while` and `for`.
//!
//! What it lacks says so: jobs in the background, `case`, functions, here documents, patterns of file
//! names. Its programs are tasks of this process that pass bytes through pipes with bounds; nothing is
//! collected but what a variable takes.

mod arithmetic;
mod builtins;
mod expand;
mod interactive;
mod parse;
mod run;
mod syntax;
#[cfg(test)]
mod tests;
mod word;

use crate::process::{Process, Streams};
use std::collections::BTreeMap;
use std::io;

/// What one expansion may give.
const MAX_EXPANSION_BYTES: usize = 1024 * 1024;

/// What all variables of a shell hold together, their names included.
const MAX_VARIABLE_BYTES: usize = 2 * 1024 * 1024;

/// The longest script that is read from a file.
const MAX_SCRIPT_BYTES: usize = 1024 * 1024;

/// One shell.
#[derive(Clone)]
struct Shell {
    /// Its exported variables are the process's environment.
    process: Process,
    /// The others.
    variables: BTreeMap<String, String>,
    /// How the last command ended.
    status: i32,
    /// `$0`, `$1`, ….
    arguments: Vec<String>,
    /// Does it end when a command fails (`set -e`)?
    stops_at_failure: bool,
}

/// What makes a shell leave what it is in.
#[derive(Debug)]
enum Jump {
    /// `exit`, or an end that comes to the same.
    Exit(i32),
    Break,
    Continue,
    /// A stream broke.
    Io(io::Error),
}

impl From<io::Error> for Jump {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a variable takes, with what it takes to keep it.
fn size(name: &str, value: &str) -> usize {
    name.len() + value.len() + 64
}

/// Runs `sh` with its arguments.
pub(crate) async fn main(process: Process, argv: Vec<String>) -> io::Result<i32> {
    let terminal = process.terminal.clone();
    let mut shell = Shell {
        process,
        variables: BTreeMap::new(),
        status: 0,
        arguments: vec![argv.first().cloned().unwrap_or_default()],
        stops_at_failure: false,
    };
    let mut rest = argv.into_iter().skip(1).peekable();
    let mut is_command = false;
    while let Some(option) = rest.next_if(|option| option.starts_with('-') && option.len() > 1) {
        is_command |= option.contains('c');
        shell.stops_at_failure |= option.contains('e');
        if option.chars().skip(1).any(|letter| !"ceilux".contains(letter)) {
            return shell.process.complain(format!("sh: {option}: invalid option")).await.map(|_| 2);
        }
    }
    if is_command {
        let Some(script) = rest.next() else {
            return shell.process.complain("sh: -c requires an argument").await.map(|_| 2);
        };
        shell.arguments.splice(..usize::from(rest.peek().is_some()), rest);
        return shell.script(&script).await;
    }
    if let Some(name) = rest.next() {
        let path = shell.process.path(&name);
        let content = shell.process.around.files.read(&path).ok();
        let Some(content) = content.filter(|content| content.len() <= MAX_SCRIPT_BYTES) else {
            return shell.process.complain(format!("sh: {name}: not found")).await.map(|_| 127);
        };
        shell.arguments = std::iter::once(name).chain(rest).collect();
        return shell.script(&String::from_utf8_lossy(&content)).await;
    }
    shell.interactive(terminal).await
}

impl Shell {
    /// Runs a whole script.
    async fn script(&mut self, text: &str) -> io::Result<i32> {
        match parse::parse(text) {
            Ok(list) => {
                let streams = self.process.streams.clone();
                let outcome = self.list(&list, streams).await;
                self.outcome(outcome)
            }
            Err(error) => self.process.complain(format!("sh: {error}")).await.map(|_| 2),
        }
    }

    fn outcome(&self, outcome: Result<i32, Jump>) -> io::Result<i32> {
        match outcome {
            Ok(status) | Err(Jump::Exit(status)) => Ok(status),
            Err(Jump::Break | Jump::Continue) => Ok(0),
            Err(Jump::Io(error)) => Err(error),
        }
    }

    fn variable(&self, name: &str) -> Option<&String> {
        self.variables.get(name).or_else(|| self.process.env.get(name))
    }

    /// Gives a variable a value; one that is exported stays so.
    async fn assign(&mut self, name: &str, value: String, streams: &Streams) -> Result<(), Jump> {
        let all = self.variables.iter().chain(&self.process.env);
        let held: usize =
            all.filter(|(other, _)| *other != name).map(|(other, value)| size(other, value)).sum();
        if held + size(name, &value) > MAX_VARIABLE_BYTES {
            let _ = streams.stderr.write(b"sh: out of memory\n").await;
            return Err(Jump::Exit(2));
        }
        match self.process.env.get_mut(name) {
            Some(exported) => *exported = value,
            None => {
                self.variables.insert(name.to_owned(), value);
            }
        }
        Ok(())
    }
}
