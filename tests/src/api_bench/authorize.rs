//! Decisions of the RBAC authorizer among 1,000 bindings.

use super::{median, now};
use ravelin_api::RequestInfo;
use ravelin_auth::{Attributes, Authorizer, SystemMasters, UserInfo, decide, rbac};
use serde_json::{Value, json};

/// How many bindings there are besides the default ones.
const BINDINGS: usize = 1_000;
/// Over how many namespaces they are spread.
const NAMESPACES: usize = 50;
/// How many decisions one measurement takes.
const DECISIONS: usize = 20_000;

pub(super) fn run(runs: usize) {
    println!("decisions of the authorizer, {BINDINGS} bindings beside the default ones (no network):");
    let each_their_own = rbac::Authorizer::from_objects(&objects(|n| {
        json!({"kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": format!("binding-{n}"), "namespace": format!("team-{}", n % NAMESPACES)},
            "roleRef": to_the_role(), "subjects": [{"kind": "User", "name": format!("user-{n}")}]})
    }));
    let user = |n: usize| (format!("user-{}", n % BINDINGS), "nobody");
    measured("one binding a user: allowed", (runs, DECISIONS), &each_their_own, |n| {
        asked(user(n), "pods", n)
    });
    measured("one binding a user: denied", (runs, DECISIONS), &each_their_own, |n| {
        asked(user(n), "secrets", n)
    });
    let all_of_one_group = rbac::Authorizer::from_objects(&objects(|n| {
        json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": format!("binding-{n}")},
            "roleRef": to_the_role(), "subjects": [{"kind": "Group", "name": "everybody"}]})
    }));
    // Each of these looks at every binding.
    let anybody = |n| asked(("anybody".to_owned(), "everybody"), "secrets", n);
    measured("all bindings of the user's group: denied", (runs, DECISIONS / 20), &all_of_one_group, anybody);
}

fn measured(
    what: &str,
    (runs, decisions): (usize, usize),
    authorizer: &rbac::Authorizer,
    asked: impl Fn(usize) -> Attributes,
) {
    let questions: Vec<Attributes> = (0..BINDINGS).map(asked).collect();
    let chain: [&dyn Authorizer; 2] = [&SystemMasters, authorizer];
    let taken = (0..runs).map(|_| {
        let started = now();
        for question in questions.iter().cycle().take(decisions) {
            std::hint::black_box(decide(&chain, question));
        }
        started.elapsed()
    });
    let each = median(taken.collect()).as_secs_f64() / decisions as f64;
    let allowed = questions.iter().filter(|question| decide(&chain, question).is_allowed()).count();
    println!(
        "  {what:<46} {:>10.0} a second   {:>8.2} µs each   ({allowed} of {BINDINGS} questions allowed)",
        1.0 / each,
        each * 1e6
    );
}

/// May this user of this group read that resource?
fn asked((user, group): (String, &str), resource: &str, n: usize) -> Attributes {
    let path = format!("/api/v1/namespaces/team-{}/{resource}/one", n % BINDINGS % NAMESPACES);
    let info = RequestInfo::parse("GET", &path, "").expect("it is a path");
    Attributes::of_request(UserInfo::new(user, &[group]).authenticated(), &info)
}

/// The default roles and bindings, a role that may read pods, and bindings to it.
fn objects(binding: impl Fn(usize) -> Value) -> Vec<Value> {
    let mut objects = rbac::default_objects();
    objects.push(json!({"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": {"name": "pod-reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]}));
    objects.extend((0..BINDINGS).map(binding));
    objects
}

fn to_the_role() -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "pod-reader"})
}
