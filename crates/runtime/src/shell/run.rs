//! Running what a script consists of.

use super::syntax::{AndOr, Command, Kind, List, Pipeline, Redirection, Target, Word};
use super::{Jump, Shell, builtins};
use crate::process::{Input, MAX_NESTED, Output, Sink, Source, Streams, pipe};
use crate::programs;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use std::time::Duration;

/// What a round of a loop takes at least: one that waits for nothing must not stop the clock of a
/// simulation.
const ROUND: Duration = Duration::from_millis(1);

impl Shell {
    /// Runs commands one after the other; gives the status of the last.
    pub(super) fn list<'a>(
        &'a mut self,
        list: &'a List,
        streams: Streams,
    ) -> BoxFuture<'a, Result<i32, Jump>> {
        Box::pin(async move {
            let mut status = 0;
            for and_or in list {
                status = self.and_or(and_or, &streams).await?;
            }
            Ok(status)
        })
    }

    async fn and_or(&mut self, and_or: &AndOr, streams: &Streams) -> Result<i32, Jump> {
        let mut status = self.pipeline(&and_or.first, streams).await?;
        let mut was_last = and_or.rest.is_empty();
        for (index, (is_and, pipeline)) in and_or.rest.iter().enumerate() {
            if (status == 0) == *is_and {
                status = self.pipeline(pipeline, streams).await?;
                was_last = index + 1 == and_or.rest.len();
            }
        }
        if self.stops_at_failure && status != 0 && was_last {
            return Err(Jump::Exit(status));
        }
        Ok(status)
    }

    async fn pipeline(&mut self, pipeline: &Pipeline, streams: &Streams) -> Result<i32, Jump> {
        let status = match &pipeline.commands[..] {
            [command] => self.command(command, streams.clone()).await?,
            commands => self.piped(commands, streams).await?,
        };
        self.status = if pipeline.is_negated { i32::from(status == 0) } else { status };
        Ok(self.status)
    }

    /// Runs all at once, each in a shell of its own.
    async fn piped(&mut self, commands: &[Command], streams: &Streams) -> Result<i32, Jump> {
        if !self.process.may_fork(commands.len()) {
            streams.stderr.write(b"sh: can't fork: Resource temporarily unavailable\n").await?;
            return Err(Jump::Exit(2));
        }
        let mut stdin = streams.stdin.clone();
        let mut running = Vec::new();
        for (index, command) in commands.iter().enumerate() {
            let is_last = index + 1 == commands.len();
            let (stdout, next) = if is_last { (streams.stdout.clone(), None) } else { pipe_of_pipeline() };
            let own = Streams { stdin, stdout, stderr: streams.stderr.clone() };
            stdin = next.unwrap_or_else(|| Input::new(Source::Nothing));
            let mut shell = self.clone();
            running.push(async move {
                let outcome = shell.command(command, own).await;
                shell.outcome(outcome)
            });
        }
        let ended = join_all(running).await;
        Ok(ended.into_iter().next_back().transpose()?.unwrap_or(0))
    }

    async fn command(&mut self, command: &Command, streams: Streams) -> Result<i32, Jump> {
        if self.process.depth >= MAX_NESTED {
            streams.stderr.write(b"sh: nested too deeply\n").await?;
            return Err(Jump::Exit(2));
        }
        self.process.depth += 1;
        let outcome = self.nested(command, streams).await;
        self.process.depth -= 1;
        outcome
    }

    fn nested<'a>(
        &'a mut self,
        command: &'a Command,
        mut streams: Streams,
    ) -> BoxFuture<'a, Result<i32, Jump>> {
        Box::pin(async move {
            for redirection in &command.redirections {
                if !self.redirect(redirection, &mut streams).await? {
                    return Ok(1);
                }
            }
            match &command.kind {
                Kind::Simple { assignments, words } => self.simple(assignments, words, streams).await,
                Kind::Group(list) => self.list(list, streams).await,
                Kind::Subshell(list) => {
                    let mut inner = self.clone();
                    let outcome = inner.list(list, streams).await;
                    Ok(inner.outcome(outcome)?)
                }
                Kind::If { branches, otherwise } => {
                    for (condition, then) in branches {
                        if self.condition(condition, &streams).await? == 0 {
                            return self.list(then, streams).await;
                        }
                    }
                    match otherwise {
                        Some(otherwise) => self.list(otherwise, streams).await,
                        None => Ok(0),
                    }
                }
                Kind::While { is_until, condition, body } => {
                    let mut status = 0;
                    while (self.condition(condition, &streams).await? == 0) != *is_until {
                        match self.round(body, &streams).await? {
                            Some(ended) => status = ended,
                            None => break,
                        }
                    }
                    Ok(status)
                }
                Kind::For { name, words, body } => {
                    let mut status = 0;
                    for word in self.words(words, &streams).await? {
                        self.assign(name, word, &streams).await?;
                        match self.round(body, &streams).await? {
                            Some(ended) => status = ended,
                            None => break,
                        }
                    }
                    Ok(status)
                }
            }
        })
    }

    async fn assign_all(&mut self, given: Vec<(String, String)>, streams: &Streams) -> Result<(), Jump> {
        for (name, value) in given {
            self.assign(&name, value, streams).await?;
        }
        Ok(())
    }

    /// A condition may fail.
    async fn condition(&mut self, list: &List, streams: &Streams) -> Result<i32, Jump> {
        let stops = std::mem::take(&mut self.stops_at_failure);
        let outcome = self.list(list, streams.clone()).await;
        self.stops_at_failure = stops;
        outcome
    }

    /// One round of a loop; `None` where it was the last.
    async fn round(&mut self, body: &List, streams: &Streams) -> Result<Option<i32>, Jump> {
        tokio::time::sleep(ROUND).await;
        match self.list(body, streams.clone()).await {
            Ok(status) => Ok(Some(status)),
            Err(Jump::Continue) => Ok(Some(0)),
            Err(Jump::Break) => Ok(None),
            Err(jump) => Err(jump),
        }
    }

    async fn simple(
        &mut self,
        assignments: &[(String, Word)],
        words: &[Word],
        streams: Streams,
    ) -> Result<i32, Jump> {
        self.status = if words.is_empty() { 0 } else { self.status };
        let argv = self.words(words, &streams).await?;
        let mut given = Vec::new();
        for (name, word) in assignments {
            given.push((name.clone(), self.word(word, &streams).await?));
        }
        let Some(program) = argv.first() else {
            self.assign_all(given, &streams).await?;
            // What a command in the value ended with.
            return Ok(self.status);
        };
        if builtins::is_builtin(program) {
            self.assign_all(given, &streams).await?;
            return self.builtin(&argv, streams).await;
        }
        let mut process = self.process.clone();
        process.env.extend(given);
        process.streams = streams;
        match programs::find(&process, program) {
            Ok(_) => Ok(programs::run(process, argv).await),
            Err(missing) => {
                let text = format!("sh: {program}: {}\n", missing.text());
                process.streams.stderr.write(text.as_bytes()).await?;
                Ok(missing.status())
            }
        }
    }

    /// Leads a stream elsewhere; false where that could not be, which was said.
    async fn redirect(&mut self, redirection: &Redirection, streams: &mut Streams) -> Result<bool, Jump> {
        let name = match &redirection.to {
            Target::Same(stream) => {
                match (redirection.stream, stream) {
                    (2, 1) => streams.stderr = streams.stdout.clone(),
                    (1, 2) => streams.stdout = streams.stderr.clone(),
                    _ => {}
                }
                return Ok(true);
            }
            Target::Here(word) => {
                let text = format!("{}\n", self.word(word, streams).await?);
                streams.stdin = Input::new(Source::Bytes(Bytes::from(text)));
                return Ok(true);
            }
            Target::From(word) | Target::Into(word) | Target::AtEnd(word) => self.word(word, streams).await?,
        };
        let path = self.process.path(&name);
        let opened = match &redirection.to {
            Target::From(_) => programs::open_input(&self.process, &path).map(|input| streams.stdin = input),
            to => self.output_to(&path, matches!(to, Target::AtEnd(_)), streams).map(|output| {
                if redirection.stream == 2 {
                    streams.stderr = output;
                } else {
                    streams.stdout = output;
                }
            }),
        };
        let Err(error) = opened else { return Ok(true) };
        let verb = if matches!(redirection.to, Target::From(_)) { "open" } else { "create" };
        let text = format!("sh: can't {verb} {name}: {error}\n");
        streams.stderr.write(text.as_bytes()).await?;
        Ok(false)
    }

    fn output_to(
        &self,
        path: &str,
        at_end: bool,
        streams: &Streams,
    ) -> Result<Output, crate::files::FileError> {
        match path {
            "/dev/null" => Ok(Output::new(Sink::Nowhere)),
            "/dev/stdout" | "/proc/1/fd/1" => Ok(streams.stdout.clone()),
            "/dev/stderr" | "/proc/1/fd/2" => Ok(streams.stderr.clone()),
            path => Ok(Output::new(Sink::File(self.process.around.files.open(path, at_end)?))),
        }
    }
}

fn pipe_of_pipeline() -> (Output, Option<Input>) {
    let (writer, reader) = pipe();
    (writer, Some(reader))
}
