//! Running a cluster: whole runs with a report, and single simulations.

use crate::cells::Cells;
use ravelin_adversary::Attacker;
use ravelin_assess::{Path, SimulateRequest, Simulated, UnitPlan, UnitRun, Weather, run_unit, simulate};
use ravelin_cluster::Layout;
use ravelin_config::ClusterConfig;
use ravelin_host::Flaws;
use ravelin_sim::Untrusted;

/// Every attacker.
pub const ATTACKERS: [Attacker; Attacker::ALL.len()] = Attacker::ALL;

/// A whole run to be made, as `ravelin simulate` makes it.
#[derive(Clone, Debug)]
pub struct Run(SimulateRequest);

impl Run {
    /// Every path and attacker, three nodes, both segments untrusted.
    pub fn of(config: ClusterConfig, seed: u64) -> Self {
        Self(SimulateRequest {
            config,
            seed,
            nodes: 3,
            paths: Vec::new(),
            attackers: Vec::new(),
            untrusted: (true, true),
            want_trace: false,
            want_packets: false,
            twins: false,
            fixes: false,
            commit: "unknown".to_owned(),
        })
    }

    /// With the packets kept.
    pub fn captured(mut self) -> Self {
        self.0.want_packets = true;
        self
    }

    /// With so many nodes.
    pub fn nodes(mut self, nodes: u32) -> Self {
        self.0.nodes = nodes;
        self
    }

    /// With an attacker between control plane and nodes alone (`--untrusted access`).
    pub fn untrusted_access(mut self) -> Self {
        self.0.untrusted = (true, false);
        self
    }

    /// With an attacker between the nodes alone (`--untrusted fabric`).
    pub fn untrusted_fabric(mut self) -> Self {
        self.0.untrusted = (false, true);
        self
    }

    /// Only these paths.
    pub fn paths(mut self, patterns: &[&str]) -> Self {
        self.0.paths = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        self
    }

    /// Only this attacker.
    pub fn attacker(mut self, attacker: Attacker) -> Self {
        self.0.attackers = vec![attacker.name().to_owned()];
        self
    }

    /// Only these attackers.
    pub fn attackers(mut self, attackers: &[Attacker]) -> Self {
        self.0.attackers = attackers.iter().map(|attacker| attacker.name().to_owned()).collect();
        self
    }

    /// Only who is on the wire and has no credentials, on the paths that have an honest client.
    pub fn on_the_wire(mut self) -> Self {
        let attackers = [Attacker::Eavesdropper, Attacker::Impostor];
        self.0.attackers = attackers.map(|attacker| attacker.name().to_owned()).into();
        let paths = Path::ALL.into_iter().filter(|path| !path.is_asked_directly());
        self.0.paths = paths.map(|path| path.name().to_owned()).collect();
        self
    }

    /// With the trace's lines, and not only their hash.
    pub fn with_trace(mut self) -> Self {
        self.0.want_trace = true;
        self
    }

    /// With the twins of every refusal (`--twins`).
    pub fn twins(mut self) -> Self {
        self.0.twins = true;
        self
    }

    /// With controls for what is broken (`--fixes`).
    pub fn fixes(mut self) -> Self {
        self.0.fixes = true;
        self
    }

    /// Makes the run.
    ///
    /// # Panics
    /// Where it does not come to a report.
    pub fn simulate(self) -> Simulated {
        simulate(self.0, &|_| {}).unwrap_or_else(|error| panic!("no report: {error}"))
    }

    /// Makes the run, and gives its verdicts.
    ///
    /// # Panics
    /// Where it does not come to a report.
    pub fn cells(self) -> Cells {
        Cells::of(&self.simulate().report)
    }
}

/// One simulation: every path, one attacker, some protections taken away.
///
/// # Panics
/// Where it does not come to its end.
pub fn unit(config: &ClusterConfig, attacker: Attacker, flaws: Flaws, seed: u64) -> UnitRun {
    unit_of(config, attacker, &Path::ALL, (flaws, seed))
}

/// The same with some of the paths.
///
/// # Panics
/// Where it does not come to its end.
pub fn unit_of(
    config: &ClusterConfig,
    attacker: Attacker,
    paths: &[Path],
    (flaws, seed): (Flaws, u64),
) -> UnitRun {
    let plan = UnitPlan { paths: paths.to_vec(), ..plan(config, attacker, (flaws, seed)) };
    run_unit(plan).unwrap_or_else(|error| panic!("the simulation ended badly: {error}"))
}

/// The machines of a cluster of so many nodes, as this attacker meets it.
///
/// # Panics
/// Where they have no room.
pub fn layout(config: &ClusterConfig, nodes: u32, attacker: Attacker) -> Layout {
    let layout = Layout::new(config, nodes).expect("the nodes have room");
    if attacker == Attacker::RogueNode { layout.with_rogue() } else { layout }
}

/// The plan of such a simulation, with every path.
///
/// # Panics
/// Where three nodes have no room.
pub fn plan(config: &ClusterConfig, attacker: Attacker, (flaws, seed): (Flaws, u64)) -> UnitPlan {
    UnitPlan {
        config: config.clone(),
        seed,
        layout: layout(config, 3, attacker),
        attacker,
        untrusted: Untrusted::ALL,
        paths: Path::ALL.to_vec(),
        flaws,
        weather: Weather::calm(),
        step: None,
    }
}
