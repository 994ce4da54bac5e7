//! The report: what a run found, as plain data (`ravelin.report/v1`).
//!
//! The field names and their order are the JSON's. Everything but [`Report::commit`] and
//! [`Report::wall_ms`] is the same for the same seed. How it is shown is the crate `report`'s job.

pub use ravelin_oracle::{Property, State};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The name of this format and its version.
pub const SCHEMA: &str = "ravelin.report/v1";

/// All that a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// What every random choice of the run came from.
    pub seed: u64,
    /// The source that ran, `unknown` where the build does not know it.
    pub commit: String,
    /// What was simulated.
    pub cluster: ClusterSummary,
    /// Simulated time, over all simulations of the run.
    pub simulated_ms: u64,
    /// Time of the computer that ran it.
    pub wall_ms: u64,
    /// SHA-256 of the event trace, in lower-case hexadecimal.
    pub trace_sha256: String,
    /// Which paths work without an attacker.
    pub paths: Vec<PathState>,
    /// One for each path, attacker and egress that was run.
    pub verdicts: Vec<Verdict>,
}

/// What was simulated, and how much of it the files said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterSummary {
    /// The Kubernetes version whose defaults and behaviour were simulated, such as `1.33`.
    pub kubernetes_version: String,
    /// How many nodes the cluster has.
    pub nodes: u32,
    /// The segments that the attackers saw: `access`, `fabric`.
    pub untrusted: Vec<String>,
    /// The files that were read.
    pub files: Vec<String>,
    /// What was read from which file and line, and what was defaulted (`config::Provenance`).
    pub provenance: serde_json::Value,
    /// What no file says and was assumed as the installer does it.
    pub assumed: Vec<String>,
    /// Settings whose effect is not modelled; they leave the paths that they may touch untested.
    pub unknown_effect: Vec<UnknownEffect>,
}

/// A setting whose effect on some paths is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownEffect {
    /// The flag or key, as the file writes it.
    pub key: String,
    /// The file that has it.
    pub file: String,
    /// Its line, counted from 1.
    pub line: Option<usize>,
    /// Patterns of the paths that it may touch, such as `apiserver-to-*`.
    pub paths: Vec<String>,
    /// Why its effect is unknown.
    pub why: String,
}

/// What a path is worth without an attacker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathState {
    /// Its name, such as `apiserver-to-kubelet/logs`.
    pub path: String,
    /// How the control plane reaches the cluster: `direct`, `ssh`.
    pub egress: String,
    /// Does it work?
    pub state: PathOutcome,
    /// Why it does not; the refusal that shows its absence.
    pub error: Option<String>,
}

/// Does a path work when nobody attacks it?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathOutcome {
    /// It carried both canaries.
    Works,
    /// The configuration has no such listener, and a connection was refused.
    Absent,
    /// It should work and does not.
    Failed,
}

impl fmt::Display for PathOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Works => "works",
            Self::Absent => "absent",
            Self::Failed => "failed",
        })
    }
}

/// What one attacker achieved on one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The path's name.
    pub path: String,
    /// The attacker's name, such as `impostor`.
    pub attacker: String,
    /// How the control plane reached the cluster.
    pub egress: String,
    /// Did every call that failed do so before its deadline, with an error that names the check?
    /// Nothing where no call failed.
    pub failed_closed: Option<bool>,
    /// The state of each property.
    pub properties: BTreeMap<Property, PropertyVerdict>,
    /// Settings that were shown to help; filled by controls only.
    pub fix: Vec<String>,
}

impl Verdict {
    /// `PATH/ATTACKER@EGRESS`, as `--explain` takes it.
    pub fn name(&self) -> String {
        format!("{}/{}@{}", self.path, self.attacker, self.egress)
    }

    /// The state of a property; one that the verdict does not mention was not tested.
    pub fn state(&self, property: Property) -> State {
        self.properties.get(&property).map_or(State::Untested, |found| found.state)
    }

    /// Is any property in this state?
    pub fn has(&self, state: State) -> bool {
        Property::ALL.into_iter().any(|property| self.state(property) == state)
    }
}

/// What is known of one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyVerdict {
    /// Its state.
    pub state: State,
    /// The tactics that the state rests on.
    pub tactics: Vec<String>,
    /// What was seen from outside, in the order of time.
    pub evidence: Vec<Evidence>,
    /// The protections that refused the attacker, such as `unknown issuer`, for a property that
    /// was held.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refused_by: BTreeSet<String>,
    /// How many packets of this path the run counted on segments that the attacker touches: the
    /// proof behind `not_exposed`, where it is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<u64>,
    /// Why it was not tested, or does not apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl PropertyVerdict {
    /// A state with nothing behind it yet.
    pub fn new(state: State) -> Self {
        Self {
            state,
            tactics: Vec::new(),
            evidence: Vec::new(),
            refused_by: BTreeSet::new(),
            counted: None,
            reason: None,
        }
    }
}

/// Something that happened in the run and was seen from outside the component it concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    /// The tactic that brought it about.
    pub tactic: String,
    /// Simulated time since the simulation's start.
    pub at_ms: u64,
    /// Who spoke to whom, such as `control-plane > node-1:10250`.
    pub flow: String,
    /// What was seen, for people. It begins with what the attacker got.
    pub text: String,
}

/// How one verdict came about, step by step. It is told by `--explain` and no part of the JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The verdict's path.
    pub path: String,
    /// The verdict's attacker.
    pub attacker: String,
    /// The verdict's egress.
    pub egress: String,
    /// What happened, in the order of time.
    pub steps: Vec<Step>,
}

/// One step of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Simulated time since the simulation's start.
    pub at_ms: u64,
    /// Who did it: a tactic, a component, a machine.
    pub who: String,
    /// What happened, for people.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_and_json_names_agree() {
        let json = |value: serde_json::Value| value.as_str().map(str::to_owned);
        for property in Property::ALL {
            let name = serde_json::to_value(property).expect("plain data");
            assert_eq!(json(name), Some(property.to_string()));
        }
        for state in State::ALL {
            assert_eq!(json(serde_json::to_value(state).expect("plain data")), Some(state.to_string()));
        }
        for outcome in [PathOutcome::Works, PathOutcome::Absent, PathOutcome::Failed] {
            let name = serde_json::to_value(outcome).expect("plain data");
            assert_eq!(json(name), Some(outcome.to_string()));
        }
    }

    #[test]
    fn a_property_nobody_mentions_is_untested() {
        let verdict = Verdict {
            path: "p".into(),
            attacker: "a".into(),
            egress: "direct".into(),
            failed_closed: None,
            properties: BTreeMap::from([(Property::RequestSecret, PropertyVerdict::new(State::Held))]),
            fix: vec![],
        };
        assert_eq!(verdict.state(Property::CredentialSafe), State::Untested);
        assert!(verdict.has(State::Untested) && !verdict.has(State::Broken));
    }
}
