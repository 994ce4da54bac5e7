//! The story of one verdict, as `--explain` tells it.

use crate::paint::{Ink, Painter, harmless, wrap};
use ravelin_assess::model::{Property, Report, State, Story};
use std::fmt::Write;

/// Tells how one verdict came about: each step with its time, then what every property came to.
/// Lines are at most `width` characters long where words allow it.
pub fn story(story: &Story, report: &Report, width: usize, colour: bool) -> String {
    let painter = Painter { colour };
    let name = format!("{}/{}@{}", story.path, story.attacker, story.egress);
    let mut out = format!("{}  seed {}\n", painter.paint(Ink::Bold, &harmless(&name)), report.seed);
    let who = story.steps.iter().map(|step| step.who.chars().count()).max().unwrap_or(0).min(36);
    for step in &story.steps {
        let text = format!(
            "{:>9.3} s  {:<who$}  {}",
            step.at_ms as f64 / 1000.0,
            harmless(&step.who),
            harmless(&step.text)
        );
        let _ = writeln!(out, "{}", wrap_after_columns(&text, width, 15 + who));
    }
    if story.steps.is_empty() {
        out.push_str("  nothing happened: the attacker did not act on this path\n");
    }
    let verdict = report.verdicts.iter().find(|verdict| verdict.name() == name);
    for property in Property::ALL {
        let Some(found) = verdict.and_then(|verdict| verdict.properties.get(&property)) else { continue };
        let ink = match found.state {
            State::Broken => Ink::Bad,
            State::Held => Ink::Good,
            State::Untested => Ink::Doubtful,
            State::NotExposed | State::NotApplicable => Ink::Faint,
        };
        let mut why: Vec<String> = Vec::new();
        if !found.tactics.is_empty() {
            why.push(format!("by {}", found.tactics.join(", ")));
        }
        if !found.refused_by.is_empty() {
            let names: Vec<_> = found.refused_by.iter().map(String::as_str).collect();
            why.push(format!("refused: {}", names.join(", ")));
        }
        if let Some(counted) = found.counted {
            why.push(format!("{counted} packets of this path where the attacker is"));
        }
        why.extend(found.reason.clone());
        let state = painter.paint(ink, &format!("{:<14}", found.state.to_string()));
        let _ =
            writeln!(out, "{}", format!("{property:<18}  {state}  {}", harmless(&why.join("; "))).trim_end());
    }
    out
}

/// Breaks only what follows the first `indent` characters, which are columns padded by spaces.
fn wrap_after_columns(text: &str, width: usize, indent: usize) -> String {
    let split = text.char_indices().nth(indent).map_or(text.len(), |(at, _)| at);
    let (columns, rest) = text.split_at(split);
    let rest = wrap(rest, width.saturating_sub(indent).max(20), 0);
    format!("{columns}{}", rest.replace('\n', &format!("\n{:indent$}", "")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::report;
    use ravelin_assess::model::Step;

    fn told(steps: Vec<Step>) -> String {
        let told = Story {
            path: "apiserver-to-kubelet/logs".into(),
            attacker: "impostor".into(),
            egress: "direct".into(),
            steps,
        };
        story(&told, &report(), 70, false)
    }

    #[test]
    fn a_story_tells_its_steps_and_what_they_came_to() {
        let step = |at_ms, who: &str, text: &str| Step { at_ms, who: who.into(), text: text.into() };
        let text = told(vec![
            step(4_000, "impostor", "answers for node-1:10250 with a certificate of its own making"),
            step(4_012, "apiserver", "sends the request"),
        ]);
        let expected = "\
apiserver-to-kubelet/logs/impostor@direct  seed 42
    4.000 s  impostor   answers for node-1:10250 with a certificate of
                        its own making
    4.012 s  apiserver  sends the request
request_secret      broken          by false-kubelet
response_secret     held            by relay; refused: client certificate bound to the handshake
response_authentic  broken          by false-kubelet
request_authentic   held            by relay; refused: client certificate bound to the handshake
credential_safe     not_exposed     0 packets of this path where the attacker is
access_controlled   untested        no tactic reached the kubelet
";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_empty_story_says_that_nothing_happened() {
        assert!(told(vec![]).contains("nothing happened"));
    }
}
