//! Invariants 1 to 3 as far as manifests show them: who may depend on whom.

use super::Finding;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The floor of each crate: it uses only crates of lower floors (docs/architecture.md).
const FLOORS: &[(&str, u32)] = &[
    ("ravelin-api", 0),
    ("ravelin-entropy", 0),
    ("ravelin-stream", 0),
    ("ravelin-host", 1),
    ("ravelin-pki", 2),
    ("ravelin-config", 2),
    ("ravelin-sim", 2),
    ("ravelin-oracle", 2),
    ("ravelin-auth", 3),
    ("ravelin-transport", 3),
    ("ravelin-client", 4),
    ("ravelin-delegated", 5),
    ("ravelin-runtime", 5),
    ("ravelin-apiserver", 6),
    ("ravelin-kubelet", 6),
    ("ravelin-proxy", 6),
    ("ravelin-tunnel", 6),
    ("ravelin-controllers", 6),
    ("ravelin-cluster", 7),
    ("ravelin-adversary", 7),
    ("ravelin-assess", 8),
    ("ravelin-report", 9),
    ("ravelin-scenario", 9),
    ("ravelin-cli", 10),
    ("ravelin-tests", 11),
];

/// Crates that may not depend on others, not even through a third, and why.
const STRANGERS: &[(&[&str], &[&str], &str)] = &[
    (
        &["ravelin-oracle", "ravelin-adversary"],
        &["ravelin-config"],
        "a verdict may not know what was configured",
    ),
    (
        &["ravelin-oracle"],
        &["ravelin-host", "ravelin-sim", "ravelin-transport", "ravelin-client"],
        "the oracle judges what was seen from outside and knows no component",
    ),
    (
        &["ravelin-adversary"],
        &["ravelin-apiserver", "ravelin-kubelet", "ravelin-proxy", "ravelin-controllers", "ravelin-cluster"],
        "an attacker meets components over sockets only",
    ),
    (
        &["ravelin-cluster"],
        &["ravelin-sim", "ravelin-oracle"],
        "the cluster cannot tell whether it is simulated or judged",
    ),
    (
        &[
            "ravelin-auth",
            "ravelin-transport",
            "ravelin-client",
            "ravelin-delegated",
            "ravelin-runtime",
            "ravelin-apiserver",
            "ravelin-kubelet",
            "ravelin-proxy",
            "ravelin-tunnel",
            "ravelin-controllers",
        ],
        &["ravelin-sim", "ravelin-oracle", "ravelin-config"],
        "no component can tell whether it is simulated or judged, and each is configured by its own types",
    ),
];

/// Libraries, and the only crates that may use them. `test:` allows it to a crate's tests alone: the
/// oracle reads captures with code of its own, and its tests record real sessions to read.
const LIBRARIES: &[(&[&str], &[&str])] = &[
    (&["turmoil", "turmoil-net"], &["ravelin-sim"]),
    (
        &["rustls", "tokio-rustls"],
        &["ravelin-pki", "ravelin-transport", "ravelin-tests", "test:ravelin-oracle"],
    ),
    (&["hyper", "hyper-util"], &["ravelin-transport"]),
    (&["prost"], &["ravelin-stream"]),
    (&["russh"], &["ravelin-tunnel", "test:ravelin-oracle"]),
    (&["libc", "rand_chacha", "getrandom", "rand"], &["ravelin-entropy"]),
    (&["clap", "indicatif", "terminal_size"], &["ravelin-cli"]),
    (&["anyhow"], &["ravelin-cli", "ravelin-tests", "xtask"]),
];

/// A package of the workspace, as its manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// What it depends on: the name, and whether only its tests do.
    pub uses: BTreeSet<(String, bool)>,
}

/// The workspace's packages, from `cargo metadata`.
pub fn packages(metadata: &Value) -> Vec<Package> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let uses = list(&package["dependencies"]);
            Package {
                name: name(package),
                uses: uses.iter().map(|d| (name(d), d["kind"] == "dev")).collect(),
            }
        })
        .collect()
}

/// Every dependency that goes up, sideways, or to a library behind another crate.
pub fn check(packages: &[Package]) -> Vec<Finding> {
    let floors: BTreeMap<&str, u32> = FLOORS.iter().copied().collect();
    let mut found = Vec::new();
    for package in packages {
        let mut find = |rule, text| {
            let file = format!("Cargo.toml of {}", package.name);
            found.push(Finding { file, line: 0, rule, text });
        };
        let own = floors.get(package.name.as_str());
        if own.is_none() && package.name != "xtask" {
            find(
                "floors",
                "this crate has no floor: add it to the table in xtask/src/tidy/floors.rs".to_owned(),
            );
        }
        for (used, only_tests) in &package.uses {
            let below = floors.get(used.as_str());
            match (own, below) {
                (None, Some(_)) => find("floors", format!("it may not use {used}")),
                (Some(own), Some(below)) if below >= own => {
                    find("floors", format!("floor {own} may not use {used} of floor {below}"));
                }
                _ => {}
            }
            for (_, users) in LIBRARIES.iter().filter(|(libraries, _)| libraries.contains(&used.as_str())) {
                let allowed = |user: &&str| match user.strip_prefix("test:") {
                    Some(user) => *only_tests && user == package.name,
                    None => **user == package.name,
                };
                if !users.iter().any(allowed) {
                    find("libraries", format!("{used} stays behind {}", users.join(", ")));
                }
            }
        }
    }
    found.extend(strangers(packages));
    found.extend(floors.keys().filter(|name| !packages.iter().any(|p| p.name == **name)).map(|name| {
        Finding {
            file: "xtask/src/tidy/floors.rs".to_owned(),
            line: 0,
            rule: "floors",
            text: format!("{name} stands in the table and is no package"),
        }
    }));
    found
}

/// Dependencies between strangers, also through a third crate (not through tests' ones).
fn strangers(packages: &[Package]) -> Vec<Finding> {
    let by_name: BTreeMap<&str, &Package> =
        packages.iter().map(|package| (package.name.as_str(), package)).collect();
    let mut found = Vec::new();
    for (subjects, others, why) in STRANGERS {
        for subject in *subjects {
            let (mut reached, mut open) = (BTreeSet::new(), vec![*subject]);
            while let Some(package) = open.pop().and_then(|name| by_name.get(name)) {
                for (used, _) in package.uses.iter().filter(|(_, only_tests)| !only_tests) {
                    if reached.insert(used.as_str()) {
                        open.push(used);
                    }
                }
            }
            for other in others.iter().filter(|other| reached.contains(**other)) {
                let text = format!("it depends on {other}: {why}");
                found.push(Finding {
                    file: format!("Cargo.toml of {subject}"),
                    line: 0,
                    rule: "strangers",
                    text,
                });
            }
        }
    }
    found
}
