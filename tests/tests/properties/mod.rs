//! What must hold of identities and permissions whatever anybody asks for, and in whatever order:
//! generated policies, clusters, tokens, certificates and requests, each against a plain model or an
//! invariant.
//!
//! A property that holds because nothing happened says nothing, so each test counts what it did.

mod credentials;
mod nodes;
mod permits;
mod rbac;
mod signing;
mod stage;
mod tokens;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// How many smaller cases are tried once one has failed.
const SHRINKING: u32 = 400;

/// Runs a property on as many generated cases as an ordinary or a deep run has, and tells the
/// smallest that fails. `seed` keeps the tests apart: each draws the same cases at every run.
fn hold<T: Debug>(
    (seed, ordinary, deep): (u8, u32, u32),
    any: impl Strategy<Value = T>,
    holds: impl Fn(&T) -> Result<(), String>,
) {
    let cases = if crate::is_deep() { deep } else { ordinary };
    let settings =
        Config { cases, failure_persistence: None, max_shrink_iters: SHRINKING, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let outcome =
        TestRunner::new_with_rng(settings, rng).run(&any, |case| holds(&case).map_err(TestCaseError::fail));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => panic!("{why}\n\nsmallest: {case:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// Does some of these cases fail? A property that holds without the check that it is about shows
/// nothing.
fn fails<T: Debug>(
    (seed, cases): (u8, u32),
    any: impl Strategy<Value = T>,
    holds: impl Fn(&T) -> Result<(), String>,
) -> bool {
    let settings = Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let outcome =
        TestRunner::new_with_rng(settings, rng).run(&any, |case| holds(&case).map_err(TestCaseError::fail));
    matches!(outcome, Err(TestError::Fail(..)))
}

/// What happened how often.
#[derive(Debug, Default)]
struct Counts(RefCell<BTreeMap<String, usize>>);

impl Counts {
    /// It happened once more.
    fn count(&self, what: impl Into<String>) {
        *self.0.borrow_mut().entry(what.into()).or_default() += 1;
    }

    /// How often it happened.
    fn of(&self, what: &str) -> usize {
        self.0.borrow().get(what).copied().unwrap_or(0)
    }

    /// Each of these happened at least so often.
    fn at_least(&self, floors: &[(&str, usize)]) {
        let short = floors.iter().filter(|(what, floor)| self.of(what) < *floor);
        let short: Vec<String> =
            short.map(|(what, floor)| format!("{what}: {} of {floor}", self.of(what))).collect();
        assert!(short.is_empty(), "too little happened: {short:?}\n{self:#?}");
    }
}
