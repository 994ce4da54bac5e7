//! The report: what a run found, as plain data (`ravelin.report/v1`).
//!
//! The field names and their order are the JSON's. Everything but [`Report::commit`] and
//! [`Report::wall_ms`] is the same for the same seed. How it is shown is the crate `report`'s job.

mod capture;

pub use capture::{Capture, CapturedPacket};
pub use ravelin_oracle::{Property, State};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

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
    /// What was shown to help, the smallest change first: with it every property of this verdict
    /// holds and the path still works. Filled by `--fixes` only.
    pub fix: Vec<Fix>,
    /// How many changes were tried for `fix`; nothing where nobody asked or nothing is broken. With
    /// an empty `fix`, no setting that bears on the evidence helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controls: Option<u32>,
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
    /// For a property that was held: what each tactic that was refused comes to without the
    /// protection that refused it. Filled by `--twins` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub twins: Vec<TwinRun>,
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
            twins: Vec::new(),
        }
    }
}

/// A tactic that a protection refused, tried again without it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TwinRun {
    /// The tactic.
    pub tactic: String,
    /// The protections that were taken away: the one that refused, then those that refused the same
    /// tactic after it (defence in depth).
    pub without: Vec<String>,
    /// Did the tactic then break the property?
    pub state: TwinState,
}

/// What a twin came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TwinState {
    /// The tactic broke the property: what was refused was an attack.
    Broken,
    /// It did not, so this refusal proves nothing.
    NotBroken,
}

/// A change of the configuration that makes every property of a verdict hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fix {
    /// The settings to change, all of them.
    pub settings: Vec<SettingChange>,
    /// What else is then different in this run.
    pub also_changes: Vec<StateChange>,
}

/// One setting, before and after.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SettingChange {
    /// Whose setting it is, such as `kube-apiserver`.
    pub component: String,
    /// The flag or the key, as it would be written there.
    pub key: String,
    /// Its value now, as written or by default; nothing where it has none.
    pub from: Option<String>,
    /// Its value with the fix; empty where the fix takes the setting out.
    pub to: String,
    /// The file and line that set it now (the line counted from 1), else the file where it belongs.
    pub file: Option<String>,
    /// See `file`.
    pub line: Option<usize>,
}

/// A state that a fix changes beside those that it is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StateChange {
    /// `PATH/ATTACKER@EGRESS PROPERTY`, or `PATH@EGRESS` for a path's own state.
    pub what: String,
    /// The state without the fix.
    pub from: String,
    /// The state with it.
    pub to: String,
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
    /// Does the path work without an attacker?
    pub baseline: PathOutcome,
    /// Why not.
    pub error: Option<String>,
    /// How many packets of the path the run counted where the attacker is.
    pub counted: u64,
    /// What the attacker tried, in order.
    pub chapters: Vec<Chapter>,
}

/// One tactic of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// The tactic.
    pub tactic: String,
    /// When it began, since the simulation's start.
    pub began: Duration,
    /// What happened, in the order of time.
    pub steps: Vec<Step>,
}

/// One step of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, since the simulation's start.
    pub at: Duration,
    /// From whom to whom, by the machines' names; empty where nothing was sent.
    pub flow: String,
    /// The segment that it crossed, where that is known: `access`, `fabric`.
    pub segment: Option<String>,
    /// What happened, for people.
    pub text: String,
    /// What it was.
    pub kind: StepKind,
}

/// What a step was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// The attacker did or saw something.
    Acted,
    /// The attacker holds something now: `a bearer token`.
    Obtained(String),
    /// An honest party refused.
    Refused {
        /// The protection that refused.
        by: String,
        /// The properties at which the refused step was aimed.
        aims: Vec<Property>,
    },
    /// The path's own caller was handed something, or nothing.
    Handed,
    /// Seen from outside: this broke a property.
    Broke(Property),
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
            controls: None,
        };
        assert_eq!(verdict.state(Property::CredentialSafe), State::Untested);
        assert!(verdict.has(State::Untested) && !verdict.has(State::Broken));
    }
}
