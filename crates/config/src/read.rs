//! The way from files to a [`ClusterConfig`]: each file by its kind, then everything together.

use std::collections::BTreeMap;

use crate::assemble::{assemble, konnectivity_agent, konnectivity_server, single};
use crate::gathered::{Gathered, Place};
use crate::invocation::Invocation;
use crate::source::{self, Parts, unit};
use crate::{
    ClusterConfig, Component, ConfigError, KonnectivityAgent, KonnectivityServer, Provenance, SourceFile,
    documents,
};

impl ClusterConfig {
    /// Reads a cluster's configuration from its files, told apart by their content. With no files it is
    /// [`ClusterConfig::kubeadm_default`]. `version_override` (`1.34`, `v1.34.2`) wins over what the files say.
    ///
    /// # Errors
    /// Every mistake in the input at once, in the order of files and lines.
    pub fn read(files: &[SourceFile], version_override: Option<&str>) -> Result<Self, Vec<ConfigError>> {
        let files = &source::plain(files);
        let (invocations, mut gathered) = gather(files);
        let config = assemble(invocations, version_override, &mut gathered);
        finished(config, (files, gathered))
    }

    /// What `kubeadm init` sets up when nobody changes anything, in the newest known Kubernetes.
    #[must_use]
    pub fn kubeadm_default() -> Self {
        Self::read(&[], None).expect("what kubeadm writes is free of mistakes")
    }
}

impl KonnectivityServer {
    /// Reads the flags of one konnectivity-server, on its own.
    ///
    /// # Errors
    /// Every mistake in the input at once.
    pub fn read(files: &[SourceFile]) -> Result<(Self, Provenance), Vec<ConfigError>> {
        alone(files, Component::KonnectivityServer, konnectivity_server::assemble)
    }
}

impl KonnectivityAgent {
    /// Reads the flags of one konnectivity-agent, on its own.
    ///
    /// # Errors
    /// Every mistake in the input at once.
    pub fn read(files: &[SourceFile]) -> Result<(Self, Provenance), Vec<ConfigError>> {
        alone(files, Component::KonnectivityAgent, konnectivity_agent::assemble)
    }
}

/// Reads one component whose part of a cluster's configuration is made by `assembled`.
fn alone<T>(
    files: &[SourceFile],
    component: Component,
    assembled: impl Fn((&mut Gathered, &mut Provenance)) -> Option<T>,
) -> Result<(T, Provenance), Vec<ConfigError>> {
    let files = &source::plain(files);
    let (invocations, mut gathered) = gather(files);
    let config = single(component, invocations, (&mut gathered, &assembled));
    if config.is_none() && gathered.errors.is_empty() {
        let name = files.first().map_or("", |file| &file.name);
        gathered.fail(&Place::new(name, 0), "", format!("has no flags of {component}"), "its command line");
    }
    finished(config, (files, gathered)).map(|found| found.expect("what is missing is an error"))
}

/// What was made of the input, or every mistake in it.
fn finished<T>(made: T, (files, gathered): (&[SourceFile], Gathered)) -> Result<T, Vec<ConfigError>> {
    if gathered.errors.is_empty() {
        return Ok(made);
    }
    let order = |name: &str| files.iter().position(|file| file.name == name);
    let mut errors = gathered.errors;
    errors.sort_by_key(|e| (order(&e.file), e.line, e.key.clone(), e.problem.clone()));
    errors.dedup();
    Err(errors)
}

/// Each file by its kind: the command lines among them, and all else.
fn gather(files: &[SourceFile]) -> (Vec<Invocation>, Gathered) {
    let mut gathered = Gathered::default();
    let parts: Vec<(&SourceFile, Parts)> =
        files.iter().map(|file| (file, source::classify(file, &mut gathered))).collect();
    let environments: BTreeMap<String, unit::Variables> = parts
        .iter()
        .filter(|(_, parts)| matches!(parts, Parts::Environment))
        .map(|(file, _)| (file.name.clone(), unit::environment(&file.text)))
        .collect();
    if !parts.iter().any(|(_, parts)| matches!(parts, Parts::Unit))
        && let Some(name) = environments.keys().next()
    {
        let problem = "holds variables, but no unit in the input uses them";
        gathered.fail(&Place::new(name, 0), "", problem, "the systemd unit beside it");
    }
    let units: Vec<(&SourceFile, unit::Unit)> = parts
        .iter()
        .filter(|(_, parts)| matches!(parts, Parts::Unit))
        .map(|(file, _)| (*file, unit::parse(file, &environments)))
        .collect();
    let mut invocations = unit::read(&units, &mut gathered);
    for (file, parts) in parts {
        match parts {
            Parts::Listing => invocations.extend(source::listed(file)),
            Parts::Flags => invocations.extend(source::bare_flags(file, &mut gathered)),
            Parts::Documents(nodes) => {
                let of_kubeadm = nodes.iter().any(documents::is_kubeadms);
                for node in &nodes {
                    invocations.extend(documents::read(node, &file.name, &mut gathered));
                }
                if of_kubeadm && gathered.kubelet_file.as_ref().is_some_and(|at| at.file == file.name) {
                    gathered.kubeadm.kubelet_file = gathered.kubelet_file.clone();
                }
            }
            Parts::Tokens(users) => gathered.token_files.push((Place::new(&file.name, 1), users)),
            Parts::Unit | Parts::Environment | Parts::Nothing => {}
        }
    }
    invocations.extend(documents::config_map::read(files, &mut gathered));
    (invocations, gathered)
}
