//! What `--twins` and `--fixes` showed, as lines of the table.

use crate::paint::harmless;
use ravelin_assess::model::{Fix, Report, SettingChange, State, TwinState, Verdict};
use std::collections::BTreeMap;

/// How many names, or changes, one line tells.
const MAX_NAMED: usize = 4;

/// What the twins came to: how many broke what had held, then each that did not.
pub(crate) fn twins(report: &Report) -> Vec<String> {
    let mut broke = 0;
    let mut wrong = Vec::new();
    for verdict in &report.verdicts {
        for (property, found) in &verdict.properties {
            for twin in &found.twins {
                match twin.state {
                    TwinState::Broken => broke += 1,
                    TwinState::NotBroken => {
                        let (name, without) = (verdict.name(), twin.without.join(" and "));
                        let line =
                            format!("{name} {property}: {} breaks nothing without {without}", twin.tactic);
                        wrong.push(harmless(&line));
                    }
                }
            }
        }
    }
    if broke == 0 && wrong.is_empty() {
        return wrong;
    }
    let held = report.verdicts.iter().flat_map(|verdict| verdict.properties.values());
    let held = held.filter(|found| found.state == State::Held).count();
    let first = format!(
        "{held} properties held, and what was refused was an attack: without the protection that refused, {broke} twins \
         broke them{}",
        if wrong.is_empty() { "" } else { "; these did not:" }
    );
    wrong.insert(0, first);
    wrong
}

/// What would make each broken verdict hold, for those for which that was looked for.
pub(crate) fn fixes(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let mut hopeless: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for verdict in &report.verdicts {
        let Some(controls) = verdict.controls else { continue };
        for (number, fix) in verdict.fix.iter().enumerate() {
            let lead = if number == 0 { format!("{}: ", verdict.name()) } else { "   or ".to_owned() };
            lines.push(harmless(&format!("{lead}{}{}", settings(fix), also(fix))));
        }
        if verdict.fix.is_empty() {
            hopeless.entry(nothing_helps(controls)).or_default().push(verdict.name());
        }
    }
    for (why, names) in hopeless {
        lines.push(harmless(&format!("{why}: {}", some_of(&names))));
    }
    lines
}

/// Why a verdict that was looked at has no fix.
pub(crate) fn no_fix(verdict: &Verdict) -> Option<String> {
    verdict.controls.filter(|_| verdict.fix.is_empty()).map(nothing_helps)
}

fn nothing_helps(controls: u32) -> String {
    match controls {
        0 => "no setting of these files bears on it, so none helps".to_owned(),
        1 => "the one setting that bears on it was tried and does not help".to_owned(),
        tried => format!("no setting helps; {tried} changes were tried"),
    }
}

/// The settings of a fix, as they would be written.
pub(crate) fn settings(fix: &Fix) -> String {
    fix.settings.iter().map(written).collect::<Vec<_>>().join(", and ")
}

fn written(setting: &SettingChange) -> String {
    let SettingChange { component, key, from, to, file, line } = setting;
    let place = match (file, line) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        (Some(file), None) => format!(" ({file})"),
        (None, _) => String::new(),
    };
    if to.is_empty() {
        return format!("without the {key} {}{place}", from.as_deref().unwrap_or_default());
    }
    let separator = if key.starts_with("--") { "=" } else { ": " };
    format!("{component} {key}{separator}{to}{place}")
}

/// What a fix changes elsewhere.
fn also(fix: &Fix) -> String {
    if fix.also_changes.is_empty() {
        return "; nothing else changes".to_owned();
    }
    let changes = fix.also_changes.iter();
    let changes: Vec<String> =
        changes.map(|change| format!("{}: {} -> {}", change.what, change.from, change.to)).collect();
    format!("; also changes {}", some_of(&changes))
}

fn some_of(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(MAX_NAMED).map(String::as_str).collect();
    let rest = names.len().saturating_sub(MAX_NAMED);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::report;
    use ravelin_assess::model::{Property, StateChange, TwinRun};

    #[test]
    fn nothing_is_said_of_what_was_not_asked_for() {
        assert!(twins(&report()).is_empty() && fixes(&report()).is_empty());
    }

    #[test]
    fn twins_are_counted_and_those_that_fail_are_named() {
        let mut report = report();
        let held = report.verdicts[1].properties.get_mut(&Property::ResponseSecret).expect("it is there");
        let twin = |state| TwinRun { tactic: "relay".into(), without: vec!["authentication".into()], state };
        held.twins = vec![twin(TwinState::Broken), twin(TwinState::NotBroken)];
        let lines = twins(&report);
        assert!(lines[0].contains("1 twins broke them; these did not"), "{}", lines[0]);
        let second = "apiserver-to-kubelet/logs/impostor@direct response_secret: relay breaks nothing without authentication";
        assert_eq!(lines[1..], [second]);
    }

    #[test]
    fn a_fix_is_told_as_it_would_be_written() {
        let mut report = report();
        let setting = |component: &str, key: &str, to: &str, line| SettingChange {
            component: component.into(),
            key: key.into(),
            from: None,
            to: to.into(),
            file: Some("a.yaml".into()),
            line,
        };
        let change = StateChange {
            what: "p/a@direct access_controlled".into(),
            from: "broken".into(),
            to: "held".into(),
        };
        report.verdicts[1].controls = Some(3);
        report.verdicts[1].fix = vec![Fix {
            settings: vec![
                setting("kube-apiserver", "--anonymous-auth", "false", Some(7)),
                setting("kubelet", "readOnlyPort", "0", None),
            ],
            also_changes: vec![change],
        }];
        report.verdicts[2].controls = Some(0);
        assert_eq!(
            fixes(&report),
            [
                "apiserver-to-kubelet/logs/impostor@direct: kube-apiserver --anonymous-auth=false (a.yaml:7), and kubelet readOnlyPort: 0 (a.yaml); also changes p/a@direct access_controlled: broken -> held",
                "no setting of these files bears on it, so none helps: apiserver-to-node/https/impostor@direct",
            ]
        );
    }
}
