//! Many scenarios, both sides of each, on as many cores as there are.

use crate::file::Scenario;
use crate::outcome::{Outcome, SideOutcome};
use crate::side;

/// Runs both sides of every scenario, in the order given. One that waits for something is not to be
/// among them.
///
/// # Errors
/// For each scenario: why a simulation of it ended badly, which is a bug.
pub fn run(scenarios: &[&Scenario], seed: u64) -> Vec<Result<Outcome, String>> {
    let sides = scenarios.iter().flat_map(|scenario| [(*scenario, false), (*scenario, true)]);
    let play = |(scenario, control): (&Scenario, bool)| side::play(scenario, control, seed);
    let mut ended = ravelin_assess::in_order(sides.collect(), &play, || {}).into_iter();
    let mut next = || ended.next().unwrap_or_else(|| Err("it was not run".to_owned()));
    let both = |(attack, control): (Result<SideOutcome, String>, Result<SideOutcome, String>), name: &str| {
        Ok(Outcome { name: name.to_owned(), attack: attack?, control: control? })
    };
    scenarios.iter().map(|scenario| both((next(), next()), &scenario.name)).collect()
}
