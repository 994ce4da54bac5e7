//! The attacks on record: each works, each control stops it, and no line of their evidence is idle.

mod commands;

use ravelin_scenario::{Outcome, Scenario, recorded, run, summarised};
use std::sync::LazyLock;

/// How many attacks are on record, and how many of them run.
const ON_RECORD: usize = 23;
const RUNNABLE: usize = 23;

fn all() -> Vec<Scenario> {
    recorded().unwrap_or_else(|errors| {
        panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// The attacks that run, and what became of them with a seed.
type Ran = Vec<(Scenario, Outcome)>;

fn ran(seed: u64) -> Ran {
    let scenarios = all();
    let runnable: Vec<&Scenario> = scenarios.iter().filter(|one| one.waits_for.is_none()).collect();
    assert_eq!((scenarios.len(), runnable.len()), (ON_RECORD, RUNNABLE));
    let outcomes = run(&runnable, seed).into_iter();
    let outcomes = outcomes.map(|outcome| outcome.unwrap_or_else(|why| panic!("{why}")));
    runnable.into_iter().cloned().zip(outcomes).collect()
}

static WITH_42: LazyLock<Ran> = LazyLock::new(|| ran(42));
static WITH_7: LazyLock<Ran> = LazyLock::new(|| ran(7));

#[test]
fn every_attack_is_reproduced_and_stopped_by_its_control() {
    for (scenario, outcome) in WITH_42.iter().chain(&*WITH_7) {
        assert!(outcome.is_as_described(), "{}", summarised(scenario, outcome));
    }
}

#[test]
fn every_line_of_evidence_is_seen_on_some_side() {
    for (scenario, outcome) in &*WITH_42 {
        let mut flips = 0;
        for (attack, control) in outcome.attack.seen.iter().zip(&outcome.control.seen) {
            let idle = attack.count == 0 && control.count == 0;
            assert!(!idle, "{}: nothing ever matches: {}", scenario.name, attack.tell);
            flips += usize::from((attack.count > 0) != (control.count > 0));
        }
        assert!(flips >= 2, "{}: {flips} lines flip", scenario.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let again = ran(42);
    for ((first, again), other) in WITH_42.iter().zip(&again).zip(&*WITH_7) {
        let traces = |ran: &(Scenario, Outcome)| {
            (ran.1.attack.trace_sha256.clone(), ran.1.control.trace_sha256.clone())
        };
        let (first, again, other) = (traces(first), traces(again), traces(other));
        assert_eq!(first, again);
        assert!(first.0 != other.0 && first.1 != other.1 && first.0 != first.1);
    }
}

#[test]
fn what_waits_says_what_for_and_is_told_in_full() {
    let text = ravelin_scenario::find("cve-2022-3294").expect("it is on record");
    let text = text.replacen("\nreference:", "\nwaits-for: a thing\n\nreference:", 1);
    let scenario = Scenario::read("waiting.yaml", &text).expect("it is a scenario still");
    assert_eq!(scenario.waits_for.as_deref(), Some("a thing"));
    let told = ravelin_scenario::described(&scenario);
    assert!(told.contains("waits for a thing, and cannot be run yet"), "{told}");
    assert!(told.contains(&scenario.reference.page), "{told}");
}
