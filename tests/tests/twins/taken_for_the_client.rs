//! What nobody can see from outside: as whom a kubelet serves.
//!
//! A kubelet that serves everybody gives the same answer to its client and to a stranger. Whether it
//! took the stranger for its client shows only in its own record, so here, and never in a verdict,
//! the trace is asked.

use super::Broken;
use ravelin_assess::{Path, UnitRun};
use ravelin_oracle::Property;
use serde_json::Value;
use std::collections::BTreeMap;

/// What broke because a kubelet served requests as its client that its client did not make.
pub fn broken(run: &UnitRun) -> Broken {
    let served = served_by_cell(run);
    let mut found = Broken::new();
    for path in run.paths.iter().filter(|path| path.path == Path::KubeletLogs) {
        let count = |cell: &str| served.get(&format!("{}/{cell}", path.path)).cloned().unwrap_or_default();
        let Some((client, honest)) = count("baseline").into_iter().next() else { continue };
        for round in &path.rounds {
            let as_client = count(round.tactic).get(&client).copied().unwrap_or(0);
            // An impostor keeps requests from the kubelet, it adds none: more are the attacker's.
            if as_client > honest {
                found.insert((path.path, round.tactic, Property::RequestAuthentic));
            }
            if as_client > honest && round.tactic == "certificate-without-its-key" {
                found.insert((path.path, round.tactic, Property::CredentialSafe));
            }
        }
    }
    found
}

/// How many container logs the kubelets served to whom, by the part of the simulation.
fn served_by_cell(run: &UnitRun) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut served: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let mut cell = String::new();
    let wanted =
        |line: &&str| line.contains("\"kind\":\"cell\"") || line.contains("\"kind\":\"kubelet.request\"");
    for line in run.trace.iter().filter(wanted) {
        let event: Value = serde_json::from_str(line).expect("a trace is JSON, line by line");
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        if event["kind"] == "cell" {
            cell = text("name");
        } else if text("code") == "200" && text("path").starts_with("/containerLogs/") {
            *served.entry(cell.clone()).or_default().entry(text("user")).or_default() += 1;
        }
    }
    served
}
