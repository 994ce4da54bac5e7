//! Which rules hold all that others give
//! (`component-helpers/auth/rbac/validation/policy_comparator.go`,
//! `pkg/registry/rbac/validation/policy_compact.go`).

use super::Rule;
use std::collections::{BTreeMap, BTreeSet};

/// What `cluster-admin` holds: every verb on every resource and path.
pub fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), urls: all(), ..Rule::default() },
    ]
}

/// What of `asked` the `held` rules do not give, in rules of one verb on one thing each. A wildcard
/// is held only through a wildcard.
pub fn not_covered<'a>(
    held: impl IntoIterator<Item = &'a Rule> + Clone,
    asked: impl IntoIterator<Item = &'a Rule>,
) -> Vec<Rule> {
    let atoms = asked.into_iter().flat_map(atoms);
    atoms.filter(|atom| !held.clone().into_iter().any(|rule| covers(rule, atom))).collect()
}

/// The rules as a refusal lists them, one a line: those that differ in their verb alone are told
/// together.
pub fn tell(rules: &[Rule]) -> String {
    let mut together: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    for rule in rules {
        if rule.urls.is_empty() {
            let of = Rule { verbs: Vec::new(), ..rule.clone() };
            together.entry(of).or_default().extend(rule.verbs.iter().cloned());
        } else {
            lines.insert(compact(rule));
        }
    }
    lines.extend(together.into_iter().map(|(rule, verbs)| compact(&Rule { verbs, ..rule })));
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

fn compact(rule: &Rule) -> String {
    let parts = [
        ("APIGroups", &rule.groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.urls),
        ("ResourceNames", &rule.names),
        ("Verbs", &rule.verbs),
    ];
    let told = parts.into_iter().filter(|(_, values)| !values.is_empty()).map(|(name, values)| {
        let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        format!("{name}:[{}]", values.join(" "))
    });
    format!("{{{}}}", told.collect::<Vec<_>>().join(", "))
}

/// A rule as many, each of one verb on one resource (and one object) or path.
fn atoms(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| vec![text.clone()];
    let mut atoms = Vec::new();
    for group in &rule.groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let atom = Rule {
                    verbs: one(verb),
                    groups: one(group),
                    resources: one(resource),
                    ..Rule::default()
                };
                if rule.names.is_empty() {
                    atoms.push(atom);
                } else {
                    atoms.extend(rule.names.iter().map(|name| Rule { names: one(name), ..atom.clone() }));
                }
            }
        }
    }
    for url in &rule.urls {
        atoms.extend(rule.verbs.iter().map(|verb| Rule {
            verbs: one(verb),
            urls: one(url),
            ..Rule::default()
        }));
    }
    atoms
}

/// Does a rule give all of an atom?
fn covers(rule: &Rule, atom: &Rule) -> bool {
    let has = |listed: &[String], wanted: &[String]| {
        listed.iter().any(|one| one == "*") || wanted.iter().all(|one| listed.contains(one))
    };
    let resources = atom.resources.iter().all(|wanted| {
        let any_of_part = wanted.split_once('/').map(|(_, part)| format!("*/{part}"));
        rule.resources.iter().any(|one| one == "*" || one == wanted || Some(one) == any_of_part.as_ref())
    });
    let urls = atom.urls.iter().all(|wanted| {
        rule.urls
            .iter()
            .any(|one| one == wanted || one.ends_with('*') && wanted.starts_with(one.trim_end_matches('*')))
    });
    let names =
        rule.names.is_empty() || !atom.names.is_empty() && atom.names.iter().all(|n| rule.names.contains(n));
    has(&rule.verbs, &atom.verbs) && has(&rule.groups, &atom.groups) && resources && urls && names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(verbs: &[&str], resources: &[&str], names: &[&str]) -> Rule {
        let value =
            json!({"verbs": verbs, "apiGroups": [""], "resources": resources, "resourceNames": names});
        Rule::read(&value).unwrap()
    }

    fn paths(verbs: &[&str], urls: &[&str]) -> Rule {
        Rule::read(&json!({"verbs": verbs, "nonResourceURLs": urls})).unwrap()
    }

    #[test]
    fn what_is_not_held_is_told_as_kubernetes_tells_it() {
        let held = [rule(&["get"], &["pods", "*/scale"], &[]), rule(&["*"], &["secrets"], &["mine"])];
        let asked = [
            rule(&["list", "get"], &["pods", "things/scale"], &[]),
            rule(&["get"], &["secrets"], &["mine", "yours"]),
            paths(&["get"], &["/a"]),
            rule(&["watch"], &["pods"], &[]),
        ];
        let missing = not_covered(&held, &asked);
        let lines = [
            r#"{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}"#,
            r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["yours"], Verbs:["get"]}"#,
            r#"{APIGroups:[""], Resources:["things/scale"], Verbs:["list"]}"#,
            r#"{NonResourceURLs:["/a"], Verbs:["get"]}"#,
        ];
        assert_eq!(tell(&missing), lines.join("\n"));
    }

    #[test]
    fn a_wildcard_is_held_only_through_a_wildcard() {
        let all = everything();
        let named = [rule(&["get", "list", "watch"], &["pods"], &[]), paths(&["get"], &["/a/*"])];
        for asked in [rule(&["*"], &["pods"], &[]), rule(&["get"], &["*"], &[]), paths(&["get"], &["*"])] {
            assert_eq!(not_covered(&named, [&asked]).len(), 1, "{asked:?}");
            assert!(not_covered(&all, [&asked]).is_empty(), "{asked:?}");
        }
        assert!(not_covered(&named, [&paths(&["get"], &["/a/b/*"])]).is_empty());
        let unnamed = rule(&["get"], &["secrets"], &[]);
        assert_eq!(not_covered(&[rule(&["get"], &["secrets"], &["mine"])], [&unnamed]).len(), 1);
    }
}
