//! The clusters that are run: the samples, whole or with one thing changed.

use ravelin_config::{ClusterConfig, SourceFile};
use std::path::PathBuf;

/// A folder of `tests/samples`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sample {
    /// What `kubeadm init` leaves.
    KubeadmDefault,
    /// The same with kubelet certificates that the apiserver verifies.
    KubeadmVerified,
    /// Kubelets started with flags alone, reached through SSH tunnels.
    LegacySshTunnels,
    /// kubeadm's cluster reached through Konnectivity, as Kubernetes' documentation sets it up: agents
    /// prove themselves by tokens.
    Konnectivity,
    /// The same, and nobody asks agents who they are (CVE-2026-16242).
    KonnectivityOpen,
}

impl Sample {
    /// Every sample that is run whole, with every attacker on every path, against the model.
    pub const ALL: [Self; 3] = [Self::KubeadmDefault, Self::KubeadmVerified, Self::LegacySshTunnels];

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::KubeadmDefault => "kubeadm-default",
            Self::KubeadmVerified => "kubeadm-verified",
            Self::LegacySshTunnels => "legacy-ssh-tunnels",
            Self::Konnectivity => "konnectivity",
            Self::KonnectivityOpen => "konnectivity-open",
        }
    }

    /// Where its folder is.
    pub fn folder(self) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "samples", self.name()].iter().collect()
    }

    /// Its files.
    pub fn files(self) -> Files {
        let entries = std::fs::read_dir(self.folder()).expect("the samples are part of the repository");
        let mut files: Vec<SourceFile> = entries
            .map(|entry| {
                let path = entry.expect("the samples can be listed").path();
                let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
                SourceFile { name, text: std::fs::read_to_string(path).expect("the samples can be read") }
            })
            .collect();
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Files(files)
    }

    /// The cluster that it describes.
    pub fn config(self) -> ClusterConfig {
        self.files().config()
    }
}

/// `legacy-ssh-tunnels`, with nodes' host keys that the apiserver knows and verifies, and pods reached
/// through their own node alone.
pub fn verified_ssh_tunnels() -> ClusterConfig {
    const TUNNELS: &str = "apiVersion: ravelin.dev/v1alpha1\nkind: SSHTunnelConfiguration\nhostKeys:\n  \
                           mode: KnownHosts\n  knownHostsFile: /etc/kubernetes/ssh/known_hosts\n";
    let files = Sample::LegacySshTunnels.files();
    let named = files.apiserver_flag("--ssh-tunnel-config-file=/etc/kubernetes/ssh-tunnels.yaml");
    named.adding("ssh-tunnels.yaml", TUNNELS).config()
}

/// Configuration files, to be changed before they are read.
#[derive(Clone, Debug)]
pub struct Files(pub Vec<SourceFile>);

impl Files {
    /// The same with one text of one file replaced.
    ///
    /// # Panics
    /// Where the file does not hold the text exactly once: then the test would not test what it says.
    pub fn replacing(mut self, file: &str, from: &str, to: &str) -> Self {
        let found = self.0.iter_mut().find(|known| known.name == file).expect("the file is in the sample");
        assert_eq!(found.text.matches(from).count(), 1, "{file}: {from:?} must be there once");
        found.text = found.text.replacen(from, to, 1);
        self
    }

    /// The same with one more flag of the apiserver (of a manifest or of a unit).
    pub fn apiserver_flag(self, flag: &str) -> Self {
        if self.0.iter().any(|file| file.name == "kube-apiserver.yaml") {
            let first = "    - kube-apiserver\n";
            return self.replacing("kube-apiserver.yaml", first, &format!("{first}    - {flag}\n"));
        }
        let first = "/usr/local/bin/kube-apiserver \\\n";
        self.replacing("kube-apiserver.service", first, &format!("{first}  {flag} \\\n"))
    }

    /// The same with one more file.
    pub fn adding(mut self, name: &str, text: &str) -> Self {
        self.0.push(SourceFile { name: name.to_owned(), text: text.to_owned() });
        self
    }

    /// The cluster that they describe.
    ///
    /// # Panics
    /// Where they are refused.
    pub fn config(&self) -> ClusterConfig {
        let read = ClusterConfig::read(&self.0, None);
        read.unwrap_or_else(|errors| panic!("refused: {errors:#?}"))
    }

    /// What they are refused with, line by line; nothing where they are accepted.
    pub fn refusals(&self) -> Vec<String> {
        let read = ClusterConfig::read(&self.0, None);
        read.err().into_iter().flatten().map(|error| error.to_string()).collect()
    }
}
