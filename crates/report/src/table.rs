//! The table: what a person takes in at a glance.
//!
//! A row is a path, a column an attacker, a cell six characters, one for each property in the
//! order of [`Property::ALL`]. Only a broken property shows as a letter, so that it stands out of
//! the punctuation without colour too.

use crate::paint::{Ink, Painter, harmless, wrap};
use crate::proof;
use crate::words::{letter, meaning};
use ravelin_assess::model::{PathOutcome, PathState, Property, Report, State, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// How many verdicts one line of untested ones names.
const MAX_NAMES: usize = 4;

/// The report for a terminal of `width` columns, with colour or without.
pub fn table(report: &Report, width: usize, colour: bool) -> String {
    let page = Page { report, width: width.max(40), painter: Painter { colour } };
    let mut out = page.heading();
    out.push_str(&page.grid());
    out.push_str(&page.legend());
    for (title, ink, lines) in [
        ("BROKEN", Ink::Bad, page.broken()),
        ("FAILED without an attacker", Ink::Bad, page.failed()),
        ("UNTESTED", Ink::Doubtful, page.untested()),
        (
            "DID NOT FAIL CLOSED (a call hung, half succeeded, or failed without naming a check)",
            Ink::Doubtful,
            page.open_failures(),
        ),
        ("TWINS", Ink::Bold, proof::twins(report)),
        ("FIXES, shown by runs with them", Ink::Bold, proof::fixes(report)),
        ("SETTINGS OF UNKNOWN EFFECT", Ink::Doubtful, page.unknown_effect()),
        ("ASSUMED, as no file says it", Ink::Bold, page.assumed()),
    ] {
        out.push_str(&page.section(title, ink, &lines));
    }
    let _ = writeln!(out, "\ntrace sha256 {}", report.trace_sha256);
    out
}

/// How a property shows in a cell.
fn mark(property: Property, state: State) -> (char, Ink) {
    match state {
        State::Broken => (letter(property), Ink::Bad),
        State::Held => ('+', Ink::Good),
        State::NotExposed => ('-', Ink::Faint),
        State::NotApplicable => ('.', Ink::Faint),
        State::Untested => ('?', Ink::Doubtful),
    }
}

/// The broken properties of a verdict, as letters.
fn letters(verdict: &Verdict) -> String {
    Property::ALL.into_iter().filter(|p| verdict.state(*p) == State::Broken).map(letter).collect()
}

struct Page<'a> {
    report: &'a Report,
    width: usize,
    painter: Painter,
}

impl Page<'_> {
    fn heading(&self) -> String {
        let report = self.report;
        let cluster = &report.cluster;
        let plural = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
        let files = if cluster.files.is_empty() {
            "no files: what kubeadm sets up by default".to_owned()
        } else {
            plural(cluster.files.len(), "file")
        };
        let title = format!("seed {}  commit {}", report.seed, harmless(&report.commit));
        let about = format!(
            "Kubernetes {}, {}, untrusted segments: {}, from {files}",
            harmless(&cluster.kubernetes_version),
            plural(cluster.nodes as usize, "node"),
            cluster.untrusted.join(" and "),
        );
        let time = format!(
            "simulated {:.1} s in {:.1} s",
            report.simulated_ms as f64 / 1000.0,
            report.wall_ms as f64 / 1000.0
        );
        let title = self.painter.paint(Ink::Bold, &title);
        format!("{title}\n{}\n{time}\n\n", wrap(&about, self.width, 2))
    }

    /// The attackers, in the order in which the verdicts name them.
    fn attackers(&self) -> Vec<&str> {
        let mut attackers: Vec<&str> = Vec::new();
        for verdict in &self.report.verdicts {
            if !attackers.contains(&verdict.attacker.as_str()) {
                attackers.push(&verdict.attacker);
            }
        }
        attackers
    }

    fn grid(&self) -> String {
        let attackers = self.attackers();
        let verdicts: BTreeMap<_, &Verdict> = self
            .report
            .verdicts
            .iter()
            .map(|v| ((v.path.as_str(), v.egress.as_str(), v.attacker.as_str()), v))
            .collect();
        let labels: Vec<String> = self.report.paths.iter().map(row_label).collect();
        let label_width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).max(4);
        let heads: Vec<Vec<String>> =
            attackers.iter().map(|name| head(name, self.is_wide(label_width))).collect();
        let widths: Vec<usize> = heads
            .iter()
            .map(|lines| lines.iter().map(|l| l.chars().count()).max().unwrap_or(0).max(6))
            .collect();
        let mut out = String::new();
        for line in 0..heads.iter().map(Vec::len).max().unwrap_or(1) {
            let mut row = format!("{:<label_width$}", if line == 0 { "path" } else { "" });
            for (head, width) in heads.iter().zip(&widths) {
                let _ = write!(row, "  {:<width$}", head.get(line).map_or("", String::as_str));
            }
            let _ = writeln!(out, "{}", self.painter.paint(Ink::Bold, row.trim_end()));
        }
        for (path, label) in self.report.paths.iter().zip(&labels) {
            let mut row = format!("{label:<label_width$}");
            for (attacker, width) in attackers.iter().zip(&widths) {
                let found = verdicts.get(&(path.path.as_str(), path.egress.as_str(), *attacker));
                let cell = found.map_or_else(|| " ".repeat(6), |verdict| self.cell(verdict));
                let _ = write!(row, "  {cell}{:1$}", "", width - 6);
            }
            match path.state {
                PathOutcome::Works => {}
                PathOutcome::Absent => {
                    row = format!("{label:<label_width$}  {}", self.painter.paint(Ink::Faint, "absent"))
                }
                PathOutcome::Failed => {
                    let _ = write!(row, "  {}", self.painter.paint(Ink::Bad, "FAILED"));
                }
            }
            let _ = writeln!(out, "{}", row.trim_end());
        }
        out
    }

    /// Is there room for the attackers' names on one line?
    fn is_wide(&self, label_width: usize) -> bool {
        let names: usize = self.attackers().iter().map(|name| name.chars().count().max(6) + 2).sum();
        label_width + names + "  FAILED".len() <= self.width
    }

    fn cell(&self, verdict: &Verdict) -> String {
        Property::ALL.into_iter().map(|property| self.mark(property, verdict.state(property))).collect()
    }

    fn mark(&self, property: Property, state: State) -> String {
        let (mark, ink) = mark(property, state);
        self.painter.paint(ink, &mark.to_string())
    }

    fn legend(&self) -> String {
        let mut out =
            String::from("\nA cell has six places, one for each property; a letter there is a broken one:\n");
        for property in Property::ALL {
            let letter = self.mark(property, State::Broken);
            let _ = writeln!(out, "  {letter} {property:<18}  the attacker {}", meaning(property));
        }
        let others = [State::Held, State::NotExposed, State::NotApplicable, State::Untested].map(|state| {
            format!("{} {}", self.mark(Property::ALL[0], state), state.to_string().replace('_', " "))
        });
        let _ = writeln!(out, "  {}   (blank: not run)", others.join("   "));
        out
    }

    fn section(&self, title: &str, ink: Ink, lines: &[String]) -> String {
        if lines.is_empty() {
            return String::new();
        }
        let mut out = format!("\n{}\n", self.painter.paint(ink, title));
        for line in lines {
            let _ = writeln!(out, "  {}", wrap(line, self.width.saturating_sub(2), 6));
        }
        out
    }

    fn broken(&self) -> Vec<String> {
        let broken = self.report.verdicts.iter().filter(|verdict| verdict.has(State::Broken));
        broken
            .map(|verdict| format!("{} {}: {}", letters(verdict), harmless(&verdict.name()), got(verdict)))
            .collect()
    }

    fn failed(&self) -> Vec<String> {
        let failed = self.report.paths.iter().filter(|path| path.state == PathOutcome::Failed);
        failed
            .map(|path| {
                let error = path.error.as_deref().unwrap_or("no error was recorded");
                harmless(&format!("{}: {error}", row_label(path)))
            })
            .collect()
    }

    /// One line for each reason, with the verdicts it concerns.
    fn untested(&self) -> Vec<String> {
        let mut reasons: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for verdict in &self.report.verdicts {
            for property in Property::ALL.into_iter().filter(|p| verdict.state(*p) == State::Untested) {
                let found = verdict.properties.get(&property);
                let reason =
                    found.and_then(|found| found.reason.as_deref()).unwrap_or("no tactic was engaged");
                reasons.entry(reason).or_default().insert(verdict.name());
            }
        }
        let line = |(reason, names): (&str, BTreeSet<String>)| {
            let shown: Vec<String> = names.iter().take(MAX_NAMES).cloned().collect();
            let rest = names.len().saturating_sub(MAX_NAMES);
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            harmless(&format!("{reason}: {}{more}", shown.join(", ")))
        };
        reasons.into_iter().map(line).collect()
    }

    fn open_failures(&self) -> Vec<String> {
        let open = self.report.verdicts.iter().filter(|verdict| verdict.failed_closed == Some(false));
        open.map(|verdict| harmless(&verdict.name())).collect()
    }

    fn unknown_effect(&self) -> Vec<String> {
        let settings = self.report.cluster.unknown_effect.iter();
        settings
            .map(|setting| {
                let line = setting.line.map(|line| format!(":{line}")).unwrap_or_default();
                let paths = setting.paths.join(", ");
                harmless(&format!("{}{line}: {} ({paths}): {}", setting.file, setting.key, setting.why))
            })
            .collect()
    }

    fn assumed(&self) -> Vec<String> {
        self.report.cluster.assumed.iter().map(|text| harmless(text)).collect()
    }
}

/// What the attacker got: the first evidence of each broken property, told once.
fn got(verdict: &Verdict) -> String {
    let mut texts: Vec<String> = Vec::new();
    for property in Property::ALL.into_iter().filter(|p| verdict.state(*p) == State::Broken) {
        let evidence = verdict.properties.get(&property).and_then(|found| found.evidence.first());
        let text = evidence.map_or_else(
            || format!("{property} without evidence: a bug, please report it"),
            |evidence| {
                format!(
                    "{} ({}, {} ms)",
                    harmless(&evidence.text),
                    harmless(&evidence.tactic),
                    evidence.at_ms
                )
            },
        );
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join("; ")
}

/// A path's name, with its egress unless that is the direct one.
fn row_label(path: &PathState) -> String {
    match path.egress.as_str() {
        "direct" | "" => harmless(&path.path),
        egress => harmless(&format!("{} @{egress}", path.path)),
    }
}

/// An attacker's name as the lines of a column's head: broken at its hyphen where room is short.
fn head(name: &str, wide: bool) -> Vec<String> {
    let name = harmless(name);
    match name.split_once('-') {
        Some((first, rest)) if !wide => vec![format!("{first}-"), rest.to_owned()],
        _ => vec![name],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::report;

    const PLAIN: &str = "\
seed 42  commit 0123abcd
Kubernetes 1.33, 3 nodes, untrusted segments: access and fabric, from 1 file
simulated 61.0 s in 2.5 s

path                          eavesdropper  impostor
apiserver-to-kubelet/logs     ++++++        Q+F+-?
direct-to-apiserver-insecure  absent
apiserver-to-node/https                     ??????    FAILED

A cell has six places, one for each property; a letter there is a broken one:
  Q request_secret      the attacker reads the request
  R response_secret     the attacker reads the response
  F response_authentic  the attacker forges the response
  X request_authentic   the attacker has a request executed
  C credential_safe     the attacker uses a credential
  A access_controlled   the attacker gets more than its rights
  + held   - not exposed   . not applicable   ? untested   (blank: not run)

BROKEN
  QF apiserver-to-kubelet/logs/impostor@direct: read the request's canary
      (false-kubelet, 4012 ms); the caller was handed a forged log
      (false-kubelet, 4012 ms)

FAILED without an attacker
  apiserver-to-node/https: 502: x509: \\u{1b}[31munknown authority

UNTESTED
  no tactic reached the kubelet: apiserver-to-kubelet/logs/impostor@direct
  no tactic was engaged: apiserver-to-node/https/impostor@direct

DID NOT FAIL CLOSED (a call hung, half succeeded, or failed without naming a check)
  apiserver-to-kubelet/logs/impostor@direct

SETTINGS OF UNKNOWN EFFECT
  kube-apiserver.yaml:17: --oidc-issuer-url (user-to-apiserver): tokens of an
      OIDC issuer are not modelled

ASSUMED, as no file says it
  the kubelets are set up as kubeadm does it

trace sha256 abababababababababababababababababababababababababababababababab
";

    #[test]
    fn the_table_reads_as_drawn() {
        let drawn = table(&report(), 78, false);
        assert_eq!(drawn, PLAIN, "\n{drawn}");
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let coloured = table(&report(), 78, true);
        assert!(coloured.contains("\x1b[1;31mQ\x1b[0m"));
        let mut plain = coloured.clone();
        for code in ["0", "1", "2", "1;31", "32", "1;33"] {
            plain = plain.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(plain, PLAIN);
    }

    #[test]
    fn a_narrow_terminal_breaks_the_names_of_attackers() {
        let mut narrow = report();
        narrow.verdicts[1].attacker = "rogue-node".into();
        let drawn = table(&narrow, 50, false);
        assert!(drawn.contains("  rogue-  impostor\n"), "{drawn}");
    }

    #[test]
    fn another_egress_is_named_beside_its_path() {
        let mut tunnelled = report();
        tunnelled.paths[0].egress = "ssh".into();
        tunnelled.verdicts[1].egress = "ssh".into();
        let drawn = table(&tunnelled, 100, false);
        assert!(drawn.contains("apiserver-to-kubelet/logs @ssh                Q+F+-?\n"), "{drawn}");
    }

    #[test]
    fn a_broken_property_without_evidence_is_called_a_bug() {
        let mut bare = report();
        for found in bare.verdicts[1].properties.values_mut() {
            found.evidence.clear();
        }
        assert!(table(&bare, 200, false).contains("request_secret without evidence: a bug"));
    }
}
