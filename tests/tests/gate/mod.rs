//! The simulation gate: the samples, many seeds, each verdict as the issue has it, and every run
//! twice.

pub mod expected;

use ravelin_assess::Simulated;
use ravelin_tests::{Cells, Run, Sample};
use std::thread;

/// The seeds of an ordinary run. `cargo xtask test --deep` takes more.
const SEEDS: u64 = 10;
const DEEP_SEEDS: u64 = 100;

#[test]
fn kubeadm_default_comes_out_as_the_issue_has_it() {
    gate(&expected::kubeadm_default(), |seed| wire(Sample::KubeadmDefault, seed));
}

#[test]
fn kubeadm_verified_comes_out_as_the_issue_has_it() {
    gate(&expected::kubeadm_verified(), |seed| wire(Sample::KubeadmVerified, seed));
}

#[test]
fn legacy_ssh_tunnels_come_out_as_the_issue_has_it() {
    gate(&expected::legacy_ssh_tunnels(), |seed| wire(Sample::LegacySshTunnels, seed));
}

#[test]
fn legacy_ssh_tunnels_hold_where_nothing_crosses_outside_of_them() {
    let expected = expected::legacy_ssh_tunnels_seen_from_access();
    let wrong = seeds().flat_map(|seed| {
        let cells = wire(Sample::LegacySshTunnels, seed).untrusted_access().cells();
        expected.differences(&cells).into_iter().map(move |line| format!("seed {seed}: {line}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "expected -> came out:\n{}", wrong.join("\n"));
}

/// What a tunnel is for is to hold where the network is not trusted: with a check of who is at its other
/// end it does, and without it does not.
#[test]
fn tunnels_hold_where_the_other_end_proves_who_it_is() {
    let of =
        |config: ravelin_config::ClusterConfig, seed| Run::of(config, seed).on_the_wire().untrusted_access();
    gate(&expected::konnectivity(), |seed| of(Sample::Konnectivity.config(), seed));
    gate(&expected::konnectivity_open(), |seed| of(Sample::KonnectivityOpen.config(), seed));
    let expected = expected::verified_ssh_tunnels();
    let wrong = seeds().flat_map(|seed| {
        let cells = of(ravelin_tests::verified_ssh_tunnels(), seed).cells();
        expected.differences(&cells).into_iter().map(move |line| format!("seed {seed}: {line}"))
    });
    // Whether an error names the host key hangs on how long the tunneler waits before it tries again.
    let wrong: Vec<String> = wrong.filter(|line| !line.contains(" closed: ")).collect();
    assert!(wrong.is_empty(), "expected -> came out:\n{}", wrong.join("\n"));
}

/// The attackers and paths of the issue's tables. What is beyond them is the model's to say
/// (`tests/model`).
fn wire(sample: Sample, seed: u64) -> Run {
    Run::of(sample.config(), seed).on_the_wire()
}

fn seeds() -> std::ops::Range<u64> {
    0..if crate::is_deep() { DEEP_SEEDS } else { SEEDS }
}

/// Runs each seed twice at the same time: the verdicts are the expected ones, and the traces one.
fn gate(expected: &Cells, run: impl Fn(u64) -> Run + Sync) {
    let mut wrong = Vec::new();
    let mut traces = Vec::new();
    for seed in seeds() {
        let (first, second) = twice(&run, seed);
        let cells = Cells::of(&first.report);
        wrong.extend(expected.differences(&cells).into_iter().map(|line| format!("seed {seed}: {line}")));
        let [one, two] = [&first, &second].map(|run| run.report.trace_sha256.clone());
        if one != two {
            wrong.push(format!("seed {seed}: two runs, two traces: {one} and {two}"));
        }
        if first.report != second.report {
            wrong.push(format!("seed {seed}: two runs, two reports"));
        }
        traces.push(one);
    }
    assert!(wrong.is_empty(), "expected -> came out:\n{}", wrong.join("\n"));
    traces.sort();
    traces.dedup();
    assert!(traces.len() >= SEEDS as usize, "every seed has a trace of its own");
}

fn twice(run: &(impl Fn(u64) -> Run + Sync), seed: u64) -> (Simulated, Simulated) {
    thread::scope(|scope| {
        let other = scope.spawn(|| run(seed).simulate());
        let first = run(seed).simulate();
        (first, other.join().expect("the second run ends as the first"))
    })
}
