//! What a simulation is started with.

use crate::Untrusted;
use ravelin_host::Flaws;
use std::collections::BTreeSet;
use std::time::Duration;

/// One simulation's settings.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The segments that attackers touch.
    pub untrusted: Untrusted,
    /// The attacker touches what passes on them. Without, its machine is only reached from there and
    /// reaches others: packets of others pass it by, and answers to an address that is not its own
    /// never come to it.
    pub on_path: bool,
    /// The machines, by name, that the attacker owns besides its own: every packet to or from them is
    /// touched, whatever the segment. What runs there runs on. Who owns a node owns its pods.
    pub owned: BTreeSet<String>,
    /// Protections taken away.
    pub flaws: Flaws,
    /// The wall clock at the start.
    pub epoch: jiff::Timestamp,
    /// How good the network is.
    pub conditions: Conditions,
}

impl SimConfig {
    /// A simulation with an attacker on both untrusted segments that owns no other machine, no flaws,
    /// and an ordinary network, that starts at 2026-01-01 00:00 UTC.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            untrusted: Untrusted::ALL,
            on_path: true,
            owned: BTreeSet::new(),
            flaws: Flaws::none(),
            epoch: jiff::Timestamp::constant(1_767_225_600, 0),
            conditions: Conditions::ordinary(),
        }
    }
}

/// How long a packet takes: any time between the two, each equally likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The shortest time.
    pub least: Duration,
    /// The longest time.
    pub most: Duration,
}

impl Latency {
    /// Between so many microseconds and so many.
    pub const fn between_us(least: u64, most: u64) -> Self {
        Self { least: Duration::from_micros(least), most: Duration::from_micros(most) }
    }

    /// Always so many microseconds.
    pub const fn exactly_us(us: u64) -> Self {
        Self::between_us(us, us)
    }
}

/// How good the network is.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Among control-plane machines.
    pub lan: Latency,
    /// Between a node and its pods.
    pub node: Latency,
    /// Control plane and users to nodes and pods.
    pub access: Latency,
    /// Between nodes.
    pub fabric: Latency,
    /// The chance of a packet to be lost, from 0 to 1. TCP sends it again, so loss is delay: 200 ms,
    /// doubling.
    pub loss: f64,
    /// How much simulated time a scenario may take before it counts as hung.
    pub limit: Duration,
}

impl Conditions {
    /// 1 to 3 ms on untrusted segments, 0.1 ms on trusted ones, no loss.
    pub const fn ordinary() -> Self {
        Self {
            lan: Latency::exactly_us(100),
            node: Latency::exactly_us(100),
            access: Latency::between_us(1000, 3000),
            fabric: Latency::between_us(1000, 3000),
            loss: 0.0,
            limit: Duration::from_secs(3600),
        }
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self::ordinary()
    }
}
