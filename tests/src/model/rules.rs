//! The tables of `rules.md`, read and asked. The first row that fits decides.

use super::{Attacker, Facts, Outcome, Property, State, Way};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The tables, as an engineer reads them.
static TABLES: LazyLock<String> = LazyLock::new(|| {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/model/rules.md");
    std::fs::read_to_string(file).expect("the tables are part of the repository")
});

/// One row.
#[derive(Clone, Debug)]
pub struct Rule<T> {
    /// Its line in `rules.md`.
    pub line: usize,
    /// What it decides.
    pub then: T,
    /// Does chance (the choice of a tunnel) decide whether a single run shows it?
    pub by_chance: bool,
    /// Why.
    pub because: String,
    ways: BTreeSet<Way>,
    attackers: BTreeSet<Attacker>,
    properties: BTreeSet<Property>,
    /// Statements about the cluster, and whether each must be true.
    when: Vec<(String, bool)>,
}

/// What the model says, and by which row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction<T> {
    /// What it says.
    pub then: T,
    /// See [`Rule::by_chance`].
    pub by_chance: bool,
    /// The row's line in `rules.md`.
    pub line: usize,
    /// Why.
    pub because: String,
}

/// All rows.
#[derive(Clone, Debug)]
pub struct Rules {
    outcomes: Vec<Rule<Outcome>>,
    states: Vec<Rule<State>>,
}

impl Rules {
    /// Reads the tables.
    ///
    /// # Panics
    /// Where a row is not well formed or names what is not there: the tables are our own.
    pub fn read() -> Self {
        Self {
            outcomes: table("## Paths").map(|(line, cells)| outcome(line, &cells)).collect(),
            states: table("## Verdicts").map(|(line, cells)| state(line, &cells)).collect(),
        }
    }

    /// What a path is before this attacker begins.
    ///
    /// # Panics
    /// Where no row fits.
    pub fn outcome(&self, facts: &Facts, (way, attacker): (Way, Attacker)) -> Prediction<Outcome> {
        let fits = |rule: &&Rule<Outcome>| {
            rule.ways.contains(&way) && rule.attackers.contains(&attacker) && rule.is_true_of(facts)
        };
        let rule = self.outcomes.iter().find(fits);
        rule.unwrap_or_else(|| panic!("no row for {way}")).prediction()
    }

    /// The state of a property of a path that works.
    ///
    /// # Panics
    /// Where no row fits.
    pub fn state(
        &self,
        facts: &Facts,
        (way, attacker, property): (Way, Attacker, Property),
    ) -> Prediction<State> {
        let fits = |rule: &&Rule<State>| {
            rule.ways.contains(&way)
                && rule.attackers.contains(&attacker)
                && rule.properties.contains(&property)
                && rule.is_true_of(facts)
        };
        let rule = self.states.iter().find(fits);
        rule.unwrap_or_else(|| panic!("no row for {way} {attacker} {property}")).prediction()
    }

    /// The lines of all rows.
    pub fn lines(&self) -> BTreeSet<usize> {
        let outcomes = self.outcomes.iter().map(|rule| rule.line);
        outcomes.chain(self.states.iter().map(|rule| rule.line)).collect()
    }

    /// Every statement that some row asks about.
    pub fn statements(&self) -> BTreeSet<&str> {
        let of_outcomes = self.outcomes.iter().flat_map(|rule| &rule.when);
        let of_states = self.states.iter().flat_map(|rule| &rule.when);
        of_outcomes.chain(of_states).map(|(statement, _)| statement.as_str()).collect()
    }
}

impl<T: Copy> Rule<T> {
    fn is_true_of(&self, facts: &Facts) -> bool {
        let known = |statement: &str| {
            facts.holds(statement).unwrap_or_else(|| panic!("rules.md:{}: what is {statement}?", self.line))
        };
        self.when.iter().all(|(statement, wanted)| known(statement) == *wanted)
    }

    fn prediction(&self) -> Prediction<T> {
        let because = self.because.clone();
        Prediction { then: self.then, by_chance: self.by_chance, line: self.line, because }
    }
}

/// The rows of a section's table: their lines, and their cells.
fn table(section: &str) -> impl Iterator<Item = (usize, Vec<String>)> {
    let lines = TABLES.lines().enumerate();
    let within = lines.skip_while(move |(_, line)| *line != section).skip(1);
    let within = within.take_while(|(_, line)| !line.starts_with("## "));
    let rows = within.filter(|(_, line)| line.starts_with("| ") && !line.starts_with("| path "));
    rows.map(|(number, line)| {
        let cells = line.trim().trim_matches('|').split('|').map(|cell| cell.trim().replace('`', ""));
        (number + 1, cells.collect())
    })
}

fn outcome(line: usize, cells: &[String]) -> Rule<Outcome> {
    let [ways, attackers, when, then, because, source] = cells else {
        panic!("rules.md:{line}: six columns")
    };
    assert!(is_listed(source), "rules.md:{line}: {source} is in no list of sources");
    let then = Outcome::named(then).unwrap_or_else(|| panic!("rules.md:{line}: what is {then}?"));
    Rule {
        line,
        then,
        by_chance: false,
        because: because.clone(),
        ways: ways_named(line, ways),
        attackers: attackers_named(line, attackers),
        properties: BTreeSet::new(),
        when: conditions(when),
    }
}

fn state(line: usize, cells: &[String]) -> Rule<State> {
    let [ways, attackers, properties, when, then, because, source] = cells else {
        panic!("rules.md:{line}: seven columns")
    };
    assert!(is_listed(source), "rules.md:{line}: {source} is in no list of sources");
    let by_chance = then.ends_with('*');
    let then = State::named(then.trim_end_matches('*'));
    let then = then.unwrap_or_else(|| panic!("rules.md:{line}: what state is this?"));
    let property = |property: &Property| named(properties, property.letter());
    let rule = Rule {
        line,
        then,
        by_chance,
        because: because.clone(),
        ways: ways_named(line, ways),
        attackers: attackers_named(line, attackers),
        properties: Property::ALL.iter().copied().filter(property).collect(),
        when: conditions(when),
    };
    assert!(
        !rule.attackers.is_empty() && !rule.properties.is_empty(),
        "rules.md:{line}: it is about nothing"
    );
    rule
}

fn ways_named(line: usize, words: &str) -> BTreeSet<Way> {
    let ways: BTreeSet<Way> = Way::ALL.iter().copied().filter(|way| named(words, way.name())).collect();
    assert!(!ways.is_empty(), "rules.md:{line}: {words} is no path");
    ways
}

fn attackers_named(line: usize, words: &str) -> BTreeSet<Attacker> {
    let is_named = |attacker: &Attacker| named(words, attacker.name());
    let attackers: BTreeSet<Attacker> = Attacker::ALL.iter().copied().filter(is_named).collect();
    assert!(!attackers.is_empty(), "rules.md:{line}: {words} is no attacker");
    attackers
}

/// Is the name among the words? A word may be a group's, and a `*` at its beginning or end stands
/// for anything.
fn named(words: &str, name: &str) -> bool {
    words.split_whitespace().any(|word| match (word.strip_prefix('*'), word.strip_suffix('*')) {
        (Some(rest), _) if name.ends_with(rest) => true,
        (_, Some(rest)) if name.starts_with(rest) => true,
        _ => word == name || group(word).is_some_and(|members| named(members, name)),
    })
}

/// The members of a group.
fn group(name: &str) -> Option<&'static str> {
    let within = TABLES.lines().skip_while(|line| *line != "## Groups").skip(1);
    let mut lines = within.take_while(|line| !line.starts_with("## "));
    lines.find_map(|line| line.strip_prefix(&format!("- `{name}`: ")))
}

fn conditions(cell: &str) -> Vec<(String, bool)> {
    let all = cell.split(',').map(str::trim).filter(|condition| !condition.is_empty());
    all.map(|condition| match condition.strip_prefix("not ") {
        Some(statement) => (statement.to_owned(), false),
        None => (condition.to_owned(), true),
    })
    .collect()
}

fn is_listed(source: &str) -> bool {
    let listed = |source: &str| TABLES.lines().any(|line| line.starts_with(&format!("- `{source}`: ")));
    !source.is_empty() && source.split(' ').all(listed)
}
