//! `ravelin replay`: the events of a trace, made readable, filtered, one after the other.

mod line;

use crate::args::Replay;
use crate::console::Console;
use crate::files::{self, Refused, print};
use crate::outcome::Status;
use line::Names;
use ravelin_assess::matches;
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// Runs the command, and says what became of it.
pub(crate) fn run(options: &Replay, console: &mut Console<'_>) -> Status {
    files::status(attempt(options, console), console)
}

fn attempt(options: &Replay, console: &mut Console<'_>) -> Result<Status, Refused> {
    if options.step && options.trace == Path::new("-") {
        return Err(Refused::usage("--step reads the keyboard: give the trace as a file"));
    }
    let text = read(options, console)?;
    let name = options.trace.display().to_string();
    // A trace is looked through before any of it is told, so that a broken one is not half told.
    let mut kinds = 0;
    for (number, line) in text.lines().enumerate() {
        let event = parse(line).map_err(|why| Refused::usage(format!("{name}:{}: {why}", number + 1)))?;
        kinds += usize::from(event["kind"] == "simulation");
    }
    if kinds == 0 {
        return Err(Refused::usage(format!(
            "{name}: no trace of `ravelin simulate --trace`: it has no simulation"
        )));
    }
    let mut player = Player::new(options);
    let mut told = 0;
    for line in text.lines() {
        let event = parse(line).expect("every line was read before");
        let Some(lines) = player.event(&event) else { continue };
        told += 1;
        let lines: String = lines.iter().map(|line| ravelin_report::harmless(line) + "\n").collect();
        if !print(console, &lines)? {
            return Ok(Status::Ran);
        }
        if options.step && !player.may_go_on(&mut console.input) {
            return Ok(Status::Ran);
        }
    }
    if told == 0 {
        console.say("no event fits these options");
    }
    Ok(Status::Ran)
}

fn read(options: &Replay, console: &mut Console<'_>) -> Result<String, Refused> {
    let mut text = String::new();
    let read = if options.trace == Path::new("-") {
        console.input.read_to_string(&mut text)
    } else {
        std::fs::File::open(&options.trace).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Refused::usage(format!("{}: {error}", options.trace.display())))?;
    Ok(text)
}

/// An event: an object with a kind.
fn parse(line: &str) -> Result<Value, String> {
    let event: Value = serde_json::from_str(line).map_err(|error| format!("not an event: {error}"))?;
    if event["kind"].is_string() {
        return Ok(event);
    }
    Err("not an event: it has no \"kind\"".to_owned())
}

/// Where in the trace the reader is.
struct Player<'a> {
    options: &'a Replay,
    names: Names,
    /// The simulation's attacker.
    attacker: String,
    /// The path that is used, and how.
    cell: (String, String),
    /// Headings that come before the next event that is shown.
    heading: Vec<String>,
    /// Do not wait before the next tactic.
    hurried: bool,
}

impl<'a> Player<'a> {
    fn new(options: &'a Replay) -> Self {
        Self {
            options,
            names: Names::default(),
            attacker: String::new(),
            cell: Default::default(),
            heading: Vec::new(),
            hurried: false,
        }
    }

    /// What is told of an event, after the headings that it comes under; nothing where the options
    /// leave it out.
    fn event(&mut self, event: &Value) -> Option<Vec<String>> {
        let kind = event["kind"].as_str().unwrap_or_default();
        match kind {
            "simulation" => {
                event["attacker"].as_str().unwrap_or_default().clone_into(&mut self.attacker);
                self.names = Names::default();
                self.cell = Default::default();
                self.heading = vec![format!("=== {} ===", self.attacker)];
                return None;
            }
            "machine" => {
                self.names.add(event);
                return None;
            }
            "cell" => {
                let name = event["name"].as_str().unwrap_or_default();
                let (path, how) = name.rsplit_once('/').unwrap_or(("", name));
                self.cell = (path.to_owned(), how.to_owned());
                self.heading.retain(|heading| heading.starts_with("==="));
                let at = line::time(event).unwrap_or_default();
                self.heading.push(format!("--- {name}, from {at} ---"));
                self.hurried = false;
                return None;
            }
            _ => {}
        }
        self.is_wanted(event, kind).then(|| self.with_heading(line::said(event, &self.names)))
    }

    fn is_wanted(&self, event: &Value, kind: &str) -> bool {
        let fits = |patterns: &[String], name: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name))
        };
        let path =
            event["path"].as_str().filter(|_| ["attacker", "caller", "evidence", "verdict"].contains(&kind));
        let at_us = event["at_us"].as_u64();
        // A verdict has its time from the simulation's end, and belongs to every part of it.
        let in_time = kind == "verdict"
            || self
                .options
                .until
                .is_none_or(|until| at_us.is_none_or(|at| at <= until.saturating_mul(1_000)));
        in_time
            && fits(&self.options.attacker, &self.attacker)
            && fits(&self.options.path, path.unwrap_or(&self.cell.0))
            && fits(&self.options.kind, kind)
    }

    fn with_heading(&mut self, said: String) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.heading);
        lines.push(said);
        lines
    }

    /// Waits for the reader: false where it wants no more.
    fn may_go_on(&mut self, keyboard: &mut dyn Read) -> bool {
        if self.hurried {
            return true;
        }
        let mut key = None;
        let mut byte = [0];
        // A keyboard that has ended asks for nothing: the rest follows at once.
        while keyboard.read(&mut byte).is_ok_and(|read| read == 1) && byte[0] != b'\n' {
            key = key.or(Some(byte[0]));
        }
        self.hurried = key == Some(b'c');
        key != Some(b'q')
    }
}

#[cfg(test)]
mod tests;
