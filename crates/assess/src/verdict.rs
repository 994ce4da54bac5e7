//! From the rounds of one attacker on one path to its verdict.

use crate::model::{Evidence, Property, PropertyVerdict, State, Verdict};
use crate::unit::{PathRun, Round};
use ravelin_adversary::Attacker;
use ravelin_oracle::{Finding, Handed, Judged, judge};
use std::time::Duration;

/// At most this many pieces of evidence are kept for a property: the first of each tactic, then
/// more in the order of time.
const MAX_EVIDENCE: usize = 8;

/// The verdict of an attacker on a path that works, or whose state settings of unknown effect
/// decide (`untested_because` names them).
pub fn verdict(attacker: Attacker, egress: &str, run: &PathRun, untested_because: &[String]) -> Verdict {
    let judged: Vec<_> = run.rounds.iter().map(|round| (round.tactic, judge(&round.seen))).collect();
    let property = |property: Property| {
        let rounds: Vec<(&str, &Judged)> =
            judged.iter().map(|(tactic, by_property)| (*tactic, &by_property[&property])).collect();
        let mut verdict = of_property(run, property, &rounds);
        if verdict.state != State::Broken
            && verdict.state != State::NotApplicable
            && !untested_because.is_empty()
        {
            verdict = PropertyVerdict::new(State::Untested);
            verdict.reason = Some(format!("settings of unknown effect: {}", untested_because.join(", ")));
        }
        (property, verdict)
    };
    Verdict {
        path: run.path.name().to_owned(),
        attacker: attacker.name().to_owned(),
        egress: egress.to_owned(),
        failed_closed: failed_closed(&run.rounds),
        properties: Property::ALL.into_iter().map(property).collect(),
        fix: Vec::new(),
        controls: None,
    }
}

fn of_property(run: &PathRun, property: Property, rounds: &[(&str, &Judged)]) -> PropertyVerdict {
    let not_applicable = run.not_applicable.get(&property);
    if let (Some(why), true) = (not_applicable, run.exposed_packets > 0 || !run.waits_for_packets) {
        let mut verdict = PropertyVerdict::new(State::NotApplicable);
        verdict.reason = Some(why.clone());
        return verdict;
    }
    let mut broken = PropertyVerdict::new(State::Broken);
    let mut held = PropertyVerdict::new(State::Held);
    for (tactic, judged) in rounds {
        for finding in &judged.broken {
            add(&mut broken, tactic, finding);
        }
        for (protection, finding) in &judged.refused {
            add(&mut held, tactic, finding);
            held.refused_by.insert(protection.name().to_owned());
        }
    }
    if !broken.evidence.is_empty() {
        return trimmed(broken);
    }
    let unexposed = run.exposed_packets == 0;
    if !(held.evidence.is_empty() || unexposed && run.waits_for_packets) {
        return trimmed(held);
    }
    let out_of_reach = run.rounds.iter().any(|round| round.seen.attempt.out_of_reach.contains(&property));
    let none_came = if run.waits_for_packets {
        unexposed
    } else {
        out_of_reach || unexposed && run.sees_too_little.contains(&property)
    };
    if none_came {
        let mut verdict = PropertyVerdict::new(State::NotExposed);
        verdict.counted = Some(0);
        verdict.reason = out_of_reach.then(|| "it reaches nobody who decides this".to_owned());
        return verdict;
    }
    let mut verdict = PropertyVerdict::new(State::Untested);
    verdict.reason = Some("no tactic that aims at it reached an honest party and was refused".into());
    verdict
}

fn add(verdict: &mut PropertyVerdict, tactic: &str, finding: &Finding) {
    if verdict.tactics.iter().all(|known| known != tactic) {
        verdict.tactics.push(tactic.to_owned());
    }
    verdict.evidence.push(Evidence {
        tactic: tactic.to_owned(),
        at_ms: milliseconds(finding.at),
        flow: finding.flow.clone(),
        text: finding.text.clone(),
    });
}

/// Keeps the first evidence of each tactic, then as much as there is room for.
fn trimmed(mut verdict: PropertyVerdict) -> PropertyVerdict {
    let mut seen = Vec::new();
    let (first, more): (Vec<_>, Vec<_>) = verdict.evidence.drain(..).partition(|evidence| {
        let new = !seen.contains(&evidence.tactic);
        if new {
            seen.push(evidence.tactic.clone());
        }
        new
    });
    let room = MAX_EVIDENCE.saturating_sub(first.len());
    verdict.evidence = first.into_iter().chain(more.into_iter().take(room)).collect();
    verdict.evidence.sort();
    verdict.evidence.dedup();
    verdict.evidence.sort_by_key(|evidence| evidence.at_ms);
    verdict
}

/// Did every call that failed do so in time, with an error that names the check?
fn failed_closed(rounds: &[Round]) -> Option<bool> {
    let calls = rounds.iter().flat_map(|round| &round.seen.calls);
    let failures: Vec<bool> = calls
        .filter_map(|call| match &call.handed {
            Handed::Success(_) => None,
            Handed::Error { names_check, .. } => Some(*names_check),
            Handed::Nothing | Handed::Partial => Some(false),
        })
        .collect();
    (!failures.is_empty()).then(|| failures.iter().all(|closed| *closed))
}

fn milliseconds(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}
