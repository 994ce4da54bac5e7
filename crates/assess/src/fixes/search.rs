//! The search for the fixes of one verdict: what to try next, and what helped.

use super::{Changes, MAX_CONTROLS, MAX_FIXES, Tried};
use crate::model::{Fix, PathOutcome, Property, State, Verdict};
use crate::path::Path;
use crate::settings::{self, Change};
use ravelin_adversary::Attacker;
use ravelin_config::ClusterConfig;
use std::collections::BTreeSet;

/// The search for the fixes of one verdict.
pub(super) struct Search {
    /// Which verdict of the report.
    pub verdict: usize,
    pub attacker: Attacker,
    pub path: Path,
    broken: Vec<Property>,
    candidates: Vec<Change>,
    /// What is to be tried now.
    pub wanted: Vec<Changes>,
    /// All that was tried.
    pub tried: BTreeSet<Changes>,
    /// What helped, of that which was tried last.
    pub found: Vec<Changes>,
    /// What helped and broke nothing else.
    pub fixes: Vec<Fix>,
}

impl Search {
    pub fn new(
        config: &ClusterConfig,
        (index, verdict): (usize, &Verdict),
        (attacker, path): (Attacker, Path),
    ) -> Self {
        let is_broken = |property: &Property| verdict.state(*property) == State::Broken;
        let broken: Vec<Property> = Property::ALL.into_iter().filter(is_broken).collect();
        let candidates = settings::candidates(config, verdict, &broken);
        Self {
            verdict: index,
            attacker,
            path,
            broken,
            candidates,
            wanted: Vec::new(),
            tried: BTreeSet::new(),
            found: Vec::new(),
            fixes: Vec::new(),
        }
    }

    /// Chooses what to try with so many settings changed together: each alone, then every pair,
    /// then what is best of the pairs with one more.
    pub fn next(&mut self, config: &ClusterConfig, size: usize, known: &Tried) {
        self.found.clear();
        let starts: Vec<Changes> = match size {
            1 => vec![Vec::new()],
            2 => self.candidates.iter().map(|change| vec![change.clone()]).collect(),
            _ => self.best(size - 1, known),
        };
        self.wanted = Vec::new();
        let mut new = BTreeSet::new();
        for start in starts {
            for change in self.candidates.iter().filter(|change| !start.contains(change)) {
                let mut changes = start.clone();
                changes.push(change.clone());
                changes.sort();
                let room = self.tried.len() + new.len() < MAX_CONTROLS;
                let sensible =
                    settings::cover(&changes, &self.broken) && settings::is_minimal(config, &changes);
                if room && sensible && new.insert(changes.clone()) {
                    self.wanted.push(changes);
                }
            }
        }
        self.tried.extend(new);
    }

    /// The changes of this size with which the path works and which leave least broken.
    fn best(&self, size: usize, known: &Tried) -> Vec<Changes> {
        let tried = self.tried.iter().filter(|changes| changes.len() == size);
        let working = tried.filter_map(|changes| {
            let control = known.get(&(changes.clone(), self.attacker, self.path))?;
            (control.state.state == PathOutcome::Works).then(|| (control.left(), changes.clone()))
        });
        let working: Vec<(usize, Changes)> = working.collect();
        let least = working.iter().map(|(left, _)| *left).min();
        working.into_iter().filter(|(left, _)| Some(*left) == least).map(|(_, changes)| changes).collect()
    }

    /// What helped of that which was tried last.
    pub fn successes(&self, known: &Tried) -> Vec<Changes> {
        let good = |changes: &&Changes| {
            let control = known.get(&((*changes).clone(), self.attacker, self.path));
            control.is_some_and(|control| control.is_good(self.path))
        };
        self.wanted.iter().filter(good).take(MAX_FIXES).cloned().collect()
    }
}
