//! The RBAC authorizer against a plainer one.

use super::*;
use crate::{Attributes, Authorizer as _, Decision, UserInfo, names};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use std::cell::Cell;

fn ask(user: &UserInfo, verb: &str, what: &str, namespace: &str) -> Attributes {
    // GROUP:RESOURCE[/SUBRESOURCE][=NAME], or a path.
    if what.starts_with('/') {
        let (user, verb, path) = (user.clone(), verb.to_owned(), what.to_owned());
        let namespace = namespace.to_owned();
        return Attributes { user, verb, path, namespace, ..Attributes::default() };
    }
    let (what, name) = what.split_once('=').unwrap_or((what, ""));
    let (group, resource) = what.split_once(':').unwrap();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Attributes {
        subresource: subresource.to_owned(),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        ..Attributes::of_resource(user.clone(), verb, group, resource)
    }
}

fn user(name: &str) -> UserInfo {
    UserInfo::new(name, &[]).authenticated()
}

#[test]
fn the_default_roles_allow_what_they_are_for_and_no_more() {
    let objects = [default_objects(), kubeadm_objects(), run_by_controller_manager()].concat();
    let rbac = Authorizer::from_objects(&objects);
    let anonymous = UserInfo::anonymous();
    let bootstrap =
        UserInfo::new("system:bootstrap:abcdef", &[names::BOOTSTRAPPERS, names::KUBEADM_NODE_TOKENS])
            .authenticated();
    let node = UserInfo::new("system:node:n1", &[names::NODES]).authenticated();
    let manager = user(names::CONTROLLER_MANAGER);
    let account = UserInfo::service_account("default", "default", "u").authenticated();
    let proxy = UserInfo::service_account("kube-system", "kube-proxy", "u").authenticated();
    let csr = "certificates.k8s.io:certificatesigningrequests";
    for (who, verb, what, namespace, allowed) in [
        (&anonymous, "get", "/healthz", "", true),
        (&anonymous, "get", "/version", "", true),
        (&anonymous, "get", "/openapi/v2", "", false),
        (&anonymous, "get", "/", "", false),
        (&anonymous, "get", "/readyz/etcd", "", false),
        (&anonymous, "get", "/openid/v1/jwks", "", false),
        (&anonymous, "get", ":configmaps=cluster-info", "kube-public", true),
        (&anonymous, "list", ":configmaps", "kube-public", false),
        (&anonymous, "get", ":configmaps=cluster-info", "kube-system", false),
        (&anonymous, "create", "authorization.k8s.io:selfsubjectaccessreviews", "", false),
        (&user("alice"), "create", "authorization.k8s.io:selfsubjectaccessreviews", "", true),
        (&user("alice"), "create", "authorization.k8s.io:subjectaccessreviews", "", false),
        (&user("alice"), "get", "/metrics", "", false),
        (&user("alice"), "get", "/apis/apps", "", true),
        (&bootstrap, "create", csr, "", true),
        (&bootstrap, "create", "certificates.k8s.io:certificatesigningrequests/nodeclient", "", true),
        (&bootstrap, "create", "certificates.k8s.io:certificatesigningrequests/selfnodeclient", "", false),
        (&bootstrap, "list", ":pods", "", false),
        (&bootstrap, "get", ":nodes=n1", "", true),
        (&node, "create", "certificates.k8s.io:certificatesigningrequests/selfnodeclient", "", true),
        (&node, "create", "certificates.k8s.io:certificatesigningrequests/nodeclient", "", false),
        (&node, "get", ":secrets=s", "default", false),
        (&manager, "update", "certificates.k8s.io:certificatesigningrequests/approval=c", "", true),
        (&manager, "sign", "certificates.k8s.io:signers=kubernetes.io/kubelet-serving", "", true),
        (&manager, "approve", "certificates.k8s.io:signers=kubernetes.io/kubelet-serving", "", false),
        (&manager, "create", ":endpoints", "default", true),
        (&manager, "create", ":nodes/proxy=n1", "", false),
        (&user(names::SCHEDULER), "create", ":pods/binding=p", "default", true),
        (&user(names::SCHEDULER), "get", ":secrets=s", "default", false),
        (&proxy, "watch", "discovery.k8s.io:endpointslices", "", true),
        (&proxy, "get", ":secrets=s", "kube-system", false),
        (&account, "get", "/openid/v1/jwks", "", true),
        (&account, "list", ":pods", "default", false),
        (&UserInfo::new("k", &[names::KUBEADM_ADMINS]), "create", ":nodes/proxy=n1", "", true),
        (&UserInfo::new("k", &[names::MASTERS]), "get", "/any/path", "", true),
    ] {
        let decision = rbac.decide(&ask(who, verb, what, namespace));
        assert_eq!(decision.is_allowed(), allowed, "{} {verb} {what} in {namespace:?}", who.name);
    }
}

#[test]
fn reasons_are_word_for_word_as_recorded() {
    let carol = json!({
        "kind": "RoleBinding",
        "metadata": { "name": "carol", "namespace": "default" },
        "roleRef": { "kind": "ClusterRole", "name": "podreader" },
        "subjects": [{ "kind": "User", "name": "carol" }],
    });
    let reader = json!({"kind": "ClusterRole", "metadata": {"name": "podreader"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
    let objects = [default_objects(), vec![carol, reader]].concat();
    let rbac = Authorizer::from_objects(&objects);
    let reason = |attributes: Attributes| rbac.decide(&attributes);
    assert_eq!(
        reason(ask(&user("alice"), "get", "/api", "")),
        Decision::Allow("RBAC: allowed by ClusterRoleBinding \"system:discovery\" of ClusterRole \"system:discovery\" to Group \"system:authenticated\"".to_owned())
    );
    assert_eq!(
        reason(ask(&UserInfo::new("carol", &[]), "get", ":pods", "default")),
        Decision::Allow(
            "RBAC: allowed by RoleBinding \"carol/default\" of ClusterRole \"podreader\" to User \"carol\""
                .to_owned()
        )
    );
    assert_eq!(
        reason(ask(&UserInfo::new("carol", &[]), "get", ":pods", "other")),
        Decision::NoOpinion(String::new())
    );
    assert_eq!(
        reason(ask(&UserInfo::new("carol", &[]), "get", ":pods", "")),
        Decision::NoOpinion(String::new())
    );
}

#[test]
fn a_removed_or_broken_binding_gives_nothing() {
    let mut rbac = Authorizer::from_objects(&default_objects());
    let admin = UserInfo::new("a", &["admins"]);
    let asked = ask(&admin, "get", ":secrets=s", "x");
    let binding = json!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}, "subjects": [{"kind": "Group", "name": "admins"}]});
    rbac.set(&binding);
    assert!(rbac.decide(&asked).is_allowed());
    let mut broken = binding.clone();
    broken["roleRef"]["kind"] = json!("Elephant");
    rbac.set(&broken);
    assert!(!rbac.decide(&asked).is_allowed());
    rbac.set(&binding);
    rbac.remove(&binding);
    assert!(!rbac.decide(&asked).is_allowed());
}

#[test]
fn a_binding_of_a_namespace_gives_no_paths() {
    let mut rbac = Authorizer::from_objects(&default_objects());
    rbac.set(&json!({
        "kind": "RoleBinding",
        "metadata": { "name": "b", "namespace": "n1" },
        "roleRef": { "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "User", "name": "u" }],
    }));
    let bound = UserInfo::new("u", &[]);
    assert!(rbac.decide(&ask(&bound, "get", ":secrets=s", "n1")).is_allowed());
    assert!(!rbac.decide(&ask(&bound, "get", "/metrics", "n1")).is_allowed());
}

/// RBAC once more, as plainly as it can be said, over the objects themselves.
fn reference(objects: &[Value], asked: &Attributes) -> bool {
    let text = |v: &Value, name: &str| v.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let meta = |v: &Value, name: &str| text(&v["metadata"], name);
    let listed = |rule: &Value, field: &str| -> Vec<String> {
        rule[field]
            .as_array()
            .map(|a| a.iter().map(|s| s.as_str().unwrap().to_owned()).collect())
            .unwrap_or_default()
    };
    let rule_allows = |rule: &Value| {
        let has = |field: &str, wanted: &str| listed(rule, field).iter().any(|s| s == "*" || s == wanted);
        if !has("verbs", &asked.verb) {
            return false;
        }
        if !asked.resource_request {
            return listed(rule, "nonResourceURLs").iter().any(|url| {
                url == &asked.path
                    || (url.ends_with('*') && asked.path.starts_with(url.trim_end_matches('*')))
            });
        }
        let full = if asked.subresource.is_empty() {
            asked.resource.clone()
        } else {
            format!("{}/{}", asked.resource, asked.subresource)
        };
        let any = format!("*/{}", asked.subresource);
        let resources = listed(rule, "resources");
        let resource =
            resources.iter().any(|r| r == "*" || *r == full || (!asked.subresource.is_empty() && *r == any));
        let names = listed(rule, "resourceNames");
        has("apiGroups", &asked.group) && resource && (names.is_empty() || names.contains(&asked.name))
    };
    objects.iter().any(|binding| {
        let namespace = meta(binding, "namespace");
        let in_scope = match text(binding, "kind").as_str() {
            "ClusterRoleBinding" => true,
            "RoleBinding" => {
                asked.resource_request && !asked.namespace.is_empty() && namespace == asked.namespace
            }
            _ => false,
        };
        let bound = binding["subjects"].as_array().is_some_and(|subjects| {
            subjects.iter().any(|s| match text(s, "kind").as_str() {
                "User" => asked.user.name == text(s, "name"),
                "Group" => asked.user.groups.contains(&text(s, "name")),
                _ => {
                    let own = text(s, "namespace");
                    let of = if own.is_empty() { &namespace } else { &own };
                    asked.user.name == format!("system:serviceaccount:{of}:{}", text(s, "name"))
                }
            })
        });
        let role = &binding["roleRef"];
        let of = if text(role, "kind") == "Role" { namespace.clone() } else { String::new() };
        in_scope
            && bound
            && objects.iter().any(|r| {
                text(r, "kind") == text(role, "kind")
                    && meta(r, "name") == text(role, "name")
                    && meta(r, "namespace") == of
                    && r["rules"].as_array().is_some_and(|rules| rules.iter().any(rule_allows))
            })
    })
}

fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(of, 1..=2)
}

fn any_rule() -> impl Strategy<Value = Value> {
    (
        some(&["get", "list", "create", "*"]),
        some(&["", "apps", "*"]),
        some(&["pods", "pods/log", "*/log", "*", "secrets"]),
        prop_oneof![3 => Just(Vec::new()), 1 => some(&["a", "b"])],
        some(&["/x", "/x/*", "*", "/x*"]),
    )
        .prop_map(|(verbs, groups, resources, names, urls)| {
            json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names, "nonResourceURLs": urls})
        })
}

fn any_object() -> impl Strategy<Value = Value> {
    let subject = (
        select(vec!["User", "Group", "ServiceAccount"]),
        select(vec!["u", "g", "sa"]),
        select(vec!["", "n1", "n2"]),
    )
        .prop_map(|(kind, name, namespace)| json!({"kind": kind, "name": name, "namespace": namespace}));
    let kinds = vec!["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"];
    (
        select(kinds),
        select(vec!["r1", "r2"]),
        select(vec!["n1", "n2"]),
        prop::collection::vec(any_rule(), 1..4),
        (select(vec!["Role", "ClusterRole"]), select(vec!["r1", "r2"])),
        prop::collection::vec(subject, 1..4),
    )
        .prop_map(|(kind, name, namespace, rules, (of, role), subjects)| {
            let namespace = if kind.starts_with("Cluster") { "" } else { namespace };
            let mut object = json!({"kind": kind, "metadata": {"name": name, "namespace": namespace}});
            if kind.ends_with("Binding") {
                object["roleRef"] = json!({"kind": of, "name": role});
                object["subjects"] = json!(subjects);
            } else {
                object["rules"] = json!(rules);
            }
            object
        })
}

fn any_question() -> impl Strategy<Value = Attributes> {
    (
        select(vec!["u", "system:serviceaccount:n1:sa", "system:serviceaccount:n2:sa", "x"]),
        any::<bool>(),
        select(vec!["get", "list", "create", "delete"]),
        select(vec![
            ":pods",
            ":pods/log=a",
            "apps:secrets/log",
            ":secrets=b",
            "apps:pods",
            "/x",
            "/x/y",
            "/xy",
            "/",
        ]),
        select(vec!["", "n1", "n2"]),
    )
        .prop_map(|(name, grouped, verb, what, namespace)| {
            ask(&UserInfo::new(name, if grouped { &["g"] } else { &[] }), verb, what, namespace)
        })
}

#[test]
fn the_authorizer_agrees_with_the_plain_reference() {
    let (allowed, denied) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let inputs = (prop::collection::vec(any_object(), 4..20), prop::collection::vec(any_question(), 20));
    runner
        .run(&inputs, |(objects, questions)| {
            // Of two objects of one name the last is the stored one.
            let mut stored: Vec<Value> = Vec::new();
            for object in objects {
                stored.retain(|o| (&o["kind"], &o["metadata"]) != (&object["kind"], &object["metadata"]));
                stored.push(object);
            }
            let rbac = Authorizer::from_objects(&stored);
            for asked in questions {
                let expected = reference(&stored, &asked);
                let count = if expected { &allowed } else { &denied };
                count.set(count.get() + 1);
                prop_assert_eq!(rbac.decide(&asked).is_allowed(), expected, "{:?}", asked);
            }
            Ok(())
        })
        .unwrap();
    assert!(allowed.get() > 100 && denied.get() > 100, "both answers were met: {allowed:?} {denied:?}");
}
