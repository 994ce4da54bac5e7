//! The report as JUnit XML, as build servers read it: a suite for each path and egress, a case for
//! its baseline and for each attacker and property.
//!
//! A broken property is a failure; one that nobody tested, and a path that fails without an
//! attacker, is an error; what does not apply or is not exposed is skipped.

use crate::command::Repeat;
use crate::paint::harmless;
use crate::words;
use ravelin_assess::model::{PathOutcome, PathState, Property, PropertyVerdict, Report, State, Verdict};
use std::fmt::Write;

/// The report as XML. `repeat` is the command that came to it.
pub fn junit(report: &Report, repeat: &Repeat) -> String {
    let suites: Vec<Suite> = report.paths.iter().map(|path| suite(report, path, repeat)).collect();
    let sum =
        |count: fn(&Case) -> bool| suites.iter().flat_map(|suite| &suite.cases).filter(|c| count(c)).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"ravelin\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
        sum(|_| true),
        sum(|case| matches!(case.outcome, Outcome::Failure(..))),
        sum(|case| matches!(case.outcome, Outcome::Error(..))),
        sum(|case| matches!(case.outcome, Outcome::Skipped(_))),
        report.wall_ms as f64 / 1000.0,
    );
    for suite in &suites {
        suite.write(report, &mut out);
    }
    out.push_str("</testsuites>\n");
    out
}

struct Suite {
    name: String,
    cases: Vec<Case>,
}

struct Case {
    name: String,
    outcome: Outcome,
}

enum Outcome {
    Passed(Option<String>),
    /// A message, and what was seen.
    Failure(String, String),
    /// What kind of ignorance, and why.
    Error(&'static str, String),
    Skipped(String),
}

fn suite(report: &Report, path: &PathState, repeat: &Repeat) -> Suite {
    let error = path.error.clone().unwrap_or_else(|| "no error was recorded".to_owned());
    let baseline = match path.state {
        PathOutcome::Works => Outcome::Passed(None),
        PathOutcome::Absent => Outcome::Skipped(format!("absent: {error}")),
        PathOutcome::Failed => {
            Outcome::Error("path failed", format!("{error}\nRepeat with: {}", repeat.path(&path.path)))
        }
    };
    let mut cases = vec![Case { name: "baseline".to_owned(), outcome: baseline }];
    let ours = report.verdicts.iter().filter(|v| v.path == path.path && v.egress == path.egress);
    for verdict in ours {
        for property in Property::ALL {
            let outcome = outcome(verdict, property, repeat);
            cases.push(Case { name: format!("{}/{property}", verdict.attacker), outcome });
        }
    }
    Suite { name: format!("{}@{}", path.path, path.egress), cases }
}

fn outcome(verdict: &Verdict, property: Property, repeat: &Repeat) -> Outcome {
    let untested = PropertyVerdict::new(State::Untested);
    let found = verdict.properties.get(&property).unwrap_or(&untested);
    let reason = || found.reason.clone().unwrap_or_else(|| "no tactic was engaged".to_owned());
    match found.state {
        State::Broken => {
            let tactics = found.tactics.join(", ");
            let message = format!("the {} {} ({tactics})", verdict.attacker, words::meaning(property));
            let mut seen = String::new();
            for evidence in &found.evidence {
                let _ = writeln!(
                    seen,
                    "{:>9} ms  {}  {}: {}",
                    evidence.at_ms,
                    harmless(&evidence.tactic),
                    harmless(&evidence.flow),
                    harmless(&evidence.text)
                );
            }
            let _ = write!(seen, "Repeat with: {}", harmless(&repeat.explain(verdict)));
            Outcome::Failure(message, seen)
        }
        State::Held => {
            let by: Vec<&str> = found.refused_by.iter().map(String::as_str).collect();
            Outcome::Passed(Some(format!("refused by {}", by.join(", "))))
        }
        State::NotExposed => {
            let counted = found.counted.unwrap_or(0);
            Outcome::Skipped(format!("not exposed: {counted} packets came to where the attacker is"))
        }
        State::NotApplicable => Outcome::Skipped(format!("not applicable: {}", reason())),
        State::Untested => {
            Outcome::Error("untested", format!("{}\nRepeat with: {}", reason(), repeat.explain(verdict)))
        }
    }
}

impl Suite {
    fn write(&self, report: &Report, out: &mut String) {
        let count = |is: fn(&Outcome) -> bool| self.cases.iter().filter(|case| is(&case.outcome)).count();
        let name = escaped(&self.name);
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
            self.cases.len(),
            count(|outcome| matches!(outcome, Outcome::Failure(..))),
            count(|outcome| matches!(outcome, Outcome::Error(..))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        );
        let _ = writeln!(out, "    <properties>");
        for (property, value) in [
            ("seed", report.seed.to_string()),
            ("commit", report.commit.clone()),
            ("trace_sha256", report.trace_sha256.clone()),
            ("kubernetes_version", report.cluster.kubernetes_version.clone()),
        ] {
            let _ = writeln!(out, "      <property name=\"{property}\" value=\"{}\"/>", escaped(&value));
        }
        let _ = writeln!(out, "    </properties>");
        for case in &self.cases {
            let _ = write!(out, "    <testcase classname=\"{name}\" name=\"{}\">", escaped(&case.name));
            match &case.outcome {
                Outcome::Passed(None) => {}
                Outcome::Passed(Some(text)) => {
                    let _ = write!(out, "<system-out>{}</system-out>", escaped(text));
                }
                Outcome::Failure(message, seen) => {
                    let (message, seen) = (escaped(message), lines(seen));
                    let _ = write!(out, "<failure type=\"broken\" message=\"{message}\">{seen}</failure>");
                }
                Outcome::Error(kind, text) => {
                    let message = escaped(text.lines().next().unwrap_or_default());
                    let _ =
                        write!(out, "<error type=\"{kind}\" message=\"{message}\">{}</error>", lines(text));
                }
                Outcome::Skipped(text) => {
                    let _ = write!(out, "<skipped message=\"{}\"/>", escaped(text));
                }
            }
            let _ = writeln!(out, "</testcase>");
        }
        let _ = writeln!(out, "  </testsuite>");
    }
}

fn lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

/// Text for an attribute or an element, on one line: without the characters that XML 1.0 has no way
/// to write (section 2.2), and with those escaped that it reads otherwise.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in harmless(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{repeat, report};
    use crate::wellformed::elements;

    #[test]
    fn the_xml_is_well_formed_and_counts_what_it_holds() {
        let mut nasty = report();
        nasty.verdicts[1].properties.values_mut().for_each(|found| {
            found
                .evidence
                .iter_mut()
                .for_each(|evidence| evidence.text = "<&\"'>]]>\u{0}\u{1b}\u{ffff}\n".into());
        });
        let text = junit(&nasty, &repeat());
        let found = elements(&text).expect("well formed");
        let count = |name: &str| found.iter().filter(|element| element.name == name).count();
        let cases = 3 + 6 * 3;
        assert_eq!((count("testsuite"), count("testcase")), (3, cases));
        assert_eq!((count("failure"), count("error"), count("skipped")), (2, 1 + 6 + 1, 1 + 1));
        let top = &found[0];
        assert_eq!(top.name, "testsuites");
        let said = |name: &str| top.attribute(name).and_then(|count| count.parse::<usize>().ok());
        assert_eq!((said("tests"), said("failures")), (Some(cases), Some(2)));
        assert_eq!((said("errors"), said("skipped")), (Some(8), Some(2)));
        assert!(text.contains("&lt;&amp;&quot;&#39;&gt;]]&gt;\\u{0}\\u{1b}\\u{ffff}"), "{text}");
    }

    #[test]
    fn a_failure_has_its_evidence_and_the_command() {
        let text = junit(&report(), &repeat());
        let found = elements(&text).expect("well formed");
        let failure = found.iter().find(|element| element.name == "failure").expect("one is broken");
        assert_eq!(failure.attribute("message"), Some("the impostor reads the request (false-kubelet)"));
        assert!(text.contains("4012 ms  false-kubelet  control-plane &gt; node-1:10250: read the request"));
        assert!(text.contains("--explain apiserver-to-kubelet/logs/impostor@direct"));
    }
}
