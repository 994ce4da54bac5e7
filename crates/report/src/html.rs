//! The report as one HTML file: nothing is loaded from elsewhere, no script runs, everything that
//! others wrote is escaped. It can be mailed, kept and printed, in light and dark.

use crate::command::Repeat;
use crate::junit::escaped;
use crate::proof;
use crate::remedy::{checks, is_in_place, whereabouts};
use crate::words;
use ravelin_assess::model::{PathOutcome, PathState, Property, PropertyVerdict, Report, State, Verdict};
use std::fmt::Write;

const STYLE: &str = include_str!("html/style.css");

/// The report as a page. `repeat` is the command that came to it.
pub fn html(report: &Report, repeat: &Repeat) -> String {
    let mut page = Page { report, repeat, out: String::new() };
    page.head();
    page.summary();
    page.matrix();
    page.failed();
    page.verdicts();
    page.cluster();
    page.tail();
    page.out
}

struct Page<'a> {
    report: &'a Report,
    repeat: &'a Repeat,
    out: String,
}

/// The class and the mark of a state.
fn shown(property: Property, state: State) -> (&'static str, char) {
    match state {
        State::Broken => ("broken", words::letter(property)),
        State::Held => ("held", '+'),
        State::NotExposed => ("apart", '-'),
        State::NotApplicable => ("apart", '.'),
        State::Untested => ("untested", '?'),
    }
}

fn spaced(state: State) -> String {
    state.to_string().replace('_', " ")
}

/// The name that links lead to.
fn anchor(verdict: &Verdict) -> String {
    verdict.name().chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

impl Page<'_> {
    fn add(&mut self, markup: &str) {
        self.out.push_str(markup);
        self.out.push('\n');
    }

    fn head(&mut self) {
        self.add("<!DOCTYPE html>");
        self.add("<html lang=\"en\"><head><meta charset=\"utf-8\"/>");
        self.add("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>");
        let policy = "default-src 'none'; style-src 'unsafe-inline'".replace('\'', "&#39;");
        let _ = writeln!(self.out, "<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\"/>");
        let _ = writeln!(self.out, "<title>ravelin: seed {}</title>", self.report.seed);
        let _ = writeln!(self.out, "<style>\n{STYLE}</style></head><body>");
    }

    fn summary(&mut self) {
        let (report, cluster) = (self.report, &self.report.cluster);
        let files = match cluster.files.len() {
            0 => "no files: what kubeadm sets up by default".to_owned(),
            1 => "1 file".to_owned(),
            more => format!("{more} files"),
        };
        let nodes = cluster.nodes;
        self.add("<h1>Which control-plane and node paths hold</h1>");
        let _ = writeln!(
            self.out,
            "<p>Kubernetes {}, {nodes} node{}, attackers on {}, from {files}. Seed {}, commit {}.</p>",
            escaped(&cluster.kubernetes_version),
            if nodes == 1 { "" } else { "s" },
            escaped(&cluster.untrusted.join(" and ")),
            report.seed,
            escaped(&report.commit),
        );
        self.add("<ul class=\"counts\">");
        for state in State::ALL {
            let of =
                |verdict: &Verdict| Property::ALL.into_iter().filter(|p| verdict.state(*p) == state).count();
            let count: usize = report.verdicts.iter().map(of).sum();
            let class = shown(Property::RequestSecret, state).0;
            let _ = writeln!(self.out, "<li class=\"{class}\"><b>{count}</b> {}</li>", spaced(state));
        }
        self.add("</ul>");
        let _ = writeln!(self.out, "<p>Repeat with <code>{}</code></p>", escaped(&self.repeat.command()));
    }

    fn matrix(&mut self) {
        let mut attackers: Vec<&str> = Vec::new();
        for verdict in &self.report.verdicts {
            if !attackers.contains(&verdict.attacker.as_str()) {
                attackers.push(&verdict.attacker);
            }
        }
        self.add("<h2>Paths and attackers</h2>\n<div class=\"wide\"><table class=\"matrix\"><thead><tr>");
        self.add("<th scope=\"col\">path</th>");
        for attacker in &attackers {
            let about = words::attacker(attacker).unwrap_or_default();
            let (name, about) = (escaped(attacker), escaped(&format!("The {attacker} {about}")));
            let _ = writeln!(self.out, "<th scope=\"col\" title=\"{about}\">{name}</th>");
        }
        self.add("<th scope=\"col\">without an attacker</th></tr></thead><tbody>");
        for path in &self.report.paths {
            self.row(path, &attackers);
        }
        self.add("</tbody></table></div>");
        self.legend();
    }

    fn row(&mut self, path: &PathState, attackers: &[&str]) {
        let about = escaped(words::path(&path.path).unwrap_or_default());
        let egress = if path.egress == "direct" { String::new() } else { format!(" @{}", path.egress) };
        let name = escaped(&format!("{}{egress}", path.path));
        let _ = writeln!(self.out, "<tr><th scope=\"row\" title=\"{about}\">{name}</th>");
        for attacker in attackers {
            let ours =
                |v: &&Verdict| v.path == path.path && v.egress == path.egress && v.attacker == *attacker;
            let Some(verdict) = self.report.verdicts.iter().find(ours) else {
                self.add("<td></td>");
                continue;
            };
            let _ = write!(self.out, "<td><a href=\"#{}\">", anchor(verdict));
            for property in Property::ALL {
                let (class, mark) = shown(property, verdict.state(property));
                let title = format!("{property}: {}", spaced(verdict.state(property)));
                let _ = write!(self.out, "<span class=\"{class}\" title=\"{title}\">{mark}</span>");
            }
            self.add("</a></td>");
        }
        let class = match path.state {
            PathOutcome::Works => "held",
            PathOutcome::Absent => "apart",
            PathOutcome::Failed => "broken",
        };
        let _ = writeln!(self.out, "<td><span class=\"{class}\">{}</span></td></tr>", path.state);
    }

    fn legend(&mut self) {
        self.add("<dl class=\"legend\">");
        for property in Property::ALL {
            let _ = writeln!(
                self.out,
                "<dt><span class=\"broken\">{}</span></dt><dd>{property}: the attacker {}</dd>",
                words::letter(property),
                words::meaning(property)
            );
        }
        for (state, meaning) in [
            (State::Held, "held: refused by the protection itself, which is named"),
            (State::NotExposed, "not exposed: no packet of the path came to where the attacker is"),
            (State::NotApplicable, "not applicable"),
            (State::Untested, "untested: nobody knows; never read it as safe"),
        ] {
            let (class, mark) = shown(Property::RequestSecret, state);
            let _ = writeln!(self.out, "<dt><span class=\"{class}\">{mark}</span></dt><dd>{meaning}</dd>");
        }
        self.add("</dl>");
    }

    fn failed(&mut self) {
        let failed = self.report.paths.iter().filter(|path| path.state == PathOutcome::Failed);
        let lines: Vec<String> = failed
            .map(|path| {
                let error = path.error.as_deref().unwrap_or("no error was recorded");
                format!("{}@{}: {error}", path.path, path.egress)
            })
            .collect();
        self.list("Paths that fail without an attacker", &lines);
    }

    /// A heading and its lines; nothing where there are none.
    fn list(&mut self, title: &str, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let _ = writeln!(self.out, "<h2>{}</h2>\n<ul>", escaped(title));
        for line in lines {
            let _ = writeln!(self.out, "<li>{}</li>", escaped(line));
        }
        self.add("</ul>");
    }

    fn verdicts(&mut self) {
        self.add("<h2>Verdicts and their evidence</h2>");
        for verdict in &self.report.verdicts {
            let open = if verdict.has(State::Broken) { " class=\"found\"" } else { "" };
            let _ = writeln!(self.out, "<details id=\"{}\"{open}><summary>", anchor(verdict));
            for property in Property::ALL {
                let (class, mark) = shown(property, verdict.state(property));
                let _ = write!(self.out, "<span class=\"{class}\">{mark}</span>");
            }
            let _ = writeln!(self.out, " {}</summary>", escaped(&verdict.name()));
            for property in Property::ALL {
                if let Some(found) = verdict.properties.get(&property) {
                    self.property(property, found);
                }
            }
            self.advice(verdict);
            if verdict.failed_closed == Some(false) {
                self.add("<p>A call hung, half succeeded, or failed without naming a check.</p>");
            }
            let command = escaped(&self.repeat.explain(verdict));
            let _ = writeln!(self.out, "<p>Told step by step by <code>{command}</code></p></details>");
        }
    }

    fn property(&mut self, property: Property, found: &PropertyVerdict) {
        let (class, mark) = shown(property, found.state);
        let mut about: Vec<String> = Vec::new();
        if !found.tactics.is_empty() {
            about.push(format!("by {}", found.tactics.join(", ")));
        }
        if !found.refused_by.is_empty() {
            let names: Vec<&str> = found.refused_by.iter().map(String::as_str).collect();
            about.push(format!("refused: {}", names.join(", ")));
        }
        if let Some(counted) = found.counted {
            about.push(format!("{counted} packets of this path came to where the attacker is"));
        }
        about.extend(found.reason.clone());
        let _ = writeln!(
            self.out,
            "<p><span class=\"{class}\">{mark}</span> <b>{property}</b> {} {}</p>",
            spaced(found.state),
            escaped(&about.join("; "))
        );
        if found.evidence.is_empty() {
            return;
        }
        self.add("<div class=\"wide\"><table><thead><tr><th>ms</th><th>tactic</th><th>flow</th><th>seen</th></tr></thead><tbody>");
        for seen in &found.evidence {
            let [tactic, flow, text] = [&seen.tactic, &seen.flow, &seen.text].map(|text| escaped(text));
            let _ = writeln!(
                self.out,
                "<tr><td>{}</td><td>{tactic}</td><td>{flow}</td><td>{text}</td></tr>",
                seen.at_ms
            );
        }
        self.add("</tbody></table></div>");
    }

    /// The checks that would have refused what broke something.
    fn advice(&mut self, verdict: &Verdict) {
        let mut lines: Vec<String> = Vec::new();
        let broken = verdict.properties.iter().filter(|(_, found)| found.state == State::Broken);
        let place = (verdict.path.as_str(), verdict.egress.as_str());
        let working = verdict.properties.values().flat_map(|found| &found.refused_by);
        let working = working.map(String::as_str).collect();
        for (property, found) in broken {
            let known = found.tactics.iter().flat_map(|tactic| checks(place, tactic, &[*property]));
            for check in known.filter(|check| !is_in_place(check, &working)) {
                let settings = check.settings.iter().map(|setting| {
                    let place = whereabouts(self.report, setting);
                    format!("{} {} ({}): {place}", setting.component, setting.key, setting.wanted)
                });
                let mut about: Vec<String> = settings.collect();
                about.extend((!check.note.is_empty()).then(|| check.note.to_owned()));
                let line = format!("{}: {}", check.name, about.join("; "));
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
        if !lines.is_empty() {
            self.add("<p>What stands against these tactics:</p><ul>");
            for line in lines {
                let _ = writeln!(self.out, "<li>{}</li>", escaped(&line));
            }
            self.add("</ul>");
        }
    }

    fn cluster(&mut self) {
        self.list("Twins", &proof::twins(self.report));
        self.list("Fixes, shown by runs with them", &proof::fixes(self.report));
        let cluster = &self.report.cluster;
        let unknown = cluster.unknown_effect.iter().map(|setting| {
            let line = setting.line.map(|line| format!(":{line}")).unwrap_or_default();
            let paths = setting.paths.join(", ");
            format!("{}{line}: {} ({paths}): {}", setting.file, setting.key, setting.why)
        });
        self.list("Settings of unknown effect", &unknown.collect::<Vec<_>>());
        self.list("Assumed, as no file says it", &cluster.assumed);
        self.list("Files", &cluster.files);
    }

    fn tail(&mut self) {
        let report = self.report;
        let _ = writeln!(
            self.out,
            "<footer>{}, simulated {:.1} s in {:.1} s. Trace SHA-256 <code>{}</code></footer>",
            escaped(&report.schema),
            report.simulated_ms as f64 / 1000.0,
            report.wall_ms as f64 / 1000.0,
            escaped(&report.trace_sha256)
        );
        self.add("</body></html>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{repeat, report};
    use crate::wellformed::elements;

    #[test]
    fn the_page_is_well_formed_and_loads_nothing() {
        let mut nasty = report();
        nasty.verdicts[1].attacker = "<script>alert(1)</script>".into();
        nasty.cluster.files = vec!["\"><img src=x onerror=alert(1)>".into()];
        let page = html(&nasty, &repeat());
        let found = elements(&page).expect("well formed");
        for element in &found {
            assert!(
                !["script", "img", "link", "iframe", "object"].contains(&element.name.as_str()),
                "{element:?}"
            );
            let loads = element.attributes.iter().any(|(name, value)| {
                name == "src" || name.starts_with("on") || name == "href" && !value.starts_with('#')
            });
            assert!(!loads, "{element:?}");
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }

    #[test]
    fn every_cell_leads_to_its_verdict() {
        let page = html(&report(), &repeat());
        let found = elements(&page).expect("well formed");
        let ids: Vec<&str> = found.iter().filter_map(|element| element.attribute("id")).collect();
        let links: Vec<&str> = found.iter().filter_map(|element| element.attribute("href")).collect();
        assert_eq!((links.len(), ids.len()), (3, 3));
        assert!(links.iter().all(|link| ids.contains(&link.trim_start_matches('#'))), "{links:?} {ids:?}");
        let broken = "<span class=\"broken\" title=\"request_secret: broken\">Q</span>";
        assert!(page.contains(broken), "{page}");
        assert!(page.contains("<code>ravelin simulate kube-apiserver.yaml --seed 42</code>"));
    }
}
