//! The RBAC authorizer against the reference model, on generated policies and requests.

mod aggregated;
mod documented;
mod draw;
mod objects;

use super::{Counts, hold};
use draw::{any_draw, any_policy};
use objects::objects;
use proptest::prelude::*;
use ravelin_auth::{Attributes, Authorizer as _, Decision, UserInfo, rbac};
use ravelin_tests::rbac_model::{Grant, Question, Subject, User, grants};

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
    if [&rule.verbs, &rule.groups, &rule.resources, &rule.paths]
        .iter()
        .any(|listed| listed.iter().any(|one| one.contains('*')))
    {
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
    hold((11, 400, 5_000), inputs, |(policy, draws)| {
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

/// Had the model looked at the authorizer, agreeing with it would show nothing.
#[test]
fn the_rbac_model_uses_nothing_of_what_it_judges() {
    let source = include_str!("../../../src/rbac_model.rs");
    assert!(source.len() > 2_000 && !source.contains("use ravelin_") && !source.contains("use serde_json"));
}
