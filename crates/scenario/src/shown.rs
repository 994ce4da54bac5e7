//! Scenarios and outcomes as text for people.

use crate::file::{Scenario, Setting, Step};
use crate::flaw_names;
use crate::outcome::{Outcome, SideOutcome};
use std::fmt::Write;
use std::time::Duration;

/// How long lines are.
const COLUMNS: usize = 100;

/// One line for each scenario: its name, whether it runs, what it is about.
pub fn listed(scenarios: &[Scenario]) -> String {
    let width = scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for scenario in scenarios {
        let state = match &scenario.waits_for {
            None => "runs".to_owned(),
            Some(what) => format!("waits for {what}"),
        };
        let _ = writeln!(text, "{:width$}  {state:24}  {}", scenario.name, scenario.title);
    }
    text
}

/// What came of one scenario: the verdict, and the evidence of both sides.
pub fn summarised(scenario: &Scenario, outcome: &Outcome) -> String {
    let verdict = match (outcome.attack.is_as_described(), outcome.control.is_as_described()) {
        (true, true) => "reproduced, and the control stopped it",
        (true, false) => "reproduced, but the control is NOT as described",
        (false, true) => "NOT reproduced as described",
        (false, false) => "NOT as described on either side",
    };
    let mut text = format!("{} ({}): {verdict}\n", scenario.name, scenario.reference.id);
    for (attack, control) in outcome.attack.seen.iter().zip(&outcome.control.seen) {
        let flips = if attack.expected == control.expected { ' ' } else { '*' };
        paragraph(&mut text, &format!("  {flips} "), &attack.tell);
        for (side, seen) in [("attack", attack), ("control", control)] {
            let what = match &seen.first {
                Some(fact) => format!("{} at {}: {fact}", times(seen.count), clock(fact.at)),
                None => "not seen".to_owned(),
            };
            let wrong = if seen.is_as_described() { "" } else { "   <-- NOT AS DESCRIBED" };
            let _ = writeln!(text, "      {side:8} {what}{wrong}");
        }
    }
    for (side, outcome) in [("attack", &outcome.attack), ("control", &outcome.control)] {
        if let Some(why) = &outcome.trouble {
            let _ = writeln!(text, "    {side}: a step could not be done: {why}");
        }
    }
    paragraph(&mut text, "    control: ", &scenario.control.change);
    let short = |side: &SideOutcome| side.trace_sha256.chars().take(16).collect::<String>();
    let (attack, control) = (short(&outcome.attack), short(&outcome.control));
    let _ = writeln!(text, "    traces: attack {attack}, control {control}");
    text
}

/// The whole story: what it is about, and how each step went on both sides. Without an outcome,
/// what would happen.
pub fn explained(scenario: &Scenario, outcome: &Outcome) -> String {
    let mut text = head(scenario);
    told(&mut text, "The attack", &outcome.attack);
    text.push('\n');
    paragraph(&mut text, "The control: ", &scenario.control.change);
    text.push('\n');
    told(&mut text, "The same again, with this change", &outcome.control);
    let _ = writeln!(text, "\nWhat was seen (* must differ between attack and control):\n");
    text + &summarised(scenario, outcome)
}

/// The story of a scenario that cannot run yet.
pub fn described(scenario: &Scenario) -> String {
    let mut text = head(scenario);
    if let Some(what) = &scenario.waits_for {
        let _ = writeln!(text, "It waits for {what}, and cannot be run yet. What would happen:\n");
    }
    steps(&mut text, &scenario.steps);
    text.push('\n');
    paragraph(&mut text, "The control: ", &scenario.control.change);
    steps(&mut text, &scenario.control.steps);
    let _ = writeln!(text, "\nWhat must be seen:\n");
    for evidence in &scenario.evidence {
        let yes = |expected| if expected { "yes" } else { "no" };
        let (attack, control) = (yes(evidence.attack), yes(evidence.control));
        let tell = format!("{} (attack: {attack}, control: {control})", evidence.tell);
        paragraph(&mut text, "  - ", &tell);
    }
    text
}

fn head(scenario: &Scenario) -> String {
    let reference = &scenario.reference;
    let mut text = format!("{}: {}\n\n{}\n\n", scenario.name, scenario.title, scenario.story);
    let _ = writeln!(text, "On record as {}: {}", reference.id, reference.page);
    let _ = writeln!(text, "Affected: {}\nFixed: {}", reference.affected, reference.fixed);
    if !scenario.hosts.is_empty() {
        let _ = writeln!(text, "\nHosts:");
        let width = scenario.hosts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, what) in &scenario.hosts {
            let _ = writeln!(text, "  {name:width$}  {what}");
        }
    }
    let _ = writeln!(text, "\nCluster: {}\n", setting(&scenario.cluster));
    text
}

fn setting(setting: &Setting) -> String {
    let nodes = if setting.nodes == 1 { "1 node".to_owned() } else { format!("{} nodes", setting.nodes) };
    let mut parts = vec![nodes];
    parts.extend(setting.kubernetes.iter().map(|version| format!("Kubernetes {version}")));
    let names: Vec<&str> = setting.files.iter().map(|file| file.name.as_str()).collect();
    parts.push(match names.as_slice() {
        [] => "what kubeadm sets up by default".to_owned(),
        names => names.join(", "),
    });
    parts.extend(setting.flaws.iter().map(|flaw| format!("old behaviour: {}", flaw_names::name(*flaw))));
    parts.join("; ")
}

fn told(text: &mut String, title: &str, side: &SideOutcome) {
    let _ = writeln!(text, "{title}:");
    for step in &side.steps {
        paragraph(text, &format!("  {:>9}  ", clock(step.at)), &step.tell);
        if !step.outcome.is_empty() {
            paragraph(text, "             -> ", &step.outcome);
        }
    }
}

fn steps(text: &mut String, steps: &[Step]) {
    for step in steps {
        paragraph(text, &format!("  {:>9}  ", clock(step.at)), &step.tell);
    }
}

/// A text in lines of a readable length, the later ones indented as far as the first one's head.
fn paragraph(text: &mut String, head: &str, tell: &str) {
    let mut line = head.to_owned();
    let mut is_new = true;
    for word in tell.split_whitespace() {
        if !is_new && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            let _ = writeln!(text, "{line}");
            (line, is_new) = (" ".repeat(head.chars().count()), true);
        }
        if !is_new {
            line.push(' ');
        }
        line.push_str(word);
        is_new = false;
    }
    let _ = writeln!(text, "{line}");
}

fn times(count: usize) -> String {
    if count == 1 { "seen".to_owned() } else { format!("seen {count} times, first") }
}

/// Minutes, seconds and milliseconds.
fn clock(at: Duration) -> String {
    let ms = at.as_millis();
    format!("{}:{:02}.{:03}", ms / 60_000, ms / 1000 % 60, ms % 1000)
}
