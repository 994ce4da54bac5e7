//! A shell that is told line by line what to do.

use super::parse::parse;
use super::syntax::SyntaxError;
use super::{Jump, Shell};
use crate::process::{Streams, Terminal};
use std::io;
use std::sync::Arc;

/// The longest command that is not whole, in bytes and in lines: with each of its lines it is read
/// anew from its beginning.
const MAX_UNFINISHED_BYTES: usize = 16 * 1024;
const MAX_UNFINISHED_LINES: u32 = 256;

/// What a shell ends with that was interrupted.
pub(crate) const INTERRUPTED: i32 = 128 + 2;

impl Shell {
    /// Does what it is told until its input ends. On a terminal it asks for each line, and survives an
    /// interrupt.
    pub(super) async fn interactive(&mut self, terminal: Option<Arc<Terminal>>) -> io::Result<i32> {
        let streams = self.process.streams.clone();
        let (mut text, mut lines) = (String::new(), 0);
        loop {
            if terminal.is_some() {
                let prompt = if text.is_empty() { self.prompt() } else { "> ".to_owned() };
                streams.stderr.write(prompt.as_bytes()).await?;
            }
            let line = tokio::select! {
                biased;
                () = interrupted(terminal.as_ref()) => {
                    (text, lines) = (String::new(), 0);
                    self.status = INTERRUPTED;
                    continue;
                }
                line = streams.stdin.line() => line?,
            };
            let Some(line) = line else { return self.end_of_input(&text, &streams).await };
            text.push_str(&String::from_utf8_lossy(&line));
            lines += 1;
            if text.len() > MAX_UNFINISHED_BYTES || lines > MAX_UNFINISHED_LINES {
                return self.process.complain("sh: command too long").await.map(|_| 2);
            }
            match parse(&text) {
                Err(SyntaxError::Unfinished) => continue,
                Err(error) => {
                    self.status = 2;
                    self.process.complain(format!("sh: {error}")).await?;
                }
                Ok(list) => {
                    let outcome = tokio::select! {
                        biased;
                        () = interrupted(terminal.as_ref()) => Ok(INTERRUPTED),
                        outcome = self.list(&list, streams.clone()) => outcome,
                    };
                    match outcome {
                        Ok(status) => self.status = status,
                        Err(Jump::Break | Jump::Continue) => {}
                        Err(Jump::Exit(status)) => return Ok(status),
                        Err(Jump::Io(error)) => return Err(error),
                    }
                }
            }
            (text, lines) = (String::new(), 0);
        }
    }

    async fn end_of_input(&self, text: &str, streams: &Streams) -> io::Result<i32> {
        if !text.trim().is_empty() {
            streams.stderr.write(b"sh: syntax error: unexpected end of file\n").await?;
            return Ok(2);
        }
        Ok(self.status)
    }

    fn prompt(&self) -> String {
        let directory = if self.process.directory == "/root" { "~" } else { &self.process.directory };
        format!("{directory} # ")
    }
}

/// Waits for an interrupt: for ever without a terminal.
async fn interrupted(terminal: Option<&Arc<Terminal>>) {
    match terminal {
        Some(terminal) => terminal.interrupted().await,
        None => std::future::pending().await,
    }
}
