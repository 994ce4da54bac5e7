//! Which kind of file a file is: units, command lines and environment files by their first lines, all else by YAML.

pub(crate) mod pod;
mod tokens;
pub(crate) mod unit;
mod words;

pub(crate) use words::{joined_lines, split_words};

use crate::SourceFile;
use crate::gathered::{Gathered, Origin, Place};
use crate::invocation::{Invocation, component_in, program};
use crate::model::{Component, StaticUser};
use crate::yaml::{self, Node};

/// What may be given at all, for errors.
pub(crate) const ACCEPTED: &str = "static pod manifests, systemd units, command lines or lines of flags of kube-apiserver, \
     kube-controller-manager, kube-scheduler, kube-proxy, kubelet, konnectivity-server and konnectivity-agent; KubeletConfiguration, KubeProxyConfiguration, \
     EgressSelectorConfiguration, AuthenticationConfiguration, AuthorizationConfiguration, the file of --token-auth-file; kubeadm's ClusterConfiguration, InitConfiguration and \
     JoinConfiguration; Kubernetes objects; as YAML or JSON";

/// The parts of a file.
pub(crate) enum Parts {
    Unit,
    Environment,
    Flags,
    /// Lines that hold command lines among other things: what `ps` prints, and what k3s logs.
    Listing,
    Documents(Vec<Node>),
    /// What `--token-auth-file` names.
    Tokens(Vec<StaticUser>),
    Nothing,
}

/// The files without what editors and the kernel add: a byte order mark, and the NULs of `/proc/PID/cmdline`.
pub(crate) fn plain(files: &[SourceFile]) -> Vec<SourceFile> {
    let plain = |text: &str| text.strip_prefix('\u{feff}').unwrap_or(text).replace('\0', " ");
    files.iter().map(|file| SourceFile { name: file.name.clone(), text: plain(&file.text) }).collect()
}

/// Tells a file's kind; a file of no kind is an error.
pub(crate) fn classify(file: &SourceFile, gathered: &mut Gathered) -> Parts {
    let place = Place::new(&file.name, 0);
    let mut lines = file.text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['#', ';']));
    let Some(first) = lines.next() else {
        gathered.fail(&place, "", "is empty", ACCEPTED);
        return Parts::Nothing;
    };
    if first.starts_with('[')
        && first.ends_with(']')
        && first[1..first.len() - 1].chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    {
        return Parts::Unit;
    }
    if starts_with_flags(first) {
        return Parts::Flags;
    }
    if joined_lines(&file.text).iter().all(|(_, line)| is_assignment(line)) {
        return Parts::Environment;
    }
    if let Some(users) = tokens::users(&file.text) {
        return Parts::Tokens(users);
    }
    let documents = yaml::documents(&file.text);
    let has_kinds = documents.as_ref().is_ok_and(|all| all.iter().any(|d| d.entry("kind").is_some()));
    if !has_kinds && file.text.lines().any(|line| command_in(line, 1).is_some()) {
        return Parts::Listing;
    }
    match documents {
        Ok(documents)
            if documents.iter().all(|d| matches!(d.value, yaml::Value::Map(_))) && !documents.is_empty() =>
        {
            Parts::Documents(documents)
        }
        Ok(documents) if documents.is_empty() => {
            gathered.fail(&place, "", "is empty", ACCEPTED);
            Parts::Nothing
        }
        Ok(documents) => {
            let line =
                documents.iter().find(|d| !matches!(d.value, yaml::Value::Map(_))).map_or(0, |d| d.line);
            gathered.fail(&Place::new(&file.name, line), "", "is no file that is read here", ACCEPTED);
            Parts::Nothing
        }
        Err(error) => {
            gathered.fail(&Place::new(&file.name, error.line), &error.key, error.problem, "YAML or JSON");
            Parts::Nothing
        }
    }
}

fn starts_with_flags(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default();
    let flag =
        first.strip_prefix("--").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
    let name = first.rsplit('/').next().unwrap_or(first);
    flag || program(first).is_some()
        || matches!(name, "hyperkube" | "exec" | "sudo" | "nohup")
        || name == "go-runner"
}

fn is_assignment(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| {
        let name = name.strip_prefix("export ").unwrap_or(name);
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// A file of flags: a command line, or flags alone, whose component the file's name or the flags themselves tell.
pub(crate) fn bare_flags(file: &SourceFile, gathered: &mut Gathered) -> Vec<Invocation> {
    let mut invocations: Vec<Invocation> = Vec::new();
    let mut loose: Vec<(String, usize)> = Vec::new();
    for (line, text) in joined_lines(&file.text) {
        let words: Vec<(String, usize)> =
            split_words(&text, line).into_iter().map(|w| (w.text, w.line)).collect();
        let skip = words.iter().take_while(|(w, _)| matches!(w.as_str(), "exec" | "sudo" | "nohup")).count();
        let words = &words[skip..];
        match component_in(words) {
            Some((component, at)) => invocations.push(Invocation {
                component,
                arguments: words[at..].to_vec(),
                place: Place::new(&file.name, line),
                origin: Origin::Flag,
                replaces: false,
            }),
            // Lines of flags after a command line belong to it.
            None => invocations
                .last_mut()
                .map_or(&mut loose, |last| &mut last.arguments)
                .extend(words.iter().cloned()),
        }
    }
    if !loose.is_empty() {
        let place = Place::new(&file.name, loose[0].1);
        if let Some(component) = component_of(&file.name, &loose, &place, gathered) {
            invocations.push(Invocation {
                component,
                arguments: loose,
                place,
                origin: Origin::Flag,
                replaces: false,
            });
        }
    }
    invocations
}

/// The command lines among a listing's lines.
pub(crate) fn listed(file: &SourceFile) -> Vec<Invocation> {
    let lines = file.text.lines().enumerate();
    let found = lines.filter_map(|(at, text)| Some((at + 1, command_in(text, at + 1)?)));
    let invocation = |(line, (component, arguments))| Invocation {
        component,
        arguments,
        place: Place::new(&file.name, line),
        origin: Origin::Flag,
        replaces: false,
    };
    found.map(invocation).collect()
}

/// The component's command line that a line ends in: a program, or k3s' `msg="Running PROGRAM …"`, and flags.
fn command_in(text: &str, line: usize) -> Option<(Component, Vec<(String, usize)>)> {
    let text = match text.split_once("msg=\"Running ") {
        Some((_, rest)) => rest.trim_end().trim_end_matches('"'),
        None => text,
    };
    let words: Vec<(String, usize)> =
        split_words(text, line).into_iter().map(|word| (word.text, word.line)).collect();
    let starts = |at: &usize| {
        component_in(&words[*at..]).is_some_and(|(_, flags)| {
            let flag = words.get(at + flags).is_some_and(|(word, _)| word.starts_with("--"));
            flags <= 2 && flag && (flags == 1 || words[*at].0.ends_with("hyperkube"))
        })
    };
    let at = (0..words.len()).find(starts)?;
    let (component, flags) = component_in(&words[at..])?;
    Some((component, words[at + flags..].to_vec()))
}

fn component_of(
    name: &str,
    words: &[(String, usize)],
    place: &Place,
    gathered: &mut Gathered,
) -> Option<Component> {
    let base = name.rsplit('/').next().unwrap_or(name);
    if let Some(component) = Component::PROGRAMS.into_iter().find(|c| base.contains(c.as_str())) {
        return Some(component);
    }
    let names: Vec<String> = words
        .iter()
        .filter_map(|(word, _)| word.strip_prefix("--"))
        .map(|body| body.split('=').next().unwrap_or(body).replace('_', "-"))
        .collect();
    let score = |c: Component| names.iter().filter(|n| crate::catalogue::flag(c, n).is_some()).count();
    let best = Component::PROGRAMS.into_iter().map(score).max().unwrap_or(0);
    let fitting: Vec<Component> = Component::PROGRAMS.into_iter().filter(|&c| score(c) == best).collect();
    if let ([component], true) = (fitting.as_slice(), best > 0) {
        return Some(*component);
    }
    let candidates: Vec<_> = fitting.iter().map(|c| c.as_str()).collect();
    gathered.fail(
        place,
        "",
        format!("these flags do not tell whose they are: {}", candidates.join(" or ")),
        "the program's name before the flags, or in the name of the file",
    );
    None
}
