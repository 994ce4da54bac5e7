//! A scenario's file.

use crate::fact::Pattern;
use crate::parse;
use crate::reading::Reading;
use crate::vocabulary::{Ask, Intercept, Wait};
use ravelin_cluster::Layout;
use ravelin_config::{ClusterConfig, SourceFile, yaml};
use ravelin_host::Flaw;
use std::time::Duration;

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The key.
    pub key: String,
    /// What is wrong, and what would be accepted.
    pub problem: String,
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, line, key, problem } = self;
        if key.is_empty() {
            write!(f, "{file}:{line}: {problem}")
        } else {
            write!(f, "{file}:{line}: {key}: {problem}")
        }
    }
}

/// An attack, and its control.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    /// What it is about, in a line.
    pub title: String,
    /// Where it is on record.
    pub reference: Reference,
    /// What goes wrong and why.
    pub story: String,
    /// What must exist before it can run.
    pub waits_for: Option<String>,
    /// The machines that take part, and what they are.
    pub hosts: Vec<(String, String)>,
    /// The cluster under attack.
    pub cluster: Setting,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// What must be seen.
    pub evidence: Vec<Evidence>,
    /// The other side.
    pub control: Control,
}

/// Where an attack is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `CVE-…`, `KEP-…`, or the finding of an audit.
    pub id: String,
    /// A page.
    pub page: String,
    /// The versions that have it.
    pub affected: String,
    /// The versions that do not, or why there are none.
    pub fixed: String,
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct Setting {
    /// How many nodes.
    pub nodes: u32,
    /// Is the last node the attacker's?
    pub rogue_node: bool,
    /// Is the attacker on (`access`, `fabric`)?
    pub untrusted: (bool, bool),
    /// The Kubernetes version, over what the files say.
    pub kubernetes: Option<String>,
    /// Old behaviours that are switched on.
    pub flaws: Vec<Flaw>,
    /// Does the apiserver know the nodes' SSH host keys? Kubernetes' tunneler never did.
    pub ssh_host_keys_pinned: bool,
    /// The cluster's configuration files.
    pub files: Vec<SourceFile>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// When, since the cluster was ready.
    pub at: Duration,
    /// What happens, for people.
    pub tell: String,
    /// What is done.
    pub verb: Verb,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Verb {
    /// It is only told: in files that cannot run yet.
    Told,
    /// Somebody asks somebody.
    Ask(Box<Ask>),
    /// The attacker takes a server's place from now on.
    Intercept(Intercept),
    /// A pod must run before it goes on.
    Wait(Wait),
}

/// One thing that must be seen, or must not.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What it means, for people.
    pub tell: String,
    /// What is looked for.
    pub(crate) pattern: Pattern,
    /// Is it seen in the attack?
    pub attack: bool,
    /// Is it seen in the control?
    pub control: bool,
}

/// The same again, with one change.
#[derive(Clone, Debug)]
pub struct Control {
    /// The change, for people.
    pub change: String,
    /// The cluster after the change.
    pub cluster: Setting,
    /// Steps that only the control has.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Reads a scenario from the text of its file. Its configuration files are read too.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<FileError>> {
        let mut reading = Reading::new(file);
        let documents = yaml::documents(text).unwrap_or_else(|error| {
            reading.fail(error.line, &error.key, error.problem);
            Vec::new()
        });
        let scenario = match documents.as_slice() {
            [root] => Some(parse::scenario(&mut reading, root, file)),
            [] if !reading.errors.is_empty() => None,
            _ => {
                reading.fail(1, "", format!("{} documents; accepted: one", documents.len()));
                None
            }
        };
        match (scenario, reading.errors) {
            (Some(scenario), errors) if errors.is_empty() => Ok(scenario),
            (_, mut errors) => {
                errors.sort_by_key(|error| error.line);
                Err(errors)
            }
        }
    }

    /// The steps of one side, in order.
    pub fn steps_of(&self, control: bool) -> Vec<Step> {
        let mut steps = self.steps.clone();
        if control {
            steps.extend(self.control.steps.iter().cloned());
        }
        steps.sort_by_key(|step| step.at);
        steps
    }
}

impl Setting {
    /// Two nodes of what kubeadm sets up, and an attacker on every untrusted segment.
    pub(crate) fn plain() -> Self {
        Self {
            nodes: 2,
            rogue_node: false,
            untrusted: (true, true),
            kubernetes: None,
            flaws: Vec::new(),
            ssh_host_keys_pinned: false,
            files: Vec::new(),
        }
    }

    /// What the files say.
    ///
    /// # Errors
    /// Each mistake in them, in a line.
    pub fn config(&self) -> Result<ClusterConfig, Vec<String>> {
        ClusterConfig::read(&self.files, self.kubernetes.as_deref())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    /// The machines of the cluster.
    ///
    /// # Errors
    /// Why there is no room for it, in a line.
    pub(crate) fn layout(&self, config: &ClusterConfig) -> Result<Layout, String> {
        let layout = Layout::new(config, self.nodes).map_err(|error| error.to_string())?;
        Ok(if self.rogue_node { layout.with_rogue() } else { layout })
    }
}
