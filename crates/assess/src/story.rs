//! From the rounds of one attacker on one path to the story of its verdict.

use crate::model::{Chapter, Property, Step, StepKind, Story};
use crate::places::Places;
use crate::unit::{PathRun, Round};
use ravelin_adversary::Attacker;
use ravelin_oracle::{Canary, Finding, Handed, Learned, Observed, Protection, Refusal, judge, not_genuine};
use ravelin_sim::Trace;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How much a story quotes on either side of a canary, in characters.
const MAX_QUOTE: usize = 60;
/// What stands for a canary in a quote.
const CANARY: &str = "(canary)";

/// When each cell of a simulation began.
pub struct Beginnings(BTreeMap<String, Duration>);

impl Beginnings {
    /// As the trace has them.
    pub fn of(trace: &Trace) -> Self {
        let cells = trace.iter().filter(|line| line.contains("\"kind\":\"cell\""));
        let begun = cells.filter_map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            let at = Duration::from_micros(event["at_us"].as_u64()?);
            Some((event["name"].as_str()?.to_owned(), at))
        });
        Self(begun.collect())
    }

    fn at(&self, path: &PathRun, tactic: &str) -> Option<Duration> {
        self.0.get(&format!("{}/{tactic}", path.path)).copied()
    }
}

/// The story of one verdict.
pub fn story(
    (attacker, egress): (Attacker, &str),
    run: &PathRun,
    places: &Places,
    beginnings: &Beginnings,
) -> Story {
    let chapter = |round: &Round| {
        let steps = steps(&round.seen, places);
        let first = || steps.first().map_or(Duration::ZERO, |step| step.at);
        let began = beginnings.at(run, round.tactic).unwrap_or_else(first);
        Chapter { tactic: round.tactic.to_owned(), began, steps }
    };
    Story {
        path: run.path.name().to_owned(),
        attacker: attacker.name().to_owned(),
        egress: egress.to_owned(),
        baseline: run.state,
        error: run.error.clone(),
        counted: run.exposed_packets,
        chapters: run.rounds.iter().map(chapter).collect(),
    }
}

fn steps(seen: &Observed, places: &Places) -> Vec<Step> {
    let mut page = Page { places, steps: Vec::new(), told: BTreeSet::new() };
    let judged = judge(seen);
    // The attacker's own notes repeat its gains and refusals, which are told from what was judged.
    let gains = seen.attempt.gains.iter().map(|gain| (gain.at, format!("{}: {}", gain.flow, gain.text)));
    let refusals = seen.attempt.refusals.iter().flat_map(|refusal| {
        let Refusal { at, flow, by, text, .. } = refusal;
        [(*at, format!("{flow}: {text}")), (*at, format!("{flow}: refused by {}: {text}", by.name()))]
    });
    let repeated: BTreeSet<(Duration, String)> = gains.chain(refusals).collect();
    for (at, text) in &seen.attempt.story {
        if !repeated.contains(&(*at, text.clone())) {
            page.acted(*at, text);
        }
    }
    for call in &seen.calls {
        let genuine = not_genuine(call, &seen.issued).is_none();
        page.step(call.at, &call.flow, handed(&call.handed, genuine), StepKind::Handed);
    }
    for (property, found) in &judged {
        for finding in &found.broken {
            let text = match property {
                Property::RequestSecret => quoted(finding, seen, &seen.request),
                Property::ResponseSecret => quoted(finding, seen, &seen.response),
                _ => finding.text.clone(),
            };
            page.step(finding.at, &finding.flow, text, StepKind::Broke(*property));
        }
    }
    page.refusals(seen);
    page.steps.sort_by_key(|step| step.at);
    page.steps
}

struct Page<'a> {
    places: &'a Places,
    steps: Vec<Step>,
    /// What was told, so that the same bytes read twice are told once.
    told: BTreeSet<(Duration, String, String)>,
}

impl Page<'_> {
    /// One of the attacker's own notes: `FLOW: text`, or a text alone.
    fn acted(&mut self, at: Duration, note: &str) {
        let is_flow = |flow: &str| flow.contains(" > ") && flow.len() < 120;
        let (flow, text) = match note.split_once(": ") {
            Some((flow, text)) if is_flow(flow) => (flow, text),
            _ => ("", note),
        };
        let kind = match text.strip_prefix("captured a bearer token") {
            Some(_) => StepKind::Obtained("a bearer token".to_owned()),
            None => StepKind::Acted,
        };
        self.step(at, flow, text.to_owned(), kind);
    }

    fn step(&mut self, at: Duration, flow: &str, text: String, kind: StepKind) {
        let key = (at, flow.to_owned(), format!("{kind:?}"));
        if matches!(kind, StepKind::Broke(_)) && !self.told.insert(key) {
            return;
        }
        let segment = self.places.segment(flow).map(str::to_owned);
        // An error is told as its caller saw it.
        let text = if kind == StepKind::Handed { text } else { self.places.named(&text) };
        let flow = self.places.named(flow);
        self.steps.push(Step { at, flow, segment, text, kind });
    }

    /// One step for each refusal, whatever it was aimed at.
    fn refusals(&mut self, seen: &Observed) {
        for refusal in &seen.attempt.refusals {
            let kind =
                StepKind::Refused { by: Protection::name(refusal.by).to_owned(), aims: refusal.aims.clone() };
            self.step(refusal.at, &refusal.flow, refusal.text.clone(), kind);
        }
    }
}

/// What was read, with the line of it that held the canary. Canaries themselves, and whatever proves
/// who somebody is, are not told.
fn quoted(finding: &Finding, seen: &Observed, canary: &Canary) -> String {
    let same = |read: &&Learned| read.at == finding.at && read.flow == finding.flow;
    let line = seen.attempt.learned.iter().filter(same).find_map(|read| {
        let text = String::from_utf8_lossy(&read.bytes);
        text.lines().find(|line| line.contains(canary.reveal())).map(str::to_owned)
    });
    let Some(line) = line else { return finding.text.clone() };
    let line = line.replace(seen.request.reveal(), CANARY).replace(seen.response.reveal(), CANARY);
    let lower = line.to_ascii_lowercase();
    if ["bearer", "authorization", "token", "private key"].iter().any(|secret| lower.contains(secret)) {
        return finding.text.clone();
    }
    format!("{}: {}", finding.text, around_the_canary(line.trim()))
}

/// What stands around the first canary of a line.
fn around_the_canary(line: &str) -> String {
    let at = line.find(CANARY).unwrap_or(0);
    let (before, after) = line.split_at(at);
    let (left, right) = (before.chars().count(), after.chars().count());
    let before: String = before.chars().skip(left.saturating_sub(MAX_QUOTE)).collect();
    let after: String = after.chars().take(CANARY.len() + MAX_QUOTE).collect();
    let (more_before, more_after) = (left > MAX_QUOTE, right > CANARY.len() + MAX_QUOTE);
    format!("{}{before}{after}{}", if more_before { "… " } else { "" }, if more_after { " …" } else { "" })
}

fn handed(handed: &Handed, genuine: bool) -> String {
    match handed {
        Handed::Success(body) if genuine => format!("was handed the genuine answer, {} bytes", body.len()),
        Handed::Success(body) => format!("was handed {} bytes as success", body.len()),
        Handed::Error { text, .. } => format!("was handed an error: {text}"),
        Handed::Nothing => "was handed nothing before its deadline".into(),
        Handed::Partial => "was handed a part of an answer".into(),
    }
}

#[cfg(test)]
mod tests;
