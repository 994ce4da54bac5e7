//! Policies and requests as they are drawn: every other request is aimed at what some binding grants.

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use ravelin_tests::rbac_model::{Binding, Policy, Question, Role, Rule, Subject, User, rules_of};
use std::collections::BTreeSet;

const VERBS: [&str; 6] = ["get", "list", "create", "delete", "impersonate", "post"];
const GROUPS: [&str; 3] = ["", "apps", "rbac.authorization.k8s.io"];
const RESOURCES: [&str; 4] = ["pods", "secrets", "roles", "pod"];
const PARTS: [&str; 4] = ["", "log", "status", "lo"];
const NAMESPACES: [&str; 3] = ["n1", "n2", "n11"];
const OBJECTS: [&str; 4] = ["", "a", "b", "ab"];
const PATHS: [&str; 7] =
    ["/healthz", "/healthz/ping", "/healthzx", "/metrics", "/", "/healthz/", "/metrics/a"];
const USERS: [&str; 5] = [
    "alice",
    "Alice",
    "system:serviceaccount:n1:bot",
    "system:serviceaccount:n2:bot",
    "system:serviceaccount:n1:bot:x",
];
const TEAMS: [&str; 5] =
    ["dev", "system:authenticated", "system:unauthenticated", "system:serviceaccounts:n1", "alice"];
const ROLES: [&str; 4] = ["r1", "r2", "r3", "r4"];
const LABELS: [(&str, &str); 4] = [("to-a", "true"), ("to-b", "true"), ("to-b", "false"), ("to-c", "true")];

fn texts(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    subsequence(of, 1..=most).prop_map(|some| some.into_iter().map(str::to_owned).collect())
}

fn text(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(of).prop_map(str::to_owned)
}

fn any_rule() -> impl Strategy<Value = Rule> {
    const LISTED_VERBS: [&str; 7] = ["get", "list", "create", "delete", "impersonate", "post", "*"];
    const LISTED_GROUPS: [&str; 4] = ["", "apps", "rbac.authorization.k8s.io", "*"];
    const LISTED_RESOURCES: [&str; 8] =
        ["pods", "secrets", "pods/log", "*/status", "*/log", "*", "pods/*", "roles"];
    const LISTED_NAMES: [&str; 3] = ["a", "b", "*"];
    const LISTED_PATHS: [&str; 6] = ["/healthz", "/healthz/*", "/healthz*", "*", "/metrics", "/*"];
    let of_resources = (
        texts(&LISTED_VERBS, 3),
        texts(&LISTED_GROUPS, 2),
        texts(&LISTED_RESOURCES, 3),
        prop_oneof![3 => Just(Vec::new()), 2 => texts(&LISTED_NAMES, 2)],
    )
        .prop_map(|(verbs, groups, resources, names)| Rule {
            verbs,
            groups,
            resources,
            names,
            paths: Vec::new(),
        });
    let of_paths = (texts(&LISTED_VERBS, 3), texts(&LISTED_PATHS, 2)).prop_map(|(verbs, paths)| Rule {
        verbs,
        paths,
        ..Rule::default()
    });
    prop_oneof![3 => of_resources, 1 => of_paths]
}

fn any_role() -> impl Strategy<Value = Role> {
    let namespace = prop_oneof![1 => Just(None), 1 => text(&NAMESPACES).prop_map(Some)];
    let label = || select(&LABELS[..]).prop_map(|(key, value)| (key.to_owned(), value.to_owned()));
    let labels = prop_oneof![1 => Just(Vec::new()), 1 => prop::collection::vec(label(), 1..3)];
    let selectors = prop::collection::vec(prop::collection::vec(label(), 1..3), 1..3);
    (
        namespace,
        text(&ROLES),
        prop::collection::vec(any_rule(), 1..4),
        labels,
        prop::option::weighted(0.3, selectors),
    )
        .prop_map(|(namespace, name, rules, mut labels, aggregates)| {
            one_of_a_key(&mut labels);
            let mut aggregates = aggregates.filter(|_| namespace.is_none());
            aggregates.iter_mut().flatten().for_each(one_of_a_key);
            // The control plane fills in the rules of an aggregated role.
            let rules = if aggregates.is_some() { Vec::new() } else { rules };
            Role { namespace, name, labels, aggregates, rules }
        })
}

fn one_of_a_key(labels: &mut Vec<(String, String)>) {
    let mut seen = BTreeSet::new();
    labels.retain(|(key, _)| seen.insert(key.clone()));
}

fn any_subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        text(&USERS).prop_map(Subject::User),
        text(&TEAMS).prop_map(Subject::Group),
        (text(&NAMESPACES), select(vec!["bot", "bot:x", "alice"]))
            .prop_map(|(namespace, name)| Subject::ServiceAccount(namespace, name.to_owned())),
    ]
}

fn any_binding() -> impl Strategy<Value = Binding> {
    let namespace = prop_oneof![1 => Just(None), 1 => text(&NAMESPACES).prop_map(Some)];
    (
        namespace,
        select(vec!["b1", "b2", "b3"]),
        any::<bool>(),
        text(&ROLES),
        prop::collection::vec(any_subject(), 0..4),
    )
        .prop_map(|(namespace, name, of_cluster_role, role, subjects)| Binding {
            of_cluster_role: of_cluster_role || namespace.is_none(),
            namespace,
            name: name.to_owned(),
            role,
            subjects,
        })
}

/// Of two objects of one kind, namespace and name there is one.
pub fn any_policy() -> impl Strategy<Value = Policy> {
    (prop::collection::vec(any_role(), 2..9), prop::collection::vec(any_binding(), 2..9)).prop_map(
        |(mut roles, mut bindings)| {
            let mut seen = BTreeSet::new();
            roles.retain(|role: &Role| seen.insert((role.namespace.clone(), role.name.clone())));
            let mut seen = BTreeSet::new();
            bindings
                .retain(|binding: &Binding| seen.insert((binding.namespace.clone(), binding.name.clone())));
            Policy { roles, bindings }
        },
    )
}

/// How a question comes about: at random, or aimed at what some binding grants, and then perhaps
/// spoilt in one place.
#[derive(Clone, Debug)]
pub struct Draw {
    picks: [Index; 8],
    random: (User, Question),
    is_aimed: bool,
    spoils: Option<u8>,
}

fn any_user() -> impl Strategy<Value = User> {
    (text(&USERS), prop_oneof![1 => Just(Vec::new()), 2 => texts(&TEAMS, 2)])
        .prop_map(|(name, groups)| User { name, groups })
}

fn any_question() -> impl Strategy<Value = Question> {
    let of_resource = (
        text(&VERBS),
        text(&GROUPS),
        text(&RESOURCES),
        text(&PARTS),
        select(vec!["", "n1", "n2", "n11"]),
        text(&OBJECTS),
    )
        .prop_map(|(verb, group, resource, subresource, namespace, name)| Question::Resource {
            verb,
            group,
            resource,
            subresource,
            namespace: namespace.to_owned(),
            name,
        });
    let of_path = (text(&VERBS), text(&PATHS)).prop_map(|(verb, path)| Question::Path { verb, path });
    prop_oneof![4 => of_resource, 1 => of_path]
}

pub fn any_draw() -> impl Strategy<Value = Draw> {
    let picks = prop::array::uniform8(any::<Index>());
    let random = (any_user(), any_question());
    (picks, random, prop::bool::weighted(0.8), prop::option::weighted(0.4, 0..7_u8))
        .prop_map(|(picks, random, is_aimed, spoils)| Draw { picks, random, is_aimed, spoils })
}

impl Draw {
    /// The question in this policy.
    pub fn of(&self, policy: &Policy) -> (User, Question) {
        let (user, question) =
            self.is_aimed.then(|| self.aimed(policy)).flatten().unwrap_or_else(|| self.random.clone());
        match self.spoils {
            Some(place) if self.is_aimed => self.spoilt(place, user, question),
            _ => (user, question),
        }
    }

    fn pick<'a, T>(&self, which: usize, of: &'a [T]) -> Option<&'a T> {
        (!of.is_empty()).then(|| self.picks[which].get(of))
    }

    /// What some binding, subject and rule are for.
    fn aimed(&self, policy: &Policy) -> Option<(User, Question)> {
        let mut all = Vec::new();
        for binding in &policy.bindings {
            let namespace = if binding.of_cluster_role { &None } else { &binding.namespace };
            let of = |role: &&Role| role.name == binding.role && role.namespace == *namespace;
            let rules = policy.roles.iter().filter(of).flat_map(|role| rules_of(policy, role));
            // What a namespace's binding says of paths is for nobody.
            let rules = rules.filter(|rule| binding.namespace.is_none() || rule.paths.is_empty());
            let pairs = rules.flat_map(|rule| binding.subjects.iter().map(move |subject| (subject, rule)));
            all.extend(pairs.map(|(subject, rule)| (binding, subject, rule)));
        }
        let (binding, subject, rule) = *self.pick(0, &all)?;
        let user = match subject {
            Subject::User(name) => User { name: name.clone(), groups: Vec::new() },
            Subject::Group(group) => {
                User { name: "somebody".to_owned(), groups: vec!["other".to_owned(), group.clone()] }
            }
            Subject::ServiceAccount(namespace, name) => User {
                name: format!("system:serviceaccount:{namespace}:{name}"),
                groups: vec!["system:serviceaccounts".to_owned()],
            },
        };
        let one = |which: usize, listed: &[String], of: &[&str]| -> Option<String> {
            let listed = self.pick(which, listed)?;
            Some(if listed == "*" { (*self.picks[7].get(of)).to_owned() } else { listed.clone() })
        };
        let verb = one(3, &rule.verbs, &VERBS)?;
        if let Some(path) = self.pick(4, &rule.paths) {
            let fits = PATHS
                .iter()
                .find(|known| path.ends_with('*') && known.starts_with(path.trim_end_matches('*')));
            let path = fits.map_or_else(|| path.clone(), |known| (*known).to_owned());
            return Some((user, Question::Path { verb, path }));
        }
        let listed = one(4, &rule.resources, &["pods/log", "secrets", "roles/status"])?;
        let (resource, subresource) = listed.split_once('/').unwrap_or((&listed, ""));
        Some((
            user,
            Question::Resource {
                verb,
                group: one(5, &rule.groups, &GROUPS)?,
                resource: if resource == "*" { "pods" } else { resource }.to_owned(),
                subresource: subresource.to_owned(),
                namespace: match &binding.namespace {
                    Some(namespace) => namespace.clone(),
                    None => (*self.picks[6].get(&["", "n1", "n2"])).to_owned(),
                },
                name: self.pick(6, &rule.names).cloned().unwrap_or_default(),
            },
        ))
    }

    fn spoilt(&self, place: u8, mut user: User, question: Question) -> (User, Question) {
        let (other_user, other) = self.random.clone();
        let question = match (question, other) {
            (
                Question::Resource { verb, group, resource, subresource, namespace, name },
                Question::Resource {
                    verb: verb2,
                    group: group2,
                    resource: resource2,
                    subresource: subresource2,
                    namespace: namespace2,
                    name: name2,
                },
            ) => {
                let or = |at: u8, one: String, two: String| if place == at { two } else { one };
                Question::Resource {
                    verb: or(0, verb, verb2),
                    group: or(1, group, group2),
                    resource: or(2, resource, resource2),
                    subresource: or(3, subresource, subresource2),
                    namespace: or(4, namespace, namespace2),
                    name: or(5, name, name2),
                }
            }
            (Question::Path { verb, path }, Question::Path { path: path2, .. }) => {
                Question::Path { verb, path: if place < 3 { path2 } else { path } }
            }
            (question, _) => question,
        };
        if place == 6 {
            user = other_user;
        }
        (user, question)
    }
}
