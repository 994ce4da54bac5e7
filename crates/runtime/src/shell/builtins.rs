//! The commands that are the shell's own.

use super::parse::is_name;
use super::{Jump, Shell};
use crate::process::Streams;
use crate::programs;
use std::time::Duration;

const BUILTINS: [&str; 18] = [
    ".", ":", "break", "cd", "command", "continue", "eval", "exec", "exit", "export", "read", "return",
    "set", "shift", "trap", "type", "unset", "wait",
];

pub(super) fn is_builtin(name: &str) -> bool {
    BUILTINS.contains(&name)
}

impl Shell {
    /// Runs a command of the shell's own.
    pub(super) async fn builtin(&mut self, argv: &[String], streams: Streams) -> Result<i32, Jump> {
        let (name, arguments) = (argv[0].as_str(), &argv[1..]);
        match name {
            "break" => Err(Jump::Break),
            "continue" => Err(Jump::Continue),
            "exit" | "return" => {
                let status = arguments.first().map_or(Ok(self.status), |text| text.parse::<i32>());
                let Ok(status) = status else {
                    return self.say(&streams, &format!("{name}: Illegal number: {}", arguments[0]), 2).await;
                };
                Err(Jump::Exit(status & 0xff))
            }
            "cd" => self.change_directory(arguments, &streams).await,
            "export" => self.export(arguments, &streams).await,
            "unset" => {
                for name in arguments {
                    self.variables.remove(name);
                    self.process.env.remove(name);
                }
                Ok(0)
            }
            "set" => {
                self.stops_at_failure |=
                    arguments.iter().any(|one| one.starts_with('-') && one.contains('e'));
                self.stops_at_failure &=
                    !arguments.iter().any(|one| one.starts_with('+') && one.contains('e'));
                Ok(0)
            }
            "shift" => {
                if self.arguments.len() > 1 {
                    self.arguments.remove(1);
                }
                Ok(0)
            }
            "read" => self.read(arguments, &streams).await,
            "eval" | "." => self.evaluate(name, arguments, streams).await,
            "exec" if arguments.is_empty() => Ok(0),
            "exec" => {
                let status = self.external(arguments.to_vec(), streams).await?;
                Err(Jump::Exit(status))
            }
            "command" => self.whereabouts(arguments, streams).await,
            "type" => {
                let arguments: Vec<String> =
                    std::iter::once("-v".to_owned()).chain(arguments.to_vec()).collect();
                self.whereabouts(&arguments, streams).await
            }
            // Nothing runs in the background, and no signal is caught.
            _ => Ok(0),
        }
    }

    async fn say(&self, streams: &Streams, text: &str, status: i32) -> Result<i32, Jump> {
        streams.stderr.write(format!("sh: {text}\n").as_bytes()).await?;
        Ok(status)
    }

    async fn external(&mut self, argv: Vec<String>, streams: Streams) -> Result<i32, Jump> {
        let mut process = self.process.clone();
        process.streams = streams.clone();
        match programs::find(&process, &argv[0]) {
            Ok(_) => Ok(programs::run(process, argv).await),
            Err(missing) => {
                self.say(&streams, &format!("{}: {}", argv[0], missing.text()), missing.status()).await
            }
        }
    }

    async fn change_directory(&mut self, arguments: &[String], streams: &Streams) -> Result<i32, Jump> {
        let home = self.variable("HOME").cloned().unwrap_or_else(|| "/root".to_owned());
        let to = arguments.first().cloned().unwrap_or(home);
        let path = self.process.path(&to);
        match self.process.around.files.meta(&path) {
            Some(meta) if meta.is_directory => {
                self.process.env.insert("PWD".to_owned(), path.clone());
                self.process.directory = path;
                Ok(0)
            }
            Some(_) => self.say(streams, &format!("cd: can't cd to {to}: Not a directory"), 2).await,
            None => self.say(streams, &format!("cd: can't cd to {to}: No such file or directory"), 2).await,
        }
    }

    async fn export(&mut self, arguments: &[String], streams: &Streams) -> Result<i32, Jump> {
        for argument in arguments {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let value = self.variable(argument).cloned();
                    (argument.as_str(), value.unwrap_or_default())
                }
            };
            if !is_name(name) {
                return self.say(streams, &format!("export: {name}: bad variable name"), 2).await;
            }
            self.assign(name, value.clone(), streams).await?;
            self.variables.remove(name);
            self.process.env.insert(name.to_owned(), value);
        }
        Ok(0)
    }

    /// Reads a line into variables: each takes a word, the last what is left.
    async fn read(&mut self, arguments: &[String], streams: &Streams) -> Result<i32, Jump> {
        let mut names: Vec<&String> = Vec::new();
        let mut patience = None;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "-r" | "-s" => {}
                "-t" => patience = arguments.next().and_then(|text| text.parse::<u64>().ok()),
                "-p" => {
                    let prompt = arguments.next().map(String::as_bytes).unwrap_or_default();
                    streams.stderr.write(prompt).await?;
                }
                _ => names.push(argument),
            }
        }
        let line = match patience.map(Duration::from_secs) {
            Some(patience) => match tokio::time::timeout(patience, streams.stdin.line()).await {
                Ok(line) => line?,
                Err(_) => return Ok(1),
            },
            None => streams.stdin.line().await?,
        };
        let text = String::from_utf8_lossy(line.as_deref().unwrap_or_default()).into_owned();
        let is_whole = text.ends_with('\n');
        let usual = "REPLY".to_owned();
        if names.is_empty() {
            names.push(&usual);
        }
        let mut rest = text.trim();
        for (index, name) in names.iter().enumerate() {
            let value = if index + 1 == names.len() {
                rest
            } else {
                let (word, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
                rest = after.trim_start();
                word
            };
            self.assign(name, value.to_owned(), streams).await?;
        }
        Ok(i32::from(!is_whole))
    }

    async fn evaluate(&mut self, name: &str, arguments: &[String], streams: Streams) -> Result<i32, Jump> {
        let text = if name == "eval" {
            arguments.join(" ")
        } else {
            let path = self.process.path(arguments.first().map_or("", String::as_str));
            let content = self.process.around.files.read(&path).ok();
            let Some(content) = content.filter(|content| content.len() <= super::MAX_SCRIPT_BYTES) else {
                return self.say(&streams, &format!(".: can't open {path}"), 2).await;
            };
            String::from_utf8_lossy(&content).into_owned()
        };
        match super::parse::parse(&text) {
            Ok(list) => self.list(&list, streams).await,
            Err(error) => self.say(&streams, &error.to_string(), 2).await,
        }
    }

    /// `command -v NAME`, `command NAME …` and `type NAME`.
    async fn whereabouts(&mut self, arguments: &[String], streams: Streams) -> Result<i32, Jump> {
        let names: Vec<&String> = arguments.iter().filter(|one| !one.starts_with('-')).collect();
        if !arguments.iter().any(|one| one == "-v") && !names.is_empty() && arguments.len() == names.len() {
            return self.external(arguments.to_vec(), streams).await;
        }
        for name in names {
            let line = if is_builtin(name) {
                format!("{name}\n")
            } else {
                match programs::find(&self.process, name) {
                    Ok(path) => format!("{path}\n"),
                    Err(_) => return Ok(127),
                }
            };
            streams.stdout.write(line.as_bytes()).await?;
        }
        Ok(0)
    }
}
