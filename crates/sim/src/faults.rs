//! Faults: partitions, crashes, loss, wrong clocks, resets.

use crate::network::{Due, Network};
use crate::topology::Machine;
use ravelin_host::field;
use std::sync::Arc;
use std::time::Duration;

/// Breaks things, and heals them.
///
/// Machines are named; an unknown name is a mistake of the harness and panics.
#[derive(Clone)]
pub struct Faults {
    pub(crate) network: Arc<Network>,
}

impl Faults {
    /// No packet passes between two machines until [`Self::heal`]. What is sent waits, for two
    /// minutes at most: then the connection is reset.
    pub fn partition(&self, a: &str, b: &str) {
        let (one, other) = (self.machine(a), self.machine(b));
        self.network.state().cuts.insert((one.min(other), one.max(other)));
        self.network.note("fault.partition", &[field("a", a), field("b", b)]);
    }

    /// No packet passes to or from a machine until [`Self::heal`].
    pub fn isolate(&self, machine: &str) {
        let index = self.machine(machine);
        self.network.state().isolated.insert(index);
        self.network.note("fault.isolate", &[field("name", machine)]);
    }

    /// Ends every partition and isolation.
    pub fn heal(&self) {
        let mut state = self.network.state();
        state.cuts.clear();
        state.isolated.clear();
        let crashed: Vec<bool> = state.machines.iter().map(|machine| machine.crashed).collect();
        drop(state);
        self.network.note("fault.heal", &[]);
        self.network.retry_all(|flow, way| flow.receiver(way).is_some_and(|receiver| !crashed[receiver]));
    }

    /// A machine stops: its tasks end, its sockets are forgotten, and nothing answers. A node takes
    /// its pods with it. Its disk is kept.
    pub fn crash(&self, machine: &str) {
        for index in self.with_pods(self.machine(machine)) {
            let mut state = self.network.state();
            state.machines[index].crashed = true;
            state.machines[index].translation.clear();
            // Whatever still holds a listener is no more reached through it.
            state.listeners.retain(|(owner, _, _), _| *owner != index);
            for task in std::mem::take(&mut state.machines[index].tasks) {
                task.abort();
            }
            drop(state);
            // When all tasks are parked, what they held has been dropped.
            self.network.after(Duration::ZERO, Due::Purge(index));
        }
        self.network.note("fault.crash", &[field("name", machine)]);
    }

    /// A crashed machine can be reached again; what ran on it must be started anew. Connections
    /// from before the crash are answered with resets.
    pub fn restart(&self, machine: &str) {
        let up = self.with_pods(self.machine(machine));
        for index in &up {
            self.network.state().machines[*index].crashed = false;
        }
        self.network.note("fault.restart", &[field("name", machine)]);
        self.network.retry_all(|flow, way| flow.receiver(way).is_some_and(|receiver| up.contains(&receiver)));
    }

    /// The chance of a packet to be lost, from 0 to 1.
    pub fn set_loss(&self, loss: f64) {
        self.network.state().loss = loss.clamp(0.0, 1.0);
        self.network.note("fault.loss", &[field("chance", loss)]);
    }

    /// Puts a machine's wall clock so many seconds ahead of (or behind) the others.
    pub fn set_clock_offset(&self, machine: &str, seconds: i64) {
        let index = self.machine(machine);
        self.network.state().machines[index].offset_seconds = seconds;
        self.network.note("fault.clock", &[field("name", machine), field("seconds", seconds)]);
    }

    /// Resets every connection of a machine.
    pub fn reset_connections(&self, machine: &str) {
        let index = self.machine(machine);
        let flows: Vec<_> = {
            let state = self.network.state();
            let of_machine =
                state.flows.iter().filter(|(_, flow)| flow.client == index || flow.server == Some(index));
            of_machine.map(|(id, _)| id).collect()
        };
        self.network.note("fault.reset", &[field("name", machine)]);
        for flow in flows {
            self.network.abort(flow);
        }
    }

    fn machine(&self, name: &str) -> Machine {
        self.network.find(name)
    }

    fn with_pods(&self, machine: Machine) -> Vec<Machine> {
        self.network.map.with_pods(machine)
    }
}

impl Network {
    /// The machine of this name.
    ///
    /// # Panics
    /// Where there is none.
    pub(crate) fn find(&self, name: &str) -> Machine {
        self.map.find(name).unwrap_or_else(|| panic!("the topology has no machine {name}"))
    }
}
