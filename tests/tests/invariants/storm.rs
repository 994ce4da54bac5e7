//! Random clusters in random weather. What varies at all is drawn first (swarm testing), so that
//! some cases have one kind of fault only, and many of it.

use proptest::prelude::*;
use ravelin_adversary::Attacker;
use ravelin_assess::{Fault, FaultKind, Path, UnitPlan, Weather};
use ravelin_cluster::Layout;
use ravelin_config::ClusterConfig;
use ravelin_host::Flaws;
use ravelin_sim::{Conditions, Latency, Untrusted};
use std::time::Duration;

/// When faults may begin, in seconds of simulated time: after the boot, and until the attacks end.
const BEGIN: std::ops::Range<u64> = 125..1_500;

/// One case.
#[derive(Clone, Debug)]
pub struct Storm {
    /// The simulation's seed.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u32,
    /// Who attacks, as an index.
    pub attacker: usize,
    /// The longest latency of each segment, in microseconds: lan, node, access, fabric.
    pub latencies_us: [u64; 4],
    /// Packets lost, in tenths of a percent.
    pub loss_per_mille: u32,
    /// Faults.
    pub faults: Vec<Fault>,
}

impl Storm {
    /// Who attacks.
    pub fn attacker(&self) -> Attacker {
        Attacker::ALL[self.attacker]
    }

    /// The simulation of this case.
    pub fn plan(&self, config: &ClusterConfig) -> UnitPlan {
        let latency = |most: u64| Latency::between_us(most / 4, most);
        let [lan, node, access, fabric] = self.latencies_us.map(latency);
        let loss = f64::from(self.loss_per_mille) / 1000.0;
        let conditions = Conditions { lan, node, access, fabric, loss, ..Conditions::ordinary() };
        UnitPlan {
            config: config.clone(),
            seed: self.seed,
            layout: Layout::new(config, self.nodes).expect("a few nodes have room"),
            attacker: self.attacker(),
            untrusted: Untrusted::ALL,
            paths: Path::ALL.to_vec(),
            flaws: Flaws::none(),
            weather: Weather { conditions, faults: self.faults.clone() },
            step: None,
        }
    }
}

/// Any case.
pub fn any() -> impl Strategy<Value = Storm> {
    (1_u32..=5, prop::collection::vec(0_u8..4, 1..=3)).prop_flat_map(|(nodes, kinds)| {
        let faults = prop::collection::vec(fault(nodes as usize, kinds), 1..=6);
        let latencies = [20..1_000_u64, 20..1_000, 200..40_000, 200..40_000];
        (any_seed(), 0..Attacker::ALL.len(), latencies, prop_oneof![Just(0), 0..20_u32], faults).prop_map(
            move |(seed, attacker, latencies_us, loss_per_mille, faults)| Storm {
                seed,
                nodes,
                attacker,
                latencies_us,
                loss_per_mille,
                faults,
            },
        )
    })
}

fn any_seed() -> impl Strategy<Value = u64> {
    0..1_000_000_u64
}

fn fault(nodes: usize, kinds: Vec<u8>) -> impl Strategy<Value = Fault> {
    let kind = (prop::sample::select(kinds), 0..nodes, 0..nodes).prop_map(|(kind, one, other)| match kind {
        0 => FaultKind::Isolated(one),
        1 if one != other => FaultKind::Parted(one, other),
        2 => FaultKind::Crashed(one),
        _ => FaultKind::Reset,
    });
    (BEGIN, 1..90_u64, kind).prop_map(|(from, lasts, kind)| Fault {
        from: Duration::from_secs(from),
        lasts: Duration::from_secs(lasts),
        kind,
    })
}
