//! What holds whatever the network does: random clusters, latencies and faults, with an attacker
//! at work all the time.

mod storm;

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use ravelin_adversary::Attacker;
use ravelin_assess::{Path, PathRun, UnitRun, run_unit};
use ravelin_oracle::{Property, State, judge};
use ravelin_tests::Sample;
use std::cell::Cell;
use storm::Storm;

/// Cases in an ordinary run, and in a deep one.
const CASES: (u32, u32) = (8, 120);

#[allow(clippy::disallowed_methods, reason = "`cargo xtask test --deep` tells it by the environment")]
fn cases() -> u32 {
    if std::env::var_os("RAVELIN_DEEP").is_some() { CASES.1 } else { CASES.0 }
}

/// What one case showed, beside its failures.
#[derive(Default)]
struct Exercised {
    /// Refusals by honest parties on paths to the apiserver.
    refusals: Cell<usize>,
    /// Faults that happened.
    faults: Cell<usize>,
    /// Paths that worked again after the faults.
    healed: Cell<usize>,
}

#[test]
fn paths_to_the_apiserver_hold_in_any_weather_and_every_path_heals() {
    let config = Sample::KubeadmVerified.config();
    let exercised = Exercised::default();
    let settings =
        Config { cases: cases(), failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let outcome = TestRunner::new_with_rng(settings, rng).run(&storm::any(), |storm: Storm| {
        let run = run_unit(storm.plan(&config)).expect("a storm is no reason for a simulation to fail");
        let complaints = complaints(&run, &storm, &exercised);
        proptest::prop_assert!(complaints.is_empty(), "{complaints:#?}");
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, storm)) => panic!("{why}\nsmallest: {storm:#?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
    let cases = cases() as usize;
    assert!(
        exercised.refusals.get() >= 10 * cases,
        "too few attacks reached an honest party: {}",
        exercised.refusals.get()
    );
    assert!(exercised.faults.get() >= cases, "too few faults: {}", exercised.faults.get());
    assert!(exercised.healed.get() >= 5 * cases, "too few paths had to heal: {}", exercised.healed.get());
}

/// Everything in a run that must not be.
fn complaints(run: &UnitRun, storm: &Storm, exercised: &Exercised) -> Vec<String> {
    let mut found = Vec::new();
    for path in &run.paths {
        if path.path <= Path::UserToApiserver {
            // A node has rights of its own there, and they do not depend on the weather.
            if storm.attacker() != Attacker::RogueNode {
                found.extend(broken(path));
            }
            let refusals = path.rounds.iter().map(|round| round.seen.attempt.refusals.len()).sum::<usize>();
            exercised.refusals.set(exercised.refusals.get() + refusals);
        }
        match &path.healed {
            Some(Ok(())) => exercised.healed.set(exercised.healed.get() + 1),
            Some(Err(why)) => found.push(format!("{} did not heal: {why}", path.path)),
            None => {}
        }
    }
    exercised.faults.set(exercised.faults.get() + storm.faults.len());
    found
}

fn broken(path: &PathRun) -> Vec<String> {
    let judged = path.rounds.iter().map(|round| (round.tactic, judge(&round.seen)));
    let all =
        judged.flat_map(|(tactic, judged)| judged.into_iter().map(move |(p, found)| (tactic, p, found)));
    all.filter(|(_, property, found)| found.state() == State::Broken && applies(path, *property))
        .map(|(tactic, property, found)| {
            format!("{} {property} broken by {tactic}: {:?}", path.path, found.broken)
        })
        .collect()
}

fn applies(path: &PathRun, property: Property) -> bool {
    !path.not_applicable.contains_key(&property)
}
