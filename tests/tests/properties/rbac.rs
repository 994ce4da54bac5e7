//! The RBAC authorizer against the reference model, on generated policies and requests.

use super::stage::{Ask, Caller, Stage, play};
use super::{Counts, hold};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use ravelin_auth::{Attributes, Authorizer as _, Decision, UserInfo, rbac};
use ravelin_tests::rbac_model::{
    Binding, Grant, Policy, Question, Role, Rule, Subject, User, grants, is_allowed, rules_of,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const VERBS: [&str; 6] = ["get", "list", "create", "delete", "impersonate", "post"];
const GROUPS: [&str; 3] = ["", "apps", "rbac.authorization.k8s.io"];
const RESOURCES: [&str; 4] = ["pods", "secrets", "roles", "pod"];
const PARTS: [&str; 4] = ["", "log", "status", "lo"];
const NAMESPACES: [&str; 3] = ["n1", "n2", "n11"];
const OBJECTS: [&str; 4] = ["", "a", "b", "ab"];
const PATHS: [&str; 7] = ["/healthz", "/healthz/ping", "/healthzx", "/metrics", "/", "/healthz/", "/metrics/a"];
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
    let of_paths = (texts(&LISTED_VERBS, 3), texts(&LISTED_PATHS, 2))
        .prop_map(|(verbs, paths)| Rule { verbs, paths, ..Rule::default() });
    prop_oneof![3 => of_resources, 1 => of_paths]
}

fn any_role() -> impl Strategy<Value = Role> {
    let namespace = prop_oneof![1 => Just(None), 1 => text(&NAMESPACES).prop_map(Some)];
    let label = || select(&LABELS[..]).prop_map(|(key, value)| (key.to_owned(), value.to_owned()));
    let labels = prop_oneof![1 => Just(Vec::new()), 1 => prop::collection::vec(label(), 1..3)];
    let selectors = prop::collection::vec(prop::collection::vec(label(), 1..3), 1..3);
    (namespace, text(&ROLES), prop::collection::vec(any_rule(), 1..4), labels, prop::option::weighted(0.3, selectors))
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
    (namespace, select(vec!["b1", "b2", "b3"]), any::<bool>(), text(&ROLES), prop::collection::vec(any_subject(), 0..4))
        .prop_map(|(namespace, name, of_cluster_role, role, subjects)| Binding {
            of_cluster_role: of_cluster_role || namespace.is_none(),
            namespace,
            name: name.to_owned(),
            role,
            subjects,
        })
}

/// Of two objects of one kind, namespace and name there is one.
fn any_policy() -> impl Strategy<Value = Policy> {
    (prop::collection::vec(any_role(), 2..9), prop::collection::vec(any_binding(), 2..9)).prop_map(
        |(mut roles, mut bindings)| {
            let mut seen = BTreeSet::new();
            roles.retain(|role: &Role| seen.insert((role.namespace.clone(), role.name.clone())));
            let mut seen = BTreeSet::new();
            bindings.retain(|binding: &Binding| seen.insert((binding.namespace.clone(), binding.name.clone())));
            Policy { roles, bindings }
        },
    )
}

/// How a question comes about: at random, or aimed at what some binding grants, and then perhaps
/// spoilt in one place.
#[derive(Clone, Debug)]
struct Draw {
    picks: [Index; 8],
    random: (User, Question),
    is_aimed: bool,
    spoils: Option<u8>,
}

fn any_user() -> impl Strategy<Value = User> {
    (text(&USERS), prop_oneof![1 => Just(Vec::new()), 2 => texts(&TEAMS, 2)]).prop_map(|(name, groups)| User { name, groups })
}

fn any_question() -> impl Strategy<Value = Question> {
    let of_resource =
        (text(&VERBS), text(&GROUPS), text(&RESOURCES), text(&PARTS), select(vec!["", "n1", "n2", "n11"]), text(&OBJECTS))
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

fn any_draw() -> impl Strategy<Value = Draw> {
    let picks = prop::array::uniform8(any::<Index>());
    let random = (any_user(), any_question());
    (picks, random, prop::bool::weighted(0.8), prop::option::weighted(0.4, 0..7_u8))
        .prop_map(|(picks, random, is_aimed, spoils)| Draw { picks, random, is_aimed, spoils })
}

impl Draw {
    fn of(&self, policy: &Policy) -> (User, Question) {
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
            let fits = PATHS.iter().find(|known| path.ends_with('*') && known.starts_with(path.trim_end_matches('*')));
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

/// The objects of a policy, as the API holds them; `is_filled`: aggregated roles bear what the control
/// plane fills in.
fn objects(policy: &Policy, is_filled: bool) -> Vec<Value> {
    let metadata = |namespace: &Option<String>, name: &str| match namespace {
        Some(namespace) => json!({"namespace": namespace, "name": name}),
        None => json!({"name": name}),
    };
    let kind = |namespace: &Option<String>, kind: &str| {
        if namespace.is_some() { kind.to_owned() } else { format!("Cluster{kind}") }
    };
    let roles = policy.roles.iter().map(|role| {
        let rules = if is_filled { rules_of(policy, role) } else { role.rules.iter().collect() };
        let rules: Vec<Value> = rules.into_iter().map(rule_object).collect();
        let mut object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind(&role.namespace, "Role"),
            "metadata": metadata(&role.namespace, &role.name), "rules": rules});
        let texts = |labels: &[(String, String)]| labels.iter().cloned().collect::<BTreeMap<_, _>>();
        object["metadata"]["labels"] = json!(texts(&role.labels));
        if let Some(selectors) = &role.aggregates {
            let selectors = selectors.iter().map(|selector| json!({"matchLabels": texts(selector)}));
            object["aggregationRule"] = json!({"clusterRoleSelectors": selectors.collect::<Vec<_>>()});
        }
        object
    });
    let bindings = policy.bindings.iter().map(|binding| {
        let subjects = binding.subjects.iter().map(|subject| match subject {
            Subject::User(name) => json!({"kind": "User", "name": name}),
            Subject::Group(name) => json!({"kind": "Group", "name": name}),
            Subject::ServiceAccount(namespace, name) => {
                json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
            }
        });
        let of = if binding.of_cluster_role { "ClusterRole" } else { "Role" };
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind(&binding.namespace, "RoleBinding"),
            "metadata": metadata(&binding.namespace, &binding.name),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": of, "name": binding.role},
            "subjects": subjects.collect::<Vec<_>>()})
    });
    roles.chain(bindings).collect()
}

/// A rule, as the API holds it: empty lists are left out.
fn rule_object(rule: &Rule) -> Value {
    let lists = [
        ("verbs", &rule.verbs),
        ("apiGroups", &rule.groups),
        ("resources", &rule.resources),
        ("resourceNames", &rule.names),
        ("nonResourceURLs", &rule.paths),
    ];
    let given = lists.into_iter().filter(|(_, list)| !list.is_empty());
    Value::Object(given.map(|(name, list)| (name.to_owned(), json!(list))).collect())
}

fn attributes(user: &User, question: &Question) -> Attributes {
    let groups: Vec<&str> = user.groups.iter().map(String::as_str).collect();
    let user = UserInfo::new(user.name.clone(), &groups);
    match question {
        Question::Path { verb, path } => {
            Attributes { user, verb: verb.clone(), path: path.clone(), ..Attributes::default() }
        }
        Question::Resource { verb, group, resource, subresource, namespace, name } => Attributes {
            subresource: subresource.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
            ..Attributes::of_resource(user, verb, group, resource)
        },
    }
}

/// The words in which Kubernetes names a grant (`plugin/pkg/auth/authorizer/rbac/rbac.go`).
fn reason(grant: &Grant<'_>) -> String {
    let binding = match &grant.binding.namespace {
        Some(namespace) => format!("RoleBinding \"{}/{namespace}\"", grant.binding.name),
        None => format!("ClusterRoleBinding \"{}\"", grant.binding.name),
    };
    let role = if grant.binding.of_cluster_role { "ClusterRole" } else { "Role" };
    let to = match grant.subject {
        Subject::User(name) => format!("User \"{name}\""),
        Subject::Group(name) => format!("Group \"{name}\""),
        Subject::ServiceAccount(namespace, name) => format!("ServiceAccount \"{name}/{namespace}\""),
    };
    format!("RBAC: allowed by {binding} of {role} \"{}\" to {to}", grant.role.name)
}

/// What kind of question and grant this was.
fn note(counts: &Counts, question: &Question, found: &[Grant<'_>]) {
    counts.count(if found.is_empty() { "denied" } else { "allowed" });
    match question {
        Question::Path { .. } => counts.count(if found.is_empty() { "path denied" } else { "path allowed" }),
        Question::Resource { subresource, .. } if !subresource.is_empty() => {
            counts.count(if found.is_empty() { "subresource denied" } else { "subresource allowed" });
        }
        Question::Resource { .. } => {}
    }
    let Some(grant) = found.first() else { return };
    counts.count(match grant.subject {
        Subject::User(_) => "by user",
        Subject::Group(_) => "by group",
        Subject::ServiceAccount(..) => "by service account",
    });
    let rule = grant.rule;
    if [&rule.verbs, &rule.groups, &rule.resources, &rule.paths].iter().any(|listed| listed.iter().any(|one| one.contains('*'))) {
        counts.count("by wildcard");
    }
    if !rule.names.is_empty() {
        counts.count("by resource name");
    }
    if grant.binding.namespace.is_some() {
        counts.count(if grant.binding.of_cluster_role { "a ClusterRole in a namespace" } else { "a Role" });
    }
    if grant.role.aggregates.is_some() {
        counts.count("by aggregation");
    }
}

#[test]
fn the_authorizer_agrees_with_the_reference_model() {
    let counts = Counts::default();
    let inputs = (any_policy(), prop::collection::vec(any_draw(), 40));
    hold((11, 400, 20_000), inputs, |(policy, draws)| {
        let authorizer = rbac::Authorizer::from_objects(&objects(policy, true));
        for draw in draws {
            let (user, question) = draw.of(policy);
            let found = grants(policy, &user, &question);
            let decision = authorizer.decide(&attributes(&user, &question));
            let agree = match &decision {
                Decision::Allow(text) => found.iter().any(|grant| reason(grant) == *text),
                Decision::NoOpinion(_) => found.is_empty(),
                Decision::Deny(_) => false,
            };
            if !agree {
                let expected: Vec<String> = found.iter().map(reason).collect();
                return Err(format!("{user:?} {question:?}: {decision:?}, but the model finds {expected:?}"));
            }
            note(&counts, &question, &found);
        }
        Ok(())
    });
    let all = counts.of("allowed") + counts.of("denied");
    assert!(counts.of("allowed") * 10 >= all * 3, "too little was allowed: {counts:?}");
    counts.at_least(&[
        ("denied", all / 4),
        ("by user", 500),
        ("by group", 500),
        ("by service account", 500),
        ("by wildcard", 500),
        ("by resource name", 300),
        ("subresource allowed", 300),
        ("subresource denied", 300),
        ("path allowed", 100),
        ("path denied", 100),
        ("by aggregation", 100),
        ("a Role", 100),
        ("a ClusterRole in a namespace", 100),
    ]);
}

/// The control plane fills in the roles that are aggregated, also over others that are, and keeps
/// them so when a role goes.
async fn aggregated(policy: &Policy, counts: &Counts) -> Result<(), String> {
    let stage = Stage::new(|_| {}).await;
    let mut admin = stage.caller(stage.admin()).await;
    for object in objects(policy, false) {
        stage.given(object);
    }
    filled_in(&mut admin, policy, counts).await?;
    // One that others are made of goes.
    let is_found = |role: &Role| role.namespace.is_none() && !role.labels.is_empty();
    let mut fewer = policy.clone();
    if let Some(gone) = fewer.roles.iter().position(is_found) {
        let role = fewer.roles.remove(gone);
        let answer = admin.ask(&Ask::new("DELETE", format!("{CLUSTER_ROLES}/{}", role.name))).await;
        if !answer.is_ok() {
            return Err(answer.text);
        }
        counts.count("one gone");
    }
    filled_in(&mut admin, &fewer, counts).await
}

const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";

async fn filled_in(admin: &mut Caller, policy: &Policy, counts: &Counts) -> Result<(), String> {
    for role in policy.roles.iter().filter(|role| role.namespace.is_none()) {
        let stored = admin.get(format!("{CLUSTER_ROLES}/{}", role.name)).await.json();
        let texts = |rules: &[Value]| rules.iter().map(Value::to_string).collect::<BTreeSet<_>>();
        let found = texts(stored["rules"].as_array().map_or(&[], Vec::as_slice));
        let expected: Vec<Value> = rules_of(policy, role).into_iter().map(rule_object).collect();
        if found != texts(&expected) {
            return Err(format!("{}: {found:?}, but the model finds {expected:?}", role.name));
        }
        if role.aggregates.is_some() {
            counts.count(if expected.is_empty() { "of nothing" } else { "of something" });
            let others = policy.roles.iter().filter(|other| other.aggregates.is_some() && !other.labels.is_empty());
            counts.count(if others.count() > 1 { "beside others" } else { "alone" });
        }
    }
    Ok(())
}

#[test]
fn aggregated_roles_hold_the_rules_that_the_model_finds() {
    let counts = Counts::default();
    // All of the cluster: only those are aggregated.
    let any = any_policy().prop_map(|mut policy| {
        for (number, role) in policy.roles.iter_mut().enumerate() {
            (role.namespace, role.name) = (None, format!("r{number}"));
        }
        policy
    });
    hold((18, 100, 4_000), any, |policy| {
        // A cycle of aggregated roles keeps what it once had: two answers are right.
        if has_cycle(policy) { Ok(()) } else { play(9, aggregated(policy, &counts)) }
    });
    counts.at_least(&[("of something", 40), ("of nothing", 10), ("beside others", 10), ("one gone", 40)]);
}

/// Is an aggregated role made of itself, over others?
fn has_cycle(policy: &Policy) -> bool {
    let made_of = |role: &Role| -> Vec<&Role> {
        let selects = |selector: &Vec<(String, String)>, other: &Role| selector.iter().all(|label| other.labels.contains(label));
        let others = policy.roles.iter().filter(|other| other.namespace.is_none() && other.name != role.name);
        let selectors = role.aggregates.iter().flatten();
        let selectors: Vec<_> = selectors.collect();
        others.filter(|other| selectors.iter().any(|selector| selects(selector, other))).collect()
    };
    policy.roles.iter().filter(|role| role.aggregates.is_some()).any(|role| {
        let (mut seen, mut to_read) = (BTreeSet::new(), made_of(role));
        while let Some(next) = to_read.pop() {
            if next.name == role.name {
                return true;
            }
            if seen.insert(&next.name) {
                to_read.extend(made_of(next));
            }
        }
        false
    })
}

/// Had the model looked at the authorizer, agreeing with it would show nothing.
#[test]
fn the_rbac_model_uses_nothing_of_what_it_judges() {
    let source = include_str!("../../src/rbac_model.rs");
    assert!(source.len() > 2_000 && !source.contains("use ravelin_") && !source.contains("use serde_json"));
}

#[test]
fn the_model_says_what_the_documentation_shows() {
    let rule = |resources: &[&str], names: &[&str]| Rule {
        verbs: vec!["get".to_owned()],
        groups: vec![String::new()],
        resources: resources.iter().map(|&r| r.to_owned()).collect(),
        names: names.iter().map(|&n| n.to_owned()).collect(),
        paths: Vec::new(),
    };
    let label = ("rbac.example.com/aggregate-to-monitoring".to_owned(), "true".to_owned());
    let role = |namespace: Option<&str>, name: &str, rules: Vec<Rule>| Role {
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        labels: Vec::new(),
        aggregates: None,
        rules,
    };
    let endpoints = Role { labels: vec![label.clone()], ..role(None, "monitoring-endpoints", vec![rule(&["pods"], &[])]) };
    let monitoring = Role { aggregates: Some(vec![vec![label]]), ..role(None, "monitoring", Vec::new()) };
    let binding = |namespace: Option<&str>, role: &str, of_cluster_role, subject| Binding {
        namespace: namespace.map(str::to_owned),
        name: "b".to_owned(),
        of_cluster_role,
        role: role.to_owned(),
        subjects: vec![subject],
    };
    let policy = Policy {
        roles: vec![
            role(Some("default"), "pod-reader", vec![rule(&["pods"], &[])]),
            role(None, "secret-reader", vec![rule(&["secrets"], &[])]),
            role(Some("default"), "configmap-updater", vec![rule(&["configmaps"], &["my-configmap"])]),
            endpoints,
            monitoring,
        ],
        bindings: vec![
            binding(Some("default"), "pod-reader", false, Subject::User("jane".to_owned())),
            binding(Some("development"), "secret-reader", true, Subject::User("dave".to_owned())),
            binding(None, "secret-reader", true, Subject::Group("manager".to_owned())),
            binding(Some("default"), "configmap-updater", false, Subject::ServiceAccount("ns".into(), "sa".into())),
            binding(None, "monitoring", true, Subject::User("prometheus".to_owned())),
        ],
    };
    let ask = |user: &str, group: &str, resource: &str, namespace: &str, name: &str| {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let user = User { name: user.to_owned(), groups: vec![group.to_owned()] };
        let question = Question::Resource {
            verb: "get".to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        is_allowed(&policy, &user, &question)
    };
    assert!(ask("jane", "", "pods", "default", "p"));
    assert!(!ask("jane", "", "pods", "kube-system", "p"), "a Role is of its namespace");
    assert!(!ask("Jane", "", "pods", "default", "p"), "names are case sensitive");
    assert!(!ask("jane", "", "pods/log", "default", "p"), "a subresource is not its resource");
    assert!(ask("dave", "", "secrets", "development", "s") && !ask("dave", "", "secrets", "default", "s"));
    assert!(ask("anybody", "manager", "secrets", "anywhere", "s"), "a group, cluster-wide");
    assert!(ask("system:serviceaccount:ns:sa", "", "configmaps", "default", "my-configmap"));
    assert!(!ask("system:serviceaccount:ns:sa", "", "configmaps", "default", ""), "a list names no object");
    assert!(ask("prometheus", "", "pods", "default", "p"), "by aggregation");
}
