//! One case: a cluster, a network, an attacker, some paths, some faults. What varies at all is
//! drawn first (swarm testing), then how. All parts shrink on their own: settings back to kubeadm's,
//! nodes to one, paths and faults to none.

use super::files;
use super::settings::{Settings, THEMES};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use ravelin_adversary::Attacker;
use ravelin_assess::{Fault, FaultKind, Path, UnitPlan, Weather};
use ravelin_config::{ClusterConfig, SourceFile};
use ravelin_sim::{Conditions, Untrusted};
use ravelin_tests::model::Facts;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How many nodes most clusters have at most, and how many any has.
const FEW: u32 = 4;
const MANY: u32 = 30;

/// When the first path has its turn, and how long each use of a path gets, in simulated time: faults
/// are drawn from then on.
const BOOT: Duration = Duration::from_secs(120);
const SLOT: Duration = Duration::from_secs(30);

/// One case.
#[derive(Clone)]
pub struct Case {
    /// The simulation's seed.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u32,
    /// Who attacks.
    pub attacker: Attacker,
    /// Where: both segments, `access`, or `fabric`.
    pub untrusted: (bool, bool),
    /// Which paths.
    pub paths: Vec<Path>,
    /// Which settings differ from kubeadm's: a theme and a choice.
    pub choices: Vec<(usize, usize)>,
    /// What goes wrong by itself.
    pub faults: Vec<Fault>,
}

impl Case {
    /// Its settings.
    pub fn settings(&self) -> Settings {
        Settings::with(&self.choices)
    }

    /// Its files.
    pub fn files(&self) -> Vec<SourceFile> {
        files::of(&self.settings())
    }

    /// Its cluster.
    ///
    /// # Errors
    /// Every mistake that its files are said to have.
    pub fn config(&self) -> Result<ClusterConfig, String> {
        let refused = |errors: Vec<ravelin_config::ConfigError>| {
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        ClusterConfig::read(&self.files(), None).map_err(refused)
    }

    /// What the model has to know of it.
    pub fn facts(&self) -> Facts {
        self.settings().facts(self.nodes, self.untrusted)
    }

    /// The simulation of it.
    pub fn plan(&self, config: &ClusterConfig, seed: u64) -> UnitPlan {
        let plan = ravelin_tests::plan(config, self.attacker, (ravelin_host::Flaws::none(), seed));
        let mut weather = Weather::calm();
        weather.faults.clone_from(&self.faults);
        if !self.faults.is_empty() {
            weather.conditions = Conditions { loss: 0.005, ..weather.conditions };
        }
        UnitPlan {
            layout: ravelin_tests::layout(config, self.nodes, self.attacker),
            untrusted: Untrusted { access: self.untrusted.0, fabric: self.untrusted.1 },
            paths: self.paths.clone(),
            weather,
            ..plan
        }
    }

    fn untrusted_name(&self) -> &'static str {
        match self.untrusted {
            (true, false) => "access",
            (false, _) => "fabric",
            _ => "all",
        }
    }

    /// The command that repeats it, without its faults, after its files have been written down.
    ///
    /// # Panics
    /// Where they cannot be written.
    pub fn command(&self) -> String {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("model-{}", self.seed));
        // What a former case of this seed left is no part of this one.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the target folder can be written");
        for file in self.files() {
            std::fs::write(folder.join(&file.name), &file.text).expect("the target folder can be written");
        }
        let paths: String = self.paths.iter().map(|path| format!(" --path {path}")).collect();
        format!(
            "ravelin simulate --seed {} --nodes {} --untrusted {} --attacker {}{paths} {}",
            self.seed,
            self.nodes,
            self.untrusted_name(),
            self.attacker,
            folder.display()
        )
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} nodes, {} untrusted, seed {}", self.nodes, self.untrusted_name(), self.seed)?;
        let paths: Vec<&str> = self.paths.iter().map(|path| path.name()).collect();
        writeln!(f, "{} on {}", self.attacker, paths.join(", "))?;
        for (theme, choice) in &self.choices {
            let (theme, choices) = THEMES[*theme];
            writeln!(f, "  {theme}: {}", choices[choice % choices.len()].0)?;
        }
        self.faults.iter().try_for_each(|fault| writeln!(f, "  fault: {fault:?}"))
    }
}

/// Any case of these attackers on these paths.
pub fn calm(attackers: &'static [Attacker], ways: &'static [Path]) -> impl Strategy<Value = Case> {
    let many = THEMES.len();
    let varies = vec(any::<bool>(), many);
    let set = vec(proptest::bool::weighted(0.7), many);
    let chosen = vec(0_usize..12, many);
    let nodes = prop_oneof![9 => 1..=FEW, 1 => 1..=MANY];
    let who = (
        0..attackers.len(),
        prop_oneof![3 => Just((true, true)), 1 => Just((true, false)), 1 => Just((false, true))],
    );
    let paths = proptest::sample::subsequence(ways.to_vec(), 1..=3);
    (any::<u32>(), nodes, who, paths, (varies, set, chosen)).prop_map(
        move |(seed, nodes, (attacker, untrusted), paths, (varies, set, chosen))| Case {
            seed: u64::from(seed),
            // Of a single node there is none left to be honest.
            nodes: nodes.max(if attackers[attacker] == Attacker::RogueNode { 2 } else { 1 }),
            attacker: attackers[attacker],
            untrusted,
            paths,
            choices: (0..many).filter(|at| varies[*at] && set[*at]).map(|at| (at, chosen[at])).collect(),
            faults: Vec::new(),
        },
    )
}

/// The same in bad weather.
pub fn stormy(attackers: &'static [Attacker], ways: &'static [Path]) -> impl Strategy<Value = Case> {
    let faults = vec((0_u64..400, 1_u64..60, 0_u8..4, 0_usize..4, 0_usize..4), 1..=5);
    (calm(attackers, ways), vec(any::<bool>(), 4), faults).prop_map(|(mut case, kinds, faults)| {
        case.nodes = case.nodes.min(FEW);
        let first = case.paths.first().copied().unwrap_or(Path::KubeletLogs);
        let turns = 1 + ravelin_adversary::most_tactics(case.attacker);
        let index = Path::ALL.iter().position(|path| *path == first).unwrap_or(0);
        let begin = BOOT + SLOT * turns * u32::try_from(index).unwrap_or(0);
        let nodes = case.nodes as usize;
        let kind = |kind: u8, one: usize, other: usize| match kind {
            0 => FaultKind::Isolated(one % nodes),
            1 if one % nodes != other % nodes => FaultKind::Parted(one % nodes, other % nodes),
            2 => FaultKind::Crashed(one % nodes),
            _ => FaultKind::Reset,
        };
        let varies = |kind: &u8| kinds[usize::from(*kind)] || kinds.iter().all(|on| !on);
        case.faults = faults
            .into_iter()
            .filter(|(_, _, kind, _, _)| varies(kind))
            .map(|(from, lasts, k, one, other)| Fault {
                from: begin + Duration::from_secs(from),
                lasts: Duration::from_secs(lasts),
                kind: kind(k, one, other),
            })
            .collect();
        case
    })
}
