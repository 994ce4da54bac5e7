//! `--twins`: every refusal that a held property rests on is tried again without the protection
//! that refused, and must then break the property. It proves that what was refused was an attack.
//!
//! Where another protection then refuses the same tactic (defence in depth), it is taken away too,
//! and so on, [`MAX_CHAIN`] at most.

mod taken_for_the_client;

use crate::model::{Property, Report, State, TwinRun, TwinState};
use crate::path::Path;
use crate::request::AssessError;
use crate::rerun::{Job, Rerun};
use crate::twin::twin_of;
use crate::unit::UnitRun;
use ravelin_adversary::{Attacker, ServerKind};
use ravelin_host::{Flaw, Flaws};
use ravelin_oracle::{Protection, judge};
use std::collections::{BTreeMap, BTreeSet};

/// At most this many protections are taken away for one tactic.
const MAX_CHAIN: usize = 4;

/// Runs the twins of every refusal behind a held property and writes into the report what they
/// came to. A held property that no twin breaks becomes untested.
///
/// # Errors
/// Where a simulation itself ended badly.
pub(crate) fn add(
    rerun: &Rerun<'_>,
    finished: &[(Attacker, UnitRun)],
    report: &mut Report,
) -> Result<(), AssessError> {
    let mut questions = questions(finished, report);
    let mut known = Known::new();
    loop {
        let missing = missing(&questions, &known);
        if missing.is_empty() {
            break;
        }
        let keys: Vec<Key> = missing.keys().cloned().collect();
        let jobs: Result<Vec<Job>, AssessError> =
            missing.into_iter().map(|(key, wanted)| job(rerun, key, wanted)).collect();
        for ((attacker, flaws), run) in keys.into_iter().zip(rerun.all(jobs?, &|_, run| seen(&run))?) {
            known.extend(run.into_iter().map(|(path, seen)| ((attacker, flaws.clone(), path), seen)));
        }
        questions.iter_mut().for_each(|question| question.advance(&known));
    }
    write(questions, report);
    Ok(())
}

/// Whose simulation, with which protections taken away.
type Key = (Attacker, BTreeSet<Flaw>);

/// What each of them showed of each path.
type Known = BTreeMap<(Attacker, BTreeSet<Flaw>, Path), Seen>;

/// What a simulation showed of a path, by tactic and property.
#[derive(Default)]
struct Seen {
    broken: BTreeSet<(&'static str, Property)>,
    refused: BTreeMap<(&'static str, Property), Vec<Protection>>,
}

/// A refusal: what does its tactic come to without the protection?
struct Question {
    attacker: Attacker,
    path: Path,
    property: Property,
    tactic: &'static str,
    /// What is taken away.
    chain: Vec<(Protection, Flaw)>,
    answer: Option<TwinState>,
}

impl Question {
    fn new((attacker, path): (Attacker, Path), property: Property, tactic: &'static str) -> Self {
        Self { attacker, path, property, tactic, chain: Vec::new(), answer: None }
    }

    fn flaws(&self) -> BTreeSet<Flaw> {
        self.chain.iter().map(|(_, flaw)| *flaw).collect()
    }

    /// Looks at what the run without the protections showed: is this the answer, or is there
    /// another protection to take away?
    fn advance(&mut self, known: &Known) {
        if self.answer.is_some() {
            return;
        }
        let Some(seen) = known.get(&(self.attacker, self.flaws(), self.path)) else { return };
        if seen.broken.contains(&(self.tactic, self.property)) {
            self.answer = Some(TwinState::Broken);
            return;
        }
        let refused = seen.refused.get(&(self.tactic, self.property)).cloned().unwrap_or_default();
        // What refused now comes first; then the same protections at other servers, which the
        // tactic may have meant.
        let before: Vec<Protection> = self.chain.iter().map(|(by, _)| *by).collect();
        let more = refused.into_iter().chain(before).any(|by| self.take_away(by));
        if !more {
            self.answer = Some(TwinState::NotBroken);
        }
    }

    /// Takes a protection away where it still stands: at the path's own server first.
    fn take_away(&mut self, by: Protection) -> bool {
        let mut kinds = vec![server(self.path)];
        kinds.extend([ServerKind::Apiserver, ServerKind::Kubelet]);
        let flaws = self.flaws();
        let standing = kinds.into_iter().filter_map(|kind| twin_of(by, kind));
        let flaw = standing.into_iter().find(|flaw| !flaws.contains(flaw));
        match flaw {
            Some(flaw) if self.chain.len() < MAX_CHAIN => {
                self.chain.push((by, flaw));
                true
            }
            _ => false,
        }
    }

    fn without(&self) -> Vec<String> {
        let mut names: Vec<String> = self.chain.iter().map(|(by, _)| by.name().to_owned()).collect();
        names.dedup();
        names
    }
}

/// Who answers on a path.
fn server(path: Path) -> ServerKind {
    let name = path.name();
    if name.starts_with("apiserver-to-kubelet/") || name.starts_with("direct-to-kubelet") {
        ServerKind::Kubelet
    } else if path.uses_egress() && !name.starts_with("direct-") {
        ServerKind::Workload
    } else {
        ServerKind::Apiserver
    }
}

/// Every refusal behind every held property, once for each tactic and protection.
fn questions(finished: &[(Attacker, UnitRun)], report: &Report) -> Vec<Question> {
    let mut questions = Vec::new();
    for (attacker, run) in finished {
        for path in &run.paths {
            let verdict = report
                .verdicts
                .iter()
                .find(|verdict| verdict.path == path.path.name() && verdict.attacker == attacker.name());
            let Some(verdict) = verdict else { continue };
            let mut asked = BTreeSet::new();
            for round in &path.rounds {
                for refusal in &round.seen.attempt.refusals {
                    let aims = refusal.aims.iter().copied();
                    for property in aims.filter(|aim| verdict.state(*aim) == State::Held) {
                        if !asked.insert((property, round.tactic, refusal.by)) {
                            continue;
                        }
                        let mut question = Question::new((*attacker, path.path), property, round.tactic);
                        if !question.take_away(refusal.by) {
                            question.answer = Some(TwinState::NotBroken);
                        }
                        questions.push(question);
                    }
                }
            }
        }
    }
    questions
}

/// What has to be run to answer the open questions: for each simulation its paths, and what it is
/// without, for people.
fn missing(questions: &[Question], known: &Known) -> BTreeMap<Key, (BTreeSet<Path>, String)> {
    let mut missing: BTreeMap<Key, (BTreeSet<Path>, String)> = BTreeMap::new();
    for question in questions.iter().filter(|question| question.answer.is_none()) {
        let flaws = question.flaws();
        if !known.contains_key(&(question.attacker, flaws.clone(), question.path)) {
            let without = || (BTreeSet::new(), question.without().join(" and "));
            let entry = missing.entry((question.attacker, flaws)).or_insert_with(without);
            entry.0.insert(question.path);
        }
    }
    missing
}

fn job(
    rerun: &Rerun<'_>,
    (attacker, flaws): Key,
    (paths, without): (BTreeSet<Path>, String),
) -> Result<Job, AssessError> {
    let plan = rerun.plan(&rerun.request().config, attacker, paths.into_iter().collect())?;
    let plan = crate::UnitPlan { flaws: Flaws::danger(flaws), ..plan };
    Ok(Job { what: format!("twin: {attacker}, without {without}"), plan })
}

fn seen(run: &UnitRun) -> Vec<(Path, Seen)> {
    let taken = taken_for_the_client::broken(run);
    let of_path = |path: &crate::PathRun| {
        let mut seen = Seen::default();
        let taken = taken.iter().filter(|(known, ..)| *known == path.path);
        seen.broken.extend(taken.map(|(_, tactic, property)| (*tactic, *property)));
        for round in &path.rounds {
            for (property, judged) in judge(&round.seen) {
                if !judged.broken.is_empty() {
                    seen.broken.insert((round.tactic, property));
                }
                let by = judged.refused.iter().map(|(by, _)| *by);
                seen.refused.entry((round.tactic, property)).or_default().extend(by);
            }
        }
        (path.path, seen)
    };
    run.paths.iter().map(of_path).collect()
}

fn write(questions: Vec<Question>, report: &mut Report) {
    for question in questions {
        let verdict = report.verdicts.iter_mut().find(|verdict| {
            verdict.path == question.path.name() && verdict.attacker == question.attacker.name()
        });
        let found = verdict.and_then(|verdict| verdict.properties.get_mut(&question.property));
        let Some(found) = found else { continue };
        let state = question.answer.unwrap_or(TwinState::NotBroken);
        let twin = TwinRun { tactic: question.tactic.to_owned(), without: question.without(), state };
        if !found.twins.contains(&twin) {
            found.twins.push(twin);
        }
    }
    let properties = report.verdicts.iter_mut().flat_map(|verdict| verdict.properties.values_mut());
    for found in properties.filter(|found| found.state == State::Held) {
        if found.twins.iter().any(|twin| twin.state == TwinState::Broken) {
            continue;
        }
        let tried =
            found.twins.iter().map(|twin| format!("{} without {}", twin.tactic, twin.without.join(" and ")));
        let tried = tried.collect::<Vec<_>>().join("; ");
        found.state = State::Untested;
        found.reason =
            Some(format!("what was refused breaks nothing without the protection either: {tried}"));
    }
}

#[cfg(test)]
mod tests;
