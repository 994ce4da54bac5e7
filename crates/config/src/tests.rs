//! The samples, the four carriers, every kind of error, and a few properties.

mod control_plane;
mod errors;
mod installers;
mod konnectivity;
mod properties;
mod samples;
mod ssh_tunnels;

use crate::{ClusterConfig, ConfigError, SourceFile};

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), text: text.to_owned() }
}

macro_rules! sample {
    ($directory:literal, $($name:literal),+) => {
        [$(file($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/samples/", $directory, "/", $name)))),+]
    };
}

fn kubeadm_default() -> [SourceFile; 5] {
    sample!(
        "kubeadm-default",
        "kube-apiserver.yaml",
        "kube-controller-manager.yaml",
        "kube-scheduler.yaml",
        "kubeadm-config.yaml",
        "kubelet-config.yaml"
    )
}

fn kubeadm_verified() -> [SourceFile; 5] {
    sample!(
        "kubeadm-verified",
        "kube-apiserver.yaml",
        "kube-controller-manager.yaml",
        "kube-scheduler.yaml",
        "kubeadm-config.yaml",
        "kubelet-config.yaml"
    )
}

fn legacy() -> [SourceFile; 2] {
    sample!("legacy-ssh-tunnels", "kube-apiserver.service", "kubelet.service")
}

fn pinned() -> [SourceFile; 3] {
    sample!("pinned-ssh-tunnels", "kube-apiserver.service", "kubelet.service", "ssh-tunnels.yaml")
}

/// Reads files that must be right.
fn read(files: &[SourceFile]) -> ClusterConfig {
    ClusterConfig::read(files, None).unwrap_or_else(|errors| panic!("{}", lines(&errors).join("\n")))
}

/// Reads files that must be wrong; the errors as they are shown.
fn refusals(files: &[SourceFile]) -> Vec<String> {
    lines(&ClusterConfig::read(files, None).expect_err("a mistake"))
}

fn lines(errors: &[ConfigError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}
