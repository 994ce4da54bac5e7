//! A simulation from its start to its end.

use crate::machine::spawn_here;
use crate::network::Network;
use crate::stream::SimListener;
use crate::topology::Map;
use crate::{SimConfig, Topology, Trace, World};
use std::any::Any;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, RngSeed, Runtime, UnhandledPanic};
use turmoil_net::{EnterGuard, KernelConfig, Net};

/// The simulation's own stack: TLS and JSON of deep objects need some.
const STACK_BYTES: usize = 16 << 20;

/// A simulation that came to its end.
#[derive(Debug)]
pub struct Finished<T> {
    /// What the scenario gave.
    pub value: T,
    /// What happened.
    pub trace: Trace,
    /// How much simulated time it took.
    pub simulated: Duration,
}

/// A simulation that did not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The topology makes no sense.
    #[error("the topology is wrong: {0}")]
    Topology(String),
    /// The scenario, or a task of a machine, panicked.
    #[error("the simulation panicked: {message}")]
    Panicked {
        /// Which task, and what the panic said.
        message: String,
        /// What had happened until then.
        trace: Trace,
    },
    /// The scenario did not end within `Conditions::limit`.
    #[error("the scenario has not ended after {after:?} of simulated time")]
    Hung {
        /// How much simulated time that was.
        after: Duration,
        /// What had happened until then.
        trace: Trace,
    },
    /// The operating system gave no thread or no runtime.
    #[error("the simulation could not be started")]
    Start(#[source] std::io::Error),
}

/// The network, where both the thread and who waits for it find it.
type Shared = Arc<OnceLock<Arc<Network>>>;

/// Runs a scenario on a thread of its own and waits for its end.
///
/// # Errors
/// Where the topology is wrong, something panicked, or the scenario hung.
pub fn run<T: Send + 'static>(
    config: SimConfig,
    topology: Topology,
    scenario: impl FnOnce(World) -> Pin<Box<dyn Future<Output = T>>> + Send + 'static,
) -> Result<Finished<T>, SimError> {
    let map = Map::new(topology, &config).map_err(SimError::Topology)?;
    let shared = Shared::default();
    let inside = Arc::clone(&shared);
    let thread = std::thread::Builder::new()
        .name("simulation".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || simulate(config, map, &inside, scenario))
        .map_err(SimError::Start)?;
    thread.join().unwrap_or_else(|panic| {
        let network = shared.get();
        // A task's panic is the cause, that of the scenario its consequence.
        let of_task = network.and_then(|network| network.failure());
        let message = of_task.unwrap_or_else(|| panic_text(&*panic).to_owned());
        let trace = network.map(|network| network.take_trace()).unwrap_or_default();
        Err(SimError::Panicked { message, trace })
    })
}

fn simulate<T>(
    config: SimConfig,
    map: Map,
    shared: &Shared,
    scenario: impl FnOnce(World) -> Pin<Box<dyn Future<Output = T>>>,
) -> Result<Finished<T>, SimError> {
    let _simulated = ravelin_entropy::enter(config.seed);
    let (stacks, hosts) = stacks(&map);
    let stacks = Arc::new(stacks);
    let limit = config.conditions.limit;
    let runtime = runtime(config.seed, shared).map_err(SimError::Start)?;
    let network = {
        // The clock of the network is the runtime's.
        let _inside = runtime.enter();
        Arc::new(Network::new(config, map, hosts))
    };
    shared.get_or_init(|| Arc::clone(&network));
    let ended = runtime.block_on(async {
        spawn_here(Arc::clone(&network).drive(Arc::clone(&stacks)));
        let world = World::new(&network, intercept(&network));
        let value = tokio::time::timeout(limit, scenario(world)).await;
        let trace = network.take_trace();
        match value {
            Ok(value) => Ok(Finished { value, trace, simulated: network.elapsed() }),
            Err(_) => Err(SimError::Hung { after: limit, trace }),
        }
    });
    end(&network, runtime, stacks);
    ended
}

/// Tasks end inside the runtime and before the stacks.
fn end(network: &Arc<Network>, runtime: Runtime, stacks: Arc<EnterGuard>) {
    let handle = runtime.handle().clone();
    let inside = handle.enter();
    network.hook.lock().unwrap_or_else(PoisonError::into_inner).hook = None;
    drop(runtime);
    drop(inside);
    network.end();
    drop(stacks);
}

fn stacks(map: &Map) -> (EnterGuard, Vec<turmoil_net::HostId>) {
    let config = KernelConfig::default().retx_threshold(u32::MAX).default_backlog(100_000);
    let mut net = Net::with_config(config);
    let hosts = map.machines.iter().map(|machine| net.add_host(machine.addresses.clone())).collect();
    (net.enter(), hosts)
}

fn runtime(seed: u64, network: &Shared) -> std::io::Result<Runtime> {
    let network = Arc::clone(network);
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
        .unhandled_panic(UnhandledPanic::ShutdownRuntime)
        .on_thread_park(move || {
            if let Some(network) = network.get() {
                network.parked();
            }
        })
        .build()
}

/// Where the attacker's machine takes diverted connections.
fn intercept(network: &Arc<Network>) -> Option<Arc<SimListener>> {
    let attacker = network.map.attacker?;
    let on = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), crate::opening::DIVERTED_PORT);
    let listener = SimListener::bind(network, attacker, on);
    Some(Arc::new(listener.expect("nothing else listens on a machine that has just been made")))
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why")
}
