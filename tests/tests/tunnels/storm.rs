//! Nodes that come, go, crash and are cut off while everybody talks through the tunnels.

use super::pattern::{self, Talk};
use super::stage::{self, Count, Stage, Which, address_of, name_of};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use ravelin_entropy::Entropy;
use ravelin_sim::{Conditions, Latency};
use ravelin_transport::egress::{Destination, Egress};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{sleep, sleep_until};

/// Cases in an ordinary run, and in a deep one.
const CASES: (u32, u32) = (6, 150);
/// How many talk at a time.
const TALKERS: usize = 8;
/// When faults begin, in seconds after the calm.
const BEGIN: std::ops::Range<u64> = 0..240;
/// How long a tunnel may be missing after the last fault has healed.
const HEALED: Duration = Duration::from_secs(60);
/// After this long nothing of what was broken is left: the longest time that anything here waits for a
/// silent peer, twice.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// A fault, and when it heals.
#[derive(Clone, Copy, Debug)]
struct Fault {
    from: u64,
    lasts: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The node's machine stops, and starts anew.
    Crashed(usize),
    /// The node reaches nobody.
    Isolated(usize),
    /// All connections of the node are reset.
    Reset(usize),
    /// Its Node object is deleted, and comes back.
    Gone(usize),
}

/// One case.
#[derive(Clone, Debug)]
struct Storm {
    seed: u64,
    nodes: usize,
    latency_us: u64,
    loss_per_mille: u32,
    faults: Vec<Fault>,
}

fn any_storm() -> impl Strategy<Value = Storm> {
    (2_usize..=4, prop::collection::vec(0_u8..4, 1..=4)).prop_flat_map(|(nodes, kinds)| {
        let kind = (prop::sample::select(kinds), 0..nodes).prop_map(|(kind, node)| match kind {
            0 => Kind::Crashed(node),
            1 => Kind::Isolated(node),
            2 => Kind::Reset(node),
            _ => Kind::Gone(node),
        });
        let fault = (BEGIN, 1..200_u64, kind).prop_map(|(from, lasts, kind)| Fault { from, lasts, kind });
        let faults = prop::collection::vec(fault, 1..=8);
        (0..1_000_000_u64, 200..40_000_u64, prop_oneof![Just(0), 0..20_u32], faults).prop_map(
            move |(seed, latency_us, loss_per_mille, faults)| Storm {
                seed,
                nodes,
                latency_us,
                loss_per_mille,
                faults,
            },
        )
    })
}

/// What a case came to.
struct Outcome {
    complaints: Vec<String>,
    before: Count,
    after: Count,
    /// Conversations that went well, and those that broke off or could not begin.
    talked: usize,
    broken: usize,
}

fn run(which: Which, storm: &Storm) -> Outcome {
    let latency = Latency::between_us(storm.latency_us / 4, storm.latency_us);
    let conditions = Conditions {
        access: latency,
        loss: f64::from(storm.loss_per_mille) / 1000.0,
        ..Conditions::ordinary()
    };
    let faults = storm.faults.clone();
    let of = (which, storm.seed, storm.nodes);
    stage::play(of, conditions, move |stage| Box::pin(play(stage, faults)))
}

async fn play(stage: Rc<Stage>, faults: Vec<Fault>) -> Outcome {
    sleep(FORGOTTEN).await;
    let before = stage.count();
    let (over, talked, broken) =
        (Arc::new(AtomicBool::new(false)), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let talkers: Vec<_> = (0..TALKERS)
        .map(|number| {
            let talker = Talker {
                egress: stage.egress(),
                nodes: stage.nodes,
                complaints: stage.complaints.clone(),
                entropy: stage.control().entropy(&format!("talker {number}")),
            };
            let (over, talked, broken) = (Arc::clone(&over), Arc::clone(&talked), Arc::clone(&broken));
            stage.control().spawn("talker", Box::pin(talker.talk_until((over, talked, broken))))
        })
        .collect();
    weather(&stage, &faults).await;
    sleep(HEALED).await;
    let mut complaints = missing(&stage).await;
    over.store(true, Ordering::Relaxed);
    sleep(FORGOTTEN).await;
    complaints
        .extend(talkers.iter().filter(|talker| !talker.is_finished()).map(|_| "a talker hangs".to_owned()));
    drop(talkers);
    sleep(Duration::from_secs(1)).await;
    complaints.extend(stage.complaints.all());
    let count = |counted: &Arc<AtomicUsize>| counted.load(Ordering::Relaxed);
    Outcome { complaints, before, after: stage.count(), talked: count(&talked), broken: count(&broken) }
}

/// Every tunnel that is missing or leads nowhere.
async fn missing(stage: &Stage) -> Vec<String> {
    let mut found = Vec::new();
    if stage.open() != stage.nodes {
        found.push(format!("{} of {} tunnels are open", stage.open(), stage.nodes));
    }
    for node in 0..stage.nodes {
        let destination = Destination::Node { node: name_of(node) };
        let to = SocketAddr::new(address_of(node), pattern::PORT);
        if let Err(error) = stage.egress().dial(to, &destination).await {
            found.push(format!("{}: {error}", name_of(node)));
        }
    }
    found
}

/// Somebody who talks with one node after the other.
struct Talker {
    egress: Arc<dyn Egress>,
    nodes: usize,
    complaints: pattern::Complaints,
    entropy: Entropy,
}

impl Talker {
    async fn talk_until(
        mut self,
        (over, talked, broken): (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>),
    ) {
        while !over.load(Ordering::Relaxed) {
            let node = usize::try_from(self.entropy.below(self.nodes as u64)).expect("there are a few");
            let talk = Talk {
                key: u64::from_le_bytes(self.entropy.bytes()),
                chunks: u32::try_from(self.entropy.below(40)).expect("it is below"),
                pause: Duration::from_millis(self.entropy.below(500)),
            };
            let destination = Destination::Node { node: name_of(node) };
            let to = SocketAddr::new(address_of(node), pattern::PORT);
            let went = match self.egress.dial(to, &destination).await {
                Ok(stream) => pattern::talk(stream, talk, &self.complaints).await.is_ok(),
                Err(_) => false,
            };
            (if went { &talked } else { &broken }).fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(self.entropy.below(1_000))).await;
        }
    }
}

/// Lets the faults happen and heal, one node's one after the other.
async fn weather(stage: &Stage, faults: &[Fault]) {
    let began = tokio::time::Instant::now();
    let mut turns: BTreeMap<(u64, usize), (bool, Kind)> = BTreeMap::new();
    for (index, fault) in faults.iter().enumerate() {
        turns.insert((fault.from, 2 * index), (true, fault.kind));
        turns.insert((fault.from + fault.lasts, 2 * index + 1), (false, fault.kind));
    }
    let mut now = Now::default();
    for ((at, _), (begins, kind)) in turns {
        sleep_until(began + Duration::from_secs(at)).await;
        now.change(stage, (begins, kind)).await;
    }
}

/// What is broken now, by how many faults.
#[derive(Default)]
struct Now {
    crashed: BTreeMap<usize, u32>,
    isolated: BTreeMap<usize, u32>,
    gone: BTreeSet<usize>,
}

impl Now {
    async fn change(&mut self, stage: &Stage, (begins, kind): (bool, Kind)) {
        let faults = stage.world.faults();
        match (kind, begins) {
            (Kind::Crashed(node), true) => {
                faults.crash(&name_of(node));
                *self.crashed.entry(node).or_default() += 1;
            }
            (Kind::Crashed(node), false) => {
                if ended(&mut self.crashed, node) {
                    faults.restart(&name_of(node));
                    stage.start(node).await;
                }
            }
            (Kind::Isolated(node), true) => {
                faults.isolate(&name_of(node));
                *self.isolated.entry(node).or_default() += 1;
            }
            (Kind::Isolated(node), false) => {
                ended(&mut self.isolated, node);
                faults.heal();
                self.isolated.keys().for_each(|node| faults.isolate(&name_of(*node)));
            }
            (Kind::Reset(node), true) => faults.reset_connections(&name_of(node)),
            (Kind::Gone(node), true) => {
                // Konnectivity does not know Node objects.
                if self.gone.insert(node) && stage.which == Which::Ssh {
                    stage.leaves(node).await;
                }
            }
            (Kind::Gone(node), false) => {
                if self.gone.remove(&node) && stage.which == Which::Ssh {
                    stage.joins(node).await;
                }
            }
            (Kind::Reset(_), false) => {}
        }
    }
}

/// One of a node's faults of a kind has ended: was it the last?
fn ended(counts: &mut BTreeMap<usize, u32>, node: usize) -> bool {
    let left = counts.get_mut(&node).expect("it began");
    *left -= 1;
    let last = *left == 0;
    if last {
        counts.remove(&node);
    }
    last
}

#[test]
fn nothing_is_left_missing_or_mixed_of_ssh_after_a_storm() {
    storms(Which::Ssh);
}

#[test]
fn nothing_is_left_missing_or_mixed_of_konnectivity_after_a_storm() {
    storms(Which::Konnectivity);
}

fn storms(which: Which) {
    let cases = if crate::is_deep() { CASES.1 } else { CASES.0 };
    let (talked, broken) = (Cell::new(0), Cell::new(0));
    let settings = Config { cases, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[6; 32]);
    let outcome = TestRunner::new_with_rng(settings, rng).run(&any_storm(), |storm| {
        let came = run(which, &storm);
        talked.set(talked.get() + came.talked);
        broken.set(broken.get() + came.broken);
        prop_assert!(came.complaints.is_empty(), "{:#?}", came.complaints);
        prop_assert_eq!(came.after, came.before);
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, storm)) => panic!("{why}\nsmallest: {storm:#?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
    let cases = cases as usize;
    assert!(talked.get() > 100 * cases, "too few conversations: {}", talked.get());
    assert!(broken.get() > cases, "too few of them were broken off: {}", broken.get());
}
