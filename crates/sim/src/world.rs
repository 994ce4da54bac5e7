//! The harness's view: it stands outside of all machines.

use crate::machine::SimHost;
use crate::network::Network;
use crate::stream::SimListener;
use crate::{Faults, Wire};
use ravelin_host::{Field, HostRef, SessionSecret};
use std::sync::Arc;
use std::time::Duration;

/// One simulation, seen from outside.
#[derive(Clone)]
pub struct World {
    pub(crate) network: Arc<Network>,
    intercept: Option<Arc<SimListener>>,
}

impl World {
    pub(crate) fn new(network: &Arc<Network>, intercept: Option<Arc<SimListener>>) -> Self {
        Self { network: Arc::clone(network), intercept }
    }

    /// A machine's host.
    ///
    /// # Panics
    /// Where the topology has no machine of this name.
    pub fn host(&self, name: &str) -> HostRef {
        SimHost::of(&self.network, self.network.find(name))
    }

    /// The machines' names, in the order of the topology.
    pub fn machines(&self) -> impl Iterator<Item = &str> + '_ {
        self.network.map.machines.iter().map(|machine| machine.name.as_str())
    }

    /// Simulated time since the start.
    pub fn elapsed(&self) -> Duration {
        self.network.elapsed()
    }

    /// The wall clock, as machines with right clocks have it.
    pub fn now(&self) -> jiff::Timestamp {
        let elapsed = jiff::SignedDuration::try_from(self.elapsed()).expect("it is not centuries");
        self.network.config.epoch + elapsed
    }

    /// Starts a part of the simulation: from here on all that is random depends on its name.
    pub fn enter_cell(&self, name: &str) {
        ravelin_entropy::enter_cell(name);
        {
            let mut state = self.network.state();
            state.cell = name.into();
            state.cell_number += 1;
        }
        self.note("cell", &[ravelin_host::field("name", name)]);
    }

    /// Writes a line of the harness into the trace.
    pub fn note(&self, kind: &str, fields: &[Field]) {
        self.network.note(kind, fields);
    }

    /// What passes on the wire, and the attacker's place on it.
    pub fn wire(&self) -> Wire {
        Wire { network: Arc::clone(&self.network), intercept: self.intercept.clone() }
    }

    /// Breaks things.
    pub fn faults(&self) -> Faults {
        Faults { network: Arc::clone(&self.network) }
    }

    /// The secrets of all sessions so far.
    pub fn secrets(&self) -> Vec<SessionSecret> {
        self.network.state().secrets.clone()
    }

    /// The sockets of a machine's stack that are not listening: open connections and what is left
    /// of closed ones.
    ///
    /// # Panics
    /// Where the topology has no machine of this name.
    pub fn sockets(&self, machine: &str) -> usize {
        let machine = self.network.find(machine);
        let address = self.network.map.machines[machine].addresses[0];
        let sockets = turmoil_net::netstat(address).entries;
        sockets.iter().filter(|socket| socket.peer.is_some()).count()
    }
}
