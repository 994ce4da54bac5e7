//! The trace of a whole run: what each simulation wrote down, and between it, at its time, what the
//! attacker did and what was seen from outside.

use crate::model::{Property, State, Step, StepKind, Story, Verdict};
use crate::places::Places;
use crate::unit::UnitRun;
use ravelin_adversary::Attacker;
use serde::Serialize;
use sha2::Digest;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// A trace as it grows.
pub struct RunTrace {
    hash: sha2::Sha256,
    lines: Option<Vec<String>>,
}

impl RunTrace {
    /// An empty one. The lines are kept where they are wanted; the hash is of all of them.
    pub fn new(wanted: bool) -> Self {
        Self { hash: sha2::Sha256::new(), lines: wanted.then(Vec::new) }
    }

    /// Adds a simulation, and the names of its machines.
    pub fn simulation(
        &mut self,
        (attacker, places): (Attacker, &Places),
        run: &UnitRun,
        told: (&[Story], &[Verdict]),
    ) {
        self.push(&json(&Beginning { kind: "simulation", attacker: attacker.name() }));
        for (address, name) in places.iter() {
            self.push(&json(&Machine { kind: "machine", name, address }));
        }
        let mut said: Vec<(u64, String)> = told.0.iter().flat_map(story_lines).collect();
        said.sort_by_key(|(at, _)| *at);
        let mut said = said.into_iter().peekable();
        for line in run.trace.iter() {
            // A line without a time stays where it is.
            while let Some((_, earlier)) = at_us(line).and_then(|at| said.next_if(|(said, _)| *said < at)) {
                self.push(&earlier);
            }
            self.push(line);
        }
        said.for_each(|(_, line)| self.push(&line));
        let end = micros(run.simulated);
        told.1.iter().for_each(|verdict| self.push(&verdict_line(verdict, end)));
    }

    fn push(&mut self, line: &str) {
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        self.lines.iter_mut().for_each(|lines| lines.push(line.to_owned()));
    }

    /// The SHA-256 over all lines, each ended by a newline, in lower-case hexadecimal, and the lines
    /// where they were wanted.
    pub fn finish(self) -> (String, Vec<String>) {
        let hash = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (hash, self.lines.unwrap_or_default())
    }
}

/// The time of a simulation's line, which begins with it.
fn at_us(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("{\"at_us\":")?;
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

#[derive(Serialize)]
struct Beginning {
    kind: &'static str,
    attacker: &'static str,
}

#[derive(Serialize)]
struct Machine<'a> {
    kind: &'static str,
    name: &'a str,
    address: IpAddr,
}

/// What the attacker did (`attacker`), what the path's caller was handed (`caller`), and what was
/// seen from outside (`evidence`).
#[derive(Serialize)]
struct Told<'a> {
    at_us: u64,
    kind: &'static str,
    path: &'a str,
    tactic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<&'a str>,
    flow: &'a str,
    text: &'a str,
    /// The property that this broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<Property>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_by: Option<&'a str>,
    /// The properties at which the refused step was aimed.
    #[serde(skip_serializing_if = "<[Property]>::is_empty")]
    aims: &'a [Property],
}

fn story_lines(story: &Story) -> impl Iterator<Item = (u64, String)> + '_ {
    let steps =
        story.chapters.iter().flat_map(|chapter| chapter.steps.iter().map(move |step| (chapter, step)));
    steps.map(|(chapter, step)| (micros(step.at), json(&told(&story.path, &chapter.tactic, step))))
}

fn told<'a>(path: &'a str, tactic: &'a str, step: &'a Step) -> Told<'a> {
    let mut line = Told {
        at_us: micros(step.at),
        kind: "attacker",
        path,
        tactic,
        segment: step.segment.as_deref(),
        flow: &step.flow,
        text: &step.text,
        broken: None,
        refused_by: None,
        aims: &[],
    };
    match &step.kind {
        StepKind::Acted | StepKind::Obtained(_) => {}
        StepKind::Handed => line.kind = "caller",
        StepKind::Refused { by, aims } => {
            (line.kind, line.refused_by, line.aims) = ("evidence", Some(by.as_str()), aims.as_slice());
        }
        StepKind::Broke(property) => (line.kind, line.broken) = ("evidence", Some(*property)),
    }
    line
}

#[derive(Serialize)]
struct Judged<'a> {
    at_us: u64,
    kind: &'static str,
    path: &'a str,
    egress: &'a str,
    attacker: &'a str,
    states: BTreeMap<Property, State>,
}

fn verdict_line(verdict: &Verdict, at_us: u64) -> String {
    let states = Property::ALL.into_iter().map(|property| (property, verdict.state(property))).collect();
    let Verdict { path, egress, attacker, .. } = verdict;
    json(&Judged { at_us, kind: "verdict", path, egress, attacker, states })
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("lines are plain data with text keys")
}

fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}
