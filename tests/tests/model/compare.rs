//! The model and the simulation, side by side.

use super::case::Case;
use super::exercised::Exercised;
use ravelin_adversary::Attacker as Attacks;
use ravelin_assess::model::{PathOutcome, State as Found, Verdict};
use ravelin_assess::{PathRun, UnitRun, run_unit, verdict_of};
use ravelin_config::ClusterConfig;
use ravelin_oracle::Property as Judged;
use ravelin_sim::SimError;
use ravelin_tests::model::{Attacker, Facts, Outcome, Prediction, Property, Rules, State, Way};
use std::cell::Cell;

/// How many more seeds may show what chance decides.
const MORE_SEEDS: u64 = 4;

/// Everything in which a case comes out otherwise than the model says, line by line.
pub fn disagreements(rules: &Rules, case: &Case, exercised: &Exercised) -> Vec<String> {
    let config = match case.config() {
        Ok(config) => config,
        Err(refused) => return vec![format!("the files are refused:\n{refused}")],
    };
    let mut found = facts_read(case, &config);
    let run = match run_unit(case.plan(&config, case.seed)) {
        Ok(run) => run,
        Err(error) => return vec![format!("no run: {error}")],
    };
    let facts = case.facts();
    exercised.count_case(rules, case, &facts);
    let again = |path: &str, more: u64| {
        let mut plan = case.plan(&config, case.seed + more);
        plan.paths.retain(|known| known.name() == path);
        run_unit(plan)
    };
    let about = About { rules, attacker: case.attacker, facts: &facts, again: &again };
    for path in &run.paths {
        found.extend(about.path(path, &run.egress, exercised));
    }
    found
}

/// Everything that bad weather must not bring about: a property that breaks where the model says
/// that nothing can break it, and a path that does not come back.
pub fn in_weather(
    rules: &Rules,
    case: &Case,
    (exercised, healed): (&Exercised, &Cell<usize>),
) -> Vec<String> {
    let config = case.config().expect("the files are accepted");
    let run = run_unit(case.plan(&config, case.seed)).expect("bad weather is no reason to fail");
    let facts = case.facts();
    exercised.count_case(rules, case, &facts);
    let attacker = Attacker::named(case.attacker.name()).expect("the model knows every attacker");
    let mut found = Vec::new();
    for path in &run.paths {
        let way = Way::named(path.path.name()).expect("the model knows every path");
        if rules.outcome(&facts, (way, attacker)).then != Outcome::Works {
            continue;
        }
        match &path.healed {
            Some(Ok(())) => healed.set(healed.get() + 1),
            Some(Err(why)) => found.push(format!("{way} did not heal: {why}")),
            None => {}
        }
        let verdict = verdict_of(case.attacker, &run.egress, path, &[]);
        for property in Property::ALL {
            let predicted = rules.state(&facts, (way, attacker, *property));
            exercised.count_state(attacker, predicted.then);
            if predicted.then != State::Broken && verdict.state(judged(*property)) == Found::Broken {
                let evidence = &verdict.properties[&judged(*property)].evidence;
                found.push(format!("{way} {attacker} {property}: {}, but {evidence:?}", says(&predicted)));
            }
        }
    }
    found
}

/// The configuration says what the settings are, and nothing that is not understood.
fn facts_read(case: &Case, config: &ClusterConfig) -> Vec<String> {
    let mut found = Vec::new();
    let (meant, read) = (case.facts(), Facts::of(config, case.nodes, case.untrusted));
    if meant != read {
        found.push(format!("read as something else:\nmeant {meant:#?}\nread {read:#?}"));
    }
    for unknown in &config.provenance.unknown_effect {
        found.push(format!("{} is of unknown effect: {}", unknown.key, unknown.why));
    }
    found
}

/// What a run is compared with.
pub struct About<'a> {
    /// The model.
    pub rules: &'a Rules,
    /// Who attacked.
    pub attacker: Attacks,
    /// The cluster.
    pub facts: &'a Facts,
    /// Runs one path again with another seed, by number.
    pub again: &'a dyn Fn(&str, u64) -> Result<UnitRun, SimError>,
}

impl About<'_> {
    /// Everything in which a path comes out otherwise, line by line.
    pub fn path(&self, path: &PathRun, egress: &str, exercised: &Exercised) -> Vec<String> {
        let way = Way::named(path.path.name()).expect("the model knows every path");
        let attacker = Attacker::named(self.attacker.name()).expect("the model knows every attacker");
        let predicted = self.rules.outcome(self.facts, (way, attacker));
        exercised.count_line(predicted.line);
        let outcome = match path.state {
            PathOutcome::Works => Outcome::Works,
            PathOutcome::Absent => Outcome::Absent,
            PathOutcome::Failed => Outcome::Failed,
        };
        exercised.count_outcome(outcome);
        if outcome != predicted.then {
            let error = path.error.as_deref().unwrap_or("no error");
            return vec![format!("{way}: {} but it is {outcome} ({error})", says(&predicted))];
        }
        if outcome != Outcome::Works {
            return Vec::new();
        }
        let verdict = verdict_of(self.attacker, egress, path, &[]);
        let of = |property: &Property| self.property(&verdict, (way, attacker, *property), exercised);
        Property::ALL.iter().filter_map(of).collect()
    }

    fn property(
        &self,
        verdict: &Verdict,
        cell: (Way, Attacker, Property),
        exercised: &Exercised,
    ) -> Option<String> {
        let (way, attacker, property) = cell;
        let predicted = self.rules.state(self.facts, cell);
        exercised.count_line(predicted.line);
        exercised.count_state(attacker, predicted.then);
        let found = verdict.state(judged(property));
        if name_of(found) == predicted.then.name() {
            exercised.count_refusals(&verdict.properties[&judged(property)].refused_by);
            return None;
        }
        let luckless = matches!(found, Found::Held | Found::NotExposed | Found::Untested);
        if predicted.by_chance && luckless && self.another_seed_shows(cell, predicted.then) {
            return None;
        }
        let evidence: Vec<String> = verdict.properties[&judged(property)]
            .evidence
            .iter()
            .map(|evidence| format!("\n    {} at {} ms: {}", evidence.tactic, evidence.at_ms, evidence.text))
            .collect();
        let reason = verdict.properties[&judged(property)].reason.as_deref().unwrap_or_default();
        Some(format!(
            "{way} {attacker} {property}: {} but it is {} {reason}{}",
            says(&predicted),
            name_of(found),
            evidence.concat()
        ))
    }

    /// Where chance decides, some run shows it.
    fn another_seed_shows(&self, (way, _, property): (Way, Attacker, Property), state: State) -> bool {
        (1..=MORE_SEEDS).any(|more| {
            let Ok(run) = (self.again)(way.name(), more) else { return false };
            let verdict = verdict_of(self.attacker, &run.egress, &run.paths[0], &[]);
            name_of(verdict.state(judged(property))) == state.name()
        })
    }
}

fn says<T: std::fmt::Display + Copy>(predicted: &Prediction<T>) -> String {
    let Prediction { then, line, because, .. } = predicted;
    format!("the model says {then} (rules.md:{line}: {because})")
}

fn judged(property: Property) -> Judged {
    let same = |known: &Judged| known.to_string() == property.name();
    Judged::ALL.into_iter().find(same).expect("both have the same six properties")
}

/// `untested` is no state of the model: it agrees with nothing.
fn name_of(state: Found) -> String {
    state.to_string()
}
