//! Twins: every tactic that a protection refused is run again with that one protection taken away,
//! and must then break the very property at which it was aimed, on the very path. It proves that
//! what was refused was an attack.

mod taken_for_the_client;

use crate::gate::expected;
use ravelin_adversary::{Attacker, ServerKind};
use ravelin_assess::{Path, PathRun, UnitRun, twin_of};
use ravelin_config::ClusterConfig;
use ravelin_host::{Flaw, Flaws};
use ravelin_oracle::{Property, Protection, State, judge};
use ravelin_tests::{ATTACKERS, Cells, Sample, unit, unit_of};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The seeds of the twins. `cargo xtask test --deep` takes more.
const SEEDS: u64 = 1;
const DEEP_SEEDS: u64 = 5;

#[test]
fn every_refusal_in_kubeadm_default_has_its_twin() {
    check(Sample::KubeadmDefault, &expected::kubeadm_default(), 160);
}

#[test]
fn every_refusal_in_kubeadm_verified_has_its_twin() {
    check(Sample::KubeadmVerified, &expected::kubeadm_verified(), 160);
}

#[test]
fn every_refusal_in_legacy_ssh_tunnels_has_its_twin() {
    check(Sample::LegacySshTunnels, &expected::legacy_ssh_tunnels(), 140);
}

/// A step of a tactic that was aimed at a property and refused by a protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Refused {
    path: Path,
    attacker: Attacker,
    property: Property,
    tactic: &'static str,
    by: Protection,
}

impl Refused {
    fn flaw(&self) -> Option<Flaw> {
        let server = match self.path {
            Path::KubeletLogs => ServerKind::Kubelet,
            path if path.uses_egress() => ServerKind::Workload,
            _ => ServerKind::Apiserver,
        };
        twin_of(self.by, server)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flaw = self.flaw().map_or("none".to_owned(), |flaw| format!("{flaw:?}"));
        write!(
            f,
            "{:<26} {:<12} {:<18} {:<33} {:<31} {flaw}",
            self.path,
            self.attacker,
            self.property,
            self.tactic,
            self.by.name()
        )
    }
}

/// Runs the twin of every refusal. `floor` is how many refusals there must be: a run in which
/// nobody refuses anything shows nothing.
fn check(sample: Sample, expected: &Cells, floor: usize) {
    for seed in 0..if crate::is_deep() { DEEP_SEEDS } else { SEEDS } {
        check_seed(sample, expected, (floor, seed));
    }
}

fn check_seed(sample: Sample, expected: &Cells, (floor, seed): (usize, u64)) {
    let config = sample.config();
    let mut shown = BTreeSet::new();
    let mut wrong = Vec::new();
    for attacker in ATTACKERS {
        let refused = refusals(attacker, &unit(&config, attacker, Flaws::none(), seed));
        let broken = broken_by_twins((&config, seed), attacker, &refused);
        for refusal in refused {
            let twin = refusal.flaw().and_then(|flaw| broken.get(&flaw));
            if twin.is_some_and(|broken| broken.contains(&(refusal.path, refusal.tactic, refusal.property))) {
                shown.insert(refusal);
            } else {
                wrong.push(format!("no working twin: {refusal}"));
            }
        }
    }
    for (path, attacker, property) in held(expected) {
        let covered = |refusal: &Refused| {
            path.starts_with(refusal.path.name())
                && (path.len() == refusal.path.name().len()
                    || path[refusal.path.name().len()..].starts_with('@'))
                && refusal.attacker.name() == attacker
                && refusal.property == property
        };
        if !shown.iter().any(covered) {
            wrong.push(format!("held without a twin that breaks it: {path} {attacker} {property}"));
        }
    }
    println!("{}: {} refusals with a working twin", sample.name(), shown.len());
    shown.iter().for_each(|refusal| println!("  {refusal}"));
    assert!(wrong.is_empty(), "{}:\n{}", sample.name(), wrong.join("\n"));
    assert!(shown.len() >= floor, "only {} refusals were tried, expected {floor} at least", shown.len());
}

/// The cells that say `held`.
fn held(expected: &Cells) -> Vec<(String, String, Property)> {
    let cells = expected.0.keys().flat_map(|(path, attacker)| {
        Property::ALL.map(|property| (path.clone(), attacker.clone(), property))
    });
    let held = State::Held.to_string();
    cells.filter(|(path, attacker, property)| expected.state(path, attacker, *property) == held).collect()
}

/// Every refusal, for each property at which the refused step was aimed and that applies.
fn refusals(attacker: Attacker, run: &UnitRun) -> BTreeSet<Refused> {
    let of_path = |run: &PathRun| {
        let mut found = Vec::new();
        for round in &run.rounds {
            for refusal in &round.seen.attempt.refusals {
                for property in refusal.aims.iter().filter(|aim| !run.not_applicable.contains_key(aim)) {
                    let (path, property, tactic, by) = (run.path, *property, round.tactic, refusal.by);
                    found.push(Refused { path, attacker, property, tactic, by });
                }
            }
        }
        found
    };
    run.paths.iter().flat_map(of_path).collect()
}

type Broken = BTreeSet<(Path, &'static str, Property)>;

/// What each flaw, alone, lets the tactics break.
fn broken_by_twins(
    (config, seed): (&ClusterConfig, u64),
    attacker: Attacker,
    refused: &BTreeSet<Refused>,
) -> BTreeMap<Flaw, Broken> {
    let mut paths: BTreeMap<Flaw, BTreeSet<Path>> = BTreeMap::new();
    for refusal in refused {
        if let Some(flaw) = refusal.flaw() {
            paths.entry(flaw).or_default().insert(refusal.path);
        }
    }
    let twin = |(flaw, paths): (Flaw, BTreeSet<Path>)| {
        let paths: Vec<Path> = paths.into_iter().collect();
        let run = unit_of(config, attacker, &paths, (Flaws::danger([flaw]), seed));
        (flaw, broken(&run))
    };
    paths.into_iter().map(twin).collect()
}

fn broken(run: &UnitRun) -> Broken {
    let mut found = taken_for_the_client::broken(run);
    for path in &run.paths {
        for round in &path.rounds {
            let judged = judge(&round.seen);
            let broken = Property::ALL.into_iter().filter(|property| !judged[property].broken.is_empty());
            found.extend(broken.map(|property| (path.path, round.tactic, property)));
        }
    }
    found
}
