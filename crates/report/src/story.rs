//! The story of one verdict, as `--explain` tells it: to somebody who has to be convinced.

use crate::paint::{Ink, Painter, harmless, wrap};
use crate::proof;
use crate::remedy::{Check, checks, is_in_place, whereabouts};
use crate::repeated::{Run, runs};
use crate::words;
use ravelin_assess::model::{
    Chapter, PathOutcome, Property, PropertyVerdict, Report, State, Step, StepKind, Story, TwinState, Verdict,
};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

/// Where a story is shown, and how its run is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Columns.
    pub width: usize,
    /// With colour?
    pub colour: bool,
    /// The command that tells this story again.
    pub repeat: &'a str,
}

/// Tells how one verdict came about: what is attacked and by whom, what came of it, and then tactic
/// by tactic what was done, what the attacker had after each step and which check stood or would
/// have stood against it.
pub fn story(story: &Story, report: &Report, page: &Page<'_>) -> String {
    let name = format!("{}/{}@{}", story.path, story.attacker, story.egress);
    let verdict = report.verdicts.iter().find(|verdict| verdict.name() == name);
    let width = page.width.max(60);
    let mut teller =
        Teller { story, report, painter: Painter { colour: page.colour }, width, out: String::new() };
    teller.heading(&name);
    if let Some(verdict) = verdict {
        teller.outcome(verdict);
    }
    for (number, chapter) in story.chapters.iter().enumerate() {
        teller.chapter(number + 1, chapter);
    }
    if story.chapters.is_empty() {
        teller.line(0, "\nThe attacker did not act on this path.");
    }
    teller.title("Repeat with");
    // It is there to be copied: not broken into lines.
    let _ = writeln!(teller.out, "  {}", harmless(page.repeat));
    teller.out
}

struct Teller<'a> {
    story: &'a Story,
    report: &'a Report,
    painter: Painter,
    width: usize,
    out: String,
}

impl Teller<'_> {
    fn title(&mut self, title: &str) {
        let _ = writeln!(self.out, "\n{}", self.painter.paint(Ink::Bold, &harmless(title)));
    }

    /// A paragraph that begins after `indent` spaces; its further lines stand two deeper.
    fn line(&mut self, indent: usize, text: &str) {
        self.hanging(&" ".repeat(indent), text, Ink::Plain);
    }

    /// A paragraph whose further lines stand below the first character after `head`.
    fn hanging(&mut self, head: &str, text: &str, ink: Ink) {
        let indent = head.chars().count();
        let body = wrap(&harmless(text), self.width.saturating_sub(indent).max(30), 0);
        let body: Vec<String> = body.lines().map(|line| self.painter.paint(ink, line)).collect();
        let body = body.join(&format!("\n{:indent$}", ""));
        let _ = writeln!(self.out, "{}", format!("{head}{body}").trim_end());
    }

    fn heading(&mut self, name: &str) {
        let title = self.painter.paint(Ink::Bold, &harmless(name));
        let _ = writeln!(self.out, "{title}  seed {}\n", self.report.seed);
        let (story, cluster) = (self.story, &self.report.cluster);
        if let Some(what) = words::path(&story.path) {
            self.hanging("The path      ", what, Ink::Plain);
        }
        let tunnels = match story.egress.as_str() {
            "ssh" => Some("It goes through SSH tunnels to the nodes."),
            "konnectivity" => Some("It goes through Konnectivity: its server, and an agent on some node."),
            _ => None,
        };
        if let Some(tunnels) = tunnels {
            self.hanging("              ", tunnels, Ink::Plain);
        }
        let who = words::attacker(&story.attacker).unwrap_or("attacks.");
        self.hanging("The attacker  ", &format!("The {} {who}", story.attacker), Ink::Plain);
        let works = match story.baseline {
            PathOutcome::Works => "The path works.".to_owned(),
            state => {
                let why = story.error.as_deref().unwrap_or("no error was recorded");
                format!("The path is {state}: {why}.")
            }
        };
        let untrusted = cluster.untrusted.join(" and ");
        let counted = match story.counted {
            0 => format!("None of its packets came to where the attacker is ({untrusted})."),
            counted => {
                format!("{counted} packets of it came to where the attacker is (untrusted: {untrusted}).")
            }
        };
        self.hanging("Without it    ", &format!("{works} {counted}"), Ink::Plain);
    }

    fn outcome(&mut self, verdict: &Verdict) {
        self.title("What came of it");
        for property in Property::ALL {
            let Some(found) = verdict.properties.get(&property) else { continue };
            let ink = match found.state {
                State::Broken => Ink::Bad,
                State::Held => Ink::Good,
                State::Untested => Ink::Doubtful,
                State::NotExposed | State::NotApplicable => Ink::Faint,
            };
            let state = self.painter.paint(ink, &format!("{:<14}", found.state.to_string()));
            let head = format!("  {} {property:<18}  ", words::letter(property));
            let indent = head.chars().count() + 16;
            let text =
                wrap(&harmless(&sentence(property, found)), self.width.saturating_sub(indent).max(30), 0);
            let text = text.replace('\n', &format!("\n{:indent$}", ""));
            let _ = writeln!(self.out, "{}", format!("{head}{state}  {text}").trim_end());
        }
        match verdict.failed_closed {
            Some(false) => self.line(
                2,
                "Not every call that failed did so in time and with an error that names a check: the path does \
                 not fail closed.",
            ),
            Some(true) => self.line(2, "Every call that failed did so in time, and its error named the check."),
            None => {}
        }
        for fix in &verdict.fix {
            self.line(2, &format!("Shown to help, by a run with it: {}.", proof::settings(fix)));
        }
        if let Some(why) = proof::no_fix(verdict) {
            self.line(2, &format!("Fixes: {why}."));
        }
    }

    fn chapter(&mut self, number: usize, chapter: &Chapter) {
        let began = chapter.began.as_secs_f64();
        self.title(&format!("{number}. {}, from {began:.3} s", chapter.tactic));
        if let Some(what) = words::tactic(&chapter.tactic) {
            self.line(3, &format!("The {} {what}.", self.story.attacker));
        }
        let mut holds = BTreeSet::new();
        let mut flow = String::new();
        let mut at = 0;
        for run in runs(&chapter.steps) {
            for step in &chapter.steps[at..at + run.length] {
                self.step(chapter, step, (&mut flow, &mut holds));
            }
            self.more_like_it(chapter, at, run);
            at += run.length * run.times;
        }
        if chapter.steps.is_empty() {
            self.line(3, "Nothing came of it.");
        }
        self.lesson(chapter);
    }

    fn step(&mut self, chapter: &Chapter, step: &Step, (flow, holds): (&mut String, &mut BTreeSet<String>)) {
        let here = step.flow.trim_end_matches(" (the impostor)");
        if here != flow.as_str() && !here.is_empty() {
            let over = step.segment.as_ref().map(|segment| format!("  ({segment})")).unwrap_or_default();
            self.line(3, &format!("{here}{over}"));
            here.clone_into(flow);
        }
        let head = format!("   {:>9}  ", after(chapter, step.at));
        let attacker = &self.story.attacker;
        let gained = match &step.kind {
            StepKind::Acted => {
                self.hanging(&head, &step.text, Ink::Plain);
                None
            }
            StepKind::Obtained(what) => {
                self.hanging(&head, &step.text, Ink::Plain);
                Some(what.clone())
            }
            StepKind::Handed => {
                self.hanging(&head, &format!("the caller {}", step.text), Ink::Plain);
                None
            }
            StepKind::Refused { by, .. } => {
                let refused = if by.starts_with("no ") { "refused, as" } else { "refused by" };
                self.hanging(&head, &format!("{refused} {by}: {}", step.text), Ink::Good);
                None
            }
            StepKind::Broke(property) => {
                self.hanging(&head, &format!("{property} broken: {}", step.text), Ink::Bad);
                Some(words::holding(*property).to_owned())
            }
        };
        if gained.is_some_and(|gained| holds.insert(gained)) {
            let all: Vec<&str> = holds.iter().map(String::as_str).collect();
            let text = format!("the {attacker} now has: {}", all.join("; "));
            self.hanging(&" ".repeat(head.chars().count()), &text, Ink::Bold);
        }
    }

    /// What repeats itself is told once.
    fn more_like_it(&mut self, chapter: &Chapter, at: usize, run: Run) {
        let more = run.times - 1;
        if more == 0 {
            return;
        }
        let block = &chapter.steps[at + run.length..at + run.length * run.times];
        let mut ends: Vec<&str> = Vec::new();
        for step in block.iter().step_by(run.length) {
            let end = step.flow.trim_end_matches(" (the impostor)").rsplit(" > ").next().unwrap_or_default();
            if !end.is_empty() && !ends.contains(&end) {
                ends.push(end);
            }
        }
        let last = block.last().map_or_else(String::new, |step| after(chapter, step.at));
        let times = if more == 1 { "once more".to_owned() } else { format!("{more} times more") };
        let ends = if ends.is_empty() { String::new() } else { format!(": {}", ends.join(", ")) };
        self.line(3, &format!("… the same {times}, until {}{ends}", last.trim_start()));
    }

    /// Which check refused, and which one would have.
    fn lesson(&mut self, chapter: &Chapter) {
        let mut refused: Vec<&str> = Vec::new();
        for step in &chapter.steps {
            match &step.kind {
                StepKind::Refused { by, .. } if !refused.contains(&by.as_str()) => refused.push(by),
                _ => {}
            }
        }
        if !refused.is_empty() {
            self.hanging("   What refused it: ", &refused.join(", "), Ink::Plain);
        }
        let broke = |step: &Step| match step.kind {
            StepKind::Broke(property) => Some(property),
            _ => None,
        };
        let broken: Vec<Property> = chapter.steps.iter().filter_map(broke).collect();
        if broken.is_empty() {
            return;
        }
        let story = self.story;
        let known = checks((&story.path, &story.egress), &chapter.tactic, &broken);
        let working = self.working();
        let (present, missing): (Vec<Check>, Vec<Check>) =
            known.into_iter().partition(|check| is_in_place(check, &working));
        for check in &missing {
            self.hanging("   What would have stopped it: ", check.name, Ink::Plain);
            for setting in check.settings {
                let place = whereabouts(self.report, setting);
                let text = format!("{} {} ({}): {place}", setting.component, setting.key, setting.wanted);
                self.line(5, &text);
            }
            if !check.note.is_empty() {
                self.line(5, check.note);
            }
        }
        if !present.is_empty() {
            let names: Vec<&str> = present.iter().map(|check| check.name).collect();
            self.hanging("   In place, and not enough: ", &names.join(", "), Ink::Plain);
        }
        if missing.is_empty() {
            self.line(3, "No other check of Kubernetes' is known to stand against it.");
        }
    }

    /// The protections that refused something in this story: they are switched on.
    fn working(&self) -> BTreeSet<&str> {
        let steps = self.story.chapters.iter().flat_map(|chapter| &chapter.steps);
        steps
            .filter_map(|step| match &step.kind {
                StepKind::Refused { by, .. } => Some(by.as_str()),
                _ => None,
            })
            .collect()
    }
}

/// The time since a chapter's beginning.
fn after(chapter: &Chapter, at: Duration) -> String {
    format!("+{} ms", at.saturating_sub(chapter.began).as_millis())
}

/// What came of a property.
fn sentence(property: Property, found: &PropertyVerdict) -> String {
    let tactics = found.tactics.join(", ");
    match found.state {
        State::Broken => format!("the attacker {} ({tactics})", words::meaning(property)),
        State::Held => {
            let by: Vec<_> = found.refused_by.iter().map(String::as_str).collect();
            let broke = |state| found.twins.iter().filter(|twin| twin.state == state).count();
            let twins = match (broke(TwinState::Broken), found.twins.len()) {
                (_, 0) => String::new(),
                (proved, all) => format!("; {proved} of {all} such tactics break it without that"),
            };
            format!("refused: {} ({tactics}){twins}", by.join(", "))
        }
        State::NotExposed => {
            let counted = found.counted.unwrap_or(0);
            format!("{counted} packets of this path came to where the attacker is")
        }
        State::NotApplicable | State::Untested => {
            found.reason.clone().unwrap_or_else(|| "no reason was recorded".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
