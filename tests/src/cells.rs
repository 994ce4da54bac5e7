//! Verdicts as tables that a person can write, read and compare.

use ravelin_assess::model::{PathOutcome, Property, Report, State};
use std::collections::BTreeMap;
use std::fmt;

/// The verdict on one path and attacker: did what failed fail closed, and a state for each property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `yes`, `no`, or `-` where no call failed.
    pub closed: String,
    /// The states, in the order of [`Property::ALL`].
    pub states: Vec<String>,
}

/// Every verdict of a run, by path (`NAME` or `NAME@EGRESS`) and attacker. A path that does not
/// work has one row, whose attacker is what it is instead: `failed` or `absent`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells(pub BTreeMap<(String, String), Row>);

impl Cells {
    /// The verdicts of a report.
    pub fn of(report: &Report) -> Self {
        let mut cells = BTreeMap::new();
        for verdict in &report.verdicts {
            let closed = match verdict.failed_closed {
                Some(true) => "yes",
                Some(false) => "no",
                None => "-",
            };
            let states = Property::ALL.map(|property| verdict.state(property).to_string()).to_vec();
            let key = (named(&verdict.path, &verdict.egress), verdict.attacker.clone());
            let before = cells.insert(key, Row { closed: closed.to_owned(), states });
            assert_eq!(before, None, "two verdicts on {}", verdict.name());
        }
        for path in report.paths.iter().filter(|path| path.state != PathOutcome::Works) {
            let row = Row { closed: "-".to_owned(), states: Vec::new() };
            cells.insert((named(&path.path, &path.egress), path.state.to_string()), row);
        }
        Self(cells)
    }

    /// Reads a table: a heading, then a row for each path and attacker, columns apart by blanks.
    ///
    /// # Panics
    /// Where the table is not well formed: it is written by us.
    pub fn table(text: &str) -> Self {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let heading: Vec<&str> = lines.next().expect("a table has a heading").split_whitespace().collect();
        let properties = Property::ALL.map(|property| property.to_string());
        assert_eq!(heading[..3], ["path", "attacker", "closed"]);
        assert_eq!(heading[3..], properties);
        let known = State::ALL.map(|state| state.to_string());
        let rows = lines.map(|line| {
            let mut columns = line.split_whitespace().map(str::to_owned);
            let mut next = || columns.next().unwrap_or_else(|| panic!("too short: {line}"));
            let key = (next(), next());
            let closed = next();
            let states: Vec<String> = columns.collect();
            assert!(states.iter().all(|state| known.contains(state)), "no such state: {line}");
            assert!(states.len() == 6 || states.is_empty(), "six properties: {line}");
            (key, Row { closed, states })
        });
        Self(rows.collect())
    }

    /// The state of one property.
    ///
    /// # Panics
    /// Where there is no such verdict.
    pub fn state(&self, path: &str, attacker: &str, property: Property) -> &str {
        let row = self.0.get(&(path.to_owned(), attacker.to_owned()));
        let row = row.unwrap_or_else(|| panic!("no verdict on {path} by {attacker} in\n{self}"));
        let index = Property::ALL.iter().position(|known| *known == property).expect("all are listed");
        &row.states[index]
    }

    /// What `other` has different, a line for each cell: `PATH ATTACKER COLUMN: here -> there`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let keys: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        for key in keys {
            let (path, attacker) = key;
            match (self.0.get(key), other.0.get(key)) {
                (Some(one), Some(two)) => {
                    let columns = Property::ALL.map(|property| property.to_string());
                    for ((column, one), two) in columns.iter().zip(&one.states).zip(&two.states) {
                        if one != two {
                            found.push(format!("{path} {attacker} {column}: {one} -> {two}"));
                        }
                    }
                    if one.closed != two.closed {
                        found.push(format!("{path} {attacker} closed: {} -> {}", one.closed, two.closed));
                    }
                }
                (Some(_), None) => found.push(format!("{path} {attacker}: gone")),
                (None, _) => found.push(format!("{path} {attacker}: new")),
            }
        }
        found
    }

    /// Is any property in this state?
    pub fn has(&self, state: State) -> bool {
        self.0.values().any(|row| row.states.contains(&state.to_string()))
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<31}{:<14}{:<7}", "path", "attacker", "closed")?;
        for property in Property::ALL {
            write!(f, " {property:<18}")?;
        }
        for ((path, attacker), row) in &self.0 {
            write!(f, "\n{path:<31}{attacker:<14}{:<7}", row.closed)?;
            for state in &row.states {
                write!(f, " {state:<18}")?;
            }
        }
        Ok(())
    }
}

fn named(path: &str, egress: &str) -> String {
    if egress == "direct" { path.to_owned() } else { format!("{path}@{egress}") }
}
