//! A component's flags, and the configuration files that they name.

use crate::files::Refused;
use crate::outcome::Status;
use crate::processes::RuntimeKind;
use clap::ValueEnum;
use ravelin_config::{ClusterConfig, Component, FileName, Setting, SourceFile};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What errors call the flags.
const COMMAND_LINE: &str = "command line";
/// The largest file that a flag may name, in bytes.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// What a component was given.
pub(super) struct Given {
    /// The configuration, of which only this component's part means anything.
    pub(super) config: ClusterConfig,
    /// Flags as they were written: the name and the value.
    flags: Vec<(String, String)>,
    /// Does it say what it does?
    pub(super) verbose: bool,
    /// What runs a kubelet's containers, and may that be processes of the superuser?
    pub(super) runtime: RuntimeKind,
    pub(super) processes_as_root: bool,
    /// What should be said before it runs.
    pub(super) remarks: Vec<String>,
}

impl Given {
    /// Reads a component's flags.
    pub(super) fn read(component: Component, flags: &[String]) -> Result<Self, Refused> {
        let (own, theirs): (Vec<_>, Vec<_>) = split_own(component, flags);
        let value = |name: &str| own.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.clone());
        let (version, verbose) = (value("kubernetes-version"), value("verbose").is_some());
        let runtime = match value("runtime").filter(|_| component == Component::Kubelet) {
            None => RuntimeKind::Builtin,
            Some(kind) => RuntimeKind::from_str(&kind, false)
                .map_err(|_| Refused::usage(format!("--runtime: {kind}: accepted: builtin, process")))?,
        };
        let processes_as_root = value("danger-processes-as-root").is_some();
        let flags = pairs(&theirs);
        let mut files = vec![manifest(component, &theirs)];
        let of_files = |name: &String| configuration_flags(component).contains(&name.as_str());
        for (name, file) in flags.iter().filter(|(name, _)| of_files(name)) {
            files.push(SourceFile { name: file.clone(), text: text(&format!("--{name}"), Path::new(file))? });
        }
        let config = ClusterConfig::read(&files, version.as_deref())
            .map_err(|errors| Refused(Status::Usage, errors.iter().map(ToString::to_string).collect()))?;
        let mut given = Self { config, flags, verbose, runtime, processes_as_root, remarks: Vec::new() };
        given.remarks = given.remarked(component);
        Ok(given)
    }

    /// A flag's value; the last counts.
    pub(super) fn flag(&self, name: &str) -> Option<&str> {
        let found = self.flags.iter().rfind(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A file that a component's setting names, by one of its keys: as it was written, and where it stands
    /// in a configuration file relative to that one (`resolveKubeletConfigFilePaths` in
    /// `cmd/kubelet/app/options`).
    pub(super) fn named(&self, component: Component, keys: &[&str]) -> Option<FileName> {
        let settings = &self.config.provenance.settings;
        let is_wanted = |found: &&Setting| found.component == component && keys.contains(&found.key.as_str());
        let found = settings.iter().rfind(is_wanted).filter(|found| !found.value.is_empty())?;
        if found.file == COMMAND_LINE {
            return Some(FileName::new(found.value.clone()));
        }
        let folder = Path::new(&found.file).parent().unwrap_or(Path::new(""));
        Some(FileName::new(folder.join(&found.value).display().to_string()))
    }

    /// A flag that names a file.
    pub(super) fn file(&self, name: &str) -> Option<PathBuf> {
        self.flag(name).map(PathBuf::from)
    }

    fn remarked(&self, component: Component) -> Vec<String> {
        let provenance = &self.config.provenance;
        let of = |found: Component, key: &str| {
            found == component && !acted_on(component).contains(&key.trim_start_matches("--"))
        };
        let mut idle: Vec<&str> = provenance
            .no_effect
            .iter()
            .filter(|found| of(found.component, &found.key))
            .map(|found| found.key.as_str())
            .collect();
        idle.dedup();
        let mut remarks = Vec::new();
        if !idle.is_empty() {
            remarks.push(format!("without effect here: {}", idle.join(", ")));
        }
        if self.flag("audit-policy-file").is_some() {
            let level =
                "--audit-policy-file is not read: all requests are written down at the level Metadata";
            remarks.push(level.to_owned());
        }
        let unknown = provenance.unknown_effect.iter().filter(|found| of(found.component, &found.key));
        remarks.extend(unknown.map(|found| format!("not acted on: {} ({})", found.key, found.why)));
        remarks
    }
}

/// Flags whose files are configuration, read with the flags.
fn configuration_flags(component: Component) -> &'static [&'static str] {
    match component {
        Component::Apiserver => &[
            "egress-selector-config-file",
            "authentication-config",
            "authorization-config",
            "ssh-tunnel-config-file",
        ],
        _ => &["config"],
    }
}

/// Flags that mean nothing where a whole cluster is laid out, and something here.
fn acted_on(component: Component) -> &'static [&'static str] {
    match component {
        Component::Apiserver => &["egress-selector-config-file"],
        Component::Kubelet => &["hostname-override", "node-ip", "node-labels", "root-dir", "cert-dir"],
        Component::Proxy => &["hostname-override", "hostnameOverride", "bind-address", "bindAddress"],
        _ => &[],
    }
}

/// The flags of our own, with their values, and the others.
pub(super) fn split_own(component: Component, flags: &[String]) -> (Vec<(String, String)>, Vec<String>) {
    let (switches, valued): (&[&str], &[&str]) = match component {
        Component::Kubelet => (&["verbose", "danger-processes-as-root"], &["kubernetes-version", "runtime"]),
        _ => (&["verbose"], &["kubernetes-version"]),
    };
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    let mut words = flags.iter();
    while let Some(word) = words.next() {
        let body = word.strip_prefix("--").unwrap_or_default();
        let (name, value) = body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value)));
        if switches.contains(&name) && value.is_none() {
            own.push((name.to_owned(), String::new()));
        } else if valued.contains(&name) {
            let value = value.map(str::to_owned).or_else(|| words.next().cloned());
            own.push((name.to_owned(), value.unwrap_or_default()));
        } else {
            theirs.push(word.to_owned());
        }
    }
    (own, theirs)
}

/// Flags with their values, which may stand apart.
pub(super) fn pairs(words: &[String]) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = words;
    while let [word, following @ ..] = rest {
        rest = following;
        let Some(body) = word.strip_prefix("--") else { continue };
        let (name, value) = match (body.split_once('='), following.first()) {
            (Some((name, value)), _) => (name, value),
            (None, Some(next)) if !next.starts_with("--") => (body, next.as_str()),
            (None, _) => (body, "true"),
        };
        pairs.push((name.replace('_', "-"), value.to_owned()));
    }
    pairs
}

/// The flags as the manifest of a pod has them.
pub(super) fn manifest(component: Component, flags: &[String]) -> SourceFile {
    let program = component.as_str();
    let command: Vec<&str> = [program].into_iter().chain(flags.iter().map(String::as_str)).collect();
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": program, "namespace": "kube-system"},
        "spec": {"containers": [{"name": program, "command": command}]},
    });
    SourceFile { name: COMMAND_LINE.to_owned(), text: pod.to_string() }
}

/// The text of a file that a flag or a key names.
pub(super) fn text(key: &str, path: &Path) -> Result<String, Refused> {
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| Refused::usage(format!("{key}: {}: {error}", path.display())))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Refused::usage(format!("{key}: {}: larger than {MAX_FILE_BYTES} bytes", path.display())));
    }
    String::from_utf8(bytes).map_err(|_| Refused::usage(format!("{key}: {}: not UTF-8 text", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn flags_are_read_as_kubernetes_writes_them() {
        let flags = words(
            "--kubernetes-version 1.33 --port=10251 --hostname-override worker --node_ip 127.0.0.1 --v=2",
        );
        let given = Given::read(Component::Kubelet, &flags).map_err(|refused| refused.1).unwrap();
        assert_eq!(given.config.version.major_minor(), (1, 33));
        assert_eq!(given.config.kubelet.port, 10251);
        assert_eq!(
            (given.flag("hostname-override"), given.flag("node-ip")),
            (Some("worker"), Some("127.0.0.1"))
        );
        assert_eq!(given.remarks, ["without effect here: --v"]);
    }

    #[test]
    fn a_kubelet_says_what_runs_its_containers() {
        let flags = words("--runtime process --port=10251 --danger-processes-as-root");
        let given = Given::read(Component::Kubelet, &flags).map_err(|refused| refused.1).unwrap();
        assert_eq!((given.runtime, given.processes_as_root), (RuntimeKind::Process, true));
        for flags in ["--runtime docker", "--runtime"] {
            let refused = Given::read(Component::Kubelet, &words(flags)).err().expect("it is refused");
            assert!(refused.1.join("").contains("accepted: builtin, process"), "{:?}", refused.1);
        }
        let refused =
            Given::read(Component::Apiserver, &words("--runtime process")).err().expect("no such flag");
        assert!(refused.1.join("").contains("--runtime"), "{:?}", refused.1);
    }

    #[test]
    fn unknown_flags_and_values_are_refused_all_at_once() {
        let flags = words("--prot 1 --port x --secure-port 1 stray");
        let refused = Given::read(Component::Kubelet, &flags).err().expect("it is refused");
        assert_eq!(refused.0, Status::Usage);
        let all = refused.1.join("\n");
        for part in ["--prot: kubelet has no such flag", "--port", "kube-apiserver", "stray"] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }
}
