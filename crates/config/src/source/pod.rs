//! Pod manifests (and workloads that hold a pod template) that run a component.

use crate::gathered::{Gathered, Origin, Place, VersionSaid};
use crate::invocation::{Invocation, component_in, is_shell, program};
use crate::model::{Component, KubernetesVersion};
use crate::yaml::Node;

/// What a manifest's containers are.
pub(crate) enum Containers {
    /// None of them is a component: an ordinary object.
    Ordinary,
    /// It is part of the control plane but on no path (etcd).
    Beside,
    /// One or more components.
    Components(Vec<Invocation>),
}

/// Looks for components among the containers of a pod, or of a workload's pod template.
pub(crate) fn read(document: &Node, file: &str, gathered: &mut Gathered) -> Containers {
    let spec = match document.text_at(&["kind"]) {
        Some("Pod") => document.at(&["spec"]),
        Some("DaemonSet" | "Deployment" | "StatefulSet") => document.at(&["spec", "template", "spec"]),
        _ => None,
    };
    let Some(containers) = spec.and_then(|s| s.at(&["containers"])) else { return Containers::Ordinary };
    let mut found = Vec::new();
    let mut component_seen = false;
    let mut beside = false;
    for container in containers.elements() {
        let words = words(container, gathered, file);
        let name = container.text_at(&["name"]).unwrap_or_default();
        beside |= name == "etcd" && document.text_at(&["metadata", "namespace"]) == Some("kube-system");
        let place = Place::new(file, container.line);
        if words.first().is_some_and(|(word, _)| is_shell(word)) {
            if program(name).is_some() {
                component_seen = true;
                gathered.fail(
                    &place,
                    "command",
                    format!("{name} runs a shell, whose script is not read"),
                    "the component's own command",
                );
            }
            continue;
        }
        let component = component_in(&words).or_else(|| {
            let only_flags = words.first().is_none_or(|(word, _)| word.starts_with('-'));
            program(name).filter(|_| only_flags).map(|component| (component, 0))
        });
        if let Some((component, at)) = component {
            component_seen = true;
            version(container, component, file, gathered);
            found.push(Invocation {
                component,
                arguments: words[at..].to_vec(),
                place,
                origin: Origin::Flag,
                replaces: false,
            });
        }
    }
    if component_seen {
        Containers::Components(found)
    } else if beside {
        Containers::Beside
    } else {
        Containers::Ordinary
    }
}

/// `command` and `args`, with `$(NAME)` replaced where the manifest itself defines it.
fn words(container: &Node, gathered: &mut Gathered, file: &str) -> Vec<(String, usize)> {
    let variables: Vec<(String, String)> = container
        .at(&["env"])
        .map(Node::elements)
        .unwrap_or_default()
        .iter()
        .filter_map(|env| Some((format!("$({})", env.text_at(&["name"])?), value(env)?)))
        .collect();
    let mut words = Vec::new();
    for key in ["command", "args"] {
        for node in container.at(&[key]).map(Node::elements).unwrap_or_default() {
            match node.written() {
                Some(text) => {
                    let text = variables.iter().fold(text, |text, (name, value)| text.replace(name, value));
                    words.push((text, node.line));
                }
                None => gathered.fail(
                    &Place::new(file, node.line),
                    key,
                    format!("holds {}", node.what()),
                    "strings",
                ),
            }
        }
    }
    words
}

/// A variable's value, as far as the manifest tells: the machine's own address is the default of the flags that take
/// it, which the empty text stands for.
fn value(env: &Node) -> Option<String> {
    match env.text_at(&["valueFrom", "fieldRef", "fieldPath"]) {
        Some("status.podIP" | "status.hostIP") => Some(String::new()),
        _ => env.at(&["value"])?.written(),
    }
}

/// The version in an image's tag.
fn version(container: &Node, component: Component, file: &str, gathered: &mut Gathered) {
    let Some(image) = container.at(&["image"]) else { return };
    let Some(text) = image.text() else { return };
    let name = text.split('@').next().unwrap_or(text);
    let Some((_, tag)) = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) else { return };
    let place = Place::new(file, image.line);
    match KubernetesVersion::parse(tag) {
        Ok(version) => gathered.versions.push(VersionSaid { version, component, key: "image".into(), place }),
        Err(crate::ParseVersionError::OutOfRange) => gathered.fail(
            &place,
            "image",
            format!("{tag:?} is a version that is not known here"),
            format!("{} to {}", crate::OLDEST, crate::NEWEST),
        ),
        // Tags such as `latest` or a digest say nothing; another file or the flags may.
        Err(crate::ParseVersionError::Shape) => {}
    }
}
