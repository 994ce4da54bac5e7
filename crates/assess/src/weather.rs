//! What goes wrong by itself while an attacker is at work: latencies, losses, partitions, crashes.

use crate::stage::Stage;
use ravelin_sim::Conditions;
use std::collections::BTreeSet;
use std::time::Duration;

/// The state of the network and its machines, over a simulation.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Latencies and losses.
    pub conditions: Conditions,
    /// Faults, in any order.
    pub faults: Vec<Fault>,
}

/// One fault, and when it heals.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// When it begins, since the simulation's start.
    pub from: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What happens.
    pub kind: FaultKind,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum FaultKind {
    /// A node (by number from 0) reaches nobody.
    Isolated(usize),
    /// Two nodes do not reach each other.
    Parted(usize, usize),
    /// A node's machine crashes, and its pods with it; afterwards it starts anew.
    Crashed(usize),
    /// All connections of the apiserver's machine are reset once.
    Reset,
}

impl Weather {
    /// Ordinary latencies, no faults.
    pub fn calm() -> Self {
        Self { conditions: Conditions::ordinary(), faults: Vec::new() }
    }

    /// Lets the faults happen, in the order of time. It ends when the last one has healed.
    pub(crate) async fn play(&self, stage: &Stage) {
        let mut turns: Vec<(Duration, bool, FaultKind)> = Vec::new();
        for fault in &self.faults {
            turns.push((fault.from, true, fault.kind));
            turns.push((fault.from + fault.lasts, false, fault.kind));
        }
        turns.sort_by_key(|(at, begins, _)| (*at, *begins));
        let mut down = BTreeSet::new();
        for (at, begins, kind) in turns {
            tokio::time::sleep(at.saturating_sub(stage.world.elapsed())).await;
            if let (true, FaultKind::Crashed(node)) = (begins, kind) {
                down.insert(node);
            }
            if begins { begin(stage, kind) } else { self.heal(stage, kind, &mut down).await }
        }
    }

    async fn heal(&self, stage: &Stage, kind: FaultKind, down: &mut BTreeSet<usize>) {
        match kind {
            FaultKind::Crashed(node) => {
                // It comes back when its last crash has passed, and not in between.
                let now = stage.world.elapsed();
                let same = |fault: &&Fault| matches!(fault.kind, FaultKind::Crashed(other) if other == node);
                let mut crashes = self.faults.iter().filter(same);
                if crashes.any(|crash| crash.from <= now && now < crash.from + crash.lasts) {
                    return;
                }
                // Of two crashes that end together, one brings it back.
                if !down.remove(&node) {
                    return;
                }
                stage.world.faults().restart(stage.cluster.node_name(node));
                stage.cluster.restart_node(node).await;
            }
            FaultKind::Isolated(_) | FaultKind::Parted(..) => {
                stage.world.faults().heal();
                // Healing heals all partitions: those that should last begin again.
                let now = stage.world.elapsed();
                let lasting = |fault: &&Fault| fault.from <= now && now < fault.from + fault.lasts;
                for fault in self.faults.iter().filter(lasting) {
                    if matches!(fault.kind, FaultKind::Isolated(_) | FaultKind::Parted(..)) {
                        begin(stage, fault.kind);
                    }
                }
            }
            FaultKind::Reset => {}
        }
    }
}

fn begin(stage: &Stage, kind: FaultKind) {
    let (faults, name) = (stage.world.faults(), |node| stage.cluster.node_name(node));
    match kind {
        FaultKind::Isolated(node) => faults.isolate(name(node)),
        FaultKind::Parted(one, other) => faults.partition(name(one), name(other)),
        FaultKind::Crashed(node) => faults.crash(name(node)),
        FaultKind::Reset => faults.reset_connections(&stage.cluster.layout().control_plane.name),
    }
}

#[cfg(test)]
mod tests;
