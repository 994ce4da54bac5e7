//! A command line of a component, parsed as pflag parses it.

use crate::catalogue::{self, Effect, Kind, Known};
use crate::gathered::{Gathered, Origin, Place};
use crate::model::Component;
use crate::suggest::closest;

/// A component's command line: its arguments without the program, each with its line.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    pub component: Component,
    pub arguments: Vec<(String, usize)>,
    pub place: Place,
    pub origin: Origin,
    /// A drop-in unit that cleared the command before: it replaces the unit's own.
    pub replaces: bool,
}

/// Which component a program is, by its file name.
pub(crate) fn program(word: &str) -> Option<Component> {
    let name = word.rsplit('/').next().unwrap_or(word);
    let name = match name {
        // CoreOS wrapped the kubelet, with its flags.
        "kubelet-wrapper" => "kubelet",
        "proxy-server" | "apiserver-network-proxy-server" => "konnectivity-server",
        "proxy-agent" | "apiserver-network-proxy-agent" => "konnectivity-agent",
        other => other,
    };
    Component::PROGRAMS.into_iter().find(|c| c.as_str() == name)
}

/// Whether a program is a shell, whose script is not read.
pub(crate) fn is_shell(word: &str) -> bool {
    matches!(word.rsplit('/').next().unwrap_or(word), "sh" | "bash" | "ash" | "dash" | "zsh" | "busybox")
}

/// Finds the component in a whole command line. `hyperkube apiserver` and wrappers such as `go-runner` come before it.
pub(crate) fn component_in(words: &[(String, usize)]) -> Option<(Component, usize)> {
    let first = words.first()?.0.rsplit('/').next()?.to_owned();
    if first == "hyperkube" {
        let second = words.get(1)?.0.as_str();
        let component = Component::PROGRAMS
            .into_iter()
            .find(|c| c.as_str() == second || c.as_str().strip_prefix("kube-") == Some(second))?;
        return Some((component, 2));
    }
    words
        .iter()
        .take_while(|(word, _)| first == "go-runner" || !word.starts_with('-'))
        .position(|(word, _)| program(word).is_some())
        .and_then(|at| program(&words[at].0).map(|component| (component, at + 1)))
        .filter(|(component, at)| !component.is_konnectivity() || has_a_flag_of(*component, &words[*at..]))
}

/// Whether any of its flags is there: others have programs called `proxy-server` too.
fn has_a_flag_of(component: Component, words: &[(String, usize)]) -> bool {
    let flags = words.iter().filter_map(|(word, _)| split(word));
    flags
        .filter_map(|(name, _)| catalogue::flag(component, &name))
        .any(|known| known.effect == Effect::Modelled)
}

/// Reads an invocation's flags into what was gathered.
pub(crate) fn read(invocation: &Invocation, gathered: &mut Gathered) {
    let component = invocation.component;
    let mut words = invocation.arguments.iter();
    while let Some((word, line)) = words.next() {
        let place = Place::new(&invocation.place.file, *line);
        let Some((name, value)) = split(word) else {
            if word != "--" {
                gathered.fail(&place, word, format!("{component} takes flags only"), "--flag=value");
            }
            continue;
        };
        let key = format!("--{name}");
        let Some(known) = catalogue::flag(component, &name) else {
            unknown_flag(component, &name, &place, gathered);
            // Its value, if it stands apart, is not another mistake.
            if value.is_none() && words.as_slice().first().is_some_and(|(next, _)| !next.starts_with('-')) {
                words.next();
            }
            continue;
        };
        let text = match value {
            Some(text) => text,
            None if is_switch(&known) => "true".to_owned(),
            None => match words.next() {
                Some((text, _)) => text.clone(),
                None => {
                    gathered.fail(&place, &key, "has no value", "--flag=value");
                    continue;
                }
            },
        };
        if let Some(variable) = variable_in(&text) {
            if known.effect == Effect::None {
                gathered.without_effect(component, &key, &place);
                continue;
            }
            let why = format!("its value comes from the variable {variable}, which no file defines");
            let scope = match component.is_konnectivity() {
                true => catalogue::paths::FROM_API,
                false => catalogue::paths::ALL,
            };
            gathered.unknown(component, &key, &place, (scope, &why));
            continue;
        }
        gathered.take(component, known, invocation.origin, (key, text, place));
    }
}

/// Flags that may stand without a value.
fn is_switch(known: &Known) -> bool {
    known.kind == Kind::Bool || matches!(known.name, "version")
}

/// The flag's name, underscores made dashes, and its value if it is attached.
fn split(word: &str) -> Option<(String, Option<String>)> {
    let body = word.strip_prefix("--").filter(|body| !body.is_empty());
    let body = match body {
        Some(body) => body.to_owned(),
        // The only shorthands are `-v` and `-h`.
        None => match word.strip_prefix('-').filter(|rest| rest.starts_with(['v', 'h'])) {
            Some("h") => "help".to_owned(),
            Some(rest) if rest.starts_with("v=") || rest == "v" => rest.to_owned(),
            Some(rest) if rest.starts_with('v') => format!("v={}", &rest[1..]),
            _ => return None,
        },
    };
    let (name, value) = match body.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (body, None),
    };
    Some((name.replace('_', "-"), value))
}

fn variable_in(text: &str) -> Option<String> {
    let at = text.find("$(").or_else(|| text.find("${")).or_else(|| text.find('$'))?;
    Some(text[at..].chars().take_while(|c| !c.is_whitespace()).take(40).collect())
}

fn unknown_flag(component: Component, name: &str, place: &Place, gathered: &mut Gathered) {
    let close = closest(name, catalogue::flags(component).map(|k| k.name).collect::<Vec<_>>());
    let accepted = match close {
        Some(close) => format!("did you mean --{close}?"),
        None => {
            let others: Vec<_> = Component::PROGRAMS
                .into_iter()
                .filter(|other| catalogue::flag(*other, name).is_some())
                .map(Component::as_str)
                .collect();
            if others.is_empty() && component.is_konnectivity() {
                format!("the flags of {component} up to v0.36")
            } else if others.is_empty() {
                format!("the flags of {component} in Kubernetes 1.8 to 1.36")
            } else {
                format!("it is a flag of {}", others.join(", "))
            }
        }
    };
    gathered.fail(place, &format!("--{name}"), format!("{component} has no such flag"), accepted);
}
