//! The reference model against the simulation: clusters are drawn, written down as configuration
//! files, read, run and attacked, and every state must be the one that the model's tables say.

mod case;
mod compare;
mod exercised;
mod files;
mod planted;
mod samples;
mod secrecy;
mod settings;

use case::Case;
use exercised::Exercised;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use ravelin_adversary::Attacker;
use ravelin_assess::Path;
use ravelin_tests::model::{self, Outcome, Rules, State};

/// Cases of each test in an ordinary run, and in a deep one: in calm weather, and in bad.
const CASES: (u32, u32) = (36, 1_500);
const STORMS: (u32, u32) = (8, 300);

/// How many smaller cases are tried once one has failed.
const SHRINKING: u32 = 300;

fn number_of((ordinary, deep): (u32, u32)) -> u32 {
    if crate::is_deep() { deep } else { ordinary }
}

fn cases() -> u32 {
    number_of(CASES)
}

/// Runs cases until one gives complaints, and says the smallest.
fn run(
    seed: u8,
    cases: (u32, u32),
    any: impl Strategy<Value = Case>,
    complaints: impl Fn(&Case) -> Vec<String>,
) {
    let settings = Config {
        cases: number_of(cases),
        failure_persistence: None,
        max_shrink_iters: SHRINKING,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let outcome = TestRunner::new_with_rng(settings, rng).run(&any, |case| {
        let found = complaints(&case);
        proptest::prop_assert!(found.is_empty(), "{}", found.join("\n"));
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => fail(&why.to_string(), &case),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// Compares cases with the model in both directions.
fn check(seed: u8, any: impl Strategy<Value = Case>) -> Exercised {
    let (rules, exercised) = (Rules::read(), Exercised::default());
    run(seed, CASES, any, |case| compare::disagreements(&rules, case, &exercised));
    println!("{exercised}");
    exercised
}

fn fail(why: &str, case: &Case) -> ! {
    let mut text = format!("{why}\n\nsmallest: {case:?}");
    for file in case.files() {
        text += &format!("\n--- {}\n{}", file.name, file.text);
    }
    panic!("{text}\nrepeat with:\n{}", case.command());
}

/// The attackers that are on the path, those that also hold a node, and those that are aside.
const BETWEEN: &[Attacker] = &[Attacker::Eavesdropper, Attacker::Impostor];
const ROGUE: &[Attacker] = &[Attacker::RogueNode];
const ASIDE: &[Attacker] = &[Attacker::RoguePod, Attacker::Outsider, Attacker::TokenThief];

#[test]
fn whoever_is_between_meets_what_the_model_says() {
    let exercised = check(22, case::calm(BETWEEN, &Path::ALL));
    enough(&exercised, &[model::Attacker::Eavesdropper, model::Attacker::Impostor], State::ALL);
    assert!(exercised.protections().len() >= 7, "{:?}", exercised.protections());
}

#[test]
fn a_rogue_node_meets_what_the_model_says() {
    let exercised = check(17, case::calm(ROGUE, &Path::ALL));
    enough(&exercised, &[model::Attacker::RogueNode], State::ALL);
    assert!(exercised.protections().len() >= 5, "{:?}", exercised.protections());
}

#[test]
fn whoever_is_aside_meets_what_the_model_says() {
    let exercised = check(15, case::calm(ASIDE, &Path::ALL));
    let attackers = [model::Attacker::RoguePod, model::Attacker::Outsider, model::Attacker::TokenThief];
    enough(&exercised, &attackers, &[State::Held, State::NotApplicable]);
    assert!(exercised.protections().len() >= 4, "{:?}", exercised.protections());
}

/// Every state was met, every path state too, every setting was left alone and changed.
fn enough(exercised: &Exercised, attackers: &[model::Attacker], states: &[State]) {
    for attacker in attackers {
        for state in states {
            let count = exercised.states(*attacker, *state);
            assert!(count >= 3, "{attacker} met {state} only {count} times");
        }
    }
    for outcome in Outcome::ALL {
        let count = exercised.outcomes(*outcome);
        assert!(count >= 3, "paths were {outcome} only {count} times");
    }
    assert_eq!(exercised.one_sided_themes(), [""; 0]);
    assert!(exercised.one_sided_statements().len() <= 4, "{:?}", exercised.one_sided_statements());
    if crate::is_deep() {
        assert_eq!(exercised.one_sided_statements(), [""; 0]);
    }
    assert_eq!(exercised.cases(), cases() as usize);
}

#[test]
fn no_weather_breaks_what_the_model_calls_held_and_every_path_heals() {
    let (rules, exercised) = (Rules::read(), Exercised::default());
    let healed = std::cell::Cell::new(0);
    run(4, STORMS, case::stormy(&Attacker::ALL, &Path::ALL), |case| {
        compare::in_weather(&rules, case, (&exercised, &healed))
    });
    let cases = number_of(STORMS) as usize;
    println!("{exercised}\n{} paths healed, {} faults", healed.get(), exercised.faults());
    assert!(exercised.faults() >= cases, "only {} faults", exercised.faults());
    assert!(healed.get() >= cases / 2, "only {} paths had to heal", healed.get());
}

/// The model says what Kubernetes documents. Had it looked at the simulation, agreeing with it would
/// show nothing.
#[test]
fn the_model_uses_nothing_of_what_it_judges() {
    let sources = [
        include_str!("../../src/model.rs"),
        include_str!("../../src/model/facts.rs"),
        include_str!("../../src/model/rules.rs"),
        include_str!("../../src/model/words.rs"),
    ];
    for source in sources {
        assert!(source.len() > 500);
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|line| line.contains("ravelin_")) {
            assert!(line.contains("ravelin_config"), "{line}");
        }
    }
}

/// Every row of the tables decides something somewhere: one that never does says nothing, or is
/// hidden behind others. No simulation is needed to find out.
#[test]
fn every_row_of_the_tables_is_asked() {
    let rules = Rules::read();
    let mut asked = rules.lines();
    let draws = if crate::is_deep() { 400_000 } else { 150_000 };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[5; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let any = case::calm(&Attacker::ALL, &Path::ALL);
    for _ in 0..draws {
        let case = any.new_tree(&mut runner).expect("cases can be drawn").current();
        let facts = case.facts();
        let attacker = model::Attacker::named(case.attacker.name()).expect("it is known");
        for path in &case.paths {
            let way = model::Way::named(path.name()).expect("it is known");
            let outcome = rules.outcome(&facts, (way, attacker));
            asked.remove(&outcome.line);
            if outcome.then == Outcome::Works {
                for property in model::Property::ALL {
                    asked.remove(&rules.state(&facts, (way, attacker, *property)).line);
                }
            }
        }
        if asked.is_empty() {
            return;
        }
    }
    panic!("rows of rules.md that decide nothing: {asked:?}");
}
