//! What is asked of a run, and what it gives.

use crate::model::{Capture, Report, Story};
use crate::path::Path;
use ravelin_adversary::Attacker;
use ravelin_config::ClusterConfig;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct SimulateRequest {
    /// The cluster.
    pub config: ClusterConfig,
    /// What decides every random choice.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u32,
    /// Patterns of the paths to report; none means all.
    pub paths: Vec<String>,
    /// Patterns of the attackers; none means all.
    pub attackers: Vec<String>,
    /// Is the attacker on (`access`, `fabric`)?
    pub untrusted: (bool, bool),
    /// Is the trace wanted, and not only its hash?
    pub want_trace: bool,
    /// Are the packets wanted?
    pub want_packets: bool,
    /// Is every tactic that was refused to be tried again without the protection that refused it?
    pub twins: bool,
    /// Are settings to be looked for with which what is broken would hold?
    pub fixes: bool,
    /// The source that runs.
    pub commit: String,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// What is being done.
    pub what: String,
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// What was found.
    pub report: Report,
    /// The trace, one JSON object a line; empty where it was not wanted.
    pub trace_lines: Vec<String>,
    /// The packets of each simulation; empty where they were not wanted.
    pub captures: Vec<Capture>,
    /// How each verdict came about.
    pub stories: Vec<Story>,
}

/// Why nothing was run, or a run did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssessError {
    /// A pattern fits nothing.
    #[error("no {kind} is called {pattern:?}; accepted: {accepted} (and * for any run of characters)")]
    Unknown {
        /// `path` or `attacker`.
        kind: &'static str,
        /// The pattern.
        pattern: String,
        /// All names.
        accepted: String,
    },
    /// A node of a cluster of one is under attack, and not the attacker's.
    #[error("with one node there is no rogue node; accepted: --nodes 2 or more, or another attacker")]
    NoRogueNode,
    /// The cluster cannot be laid out.
    #[error(transparent)]
    Layout(#[from] ravelin_cluster::LayoutError),
    /// The simulation itself failed: a bug.
    #[error("the simulation of the {attacker} failed: {why}")]
    Simulation {
        /// Whose simulation.
        attacker: &'static str,
        /// What happened.
        why: String,
    },
}

impl AssessError {
    /// Is the request at fault?
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::NoRogueNode | Self::Layout(_))
    }
}

impl SimulateRequest {
    /// The paths that fit the patterns.
    ///
    /// # Errors
    /// Where a pattern fits none.
    pub fn chosen_paths(&self) -> Result<Vec<Path>, AssessError> {
        chosen("path", &self.paths, &Path::ALL, Path::name)
    }

    /// The attackers that fit the patterns. A cluster of one node has no rogue one.
    ///
    /// # Errors
    /// Where a pattern fits none.
    pub fn chosen_attackers(&self) -> Result<Vec<Attacker>, AssessError> {
        let mut attackers = chosen("attacker", &self.attackers, &Attacker::ALL, Attacker::name)?;
        if self.nodes < 2 {
            attackers.retain(|attacker| *attacker != Attacker::RogueNode);
        }
        if attackers.is_empty() { Err(AssessError::NoRogueNode) } else { Ok(attackers) }
    }
}

fn chosen<T: Copy>(
    kind: &'static str,
    patterns: &[String],
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, AssessError> {
    let fits = |pattern: &String, item: T| crate::path::matches(pattern, name(item));
    if let Some(pattern) = patterns.iter().find(|pattern| !all.iter().any(|item| fits(pattern, *item))) {
        let accepted = all.iter().map(|item| name(*item)).collect::<Vec<_>>().join(", ");
        return Err(AssessError::Unknown { kind, pattern: pattern.clone(), accepted });
    }
    let wanted = |item: &T| patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, *item));
    Ok(all.iter().copied().filter(wanted).collect())
}
