//! The reference model against the simulation: clusters are drawn, written down as configuration
//! files, read, run and attacked, and every state must be the one that the model's tables say.

mod case;
mod compare;
mod exercised;
mod explore;
mod files;
mod planted;
mod samples;
mod secrecy;
mod settings;

use case::Case;
use exercised::Exercised;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use ravelin_adversary::Attacker;
use ravelin_assess::Path;
use ravelin_tests::model::{self, Outcome, Rules, State};

/// Cases of each test in an ordinary run, and in a deep one.
const CASES: (u32, u32) = (60, 3_000);

/// How many smaller cases are tried once one has failed.
const SHRINKING: u32 = 300;

fn cases() -> u32 {
    if crate::is_deep() { CASES.1 } else { CASES.0 }
}

/// Runs cases until one disagrees with the model, and says the smallest.
fn check(seed: u8, any: impl Strategy<Value = Case>) -> Exercised {
    let (rules, exercised) = (Rules::read(), Exercised::default());
    let settings = Config {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: SHRINKING,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let outcome = TestRunner::new_with_rng(settings, rng).run(&any, |case| {
        let found = compare::disagreements(&rules, &case, &exercised);
        proptest::prop_assert!(found.is_empty(), "{}", found.join("\n"));
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => fail(&why.to_string(), &case),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
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

#[test]
fn whoever_is_between_meets_what_the_model_says() {
    const BETWEEN: &[Attacker] = &[Attacker::Eavesdropper, Attacker::Impostor];
    let exercised = check(1, case::calm(BETWEEN, &Path::ALL[..13]));
    for attacker in [model::Attacker::Eavesdropper, model::Attacker::Impostor] {
        for state in State::ALL {
            let count = exercised.states(attacker, *state);
            assert!(count >= 5, "{attacker} met {state} only {count} times");
        }
    }
    for outcome in Outcome::ALL {
        let count = exercised.outcomes(*outcome);
        assert!(count >= 3, "paths were {outcome} only {count} times");
    }
    assert_eq!(exercised.one_sided_themes(), [""; 0]);
}
