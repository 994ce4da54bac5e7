//! The report as SARIF 2.1.0 (OASIS, March 2020), for code scanning.
//!
//! A result is something that somebody has to act on: a broken property (error), one that nobody
//! tested (warning), a path that fails without an attacker (error). What held is no result: viewers
//! such as GitHub's show every result as an alert, also one whose kind is `pass`. The numbers are
//! among the run's properties instead.

use crate::command::Repeat;
use crate::paint::harmless;
use crate::proof;
use crate::remedy::{Setting, checks, home, in_files, is_in_place};
use crate::words;
use ravelin_assess::model::{
    Evidence, PathOutcome, PathState, Property, PropertyVerdict, Report, State, Verdict,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// The rule of results that say that nobody knows.
const UNTESTED: &str = "untested";
/// The rule of paths that fail without an attacker.
const FAILED: &str = "path_failed";

/// The report as SARIF, with a newline at its end. `repeat` is the command that came to it.
pub fn sarif(report: &Report, repeat: &Repeat) -> String {
    let mut results: Vec<Value> = Vec::new();
    let failed = report.paths.iter().filter(|path| path.state == PathOutcome::Failed);
    results.extend(failed.map(|path| failed_path(report, path, repeat)));
    for verdict in &report.verdicts {
        for property in Property::ALL {
            let found = verdict.properties.get(&property);
            match (verdict.state(property), found) {
                (State::Broken, Some(found)) => {
                    results.push(broken(report, (verdict, property, found), repeat));
                }
                (State::Untested, found) => {
                    results.push(untested(report, (verdict, property, found), repeat))
                }
                _ => {}
            }
        }
    }
    let cluster = &report.cluster;
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for verdict in &report.verdicts {
        for property in Property::ALL {
            *states.entry(verdict.state(property).to_string()).or_default() += 1;
        }
    }
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "ravelin",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules(),
            }},
            "automationDetails": {"id": "ravelin/simulate/"},
            "invocations": [{"executionSuccessful": true, "commandLine": repeat.command()}],
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": {
                "seed": report.seed,
                "commit": report.commit,
                "traceSha256": report.trace_sha256,
                "kubernetesVersion": cluster.kubernetes_version,
                "nodes": cluster.nodes,
                "untrusted": cluster.untrusted,
                "states": states,
            },
        }],
    });
    let mut text = serde_json::to_string_pretty(&log).expect("plain data with text keys");
    text.push('\n');
    text
}

fn rules() -> Vec<Value> {
    let mut rules: Vec<Value> = Property::ALL
        .into_iter()
        .map(|property| {
            let short = format!("An attacker {}", words::meaning(property));
            // CVSS-like, as GitHub sorts by: what an attacker does weighs more than what it reads.
            let severity = match property {
                Property::RequestSecret | Property::ResponseSecret | Property::ResponseAuthentic => "7.5",
                Property::RequestAuthentic | Property::CredentialSafe | Property::AccessControlled => "9.1",
            };
            rule(&property.to_string(), (&short, words::explanation(property)), ("error", Some(severity)))
        })
        .collect();
    let untested = "No tactic that aims at this property reached an honest party and was refused, or a setting of \
                    unknown effect may decide. It must never be read as if the property held.";
    rules.push(rule(UNTESTED, ("Nobody knows whether this property holds", untested), ("warning", None)));
    let failed = "The path should work in this configuration and does not, without any attacker: what an attacker \
                  could do on it was not found out.";
    rules.push(rule(FAILED, ("A path does not work", failed), ("error", None)));
    rules
}

fn rule(id: &str, (short, full): (&str, &str), (level, severity): (&str, Option<&str>)) -> Value {
    let name: String = id
        .split('_')
        .flat_map(|word| {
            word.chars().enumerate().map(|(at, c)| if at == 0 { c.to_ascii_uppercase() } else { c })
        })
        .collect();
    let help = format!(
        "{full} The message of each result names the tactic, what was seen, and the command that repeats the \
         run; `--explain` tells it step by step."
    );
    let mut properties = json!({"tags": ["kubernetes"], "precision": "very-high"});
    if let Some(severity) = severity {
        properties["tags"] = json!(["kubernetes", "security"]);
        properties["security-severity"] = severity.into();
    }
    json!({
        "id": id,
        "name": name,
        "shortDescription": {"text": format!("{short}.")},
        "fullDescription": {"text": full},
        "help": {"text": help, "markdown": help},
        "defaultConfiguration": {"level": level},
        "properties": properties,
    })
}

/// The index of a rule among [`rules`].
fn rule_index(id: &str) -> usize {
    let properties = Property::ALL.iter().map(ToString::to_string);
    let ids = properties.chain([UNTESTED.to_owned(), FAILED.to_owned()]);
    ids.enumerate().find(|(_, known)| known == id).map_or(0, |(index, _)| index)
}

type Found<'a> = (&'a Verdict, Property, &'a PropertyVerdict);

fn broken(report: &Report, (verdict, property, found): Found<'_>, repeat: &Repeat) -> Value {
    let mut text = format!(
        "The {} {} on {} (egress {})",
        verdict.attacker,
        words::meaning(property),
        verdict.path,
        verdict.egress
    );
    if let Some(first) = found.evidence.first() {
        text.push_str(&format!(
            ", by {}: {} ({}, {} ms after the start)",
            first.tactic, first.text, first.flow, first.at_ms
        ));
    }
    for fix in &verdict.fix {
        text.push_str(&format!(". Shown to help: {}", proof::settings(fix)));
    }
    text.push_str(&format!(". Repeat with: {}", repeat.explain(verdict)));
    let place_of = (verdict.path.as_str(), verdict.egress.as_str());
    let known = found.tactics.iter().flat_map(|tactic| checks(place_of, tactic, &[property]));
    // What already refuses something is not what is missing.
    let working = verdict.properties.values().flat_map(|found| &found.refused_by);
    let working = working.map(String::as_str).collect();
    let missing = known.filter(|check| !is_in_place(check, &working));
    let settings: Vec<Setting> = missing.flat_map(|check| check.settings.iter().copied()).collect();
    let mut result = result((&property.to_string(), "error"), &text, &key(verdict, property));
    place(&mut result, report, &settings);
    result["properties"] = json!({
        "seed": report.seed,
        "attacker": verdict.attacker,
        "path": verdict.path,
        "egress": verdict.egress,
        "tactics": found.tactics,
        "evidence": found.evidence.iter().map(evidence).collect::<Vec<_>>(),
        "fix": verdict.fix,
    });
    result
}

fn evidence(evidence: &Evidence) -> Value {
    json!({"tactic": evidence.tactic, "atMs": evidence.at_ms, "flow": evidence.flow, "text": evidence.text})
}

fn untested(
    report: &Report,
    (verdict, property, found): (&Verdict, Property, Option<&PropertyVerdict>),
    repeat: &Repeat,
) -> Value {
    let reason = found.and_then(|found| found.reason.as_deref()).unwrap_or("no tactic was engaged");
    let text = format!(
        "Nobody knows whether {property} holds on {} (egress {}) against the {}: {reason}. Repeat with: {}",
        verdict.path,
        verdict.egress,
        verdict.attacker,
        repeat.explain(verdict)
    );
    let mut result = result((UNTESTED, "warning"), &text, &key(verdict, property));
    place(&mut result, report, &[]);
    // A setting of unknown effect is where its file has it.
    let unknown = report.cluster.unknown_effect.iter().find(|setting| reason.contains(&setting.key));
    if let Some((setting, line)) = unknown.and_then(|setting| Some((setting, setting.line?))) {
        result["locations"] = json!(physical(&setting.file, line as u64).into_iter().collect::<Vec<_>>());
    }
    result["properties"] = json!({"seed": report.seed, "property": property});
    result
}

fn failed_path(report: &Report, path: &PathState, repeat: &Repeat) -> Value {
    let error = path.error.as_deref().unwrap_or("no error was recorded");
    let text = format!(
        "{} (egress {}) should work in this configuration and does not: {error}. Repeat with: {}",
        path.path,
        path.egress,
        repeat.path(&path.path)
    );
    let mut result = result((FAILED, "error"), &text, &format!("{}@{}", path.path, path.egress));
    place(&mut result, report, &[]);
    result["properties"] = json!({"seed": report.seed});
    result
}

/// What a result is about, the same for every seed.
fn key(verdict: &Verdict, property: Property) -> String {
    format!("{}/{property}", verdict.name())
}

fn result((rule, level): (&str, &str), text: &str, key: &str) -> Value {
    json!({
        "ruleId": rule,
        "ruleIndex": rule_index(rule),
        "kind": "fail",
        "level": level,
        "message": {"text": harmless(text)},
        "locations": [],
        "partialFingerprints": {
            "ravelinVerdict/v1": key,
            // What GitHub compares; without it, it would compare the configuration's lines.
            "primaryLocationLineHash": format!("{:016x}:1", fnv1a(&format!("{rule} {key}"))),
        },
    })
}

/// The FNV-1a hash of a text: it must tell keys apart, and keep no secret.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The lines of the configuration that matter: those of the settings, else where they would be
/// added, else the first file. Without files there is no place.
fn place(result: &mut Value, report: &Report, settings: &[Setting]) {
    let written = settings.iter().filter_map(|setting| in_files(report, setting));
    let mut places: Vec<(String, u64)> = written.map(|found| (found.file, found.line)).collect();
    if places.is_empty() {
        let homes = settings.iter().filter_map(|setting| home(report, setting.component));
        places.extend(homes.chain(home(report, "kube-apiserver")).take(1));
    }
    if places.is_empty() {
        places.extend(report.cluster.files.first().map(|file| (file.clone(), 1)));
    }
    places.dedup();
    let mut known = places.iter().filter_map(|(file, line)| physical(file, *line));
    let first: Vec<Value> = known.next().into_iter().collect();
    let related: Vec<Value> = known.collect();
    result["locations"] = first.into();
    if !related.is_empty() {
        result["relatedLocations"] = related.into();
    }
}

/// A place in a file; none where the file is standard input.
fn physical(file: &str, line: u64) -> Option<Value> {
    let region = json!({"startLine": line.max(1)});
    (file != "-")
        .then(|| json!({"physicalLocation": {"artifactLocation": {"uri": uri(file)}, "region": region}}))
}

/// A file's name as a URI reference (RFC 3986): relative names stay relative.
fn uri(file: &str) -> String {
    let mut out = if file.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in file.trim_start_matches("./").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{repeat, report};

    fn read(report: &Report) -> Value {
        serde_json::from_str(&sarif(report, &repeat())).expect("our own JSON")
    }

    /// What SARIF 2.1.0 requires of the objects that we write (sections 3.13, 3.14, 3.18, 3.19,
    /// 3.27, 3.29), and what GitHub does.
    #[test]
    fn every_object_has_what_the_format_requires() {
        let log = read(&report());
        assert_eq!((&log["version"], &log["$schema"]), (&json!("2.1.0"), &json!(SCHEMA)));
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
        assert_eq!(run["tool"]["driver"]["name"], "ravelin");
        assert!(rules.iter().all(|rule| rule["id"].is_string() && rule["help"]["text"].is_string()));
        assert!(run["invocations"][0]["executionSuccessful"].is_boolean());
        let results = run["results"].as_array().expect("results");
        assert_eq!(results.len(), 2 + 1 + 6 + 1, "two broken, seven untested, one failed path");
        for result in results {
            let index = result["ruleIndex"].as_u64().and_then(|index| usize::try_from(index).ok());
            assert_eq!(rules[index.expect("an index")]["id"], result["ruleId"]);
            assert!(
                result["message"]["text"].as_str().is_some_and(|text| text.contains("Repeat with: ravelin "))
            );
            assert!(["error", "warning"].contains(&result["level"].as_str().unwrap_or_default()));
            for location in result["locations"].as_array().expect("locations") {
                let physical = &location["physicalLocation"];
                assert!(physical["artifactLocation"]["uri"].is_string());
                assert!(physical["region"]["startLine"].as_u64().is_some_and(|line| line >= 1));
            }
        }
    }

    #[test]
    fn a_broken_property_points_at_the_line_that_decides() {
        let mut report = report();
        report.cluster.provenance = json!({"settings": [
            {"component": "kube-apiserver", "key": "--advertise-address", "value": "x", "file": "a b.yaml", "line": 3},
            {"component": "kube-apiserver", "key": "--kubelet-certificate-authority", "value": "/ca", "file":
             "a b.yaml", "line": 9},
        ]});
        for found in report.verdicts[1].properties.values_mut() {
            found.tactics = vec!["self-signed-certificate".into()];
        }
        let broken = |report: &Report| {
            let log = read(report);
            let results = log["runs"][0]["results"].as_array().cloned().unwrap_or_default();
            results.into_iter().find(|result| result["ruleId"] == "request_secret").expect("it is broken")
        };
        let place = |result: &Value| result["locations"][0]["physicalLocation"].clone();
        let found = broken(&report);
        assert_eq!(place(&found)["artifactLocation"]["uri"], "a%20b.yaml");
        assert_eq!(place(&found)["region"]["startLine"], 9);
        report.cluster.provenance["settings"].as_array_mut().expect("a list").pop();
        assert_eq!(place(&broken(&report))["region"]["startLine"], 3, "where it would be added");
        report.cluster.provenance = json!({});
        report.cluster.files.clear();
        assert_eq!(broken(&report)["locations"], json!([]), "no file, no place");
    }

    #[test]
    fn another_seed_gives_the_same_fingerprints() {
        let prints = |report: &Report| {
            let log = read(report);
            let results = log["runs"][0]["results"].as_array().cloned().unwrap_or_default();
            results.iter().map(|result| result["partialFingerprints"].clone()).collect::<Vec<_>>()
        };
        let mut other = report();
        other.seed = 7;
        other.verdicts[1].properties.values_mut().for_each(|found| {
            found.evidence.iter_mut().for_each(|evidence| evidence.at_ms += 17);
        });
        let mut all: Vec<String> = prints(&other).iter().map(ToString::to_string).collect();
        assert_eq!(prints(&report()), prints(&other));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), prints(&other).len(), "every result has a fingerprint of its own");
    }
}
