//! What nobody can see from outside: as whom a kubelet serves.
//!
//! A kubelet that serves everybody gives the same answer to its client and to a stranger. Whether it
//! took the stranger for its client shows only in its own record, so for twins, and never for a
//! verdict's own states, the trace is asked.

use crate::model::Property;
use crate::path::Path;
use crate::unit::UnitRun;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What broke because a kubelet served requests as its client that its client did not make.
pub(super) fn broken(run: &UnitRun) -> BTreeSet<(Path, &'static str, Property)> {
    let mut found = BTreeSet::new();
    let at_kubelets: Vec<_> = run.paths.iter().filter(|path| path.path.leads_to_a_kubelet()).collect();
    if at_kubelets.is_empty() {
        return found;
    }
    let served = served_by_cell(run);
    for path in at_kubelets {
        let count = |cell: &str| served.get(&format!("{}/{cell}", path.path)).cloned().unwrap_or_default();
        let Some((client, honest)) = count("baseline").into_iter().next() else { continue };
        for round in &path.rounds {
            let as_client = count(round.tactic).get(&client).copied().unwrap_or(0);
            // An attacker in between keeps requests from the kubelet, it adds none: more are its own.
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

/// What of a kubelet reaches into containers.
const REACHES_IN: [&str; 5] = ["/containerLogs/", "/exec/", "/run/", "/attach/", "/portForward/"];

/// How often the kubelets let whom reach into containers, by the part of the simulation.
fn served_by_cell(run: &UnitRun) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut served: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let mut cell = String::new();
    let wanted =
        |line: &&str| line.contains("\"kind\":\"cell\"") || line.contains("\"kind\":\"kubelet.request\"");
    for line in run.trace.iter().filter(wanted) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        if event["kind"] == "cell" {
            cell = text("name");
        } else if ["101", "200"].contains(&text("code").as_str())
            && REACHES_IN.iter().any(|prefix| text("path").starts_with(prefix))
        {
            *served.entry(cell.clone()).or_default().entry(text("user")).or_default() += 1;
        }
    }
    served
}
