//! `--fixes`: which of the user's own settings would make what is broken hold.
//!
//! Controls: the same seed and everything else the same, one setting changed (several only where no
//! single one works). A change is a fix if every property of the verdict then holds, the path still
//! works, and no other path newly fails.

mod search;

use crate::model::{Fix, PathOutcome, PathState, Property, Report, State, StateChange, Verdict};
use crate::path::Path;
use crate::request::AssessError;
use crate::rerun::{Job, Rerun};
use crate::settings::{self, Change};
use crate::simulate::{egress_of, path_state, unknown_for};
use crate::unit::UnitRun;
use crate::verdict;
use ravelin_adversary::Attacker;
use search::Search;
use std::collections::{BTreeMap, BTreeSet};

/// At most this many changes are tried for one verdict.
pub(crate) const MAX_CONTROLS: usize = 64;
/// At most this many fixes are listed for one verdict.
const MAX_FIXES: usize = 4;
/// At most this many settings are changed together.
const MAX_SETTINGS: usize = 3;

/// Looks for fixes of every verdict with something broken, and writes them into the report.
///
/// # Errors
/// Where a simulation itself ended badly.
pub(crate) fn add(rerun: &Rerun<'_>, report: &mut Report) -> Result<(), AssessError> {
    let request = rerun.request();
    let attackers = request.chosen_attackers()?;
    let paths = request.chosen_paths()?;
    let mut controls =
        Controls { rerun, report: report.clone(), tried: BTreeMap::new(), whole: BTreeMap::new() };
    let mut searches: Vec<Search> = Vec::new();
    for (index, verdict) in report.verdicts.iter().enumerate() {
        let attacker = attackers.iter().find(|attacker| attacker.name() == verdict.attacker);
        let path = paths.iter().find(|path| path.name() == verdict.path);
        if let (Some(attacker), Some(path), true) = (attacker, path, verdict.has(State::Broken)) {
            searches.push(Search::new(&request.config, (index, verdict), (*attacker, *path)));
        }
    }
    for size in 1..=MAX_SETTINGS {
        for search in searches.iter_mut().filter(|search| search.fixes.is_empty()) {
            search.next(&request.config, size, &controls.tried);
        }
        controls.try_out(&searches)?;
        for search in searches.iter_mut().filter(|search| search.fixes.is_empty()) {
            search.found = search.successes(&controls.tried);
        }
        controls.confirm(&searches, (&attackers, &paths))?;
        for search in searches.iter_mut().filter(|search| search.fixes.is_empty()) {
            search.fixes = controls.fixes(search);
        }
    }
    for search in searches {
        let verdict = &mut report.verdicts[search.verdict];
        verdict.controls = Some(u32::try_from(search.tried.len()).unwrap_or(u32::MAX));
        verdict.fix = search.fixes;
    }
    Ok(())
}

/// Changes made together, in the order of the table.
type Changes = Vec<Change>;

/// What the cluster with some changes showed of each path under an attacker.
type Tried = BTreeMap<(Changes, Attacker, Path), Control>;

/// What a control showed of one path.
pub(crate) struct Control {
    state: PathState,
    verdict: Option<Verdict>,
}

impl Control {
    /// Does everything hold, with the path still working?
    fn is_good(&self, path: Path) -> bool {
        match self.state.state {
            // A port that serves nobody but strangers may well be closed.
            PathOutcome::Absent => is_needless(path),
            PathOutcome::Failed => false,
            PathOutcome::Works => self.left() == 0,
        }
    }

    /// How many properties do not hold.
    fn left(&self) -> usize {
        let holds = |state| matches!(state, State::Held | State::NotApplicable | State::NotExposed);
        let Some(verdict) = &self.verdict else { return Property::ALL.len() };
        Property::ALL.into_iter().filter(|property| !holds(verdict.state(*property))).count()
    }
}

/// Is the path one that no component of the cluster needs?
fn is_needless(path: Path) -> bool {
    ["direct-to-apiserver-insecure", "direct-to-kubelet-read-only", "direct-to-component"]
        .contains(&path.name())
}

/// The controls that were run, and what they are compared with.
struct Controls<'a> {
    rerun: &'a Rerun<'a>,
    report: Report,
    tried: Tried,
    /// The whole matrix with some changes, for those that help.
    whole: BTreeMap<Changes, Vec<Control>>,
}

impl Controls<'_> {
    /// Runs what the searches want to know: one simulation for each attacker and change, whatever
    /// the number of paths.
    fn try_out(&mut self, searches: &[Search]) -> Result<(), AssessError> {
        let mut wanted: BTreeMap<(Changes, Attacker), BTreeSet<Path>> = BTreeMap::new();
        for search in searches {
            for changes in &search.wanted {
                if !self.tried.contains_key(&(changes.clone(), search.attacker, search.path)) {
                    let paths = wanted.entry((changes.clone(), search.attacker)).or_default();
                    paths.insert(search.path);
                }
            }
        }
        let (keys, paths): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        let jobs: Result<Vec<Job>, AssessError> = keys
            .iter()
            .zip(paths)
            .map(|((changes, attacker), paths)| self.job(changes, *attacker, paths))
            .collect();
        let run = self.rerun.all(jobs?, &self.keep())?;
        for ((changes, attacker), controls) in keys.into_iter().zip(run) {
            for (path, control) in controls {
                self.tried.insert((changes.clone(), attacker, path), control);
            }
        }
        Ok(())
    }

    /// Runs everything with the changes that help: what else do they change?
    fn confirm(
        &mut self,
        searches: &[Search],
        (attackers, paths): (&[Attacker], &[Path]),
    ) -> Result<(), AssessError> {
        let found: BTreeSet<&Changes> = searches.iter().flat_map(|search| &search.found).collect();
        let new: Vec<Changes> = found.into_iter().filter(|c| !self.whole.contains_key(*c)).cloned().collect();
        let mut jobs = Vec::new();
        for changes in &new {
            for attacker in attackers {
                jobs.push(self.job(changes, *attacker, paths.iter().copied().collect())?);
            }
        }
        let mut run = self.rerun.all(jobs, &self.keep())?.into_iter();
        for changes in new {
            let controls = run.by_ref().take(attackers.len()).flatten();
            let controls = controls.map(|(_, control)| control).collect();
            self.whole.insert(changes, controls);
        }
        Ok(())
    }

    fn job(&self, changes: &Changes, attacker: Attacker, paths: BTreeSet<Path>) -> Result<Job, AssessError> {
        let config = &self.rerun.request().config;
        let plan =
            self.rerun.plan(&settings::changed(config, changes), attacker, paths.into_iter().collect())?;
        let keys = changes.iter().flat_map(|change| settings::described(config, change));
        let keys = keys.map(|setting| setting.key).collect::<Vec<_>>().join(", ");
        Ok(Job { what: format!("control: {attacker}, with another {keys}"), plan })
    }

    /// What is kept of a control's run.
    fn keep(&self) -> impl Fn(Attacker, UnitRun) -> Vec<(Path, Control)> + Sync + use<> {
        let unknown = self.report.cluster.unknown_effect.clone();
        move |attacker, run| {
            let of_path = |path: &crate::PathRun| {
                let (egress, unknown) = (egress_of(&run, path), unknown_for(&unknown, path));
                let state = path_state(egress, path);
                let judged = path.state == PathOutcome::Works || !unknown.is_empty();
                let verdict = judged.then(|| verdict::verdict(attacker, egress, path, &unknown));
                (path.path, Control { state, verdict })
            };
            run.paths.iter().map(of_path).collect()
        }
    }

    /// The fixes among the changes that help, the smallest first.
    fn fixes(&self, search: &Search) -> Vec<Fix> {
        let base = &self.report.verdicts[search.verdict];
        let mut fixes: Vec<(usize, Fix)> = Vec::new();
        for changes in &search.found {
            let Some(controls) = self.whole.get(changes) else { continue };
            let newly_fails = |control: &Control| {
                control.state.state == PathOutcome::Failed
                    && self.path_before(&control.state) != Some(PathOutcome::Failed)
            };
            if controls.iter().any(newly_fails) {
                continue;
            }
            let config = &self.rerun.request().config;
            let settings = changes.iter().flat_map(|change| settings::described(config, change)).collect();
            let also_changes = self.differences(controls, base);
            fixes.push((changes.len(), Fix { settings, also_changes }));
        }
        fixes.sort_by_key(|(size, fix)| (*size, fix.settings.len(), fix.also_changes.len()));
        fixes.into_iter().map(|(_, fix)| fix).collect()
    }

    fn path_before(&self, path: &PathState) -> Option<PathOutcome> {
        let mut paths = self.report.paths.iter();
        paths.find(|known| known.path == path.path && known.egress == path.egress).map(|known| known.state)
    }

    /// Every state that is another one than in the report, beside those of the verdict itself.
    fn differences(&self, controls: &[Control], fixed: &Verdict) -> Vec<StateChange> {
        let mut found = Vec::new();
        for control in controls {
            let path = &control.state;
            if let Some(before) = self.path_before(path).filter(|before| *before != path.state) {
                let what = format!("{}@{}", path.path, path.egress);
                found.push(StateChange { what, from: before.to_string(), to: path.state.to_string() });
            }
            let Some(after) = &control.verdict else { continue };
            let before = self.report.verdicts.iter().find(|known| known.name() == after.name());
            let Some(before) = before.filter(|before| before.name() != fixed.name()) else { continue };
            for property in Property::ALL {
                let (from, to) = (before.state(property), after.state(property));
                if from != to {
                    let what = format!("{} {property}", after.name());
                    found.push(StateChange { what, from: from.to_string(), to: to.to_string() });
                }
            }
        }
        // Every attacker's simulation tells of the paths.
        let mut known = BTreeSet::new();
        found.retain(|change| known.insert(change.clone()));
        found
    }
}
