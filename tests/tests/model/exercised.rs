//! What a property test did: it can pass because nothing happened, and must not.

use super::case::Case;
use super::settings::THEMES;
use ravelin_tests::model::{Attacker, Facts, Outcome, Rules, State};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Counted over all cases.
#[derive(Default)]
pub struct Exercised {
    counts: RefCell<Counts>,
}

#[derive(Default)]
struct Counts {
    cases: usize,
    /// Rows of `rules.md`, by their lines.
    lines: BTreeMap<usize, usize>,
    /// Themes that were left alone, and that were changed.
    themes: BTreeMap<&'static str, (usize, usize)>,
    /// Statements that were true, and that were false.
    statements: BTreeMap<String, (usize, usize)>,
    outcomes: BTreeMap<Outcome, usize>,
    states: BTreeMap<(Attacker, State), usize>,
    /// Cells that held, by the protection that refused.
    refusals: BTreeMap<String, usize>,
    most_nodes: u32,
    faults: usize,
}

impl Exercised {
    pub fn count_case(&self, rules: &Rules, case: &Case, facts: &Facts) {
        let mut counts = self.counts.borrow_mut();
        counts.cases += 1;
        counts.faults += case.faults.len();
        counts.most_nodes = counts.most_nodes.max(case.nodes);
        for (index, (theme, _)) in THEMES.iter().enumerate() {
            let changed = case.choices.iter().any(|(theme, _)| *theme == index);
            let (left, varied) = counts.themes.entry(theme).or_default();
            *(if changed { varied } else { left }) += 1;
        }
        for statement in rules.statements() {
            let holds = facts.holds(statement).expect("the rules ask what the facts can say");
            let (yes, no) = counts.statements.entry(statement.to_owned()).or_default();
            *(if holds { yes } else { no }) += 1;
        }
    }

    pub fn count_line(&self, line: usize) {
        *self.counts.borrow_mut().lines.entry(line).or_default() += 1;
    }

    pub fn count_outcome(&self, outcome: Outcome) {
        *self.counts.borrow_mut().outcomes.entry(outcome).or_default() += 1;
    }

    pub fn count_state(&self, attacker: Attacker, state: State) {
        *self.counts.borrow_mut().states.entry((attacker, state)).or_default() += 1;
    }

    pub fn count_refusals(&self, by: &BTreeSet<String>) {
        for protection in by {
            *self.counts.borrow_mut().refusals.entry(protection.clone()).or_default() += 1;
        }
    }

    /// How many cases ran to their end.
    pub fn cases(&self) -> usize {
        self.counts.borrow().cases
    }

    /// How many faults happened.
    pub fn faults(&self) -> usize {
        self.counts.borrow().faults
    }

    /// The protections that refused something.
    pub fn protections(&self) -> BTreeSet<String> {
        self.counts.borrow().refusals.keys().cloned().collect()
    }

    /// How often an attacker met a state.
    pub fn states(&self, attacker: Attacker, state: State) -> usize {
        self.counts.borrow().states.get(&(attacker, state)).copied().unwrap_or(0)
    }

    /// How often paths were in this state without an attacker.
    pub fn outcomes(&self, outcome: Outcome) -> usize {
        self.counts.borrow().outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// Themes that were not seen both ways.
    pub fn one_sided_themes(&self) -> Vec<&'static str> {
        let counts = self.counts.borrow();
        let one_sided = counts.themes.iter().filter(|(_, (left, varied))| *left == 0 || *varied == 0);
        one_sided.map(|(theme, _)| *theme).collect()
    }

    /// Statements that were always true, or always false.
    pub fn one_sided_statements(&self) -> Vec<String> {
        let counts = self.counts.borrow();
        let one_sided = counts.statements.iter().filter(|(_, (yes, no))| *yes == 0 || *no == 0);
        one_sided.map(|(statement, _)| statement.clone()).collect()
    }
}

impl fmt::Display for Exercised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.borrow();
        writeln!(f, "{} cases of at most {} nodes", counts.cases, counts.most_nodes)?;
        writeln!(f, "paths: {:?}", counts.outcomes)?;
        writeln!(f, "states: {:?}", counts.states)?;
        writeln!(f, "refused by: {:?}", counts.refusals)?;
        writeln!(f, "rows: {:?}", counts.lines)?;
        writeln!(f, "settings, left alone and changed: {:?}", counts.themes)?;
        write!(f, "statements, true and false: {:?}", counts.statements)
    }
}
