//! Pod manifests (and workloads that hold a pod template) that run a component.

use crate::assemble::konnectivity;
use crate::gathered::{Gathered, Origin, Place, VersionSaid};
use crate::invocation::{Invocation, component_in, is_shell, program};
use crate::model::{AgentPod, Component, KubernetesVersion, PLACEHOLDERS};
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
            let named = program(name).or_else(|| konnectivitys_image(container));
            named.filter(|_| only_flags).map(|component| (component, 0))
        });
        if let Some((component, at)) = component {
            component_seen = true;
            version(container, component, file, gathered);
            if component == Component::KonnectivityAgent {
                gathered.agent_pods.extend(agent_pod(document, container).map(|pod| (place.clone(), pod)));
            }
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

/// Whose image a container runs, where that is konnectivity's.
fn konnectivitys_image(container: &Node) -> Option<Component> {
    let image = container.text_at(&["image"])?;
    let name = image.split('@').next()?.rsplit('/').next()?;
    program(name.split(':').next()?).filter(|component| component.is_konnectivity())
}

/// The pods that a workload makes, with this container alone.
fn agent_pod(document: &Node, container: &Node) -> Option<AgentPod> {
    let kind = document.text_at(&["kind"])?;
    let path: &[&str] = if kind == "Pod" { &["spec"] } else { &["spec", "template", "spec"] };
    let mut spec = document.at(path)?.to_json();
    spec["containers"] = serde_json::Value::Array(vec![container.to_json()]);
    let said = document.at(&["spec", "replicas"]).and_then(Node::written);
    let said = said.and_then(|replicas| replicas.parse().ok()).unwrap_or(1);
    Some(AgentPod {
        name: document.text_at(&["metadata", "name"]).unwrap_or("konnectivity-agent").to_owned(),
        namespace: document.text_at(&["metadata", "namespace"]).unwrap_or("default").to_owned(),
        replicas: (kind != "DaemonSet").then_some(said),
        host_network: spec["hostNetwork"] == true,
        spec,
    })
}

/// `command` and `args`, with `$(NAME)` replaced where the manifest itself defines it.
fn words(container: &Node, gathered: &mut Gathered, file: &str) -> Vec<(String, usize)> {
    // Agents tell their server who they are, which is different from pod to pod.
    let is_agents = |word: String| program(&word) == Some(Component::KonnectivityAgent);
    let first = container.at(&["command"]).and_then(|words| words.elements().first()?.written());
    let named = container.text_at(&["name"]).is_some_and(|name| is_agents(name.to_owned()));
    let image = konnectivitys_image(container) == Some(Component::KonnectivityAgent);
    let of_an_agent = first.is_some_and(is_agents) || named || image;
    let variables: Vec<(String, String)> = container
        .at(&["env"])
        .map(Node::elements)
        .unwrap_or_default()
        .iter()
        .filter_map(|env| Some((format!("$({})", env.text_at(&["name"])?), value(env, of_an_agent)?)))
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
fn value(env: &Node, of_an_agent: bool) -> Option<String> {
    match env.text_at(&["valueFrom", "fieldRef", "fieldPath"]) {
        Some(field) if of_an_agent => {
            let wanted = format!("{{{field}}}");
            PLACEHOLDERS.contains(&wanted.as_str()).then_some(wanted)
        }
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
    if component.is_konnectivity() {
        let number = konnectivity::numbered(tag);
        gathered.konnectivity_versions.extend(number.map(|number| (component, (number, place))));
        return;
    }
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
