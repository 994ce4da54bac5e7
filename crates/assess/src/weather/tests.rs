//! A node that crashes at awkward moments works again afterwards.

use super::{Fault, FaultKind, Weather};
use crate::{Path, UnitPlan, run_unit};
use ravelin_adversary::Attacker;
use ravelin_cluster::Layout;
use ravelin_config::ClusterConfig;
use ravelin_host::Flaws;
use ravelin_sim::Untrusted;
use std::time::Duration;

/// Crashes of the last of four nodes, each from when and how long, in seconds.
fn healed(crashes: &[(f64, f64)]) -> Result<(), String> {
    let config = ClusterConfig::kubeadm_default();
    let seconds = Duration::from_secs_f64;
    let crash = |&(from, lasts): &(f64, f64)| Fault {
        from: seconds(from),
        lasts: seconds(lasts),
        kind: FaultKind::Crashed(3),
    };
    let plan = UnitPlan {
        layout: Layout::new(&config, 4).expect("four nodes have room"),
        config,
        seed: 7,
        attacker: Attacker::Eavesdropper,
        untrusted: Untrusted::ALL,
        paths: vec![Path::KubeletLogs],
        flaws: Flaws::none(),
        weather: Weather { faults: crashes.iter().map(crash).collect(), ..Weather::calm() },
        step: None,
    };
    let run = run_unit(plan).expect("a crash is no reason for a simulation to fail");
    run.paths[0].healed.clone().expect("there were faults")
}

#[test]
fn a_node_works_again_after_crashes_at_awkward_moments() {
    let table: &[&[(f64, f64)]] = &[
        &[(200.0, 5.0)],
        // Two that end together.
        &[(200.0, 10.0), (205.0, 5.0)],
        &[(200.0, 10.0), (200.0, 10.0)],
        // One when it has just come back, or is about to.
        &[(200.0, 5.0), (205.0, 5.0)],
        &[(200.0, 5.0), (205.001, 5.0)],
        // One while it boots.
        &[(200.0, 5.0), (205.02, 5.0)],
        &[(200.0, 5.0), (205.3, 5.0)],
        &[(200.0, 5.0), (206.5, 5.0), (213.0, 40.0)],
        // One within another.
        &[(200.0, 60.0), (210.0, 10.0)],
    ];
    for crashes in table {
        assert_eq!(healed(crashes), Ok(()), "{crashes:?}");
    }
}
