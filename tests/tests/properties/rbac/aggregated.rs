//! Aggregated roles: the control plane fills them in.

use super::super::stage::{Ask, Caller, Stage, play};
use super::super::{Counts, hold};
use super::draw::any_policy;
use super::objects::{objects, rule_object};
use proptest::prelude::*;
use ravelin_tests::rbac_model::{Policy, Role, rules_of};
use serde_json::Value;
use std::collections::BTreeSet;

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
            let others =
                policy.roles.iter().filter(|other| other.aggregates.is_some() && !other.labels.is_empty());
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
    hold((18, 100, 2_000), any, |policy| {
        // A cycle of aggregated roles keeps what it once had: two answers are right.
        if has_cycle(policy) { Ok(()) } else { play(9, aggregated(policy, &counts)) }
    });
    counts.at_least(&[("of something", 40), ("of nothing", 10), ("beside others", 10), ("one gone", 40)]);
}

/// Is an aggregated role made of itself, over others?
fn has_cycle(policy: &Policy) -> bool {
    let made_of = |role: &Role| -> Vec<&Role> {
        let selects = |selector: &Vec<(String, String)>, other: &Role| {
            selector.iter().all(|label| other.labels.contains(label))
        };
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
