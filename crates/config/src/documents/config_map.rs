//! Configuration that kubeadm keeps in ConfigMaps of `kube-system`.

use crate::SourceFile;
use crate::gathered::{Gathered, Place};
use crate::model::Component;
use crate::yaml::{self, Node};

/// The text of one key of a ConfigMap.
#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    pub file: String,
    /// The line of the key.
    pub line: usize,
    pub text: String,
}

/// Notes what a ConfigMap holds of the components' configuration
/// (cmd/kubeadm/app/constants/constants.go: kubeadm-config, kubelet-config, kube-proxy).
pub(super) fn note(document: &Node, file: &str, gathered: &mut Gathered) {
    let is = |path: &[&str], wanted: &str| document.text_at(path) == Some(wanted);
    if !is(&["kind"], "ConfigMap") || !is(&["metadata", "namespace"], "kube-system") {
        return;
    }
    let keys: &[&str] = match document.text_at(&["metadata", "name"]).unwrap_or_default() {
        "kubeadm-config" => &["ClusterConfiguration", "ClusterStatus"],
        "kube-proxy" => &["config.conf"],
        name if name == "kubelet-config" || name.starts_with("kubelet-config-1.") => &["kubelet"],
        _ => return,
    };
    for entry in document.at(&["data"]).map(Node::entries).unwrap_or_default() {
        if let (true, Some(text)) = (keys.contains(&entry.key.as_str()), entry.node.text()) {
            let embedded = Embedded { file: file.to_owned(), line: entry.line, text: text.to_owned() };
            gathered.embedded.push(embedded);
        }
    }
}

/// Reads what was noted, where no file says it. Gives the invocations that it holds.
pub(crate) fn read(files: &[SourceFile], gathered: &mut Gathered) -> Vec<crate::invocation::Invocation> {
    let mut invocations = Vec::new();
    for embedded in std::mem::take(&mut gathered.embedded) {
        let Embedded { file, line, text } = embedded;
        let documents = match yaml::documents(&text) {
            Ok(documents) => documents,
            Err(error) => {
                gathered.fail(&Place::new(&file, line), &error.key, error.problem, "YAML or JSON");
                continue;
            }
        };
        // A block begins on the line after its key; anything else is on the key's line.
        let source = files.iter().find(|known| known.name == file).map(|known| known.text.as_str());
        let written =
            source.and_then(|source| source.lines().nth(line.saturating_sub(1))).unwrap_or_default();
        let block = written.trim_end().ends_with(['|', '>', '-', '+']);
        for document in documents {
            let document = if block { document.shifted(line) } else { document };
            let kind = document.text_at(&["kind"]).unwrap_or_default();
            let said = match kind {
                "ClusterConfiguration" => gathered.kubeadm.seen.is_some(),
                "KubeletConfiguration" => gathered.kubelet_file.is_some(),
                "KubeProxyConfiguration" => gathered.proxy_file.is_some(),
                _ => false,
            };
            if said {
                let place = Place::new(&file, document.line);
                gathered.without_effect(Component::Cluster, &format!("kind: {kind}"), &place);
            } else {
                invocations.extend(super::read(&document, &file, gathered));
            }
        }
    }
    invocations
}
