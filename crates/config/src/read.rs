//! The way from files to a [`ClusterConfig`]: each file by its kind, then everything together.

use std::collections::BTreeMap;

use crate::assemble::assemble;
use crate::gathered::{Gathered, Place};
use crate::source::{self, Parts, unit};
use crate::{ClusterConfig, ConfigError, SourceFile, documents};

impl ClusterConfig {
    /// Reads a cluster's configuration from its files, told apart by their content. With no files it is
    /// [`ClusterConfig::kubeadm_default`]. `version_override` (`1.34`, `v1.34.2`) wins over what the files say.
    ///
    /// # Errors
    /// Every mistake in the input at once, in the order of files and lines.
    pub fn read(files: &[SourceFile], version_override: Option<&str>) -> Result<Self, Vec<ConfigError>> {
        let mut gathered = Gathered::default();
        let files = &source::plain(files);
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
        let config = assemble(invocations, version_override, &mut gathered);
        if gathered.errors.is_empty() {
            return Ok(config);
        }
        let order = |name: &str| files.iter().position(|file| file.name == name);
        let mut errors = gathered.errors;
        errors.sort_by_key(|e| (order(&e.file), e.line, e.key.clone(), e.problem.clone()));
        errors.dedup();
        Err(errors)
    }

    /// What `kubeadm init` sets up when nobody changes anything, in the newest known Kubernetes.
    #[must_use]
    pub fn kubeadm_default() -> Self {
        Self::read(&[], None).expect("what kubeadm writes is free of mistakes")
    }
}
