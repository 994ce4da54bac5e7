//! The samples, with every attacker on every path: all states are those that the model says.

use super::compare::About;
use super::exercised::Exercised;
use ravelin_adversary::Attacker;
use ravelin_assess::{Path, UnitPlan, run_unit};
use ravelin_host::Flaws;
use ravelin_sim::Untrusted;
use ravelin_tests::model::{Facts, Rules};
use ravelin_tests::{ATTACKERS, Sample, plan};

/// Everywhere, and only among the nodes: there a rogue node has nothing but its rights.
const SEGMENTS: [Untrusted; 2] = [Untrusted::ALL, Untrusted::FABRIC];

/// The seeds of an ordinary run, and of a deep one.
const SEEDS: (u64, u64) = (1, 20);

#[test]
fn every_attacker_meets_in_the_samples_what_the_model_says() {
    let (rules, exercised) = (Rules::read(), Exercised::default());
    let mut wrong = Vec::new();
    for seed in 0..if crate::is_deep() { SEEDS.1 } else { SEEDS.0 } {
        for sample in Sample::ALL.into_iter().chain([Sample::Konnectivity, Sample::KonnectivityOpen]) {
            let segments = match sample {
                // Behind tunnels a rogue node's own tunnel counts as the path's: there exposure says less.
                Sample::LegacySshTunnels => &SEGMENTS[..1],
                Sample::Konnectivity | Sample::KonnectivityOpen => &[Untrusted::ALL, Untrusted::ACCESS][..],
                _ => &SEGMENTS[..],
            };
            let each =
                ATTACKERS.iter().flat_map(|who| segments.iter().map(move |untrusted| (*who, *untrusted)));
            for (attacker, untrusted) in each {
                let found = disagreements((&rules, &exercised), (sample, attacker, untrusted), seed);
                let of = format!("{} ({untrusted:?}) seed {seed}", sample.name());
                wrong.extend(found.into_iter().map(|line| format!("{of}: {line}")));
            }
        }
    }
    println!("{exercised}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn disagreements(
    (rules, exercised): (&Rules, &Exercised),
    (sample, attacker, untrusted): (Sample, Attacker, Untrusted),
    seed: u64,
) -> Vec<String> {
    let config = sample.config();
    let facts = Facts::of(&config, 3, (untrusted.access, untrusted.fabric));
    let plan = UnitPlan { untrusted, ..plan(&config, attacker, (Flaws::none(), seed)) };
    let run = run_unit(plan.clone()).expect("the simulation ends");
    assert_eq!(run.paths.len(), Path::ALL.len());
    let again = |path: &str, more: u64| {
        let paths = plan.paths.iter().copied().filter(|known| known.name() == path).collect();
        run_unit(UnitPlan { seed: seed + 1000 * more, paths, ..plan.clone() })
    };
    let about = About { rules, attacker, facts: &facts, again: &again };
    run.paths.iter().flat_map(|path| about.path(path, &run.egress, exercised)).collect()
}
