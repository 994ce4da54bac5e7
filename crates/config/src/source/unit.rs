//! systemd units: `ExecStart=` with its variables.

use std::collections::BTreeMap;

use super::{joined_lines, split_words};
use crate::SourceFile;
use crate::catalogue::paths;
use crate::gathered::{Gathered, Origin, Place};
use crate::invocation::{Invocation, component_in, is_shell};

/// What runs beside the components, on no path.
const BESIDE: &[&str] =
    &["etcd", "containerd", "dockerd", "crio", "cri-dockerd", "flanneld", "haproxy", "keepalived", "chronyd"];

/// Variables by name, with the line that defines them.
pub(crate) type Variables = BTreeMap<String, String>;

/// The variables of an environment file (`NAME=value`, quotes optional).
pub(crate) fn environment(text: &str) -> Variables {
    joined_lines(text)
        .iter()
        .filter_map(|(_, line)| line.strip_prefix("export ").unwrap_or(line).split_once('='))
        .map(|(name, value)| {
            let value = value.trim();
            let bare = ['"', '\''].iter().find_map(|&q| value.strip_prefix(q)?.strip_suffix(q));
            (name.trim().to_owned(), bare.unwrap_or(value).to_owned())
        })
        .collect()
}

/// What a unit's `[Service]` section says.
pub(crate) struct Unit {
    variables: Variables,
    commands: Vec<(usize, String)>,
    /// A drop-in that cleared the command before.
    replaces: bool,
    /// It names environment files, and all of them are in the input: a variable that none of them has is empty.
    complete: bool,
}

/// Reads a unit; its environment files are looked up by their names among the input's.
pub(crate) fn parse(file: &SourceFile, files: &BTreeMap<String, Variables>) -> Unit {
    let mut variables = Variables::new();
    let mut commands: Vec<(usize, String)> = Vec::new();
    let mut replaces = false;
    let (mut named, mut missing) = (0, 0);
    let mut service = false;
    for (line, text) in joined_lines(&file.text) {
        if text.starts_with('[') {
            service = text.trim() == "[Service]";
            continue;
        }
        let Some((key, value)) = text.split_once('=').filter(|_| service) else { continue };
        match key.trim() {
            "ExecStart" if value.trim().is_empty() => {
                commands.clear();
                replaces = true;
            }
            "ExecStart" => commands.push((line, value.to_owned())),
            "Environment" => {
                let pairs = split_words(value, line);
                variables.extend(
                    pairs
                        .iter()
                        .filter_map(|w| w.text.split_once('='))
                        .map(|(n, v)| (n.to_owned(), v.to_owned())),
                );
            }
            "EnvironmentFile" => {
                let path = value.trim().trim_start_matches('-');
                let base = path.rsplit('/').next().unwrap_or(path);
                let found = files.iter().find(|(name, _)| name.rsplit('/').next() == Some(base));
                named += 1;
                missing += usize::from(found.is_none());
                variables.extend(found.map(|(_, v)| v.clone()).unwrap_or_default());
            }
            _ => {}
        }
    }
    Unit { variables, commands, replaces, complete: named > 0 && missing == 0 }
}

/// The components that the units start. A unit and its drop-ins share their variables; a unit's own win.
pub(crate) fn read(units: &[(&SourceFile, Unit)], gathered: &mut Gathered) -> Vec<Invocation> {
    let mut shared = Variables::new();
    for (file, unit) in units {
        shared.extend(unit.variables.clone());
        if unit.commands.is_empty() && unit.variables.is_empty() {
            let problem = "holds neither ExecStart= nor variables of a component";
            gathered.fail(&Place::new(&file.name, 1), "", problem, super::ACCEPTED);
        }
    }
    let mut invocations = Vec::new();
    for (file, unit) in units {
        let mut variables = shared.clone();
        variables.extend(unit.variables.clone());
        for (line, command) in &unit.commands {
            invocations.extend(invocation(
                file,
                (*line, command),
                (&variables, unit.complete),
                (unit.replaces, &mut *gathered),
            ));
        }
    }
    if invocations.is_empty()
        && gathered.errors.is_empty()
        && units.iter().all(|(_, unit)| unit.commands.is_empty())
    {
        for (file, _) in units.iter().filter(|(_, unit)| !unit.variables.is_empty()) {
            let problem = "holds variables, but no unit in the input uses them";
            gathered.fail(&Place::new(&file.name, 1), "", problem, "the systemd unit beside it");
        }
    }
    invocations
}

fn invocation(
    file: &SourceFile,
    command: (usize, &str),
    (variables, complete): (&Variables, bool),
    rest: (bool, &mut Gathered),
) -> Option<Invocation> {
    let (replaces, gathered) = rest;
    let (line, text) = command;
    let place = Place::new(&file.name, line);
    let mut words = Vec::new();
    let mut undefined = Vec::new();
    for word in split_words(text.trim_start_matches(['-', '@', ':', '+', '!']), line) {
        match whole_variable(&word.text) {
            // `$NAME` alone is split into words, anywhere else a value is put in its place.
            Some(name) => match variables.get(name) {
                Some(value) => {
                    words.extend(split_words(value, word.line).into_iter().map(|w| (w.text, word.line)))
                }
                None if complete => {}
                None => undefined.push((name.to_owned(), word.line)),
            },
            None => words.push((substitute(&word.text, variables), word.line)),
        }
    }
    let first = words.first()?.0.clone();
    if is_shell(&first) {
        gathered.fail(
            &place,
            "ExecStart",
            "runs a shell, whose script is not read",
            "the component's own command",
        );
        return None;
    }
    let name = first.rsplit('/').next().unwrap_or(&first);
    if BESIDE.contains(&name) {
        gathered.without_effect(crate::Component::Cluster, name, &place);
        return None;
    }
    let Some((component, at)) = component_in(&words) else {
        let own = ["k3s", "rke2"].contains(&name);
        let accepted = if own {
            "the command lines that it logs: journalctl -u k3s | grep Running"
        } else {
            "a unit of kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, kubelet, konnectivity-server or konnectivity-agent"
        };
        let problem = format!("{first:?} is no component that is read here");
        gathered.fail(&place, "ExecStart", problem, accepted);
        return None;
    };
    for (name, line) in undefined {
        let place = Place::new(&file.name, line);
        let scope = match component {
            crate::Component::Kubelet => paths::NODE,
            konnectivity if konnectivity.is_konnectivity() => paths::FROM_API,
            _ => paths::ALL,
        };
        gathered.unknown(
            component,
            &format!("${name}"),
            &place,
            (scope, "a variable that no file defines may hold any flag"),
        );
    }
    Some(Invocation { component, arguments: words[at..].to_vec(), place, origin: Origin::Flag, replaces })
}

fn whole_variable(word: &str) -> Option<&str> {
    let name = word.strip_prefix('$')?;
    (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(name)
}

/// Puts the values of `${NAME}` in their places; names that nobody defines stay, to be reported with their flag.
pub(crate) fn substitute(word: &str, variables: &Variables) -> String {
    let mut result = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once("${") {
        result.push_str(before);
        match after.split_once('}').map(|(name, tail)| (variables.get(name), name, tail)) {
            Some((Some(value), _, tail)) => {
                result.push_str(value);
                rest = tail;
            }
            Some((None, name, tail)) => {
                result.push_str("${");
                result.push_str(name);
                result.push('}');
                rest = tail;
            }
            None => {
                result.push_str("${");
                rest = after;
            }
        }
    }
    result + rest
}
