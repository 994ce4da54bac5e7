//! From the YAML of a scenario's file to its value.

use crate::fact::{KINDS, Pattern};
use crate::file::{Control, Evidence, Reference, Scenario, Setting, Step, Verb};
use crate::flaw_names;
use crate::reading::{Reading, duration};
use crate::vocabulary::{Actor, Ask, Intercept, Place, Presents, Seat, Then, Through, Wait};
use ravelin_config::SourceFile;
use ravelin_config::yaml::{Node, Value};
use std::time::Duration;

const TOP: &[&str] =
    &["title", "reference", "story", "waits-for", "hosts", "cluster", "steps", "evidence", "control"];
const ASKS: &[&str] = &[
    "name",
    "as",
    "from",
    "to",
    "through",
    "method",
    "path",
    "headers",
    "json",
    "body",
    "type",
    "keep",
    "connection",
    "stream",
    "follow-redirects",
];
const CHANGES: &[&str] = &["kubernetes", "old-behaviour", "ssh-host-keys", "files", "steps"];

/// The whole file.
pub(crate) fn scenario(reading: &mut Reading<'_>, root: &Node, file: &str) -> Scenario {
    reading.keys(root, "", TOP);
    let stem = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let waits_for = reading.text(root, "waits-for");
    let told_only = waits_for.is_some();
    let cluster = match root.entry("cluster") {
        Some(entry) => setting(reading, &entry.node),
        None => {
            reading.fail(root.line, "cluster", "is missing");
            Setting::plain()
        }
    };
    check_config(reading, root, "cluster", &cluster);
    let scenario = Scenario {
        name: stem.trim_end_matches(".yaml").to_owned(),
        title: reading.required(root, "title"),
        reference: reference(reading, root),
        story: reading.required(root, "story"),
        waits_for,
        hosts: reading.texts(root, "hosts"),
        steps: steps(reading, root, told_only),
        evidence: reading.items(root, "evidence").iter().map(|node| evidence(reading, node)).collect(),
        control: control(reading, root, (&cluster, told_only)),
        cluster,
    };
    check_hosts(reading, root, &scenario);
    check_requests(reading, root, &scenario);
    if !scenario.evidence.iter().any(|evidence| evidence.attack != evidence.control) {
        reading.fail(
            root.line,
            "evidence",
            "nothing flips: a scenario without a flipping control shows nothing",
        );
    }
    scenario
}

/// The hosts must be machines of the cluster, and an attacker's node not the only one.
fn check_hosts(reading: &mut Reading<'_>, root: &Node, scenario: &Scenario) {
    let nodes = scenario.cluster.nodes;
    let known: Vec<String> = ["control-plane", "controllers", "operator", "user", "attacker"]
        .into_iter()
        .map(str::to_owned)
        .chain((1..=nodes).map(|number| format!("node-{number}")))
        .collect();
    for entry in root.entry("hosts").into_iter().flat_map(|hosts| hosts.node.entries()) {
        if !known.contains(&entry.key) {
            let problem = format!("is no machine here; accepted: {}", known.join(", "));
            reading.fail(entry.line, &entry.key, problem);
        }
    }
    if scenario.cluster.rogue_node && nodes < 2 {
        let line = root.entry("cluster").map_or(root.line, |entry| entry.line);
        reading.fail(line, "rogue-node", "needs 2 nodes or more: the last one is the attacker's");
    }
}

/// Requests have names of their own, and evidence speaks of requests that there are.
fn check_requests(reading: &mut Reading<'_>, root: &Node, scenario: &Scenario) {
    let all = scenario.steps.iter().chain(&scenario.control.steps);
    let mut names: Vec<&str> = Vec::new();
    for step in all {
        let Verb::Ask(ask) = &step.verb else { continue };
        if names.contains(&ask.name.as_str()) {
            reading.fail(root.line, "request", format!("two requests are called {:?}", ask.name));
        }
        names.push(&ask.name);
    }
    if scenario.waits_for.is_some() {
        return;
    }
    let items = root.entry("evidence").map(|entry| entry.node.elements()).unwrap_or_default();
    for (node, evidence) in items.iter().zip(&scenario.evidence) {
        let asked = evidence.pattern.fields.iter().filter(|(field, _)| field == "request");
        for (_, name) in asked.filter(|(_, name)| !names.contains(&name.as_str())) {
            let problem = format!("no request is called {name:?}; accepted: {}", names.join(", "));
            reading.fail(node.line, "request", problem);
        }
    }
}

fn reference(reading: &mut Reading<'_>, root: &Node) -> Reference {
    let empty = Node { line: root.line, value: Value::Map(Vec::new()) };
    let node = root.entry("reference").map_or(&empty, |entry| &entry.node);
    reading.keys(node, "reference", &["id", "page", "affected", "fixed"]);
    Reference {
        id: reading.required(node, "id"),
        page: reading.required(node, "page"),
        affected: reading.required(node, "affected"),
        fixed: reading.required(node, "fixed"),
    }
}

fn setting(reading: &mut Reading<'_>, node: &Node) -> Setting {
    let known = ["nodes", "rogue-node", "untrusted", "kubernetes", "old-behaviour", "ssh-host-keys", "files"];
    reading.keys(node, "cluster", &known);
    let mut setting = Setting::plain();
    let nodes = |text: &str| match text.parse::<u32>() {
        Ok(nodes @ 1..=30) => Ok(nodes),
        _ => Err("1 to 30".to_owned()),
    };
    setting.nodes = reading.parsed(node, "nodes", nodes).unwrap_or(setting.nodes);
    setting.rogue_node = reading.switch(node, "rogue-node").unwrap_or(false);
    let untrusted = |text: &str| match text {
        "access" => Ok((true, false)),
        "fabric" => Ok((false, true)),
        "all" => Ok((true, true)),
        _ => Err("access, fabric, all".to_owned()),
    };
    setting.untrusted = reading.parsed(node, "untrusted", untrusted).unwrap_or(setting.untrusted);
    change(reading, node, &mut setting);
    setting
}

/// The keys of a cluster that a control may change.
fn change(reading: &mut Reading<'_>, node: &Node, setting: &mut Setting) {
    if let Some(version) = reading.text(node, "kubernetes") {
        setting.kubernetes = Some(version);
    }
    if node.entry("old-behaviour").is_some() {
        setting.flaws.clear();
    }
    for (line, name) in reading.list(node, "old-behaviour") {
        match flaw_names::flaw(&name) {
            Some(flaw) => setting.flaws.push(flaw),
            None => {
                let problem = format!("{name:?} is not known; accepted: {}", flaw_names::all());
                reading.fail(line, "old-behaviour", problem);
            }
        }
    }
    let pinned = |text: &str| match text {
        "any" => Ok(false),
        "pinned" => Ok(true),
        _ => Err("any, pinned".to_owned()),
    };
    if let Some(pinned) = reading.parsed(node, "ssh-host-keys", pinned) {
        setting.ssh_host_keys_pinned = pinned;
    }
    for (name, text) in reading.texts(node, "files") {
        setting.files.retain(|file| file.name != name);
        setting.files.push(SourceFile { name, text });
    }
}

/// The configuration must be one that `ravelin simulate` would read.
fn check_config(reading: &mut Reading<'_>, root: &Node, key: &str, setting: &Setting) {
    let line = root.entry(key).map_or(root.line, |entry| entry.line);
    let errors = match setting.config() {
        Ok(config) => setting.layout(&config).err().into_iter().collect(),
        Err(errors) => errors,
    };
    for error in errors {
        reading.fail(line, key, error);
    }
}

fn control(reading: &mut Reading<'_>, root: &Node, (cluster, told_only): (&Setting, bool)) -> Control {
    let mut setting = cluster.clone();
    let Some(entry) = root.entry("control") else {
        reading.fail(root.line, "control", "is missing");
        return Control { change: String::new(), cluster: setting, steps: Vec::new() };
    };
    let node = &entry.node;
    let known: Vec<&str> = [&["change"], CHANGES].concat();
    reading.keys(node, "control", &known);
    let given: Vec<&str> = CHANGES.iter().copied().filter(|key| node.entry(key).is_some()).collect();
    let files = node.entry("files").map_or(0, |entry| entry.node.entries().len());
    if given.len() != 1 || files > 1 {
        let problem =
            format!("must make exactly one change; accepted: one of {}, and one file", CHANGES.join(", "));
        reading.fail(entry.line, "control", problem);
    }
    change(reading, node, &mut setting);
    check_config(reading, root, "control", &setting);
    let steps = if given.contains(&"steps") { steps(reading, node, told_only) } else { Vec::new() };
    Control { change: reading.required(node, "change"), cluster: setting, steps }
}

fn steps(reading: &mut Reading<'_>, root: &Node, told_only: bool) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for node in reading.items(root, "steps") {
        let step = step(reading, node, told_only);
        if steps.last().is_some_and(|last| last.at > step.at) {
            reading.fail(node.line, "at", "is before the step above it");
        }
        steps.push(step);
    }
    steps
}

fn step(reading: &mut Reading<'_>, node: &Node, told_only: bool) -> Step {
    reading.keys(node, "steps", &["at", "tell", "request", "intercept", "wait-for"]);
    if node.entry("at").is_none() {
        reading.fail(node.line, "at", "is missing");
    }
    let verb = match (node.entry("request"), node.entry("intercept"), node.entry("wait-for")) {
        (Some(entry), None, None) => Verb::Ask(Box::new(ask(reading, &entry.node))),
        (None, Some(entry), None) => Verb::Intercept(intercept(reading, &entry.node)),
        (None, None, Some(entry)) => Verb::Wait(wait(reading, &entry.node)),
        (None, None, None) if told_only => Verb::Told,
        _ => {
            reading.fail(node.line, "steps", "a step does one thing; accepted: request, intercept, wait-for");
            Verb::Told
        }
    };
    Step {
        at: reading.parsed(node, "at", duration).unwrap_or_default(),
        tell: reading.required(node, "tell"),
        verb,
    }
}

fn ask(reading: &mut Reading<'_>, node: &Node) -> Ask {
    reading.keys(node, "request", ASKS);
    for key in ["as", "from", "to"] {
        if node.entry(key).is_none() {
            reading.fail(node.line, key, "is missing");
        }
    }
    let method = reading.text(node, "method").unwrap_or_else(|| "GET".to_owned());
    let json = node.entry("json").map(|entry| entry.node.to_json().to_string());
    let content_type = reading.text(node, "type").unwrap_or_else(|| {
        let merges = method == "PATCH" && json.is_some();
        if merges { "application/merge-patch+json" } else { "application/json" }.to_owned()
    });
    let body = json.or_else(|| reading.text(node, "body")).unwrap_or_default();
    let kept = reading.texts(node, "keep");
    if kept.len() > 1 {
        reading.fail(node.line, "keep", "keeps one thing at most");
    }
    Ask {
        name: reading.required(node, "name"),
        actor: reading.parsed(node, "as", Actor::parse).unwrap_or(Actor::Nobody),
        seat: reading.parsed(node, "from", Seat::parse).unwrap_or(Seat::Attacker),
        place: reading.parsed(node, "to", Place::parse).unwrap_or(Place::Apiserver),
        through: reading.parsed(node, "through", Through::parse),
        method,
        path: reading.required(node, "path"),
        headers: reading.texts(node, "headers"),
        body: (content_type, body),
        connection: reading.text(node, "connection"),
        stream: reading.parsed(node, "stream", spdy).unwrap_or(false),
        follows: reading.switch(node, "follow-redirects").unwrap_or(false),
        keep: kept.into_iter().next(),
    }
}

fn spdy(text: &str) -> Result<bool, String> {
    if text == "spdy" { Ok(true) } else { Err("spdy".to_owned()) }
}

fn intercept(reading: &mut Reading<'_>, node: &Node) -> Intercept {
    let known = [
        "connections-to",
        "presents",
        "answer",
        "relay",
        "replace-in-request",
        "replace-in-answer",
        "redirect-to",
        "delete-first-packet",
        "claims",
    ];
    reading.keys(node, "intercept", &known);
    if node.entry("connections-to").is_none() {
        reading.fail(node.line, "connections-to", "is missing");
    }
    let relays = reading.switch(node, "relay").unwrap_or(false);
    let (answer, redirect) = (reading.text(node, "answer"), reading.text(node, "redirect-to"));
    let replaced = (reading.texts(node, "replace-in-request"), reading.texts(node, "replace-in-answer"));
    let deletes = reading.switch(node, "delete-first-packet").unwrap_or(false);
    let then = match (answer, relays, redirect) {
        (None, false, None) if deletes => Then::DeleteFirstPacket,
        (Some(body), false, None) => Then::Answer(200, body),
        (None, false, Some(location)) => Then::Redirect(location),
        (None, true, None) => Then::Relay { request: replaced.0, answer: replaced.1 },
        _ => {
            reading.fail(
                node.line,
                "intercept",
                "does one thing; accepted: answer, relay, redirect-to, delete-first-packet",
            );
            Then::Answer(200, String::new())
        }
    };
    Intercept {
        place: reading.parsed(node, "connections-to", Place::parse).unwrap_or(Place::Apiserver),
        presents: reading.parsed(node, "presents", Presents::parse).unwrap_or(Presents::Nothing),
        claims: reading.text(node, "claims").unwrap_or_default(),
        then,
    }
}

fn wait(reading: &mut Reading<'_>, node: &Node) -> Wait {
    reading.keys(node, "wait-for", &["pod", "within"]);
    let pod = reading.required(node, "pod");
    let Some((namespace, pod)) = pod.split_once('/') else {
        reading.fail(node.line, "pod", "is not understood; accepted: NAMESPACE/NAME");
        return Wait { namespace: String::new(), pod, within: Duration::ZERO };
    };
    let within = reading.parsed(node, "within", duration).unwrap_or(Duration::from_secs(30));
    Wait { namespace: namespace.to_owned(), pod: pod.to_owned(), within }
}

fn evidence(reading: &mut Reading<'_>, node: &Node) -> Evidence {
    reading.keys(
        node,
        "evidence",
        &["tell", "fact", "is", "contains", "after", "before", "attack", "control"],
    );
    let kind = |text: &str| {
        let found = KINDS.iter().find(|(kind, _)| *kind == text);
        found.ok_or_else(|| KINDS.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join(", "))
    };
    if node.entry("fact").is_none() {
        reading.fail(node.line, "fact", "is missing");
    }
    let (kind, known) = reading.parsed(node, "fact", kind).copied().unwrap_or(("answer", &[]));
    let fields = reading.texts(node, "is");
    for (name, _) in fields.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        reading.fail(node.line, name, format!("{kind} has no such field; accepted: {}", known.join(", ")));
    }
    let contains = reading.list(node, "contains").into_iter().map(|(_, text)| text).collect();
    let mut expected = |key: &str| {
        if node.entry(key).is_none() {
            reading.fail(node.line, key, "is missing");
        }
        reading.switch(node, key).unwrap_or(false)
    };
    let (attack, control) = (expected("attack"), expected("control"));
    let between = (
        reading.parsed(node, "after", duration).unwrap_or(Duration::ZERO),
        reading.parsed(node, "before", duration).unwrap_or(Duration::MAX),
    );
    let pattern = Pattern { kind, fields, contains, between };
    Evidence { tell: reading.required(node, "tell"), pattern, attack, control }
}
