//! Twins, by `--twins`: every tactic that a protection refused is run again with that protection
//! taken away, and must then break the very property at which it was aimed, on the very path. It
//! proves that what was refused was an attack.

use ravelin_adversary::Attacker;
use ravelin_assess::model::{Property, Report, State, TwinState};
use ravelin_tests::{Cells, Run, Sample, verified_ssh_tunnels};
use std::collections::BTreeSet;

/// The seeds of the twins. `cargo xtask test --deep` takes more.
const SEEDS: u64 = 1;
const DEEP_SEEDS: u64 = 5;

#[test]
fn every_refusal_in_kubeadm_default_has_its_twin() {
    check(Sample::KubeadmDefault.name(), 700, |seed| Run::of(Sample::KubeadmDefault.config(), seed));
}

#[test]
fn every_refusal_in_kubeadm_verified_has_its_twin() {
    check(Sample::KubeadmVerified.name(), 750, |seed| Run::of(Sample::KubeadmVerified.config(), seed));
}

#[test]
fn every_refusal_in_legacy_ssh_tunnels_has_its_twin() {
    check(Sample::LegacySshTunnels.name(), 650, |seed| Run::of(Sample::LegacySshTunnels.config(), seed));
}

/// Only what the tunnels change: who is kept out of them, and by what.
#[test]
fn every_refusal_in_front_of_konnectivity_has_its_twin() {
    let run = |seed| {
        let run = Run::of(Sample::Konnectivity.config(), seed).untrusted_access();
        run.paths(&["apiserver-to-kubelet/logs", "apiserver-to-pod/*"])
            .attackers(&[Attacker::Impostor, Attacker::Outsider])
    };
    check("konnectivity", 70, run);
}

/// Not a rogue node's: an address that it claims leads it nowhere behind tunnels that go by nodes' names,
/// whoever lets it claim one.
#[test]
fn every_refusal_in_front_of_verified_ssh_tunnels_has_its_twin() {
    let run = |seed| {
        let run = Run::of(verified_ssh_tunnels(), seed).untrusted_access();
        run.paths(&["apiserver-to-kubelet/logs", "apiserver-to-pod/*"]).attackers(&[Attacker::Impostor])
    };
    check("verified SSH tunnels", 15, run);
}

/// Runs the twin of every refusal. `floor` is how many there must be: a run in which nobody refuses
/// anything shows nothing.
fn check(name: &str, floor: usize, run: impl Fn(u64) -> Run) {
    for seed in 0..if crate::is_deep() { DEEP_SEEDS } else { SEEDS } {
        let run = || run(seed);
        let report = run().twins().simulate().report;
        let twins = twins(&report);
        println!("{} seed {seed}: {} twins", name, twins.len());
        let idle: Vec<&String> =
            twins.iter().filter(|(_, state)| *state != TwinState::Broken).map(|(name, _)| name).collect();
        assert!(idle.is_empty(), "{} seed {seed}: these break nothing:\n{idle:#?}", name);
        assert!(twins.len() >= floor, "only {} refusals, expected {floor} at least", twins.len());
        let unproved = held_without_a_twin(&report);
        assert!(unproved.is_empty(), "{} seed {seed}: held without a twin: {unproved:#?}", name);
        let without = run().simulate().report;
        assert_eq!(
            Cells::of(&without).differences(&Cells::of(&report)),
            Vec::<String>::new(),
            "twins change no state where every one of them works"
        );
        assert_eq!(without.trace_sha256, report.trace_sha256, "nor what the ordinary run is");
    }
}

/// Every twin: verdict, property, tactic and what was taken away.
fn twins(report: &Report) -> Vec<(String, TwinState)> {
    let mut found = Vec::new();
    for verdict in &report.verdicts {
        for (property, of_property) in &verdict.properties {
            found.extend(of_property.twins.iter().map(|twin| {
                let without = twin.without.join(" and ");
                (format!("{} {property}: {} without {without}", verdict.name(), twin.tactic), twin.state)
            }));
        }
    }
    found
}

fn held_without_a_twin(report: &Report) -> BTreeSet<(String, Property)> {
    let mut found = BTreeSet::new();
    for verdict in &report.verdicts {
        let held = verdict.properties.iter().filter(|(_, found)| found.state == State::Held);
        let unproved = held.filter(|(_, found)| found.twins.is_empty());
        found.extend(unproved.map(|(property, _)| (verdict.name(), *property)));
    }
    found
}
