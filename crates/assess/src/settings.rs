//! The settings that can be tried against what broke, as a table.
//!
//! Each row is a setting that an administrator can change in the files that were given: what it is
//! called there, whose check it switches on, against what it can help, and what it does to the
//! configuration. A row that changes nothing (since it is so already) is no candidate.

mod apply;
mod rows;

use crate::model::{Property, SettingChange, Verdict};
use ravelin_config::{ClusterConfig, Component, Manifest, Provenance, Setting};
use std::collections::BTreeSet;

/// The file that stands for the cluster's CA where no option names one.
const CLUSTER_CA: &str = "/etc/kubernetes/pki/ca.crt";

/// A change of the configuration that can be tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// A row of the table.
    Row(usize),
    /// Without this binding of rights, by the file and line of its manifest.
    WithoutBinding(String, usize),
}

/// Whose check a setting is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum At {
    /// The apiserver, asked by whomever.
    Apiserver,
    /// What those may do who have an identity in the cluster.
    Rights,
    /// The apiserver's plain port.
    InsecurePort,
    /// A kubelet, or the apiserver in front of it.
    Kubelet,
    /// A kubelet's read-only port.
    ReadOnlyPort,
    /// The controller manager and the scheduler.
    Component,
}

/// A row of the table.
struct Row {
    component: Component,
    at: &'static [At],
    /// The properties that it can keep from being broken.
    against: &'static [Property],
    /// The Kubernetes versions (minor) that have it, the last one included.
    minors: (u32, u32),
    /// What has to be written.
    written: &'static [Written],
    /// Makes the configuration so. Where it is so already, nothing changes.
    apply: fn(&mut ClusterConfig),
}

/// A key and its value, as a component reads them.
struct Written {
    /// In the component's configuration file; the flag again where it has none.
    key: &'static str,
    /// Among its flags.
    flag: &'static str,
    /// The value; `{…}` is replaced by what this configuration calls it.
    value: &'static str,
}

/// The changes that bear on what the evidence of a verdict names, in the order of the table.
pub(crate) fn candidates(config: &ClusterConfig, verdict: &Verdict, broken: &[Property]) -> Vec<Change> {
    let places = places(config, verdict);
    let minor = config.version.major_minor().1;
    let bears = |at: &[At], against: &[Property]| {
        at.iter().any(|at| places.contains(at)) && against.iter().any(|property| broken.contains(property))
    };
    let rows = rows::ROWS
        .iter()
        .enumerate()
        .filter(|(_, row)| (row.minors.0..=row.minors.1).contains(&minor) && bears(row.at, row.against));
    let mut found: Vec<Change> = rows.map(|(index, _)| Change::Row(index)).collect();
    if bears(&[At::Apiserver, At::Rights, At::Kubelet], &Property::ALL) {
        let bindings = config.manifests.iter().filter(|manifest| binds_strangers(manifest));
        found.extend(bindings.map(|binding| Change::WithoutBinding(binding.file.clone(), binding.line)));
    }
    // Some rows do something only beside another one.
    let matters = |change: &&Change| {
        let beside = |other: &Change| {
            let alone = changed(config, [other]);
            changed(config, [other.min(*change), other.max(*change)]) != alone
        };
        changed(config, [*change]) != *config || found.iter().any(beside)
    };
    found.iter().filter(matters).cloned().collect()
}

/// Do these changes bear, between them, on everything that is broken?
pub(crate) fn cover(changes: &[Change], broken: &[Property]) -> bool {
    let bears = |change: &Change, property: &Property| match change {
        Change::Row(index) => rows::ROWS[*index].against.contains(property),
        Change::WithoutBinding(..) => true,
    };
    broken.iter().all(|property| changes.iter().any(|change| bears(change, property)))
}

/// Is every one of these changes needed to come to the same configuration?
pub(crate) fn is_minimal(config: &ClusterConfig, changes: &[Change]) -> bool {
    let all = changed(config, changes);
    let without = |left: &Change| changed(config, changes.iter().filter(|change| *change != left));
    changes.iter().all(|left| without(left) != all)
}

/// The configuration with these changes.
pub(crate) fn changed<'a>(
    config: &ClusterConfig,
    changes: impl IntoIterator<Item = &'a Change>,
) -> ClusterConfig {
    let mut config = config.clone();
    for change in changes {
        match change {
            Change::Row(index) => (rows::ROWS[*index].apply)(&mut config),
            Change::WithoutBinding(file, line) => {
                config.manifests.retain(|manifest| (&manifest.file, manifest.line) != (file, *line));
            }
        }
    }
    config
}

/// How a change is written into the user's files.
pub(crate) fn described(config: &ClusterConfig, change: &Change) -> Vec<SettingChange> {
    match change {
        Change::Row(index) => {
            let row = &rows::ROWS[*index];
            // Who has a file already needs no other.
            let there = |written: &&Written| {
                written.value == rows::AUTHENTICATION_FILE
                    && config.provenance.settings.iter().any(|known| known.key == written.flag)
            };
            let written = row.written.iter().filter(|written| !there(written));
            written.map(|written| setting(config, row.component, written)).collect()
        }
        Change::WithoutBinding(file, line) => {
            let same = |m: &&Manifest| (&m.file, m.line) == (file, *line);
            let name = config.manifests.iter().find(same).map(|manifest| {
                let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                (text(&manifest.object["kind"]), text(&manifest.object["metadata"]["name"]))
            });
            let (kind, name) = name.unwrap_or_default();
            vec![SettingChange {
                component: Component::Cluster.as_str().to_owned(),
                key: kind,
                from: Some(name),
                to: String::new(),
                file: Some(file.clone()),
                line: Some(*line),
            }]
        }
    }
}

/// Which checks the evidence is about: those of the path's own server, of every server that it
/// names, and of the rights of an attacker that has an identity.
fn places(config: &ClusterConfig, verdict: &Verdict) -> BTreeSet<At> {
    let mut places = BTreeSet::new();
    match verdict.path.as_str() {
        "direct-to-apiserver-insecure" => _ = places.insert(At::InsecurePort),
        "direct-to-kubelet-read-only" => _ = places.insert(At::ReadOnlyPort),
        "direct-to-component" => places.extend([At::Component, At::Apiserver]),
        "direct-to-kubelet" => _ = places.insert(At::Kubelet),
        path if path.starts_with("apiserver-to-kubelet/") => _ = places.insert(At::Kubelet),
        path if path.ends_with("-to-apiserver") || path == "node-bootstrap" => {
            places.insert(At::Apiserver);
        }
        _ => {}
    }
    if ["rogue-node", "rogue-pod", "token-thief"].contains(&verdict.attacker.as_str()) {
        places.insert(At::Rights);
    }
    let ports = [
        (Some(config.kubelet.port), At::Kubelet),
        (config.kubelet.read_only_port, At::ReadOnlyPort),
        (Some(config.apiserver.secure_port), At::Apiserver),
    ];
    for evidence in verdict.properties.values().flat_map(|found| &found.evidence) {
        for (port, at) in &ports {
            if port.is_some_and(|port| evidence.flow.ends_with(&format!(":{port}"))) {
                places.insert(*at);
            }
        }
    }
    places
}

/// Does a manifest give rights to users whom the cluster makes itself: anonymous ones, everybody,
/// all service accounts, nodes?
fn binds_strangers(manifest: &Manifest) -> bool {
    let object = &manifest.object;
    let binds = matches!(object["kind"].as_str(), Some("RoleBinding" | "ClusterRoleBinding"));
    let subjects = object["subjects"].as_array().map(Vec::as_slice).unwrap_or_default();
    binds
        && subjects.iter().any(|subject| {
            let name = subject["name"].as_str().unwrap_or_default();
            match subject["kind"].as_str() {
                Some("ServiceAccount") => true,
                _ => name.starts_with("system:") && name != "system:masters",
            }
        })
}

fn setting(config: &ClusterConfig, component: Component, written: &Written) -> SettingChange {
    let provenance = &config.provenance;
    // A file of the apiserver's excludes the flag that means the same.
    let by_file = |known: &Setting| known.component == component && known.key == written.key;
    let in_file = match component {
        Component::Kubelet => kubelet_has_file(provenance),
        _ => provenance.settings.iter().any(by_file),
    };
    let key = if in_file { written.key } else { written.flag };
    let is_it = |known: &str| known == written.key || known == written.flag;
    let now = provenance.settings.iter().find(|known| known.component == component && is_it(&known.key));
    let default = provenance.defaulted.iter().find(|known| known.component == component && is_it(&known.key));
    let place = now.or_else(|| {
        let ours = provenance.settings.iter().filter(|known| known.component == component);
        let mut fitting = ours.filter(|known| known.key.starts_with("--") != in_file);
        fitting.next()
    });
    let default = default.map(|known| known.value.clone()).filter(|value| !value.is_empty());
    SettingChange {
        component: component.as_str().to_owned(),
        key: key.to_owned(),
        from: now.map(|known| known.value.clone()).or(default),
        to: filled_in(config, written.value, now.map(|known| known.value.as_str())),
        file: place.map(|known| known.file.clone()),
        line: now.map(|known| known.line),
    }
}

/// Do the kubelets read a configuration file? Where nothing is known of them, kubeadm's is assumed.
fn kubelet_has_file(provenance: &Provenance) -> bool {
    let mut keys =
        provenance.settings.iter().filter(|known| known.component == Component::Kubelet).peekable();
    keys.peek().is_none() || keys.any(|known| !known.key.starts_with("--") || known.key == "--config")
}

fn filled_in(config: &ClusterConfig, value: &str, now: Option<&str>) -> String {
    let before = now.filter(|now| !now.is_empty()).map(|now| format!("{now},")).unwrap_or_default();
    value
        .replace("{kubelet CA}", &kubelet_ca(config))
        .replace("{client CA}", &client_ca(config))
        .replace("{before},", &before)
}

/// The CA from which kubelets' serving certificates come, or would come.
fn kubelet_ca(config: &ClusterConfig) -> String {
    let manager = &config.controller_manager;
    let signer = manager.kubelet_serving_signing.as_ref().or(manager.cluster_signing.as_ref());
    signer.map_or_else(|| client_ca(config), |signer| signer.cert.as_str().to_owned())
}

/// The CA from which the apiserver's certificate for kubelets comes.
fn client_ca(config: &ClusterConfig) -> String {
    config
        .apiserver
        .client_ca_file
        .as_ref()
        .map_or_else(|| CLUSTER_CA.to_owned(), |file| file.as_str().to_owned())
}

#[cfg(test)]
mod tests;
