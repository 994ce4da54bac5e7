//! The state of the network and the loop that drives it.
//!
//! A pass over all stacks costs time, so one is made only when something was done to a socket and
//! every task is parked. The clock of a paused runtime moves in whole milliseconds; the loop moves
//! it by less itself, so that latencies are exact.

use crate::flow::{End, FlowId, Flows, Way};
use crate::machine::Belongings;
use crate::topology::{Machine, Map};
use crate::trace::{Event, Trace};
use crate::wire::{Divert, HookSlot, Taps};
use crate::{Forged, SimConfig};
use ravelin_host::{Field, Flaw, SessionSecret, Translation};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use turmoil_net::{EnterGuard, HostId, Packet, TcpSegment, Transport};

/// How many passes may be made without the clock moving. More is a loop that never waits.
const MAX_PASSES_AT_ONCE: u32 = 200_000;

/// One simulation.
pub(crate) struct Network {
    pub(crate) config: SimConfig,
    pub(crate) map: Map,
    pub(crate) hosts: Vec<HostId>,
    pub(crate) start: Instant,
    state: Mutex<State>,
    pub(crate) hook: Mutex<HookSlot>,
    /// Something was done to a socket: a pass is needed.
    dirty: AtomicBool,
    /// The loop wants to run when all tasks are parked.
    waiting: AtomicBool,
    idle: Notify,
    /// The stacks exist. Streams that outlive them are only forgotten.
    alive: AtomicBool,
    pub(crate) belongings: Vec<Belongings>,
    /// The first panic of a machine's task.
    pub(crate) failure: Mutex<Option<String>>,
}

/// What changes.
pub(crate) struct State {
    pub(crate) cell: Arc<str>,
    pub(crate) cell_number: u64,
    pub(crate) flows: Flows,
    pub(crate) queue: BTreeMap<(Duration, u64), Due>,
    pub(crate) queued: u64,
    pub(crate) machines: Vec<MachineState>,
    pub(crate) cuts: BTreeSet<(Machine, Machine)>,
    pub(crate) isolated: BTreeSet<Machine>,
    pub(crate) loss: f64,
    pub(crate) diverts: BTreeMap<u64, Divert>,
    /// Destinations that stand for a source and a destination.
    pub(crate) magic: BTreeMap<IpAddr, (IpAddr, SocketAddr)>,
    /// What listens, and the port that it has in its stack.
    pub(crate) listeners: BTreeMap<(Machine, IpAddr, u16), u16>,
    pub(crate) taps: Taps,
    pub(crate) trace: Trace,
    pub(crate) secrets: Vec<SessionSecret>,
}

/// One machine's.
#[derive(Default)]
pub(crate) struct MachineState {
    pub(crate) crashed: bool,
    pub(crate) offset_seconds: i64,
    pub(crate) tasks: Vec<AbortHandle>,
    /// How many tasks were alive when last looked.
    pub(crate) remembered: usize,
    /// The translation of what passes it.
    pub(crate) translation: Translation,
}

/// What happens at a time.
pub(crate) enum Due {
    Arrival {
        flow: FlowId,
        way: Way,
        segment: TcpSegment,
    },
    /// A packet that belongs to no flow.
    Stray(Packet),
    Forged(Forged),
    Retry {
        flow: FlowId,
        way: Way,
        stamp: u64,
    },
    GiveUp {
        flow: FlowId,
        way: Way,
        stamp: u64,
    },
    Purge(Machine),
}

impl Network {
    pub(crate) fn new(config: SimConfig, map: Map, hosts: Vec<HostId>) -> Self {
        let belongings = map.machines.iter().map(|_| Belongings::default()).collect();
        let mut translation = Translation::default();
        if config.flaws.has(Flaw::HostPortsBeforeServices) {
            translation.danger_ports_first();
        }
        let machine = |_| MachineState { translation: translation.clone(), ..MachineState::default() };
        let machines = map.machines.iter().map(machine).collect();
        let state = State {
            cell: Arc::from(""),
            cell_number: 0,
            flows: Flows::default(),
            queue: BTreeMap::new(),
            queued: 0,
            machines,
            cuts: BTreeSet::new(),
            isolated: BTreeSet::new(),
            loss: config.conditions.loss,
            diverts: BTreeMap::new(),
            magic: BTreeMap::new(),
            listeners: BTreeMap::new(),
            taps: Taps::default(),
            trace: Trace::default(),
            secrets: Vec::new(),
        };
        Self {
            config,
            map,
            hosts,
            start: Instant::now(),
            state: Mutex::new(state),
            hook: Mutex::default(),
            dirty: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            idle: Notify::new(),
            alive: AtomicBool::new(true),
            belongings,
            failure: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Simulated time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now() - self.start
    }

    /// Makes the machine's stack the one that socket calls talk to. False where the simulation is
    /// over (or this is another thread) and there is none.
    pub(crate) fn enter(&self, machine: Machine) -> bool {
        let alive = self.alive.load(Ordering::Relaxed) && ravelin_entropy::is_simulated();
        if alive {
            turmoil_net::set_current(self.hosts[machine]);
        }
        alive
    }

    /// Something was done to a socket.
    pub(crate) fn touch(&self) {
        self.dirty.store(true, Ordering::Relaxed);
    }

    /// Ends the life of all sockets. The handles of tasks hold the runtime, which holds this network:
    /// kept, they would keep all that was ever captured.
    pub(crate) fn end(&self) {
        self.alive.store(false, Ordering::Relaxed);
        let mut state = self.state();
        state.machines.iter_mut().for_each(|machine| machine.tasks.clear());
        state.taps = Taps::default();
    }

    /// Called by the runtime before it waits: all tasks are parked.
    pub(crate) fn parked(&self) {
        if self.waiting.swap(false, Ordering::Relaxed) || self.dirty.load(Ordering::Relaxed) {
            self.idle.notify_one();
        }
    }

    pub(crate) fn record(&self, event: &Event<'_>) {
        let at = self.elapsed();
        self.state().trace.event(at, event);
    }

    /// A line of the network's own.
    pub(crate) fn note(&self, kind: &str, fields: &[Field]) {
        self.record(&Event { kind, machine: None, fields });
    }

    pub(crate) fn take_trace(&self) -> Trace {
        std::mem::take(&mut self.state().trace)
    }

    /// Queues what happens after `delay`.
    pub(crate) fn after(&self, delay: Duration, due: Due) {
        let at = self.elapsed() + delay;
        self.state().push(at, due);
        self.wake();
    }

    /// Makes the loop look at its queue again.
    pub(crate) fn wake(&self) {
        self.waiting.store(true, Ordering::Relaxed);
    }

    /// The loop. Never ends.
    pub(crate) async fn drive(self: Arc<Self>, stacks: Arc<EnterGuard>) {
        let mut out = Vec::new();
        let (mut passes, mut since) = (0, Duration::ZERO);
        loop {
            let wait = self.next_wait();
            tokio::select! {
                biased;
                () = self.idle.notified() => {}
                () = tokio::time::sleep_until(wait.unwrap_or(self.start)), if wait.is_some() => {
                    self.wake();
                    continue;
                }
            }
            if self.dirty.swap(false, Ordering::Relaxed) {
                let now = self.elapsed();
                passes = if now == since { passes + 1 } else { 0 };
                since = now;
                assert!(passes < MAX_PASSES_AT_ONCE, "the network is busy and time stands still");
                stacks.egress_all(&mut out);
                for packet in out.drain(..) {
                    self.outgoing(packet);
                }
                self.wake();
            } else {
                self.step(&stacks).await;
            }
        }
    }

    /// Moves the clock to what is next within this millisecond, and lets it happen.
    async fn step(&self, stacks: &EnterGuard) {
        let now = self.elapsed();
        let next_ms = Duration::from_millis(whole_ms(now) + 1);
        let aligned = now + Duration::from_millis(1) == next_ms;
        let due = self.state().queue.first_key_value().map(|((at, _), _)| *at);
        match due {
            Some(at) if at <= next_ms => {
                if at > now {
                    tokio::time::advance(at - now).await;
                }
                self.arrivals(stacks);
                self.touch();
            }
            _ if !aligned => {
                tokio::time::advance(next_ms - now).await;
                self.wake();
            }
            _ => {}
        }
    }

    /// When to look again, where nothing is due within this millisecond.
    fn next_wait(&self) -> Option<Instant> {
        let due = self.state().queue.first_key_value().map(|((at, _), _)| *at)?;
        let whole = Duration::from_millis(whole_ms(due));
        (whole > self.elapsed()).then(|| self.start + whole)
    }

    fn arrivals(&self, stacks: &EnterGuard) {
        let now = self.elapsed();
        loop {
            let due = {
                let mut state = self.state();
                match state.queue.first_entry() {
                    Some(entry) if entry.key().0 <= now => entry.remove(),
                    _ => return,
                }
            };
            match due {
                Due::Arrival { flow, way, segment } => self.arrive(stacks, flow, (way, segment)),
                Due::Stray(packet) => stacks.deliver(packet),
                Due::Forged(forged) => self.judge(stacks, forged),
                Due::Retry { flow, way, stamp } => self.retry(flow, way, stamp),
                Due::GiveUp { flow, way, stamp } => self.give_up(flow, way, stamp),
                Due::Purge(machine) => self.purge(stacks, machine),
            }
        }
    }

    /// Finds or opens the flow of a packet that a stack emitted.
    fn outgoing(&self, packet: Packet) {
        let Transport::Tcp(segment) = packet.payload else { return };
        let end = End {
            local: SocketAddr::new(packet.src, segment.src_port),
            remote: SocketAddr::new(packet.dst, segment.dst_port),
        };
        let opens = segment.flags.syn && !segment.flags.ack;
        let known = {
            let state = self.state();
            let sender = self.map.owner(packet.src);
            if sender.is_none_or(|machine| state.machines[machine].crashed) {
                return;
            }
            state.flows.of_sender(end).filter(|_| !opens)
        };
        match known {
            Some((flow, way)) => self.transmit(flow, way, segment),
            None if opens => self.open(end, segment),
            None => {}
        }
    }
}

impl State {
    pub(crate) fn push(&mut self, at: Duration, due: Due) {
        self.queued += 1;
        self.queue.insert((at, self.queued), due);
    }

    /// May packets pass between two machines?
    pub(crate) fn is_cut(&self, a: Machine, b: Machine) -> bool {
        self.cuts.contains(&(a.min(b), a.max(b)))
            || a != b && (self.isolated.contains(&a) || self.isolated.contains(&b))
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a simulation is shorter than 500 million years")
}
