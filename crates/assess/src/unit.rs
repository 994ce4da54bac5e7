//! One simulation: boot, the baseline of every path, then one attacker's tactics on each path.

use crate::model::{Capture, PathOutcome};
use crate::path::Path;
use crate::probe::{self, DirectProbe, Probe, Secrets, Unusable};
use crate::stage::Stage;
use crate::tampering::{Honest, Tampering};
use crate::weather::Weather;
use crate::{capture, exposure, holdings, referee};
use ravelin_adversary::{Attacker, Field, Loot, ServerKind, Target, most_tactics, most_tactics_of_who_asks};
use ravelin_cluster::{Cluster, Hosts, Layout};
use ravelin_config::ClusterConfig;
use ravelin_host::Flaws;
use ravelin_oracle::{Attempt, Call, Canary, Handed, Issued, Observed, Property, not_genuine};
use ravelin_sim::{MachineSpec, Place, SimConfig, SimError, Topology, Trace, Untrusted, World};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long the cluster gets to boot, in simulated time. What is not ready then has failed.
const BOOT: Duration = Duration::from_secs(120);
/// The simulated time that each use of a path gets, so that leaving one out moves no other; with
/// tunnels, which have to be cut and opened again, it is more.
const SLOT: Duration = Duration::from_secs(10);
const SLOT_WITH_TUNNELS: Duration = Duration::from_secs(30);

/// The pause before each further path to kubelets: what a kubelet learned of callers on the one
/// before (`cacheAuthorizedTTL`, 5 minutes by default) is forgotten then, whether or not that path
/// was run.
const FORGETTING: Duration = Duration::from_secs(310);

/// How often a path is tried after the faults have healed, and the pause between two tries: with
/// the probes' own deadlines it has some three minutes.
const HEALING_ATTEMPTS: u32 = 12;
const HEALING_PAUSE: Duration = Duration::from_secs(10);

/// No simulation lasts longer, in simulated time.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Whoever is told of every step of a simulation, by name.
pub type StepListener = Arc<dyn Fn(&str) + Send + Sync>;

/// What one simulation runs.
#[derive(Clone)]
pub struct UnitPlan {
    /// The cluster.
    pub config: ClusterConfig,
    /// What decides every random choice.
    pub seed: u64,
    /// The machines.
    pub layout: Layout,
    /// Who attacks.
    pub attacker: Attacker,
    /// Where.
    pub untrusted: Untrusted,
    /// Which paths; the others are left out.
    pub paths: Vec<Path>,
    /// The protections taken away.
    pub flaws: Flaws,
    /// What goes wrong by itself. With faults, every path is tried once more when they have healed.
    pub weather: Weather,
    /// Told of every step, by name.
    pub step: Option<StepListener>,
}

/// What one simulation showed.
#[derive(Clone, Debug)]
pub struct UnitRun {
    /// Each path, in order.
    pub paths: Vec<PathRun>,
    /// How the cluster's control plane reached the cluster.
    pub egress: String,
    /// The trace.
    pub trace: Trace,
    /// Simulated time.
    pub simulated: Duration,
    /// The packets, where they were wanted.
    pub capture: Option<Capture>,
}

/// What one simulation showed of one path.
#[derive(Clone, Debug)]
pub struct PathRun {
    /// The path.
    pub path: Path,
    /// Does it work without an attacker?
    pub state: PathOutcome,
    /// Why not.
    pub error: Option<String>,
    /// Packets of the path that the attacker touched, over all its uses.
    pub exposed_packets: u64,
    /// Must the path's packets pass the attacker for an attack to be one? The others ask for
    /// themselves, from where they are.
    pub waits_for_packets: bool,
    /// Properties that only packets of others could break, for an attacker who sees none.
    pub sees_too_little: BTreeSet<Property>,
    /// Why properties do not apply, by property.
    pub not_applicable: BTreeMap<Property, String>,
    /// What each tactic brought about.
    pub rounds: Vec<Round>,
    /// After all faults had healed: did the path work again, or why not? Nothing without faults.
    pub healed: Option<Result<(), String>>,
}

/// One tactic on one path.
#[derive(Clone, Debug)]
pub struct Round {
    /// The tactic.
    pub tactic: &'static str,
    /// What was seen.
    pub seen: Observed,
}

/// Runs one simulation.
///
/// # Errors
/// Where the simulation itself ended badly: a bug.
pub fn run(plan: UnitPlan) -> Result<UnitRun, SimError> {
    run_tampered(plan, Honest)
}

/// Runs one simulation, and keeps its packets.
///
/// # Errors
/// Where the simulation itself ended badly: a bug.
pub fn run_captured(plan: UnitPlan) -> Result<UnitRun, SimError> {
    run_as(plan, Honest, true)
}

/// Runs one simulation whose observations are falsified.
///
/// # Errors
/// Where the simulation itself ended badly.
pub fn run_tampered(plan: UnitPlan, tampering: impl Tampering) -> Result<UnitRun, SimError> {
    run_as(plan, tampering, false)
}

fn run_as(plan: UnitPlan, tampering: impl Tampering, want_packets: bool) -> Result<UnitRun, SimError> {
    let mut plan = plan;
    if plan.attacker == Attacker::RogueNode {
        plan.layout = plan.layout.with_rogue();
    }
    let mut config = SimConfig::new(plan.seed);
    config.untrusted = plan.untrusted;
    config.on_path = plan.attacker.is_on_the_path();
    config.owned = holdings::owned(&plan.layout, plan.attacker);
    config.flaws = plan.flaws.clone();
    config.conditions = plan.weather.conditions.clone();
    config.conditions.limit = LIMIT;
    let topology = topology(&plan.layout);
    let finished = ravelin_sim::run(config, topology, move |world| {
        Box::pin(async move {
            let (seen, attacker) = (world.clone(), plan.attacker.name());
            let (egress, paths, pods) = play(world, plan, &tampering).await;
            let capture = want_packets.then(|| capture::of(&seen, attacker, pods));
            (egress, paths, capture)
        })
    })?;
    let (egress, paths, capture) = finished.value;
    Ok(UnitRun { paths, egress, trace: finished.trace, simulated: finished.simulated, capture })
}

/// The simulated machines of a layout, and their names.
pub fn topology(layout: &Layout) -> Topology {
    let mut topology = Topology::default();
    let mut add = |place: Place, name: &str, address| {
        let addresses = vec![address];
        topology.machines.push(MachineSpec { name: name.to_owned(), addresses: addresses.clone(), place });
        topology.names.insert(name.to_owned(), addresses);
    };
    for machine in layout.control_planes().chain([&layout.controllers, &layout.operator]) {
        add(Place::ControlPlane, &machine.name, machine.address);
    }
    add(Place::Access, &layout.user.name, layout.user.address);
    add(Place::Attacker, &layout.attacker.name, layout.attacker.address);
    for (index, node) in layout.nodes.iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        add(Place::Node(index), &node.machine.name, node.machine.address);
        for (number, pod) in node.pods.iter().enumerate() {
            add(Place::Pod { node: index }, &format!("{}-pod-{}", node.machine.name, number + 1), *pod);
        }
    }
    topology
}

/// The egress, the paths, and the pods' names.
type Played = (String, Vec<PathRun>, Vec<(IpAddr, String)>);

async fn play(world: World, plan: UnitPlan, tampering: &dyn Tampering) -> Played {
    let say = |what: &str| plan.step.iter().for_each(|step| step(what));
    say("boot");
    world.enter_cell("boot");
    let hosts = Hosts::of(&plan.layout, |name| world.host(name));
    let cluster = Cluster::start(&plan.config, plan.layout.clone(), hosts, BOOT).await;
    let egress = cluster.egress_name().to_owned();
    let stage = match Stage::new(world.clone(), cluster, plan.attacker).await {
        Ok(stage) => stage,
        Err(why) => {
            let failed = plan.paths.iter().map(|path| PathRun::failed(*path, &why));
            return (egress, failed.collect(), Vec::new());
        }
    };
    let slot = if stage.is_tunnelled() { SLOT_WITH_TUNNELS } else { SLOT };
    let begin = BOOT + holdings::ripening(plan.attacker);
    let mut paths = Vec::new();
    let plays = plan.paths.iter().copied().map(|path| {
        let earlier = Path::ALL.iter().take_while(|known| **known != path);
        let slots = earlier.map(|earlier| slots(plan.attacker, *earlier)).sum::<u32>();
        let first = begin + slot * slots + FORGETTING * pauses(path);
        PathPlay { stage: &stage, plan: &plan, tampering, path, slot, first }
    });
    let attacks = async {
        for play in plays.clone() {
            let egress = if play.path.uses_egress() { egress.as_str() } else { "direct" };
            say(&format!("{}@{egress}", play.path));
            paths.push(play.play().await);
        }
    };
    futures_util::future::join(attacks, plan.weather.play(&stage)).await;
    if !plan.weather.faults.is_empty() {
        // What was absent before has nothing to come back.
        for (run, play) in paths.iter_mut().zip(plays).filter(|(run, _)| run.state != PathOutcome::Absent) {
            run.healed = Some(play.works_again().await);
        }
    }
    (egress, paths, capture::pod_names(&stage))
}

/// How many slots a path has: one for its baseline and one for each tactic. Leaving a path out
/// moves no other.
fn slots(attacker: Attacker, path: Path) -> u32 {
    1 + match path {
        Path::DirectApiserver => most_tactics_of_who_asks(ServerKind::Apiserver),
        path if path.is_asked_directly() => most_tactics_of_who_asks(ServerKind::Port),
        _ => most_tactics(attacker),
    }
}

/// How many paths to kubelets follow another one, up to and with this path.
fn pauses(path: Path) -> u32 {
    let further = [Path::KubeletExec, Path::KubeletAttach, Path::KubeletPortForward];
    further.iter().map(|known| u32::from(*known <= path)).sum()
}

impl PathRun {
    /// A path of which nothing was seen yet.
    fn new(path: Path, attacker: Option<Attacker>) -> Self {
        Self {
            path,
            state: PathOutcome::Works,
            error: None,
            exposed_packets: 0,
            waits_for_packets: attacker.is_none_or(Attacker::is_on_the_path) && !path.is_asked_directly(),
            sees_too_little: BTreeSet::new(),
            not_applicable: BTreeMap::new(),
            rounds: Vec::new(),
            healed: None,
        }
    }

    /// A path in a cluster that has not what its attacker should hold.
    fn failed(path: Path, why: &str) -> Self {
        Self { state: PathOutcome::Failed, error: Some(why.to_owned()), ..Self::new(path, None) }
    }
}

struct PathPlay<'a> {
    stage: &'a Stage,
    plan: &'a UnitPlan,
    tampering: &'a dyn Tampering,
    path: Path,
    slot: Duration,
    first: Duration,
}

impl PathPlay<'_> {
    async fn play(&self) -> PathRun {
        let mut run = PathRun::new(self.path, Some(self.plan.attacker));
        let target = match self.baseline(&mut run).await {
            Ok(target) => target,
            Err(unusable) => {
                (run.state, run.error) = match unusable {
                    Unusable::Absent(why) => (PathOutcome::Absent, Some(why)),
                    Unusable::Failed(why) if self.has_no_listener(&why) => {
                        (PathOutcome::Absent, Some(format!("kubelets do not listen (enableServer): {why}")))
                    }
                    Unusable::Failed(why) => (PathOutcome::Failed, Some(why)),
                };
                return run;
            }
        };
        for property in Property::ALL {
            if self.plan.attacker.sees_too_little(&target, property) {
                run.sees_too_little.insert(property);
            }
            if let Some(why) = self.plan.attacker.untouched(&target, property) {
                run.not_applicable.insert(property, why.to_string());
            }
        }
        self.attack(&target, &mut run).await;
        run
    }

    /// Has the configuration no listener for this path, and did the baseline see that?
    fn has_no_listener(&self, why: &str) -> bool {
        let kubelet = &self.plan.config.kubelet;
        // Inside a tunnel it is the node's SSH server that says so (RFC 4254 section 5.1).
        let refused = ["connection refused", "connect failed"].iter().any(|text| why.contains(text));
        self.path.leads_to_a_kubelet() && !kubelet.enable_server && refused
    }

    /// Waits for a slot of this path and starts its cell.
    async fn slot(&self, number: usize, name: &str) -> Secrets {
        let number = u32::try_from(number).unwrap_or(u32::MAX).min(slots(self.plan.attacker, self.path) - 1);
        let due = self.first + self.slot * number;
        let now = self.stage.world.elapsed();
        tokio::time::sleep(due.saturating_sub(now)).await;
        self.stage.world.enter_cell(&format!("{}/{name}", self.path));
        self.secrets()
    }

    fn secrets(&self) -> Secrets {
        let mut entropy = ravelin_entropy::stream(&["canaries"]);
        // The request's canary must also pass as a number of bytes (int64).
        let number = 1_000_000_000_000_000 + entropy.below(9_000_000_000_000_000);
        Secrets {
            id: entropy.word(8),
            request: Canary::new(number.to_string()),
            response: Canary::new(entropy.word(24)),
        }
    }

    /// Uses the path once without attack, and counts its packets.
    async fn baseline(&self, run: &mut PathRun) -> Result<Target, Unusable> {
        let due = self.first.saturating_sub(self.stage.world.elapsed());
        tokio::time::sleep(due).await;
        let began = self.stage.world.wire().packet_count();
        let target = self.honest_use(&format!("{}/baseline", self.path)).await?;
        run.exposed_packets = exposure::count(self.stage, &target, self.plan.attacker, began);
        Ok(target)
    }

    /// Uses the path once without attack. The answer must hold the canary.
    async fn honest_use(&self, cell: &str) -> Result<Target, Unusable> {
        self.stage.world.enter_cell(cell);
        if self.path.is_asked_directly() {
            let mut probe = DirectProbe::new(self.stage, self.path);
            return probe.knock().await.map(|()| probe.target());
        }
        let secrets = self.secrets();
        let used = self.tampering.used(&secrets, false);
        let mut probe = probe::new(self.stage, self.path, &used)?;
        probe.plant().await.map_err(Unusable::Failed)?;
        let calls = self.exercise(&*probe, &used).await;
        let issued = probe.issued();
        for call in &calls {
            judge_honest(call, &issued).map_err(Unusable::Failed)?;
        }
        let answered = calls.last().is_some_and(
            |call| matches!(&call.handed, Handed::Success(body) if secrets.response.is_in(body)),
        );
        if !answered {
            return Err(Unusable::Failed(
                "the answer did not hold what the server was told to answer".into(),
            ));
        }
        if probe.executed().iter().any(|executed| !executed.as_sent) {
            return Err(Unusable::Failed("the server executed something else than was sent".into()));
        }
        Ok(probe.target())
    }

    /// Uses the path until it works, for a bounded time.
    async fn works_again(&self) -> Result<(), String> {
        let mut last = String::new();
        for attempt in 0..HEALING_ATTEMPTS {
            let cell = format!("{}/healed-{attempt}", self.path);
            match self.honest_use(&cell).await {
                Ok(_) => return Ok(()),
                Err(Unusable::Absent(why) | Unusable::Failed(why)) => last = why,
            }
            tokio::time::sleep(HEALING_PAUSE).await;
        }
        Err(last)
    }

    async fn exercise(&self, probe: &dyn Probe, used: &Secrets) -> Vec<Call> {
        let calls = probe.exercise().await;
        calls.into_iter().map(|call| self.tampering.handed(without_canaries(call, used))).collect()
    }

    async fn attack(&self, target: &Target, run: &mut PathRun) {
        let loot = Loot::default();
        // Tokens on disks are renewed before they expire, and whoever is there reads them again.
        let renewed = holdings::of(&self.stage.world, &self.stage.cluster, self.plan.attacker);
        let holdings = renewed.unwrap_or_else(|_| self.stage.holdings.clone());
        let tactics = self.tampering.tactics(self.plan.attacker, &holdings, target);
        for (number, tactic) in tactics.into_iter().enumerate() {
            let secrets = self.slot(number + 1, tactic.name()).await;
            let began = self.stage.world.wire().packet_count();
            let used = self.tampering.used(&secrets, true);
            let prepared = async {
                let mut probe = probe::new(self.stage, self.path, &used)?;
                probe.plant().await.map_err(Unusable::Failed)?;
                Ok(probe)
            };
            let probe = match prepared.await {
                Ok(probe) => probe,
                Err(Unusable::Absent(why) | Unusable::Failed(why)) => {
                    run.rounds.push(self.not_tried(tactic.name(), &secrets, why));
                    continue;
                }
            };
            let target = probe.target();
            let field = Field::new(&self.stage.world, &holdings, &loot);
            let calls: RefCell<Vec<Call>> = RefCell::default();
            let using = Box::pin(async {
                *calls.borrow_mut() = self.exercise(&*probe, &used).await;
            });
            let mut attempt = tactic.run(&field, &target, using).await;
            if self.plan.attacker == Attacker::Eavesdropper && number == 0 {
                referee::add_encryption(&field, &target, &secrets, &mut attempt);
            }
            run.exposed_packets += exposure::count(self.stage, &target, self.plan.attacker, began);
            let (issued, executed) = (probe.issued(), probe.executed());
            let Secrets { request, response, .. } = secrets.clone();
            let calls = calls.take();
            let seen = Observed { request, response, attempt, calls, issued, executed };
            run.rounds.push(Round { tactic: tactic.name(), seen });
            self.stage.recover().await;
        }
    }
}

impl PathPlay<'_> {
    /// A tactic that could not be tried: nothing was seen, and the story says why.
    fn not_tried(&self, tactic: &'static str, secrets: &Secrets, why: String) -> Round {
        let (request, response) = (secrets.request.clone(), secrets.response.clone());
        let mut attempt = Attempt::default();
        attempt.story.push((self.stage.world.elapsed(), format!("not tried: {why}")));
        let (calls, issued, executed) = (Vec::new(), Vec::new(), Vec::new());
        Round { tactic, seen: Observed { request, response, attempt, calls, issued, executed } }
    }
}

/// Errors are shown to people, and may quote the request.
fn without_canaries(mut call: Call, used: &Secrets) -> Call {
    if let Handed::Error { text, .. } = &mut call.handed {
        for canary in [&used.request, &used.response] {
            *text = text.replace(canary.reveal(), "(canary)");
        }
    }
    call
}

/// What is wrong with an honest call's outcome, if anything is.
fn judge_honest(call: &Call, issued: &[Issued]) -> Result<(), String> {
    let wrong = match &call.handed {
        Handed::Error { text, .. } => Some(text.clone()),
        Handed::Nothing => Some("no answer before the deadline".to_owned()),
        Handed::Success(_) | Handed::Partial => not_genuine(call, issued),
    };
    wrong.map_or(Ok(()), |why| Err(format!("{}: {why}", call.flow)))
}
