//! The attacks on record: each works, each control stops it, and no line of their evidence is idle.

mod commands;

use ravelin_scenario::{Outcome, Scenario, recorded, run, summarised};

/// How many attacks are on record, and how many of them run.
const ON_RECORD: usize = 10;
const RUNNABLE: usize = 8;

fn all() -> Vec<Scenario> {
    recorded().unwrap_or_else(|errors| {
        panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

fn outcomes(scenarios: &[Scenario], seed: u64) -> Vec<(&Scenario, Outcome)> {
    let runnable: Vec<&Scenario> = scenarios.iter().filter(|one| one.waits_for.is_none()).collect();
    assert_eq!((scenarios.len(), runnable.len()), (ON_RECORD, RUNNABLE));
    let outcomes =
        run(&runnable, seed).into_iter().map(|outcome| outcome.unwrap_or_else(|why| panic!("{why}")));
    runnable.iter().copied().zip(outcomes.collect::<Vec<_>>()).collect()
}

#[test]
fn every_attack_is_reproduced_and_stopped_by_its_control() {
    let scenarios = all();
    for seed in [42, 7] {
        for (scenario, outcome) in outcomes(&scenarios, seed) {
            assert!(outcome.is_as_described(), "seed {seed}: {}", summarised(scenario, &outcome));
        }
    }
}

#[test]
fn every_line_of_evidence_is_seen_on_some_side() {
    for (scenario, outcome) in outcomes(&all(), 42) {
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
    let scenarios = all();
    let traces = |seed| -> Vec<(String, String)> {
        let outcomes = outcomes(&scenarios, seed);
        outcomes.into_iter().map(|(_, one)| (one.attack.trace_sha256, one.control.trace_sha256)).collect()
    };
    let (first, again, other) = (traces(1), traces(1), traces(2));
    assert_eq!(first, again);
    for (one, two) in first.iter().zip(&other) {
        assert!(one.0 != two.0 && one.1 != two.1 && one.0 != one.1);
    }
}

#[test]
fn what_waits_says_what_for_and_is_told_in_full() {
    let scenarios = all();
    let waiting: Vec<&Scenario> = scenarios.iter().filter(|one| one.waits_for.is_some()).collect();
    assert_eq!(waiting.len(), ON_RECORD - RUNNABLE);
    for scenario in waiting {
        assert_eq!(scenario.waits_for.as_deref(), Some("exec streams"), "{}", scenario.name);
        let told = ravelin_scenario::described(scenario);
        assert!(scenario.steps.len() >= 3 && scenario.evidence.len() >= 3, "{}", scenario.name);
        assert!(told.contains("cannot be run yet") && told.contains(&scenario.reference.page), "{told}");
    }
}
