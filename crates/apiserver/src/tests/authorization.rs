//! Roles, who may give them away, and what a node's relations give it.

use super::stage::{As, Stage};
use crate::AuthorizationMode;
use ravelin_host::{Flaw, Flaws};
use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";
const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1";

fn bob() -> As {
    As::Token("stat1c".to_owned())
}

fn granted(stage: &Stage, role: &str) {
    stage.given(json!({"kind": "ClusterRoleBinding", "apiVersion": format!("{RBAC}/v1"),
        "metadata": {"name": format!("bob-{}", role.replace(':', "-"))},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "bob"}]}));
}

fn cluster_role(name: &str, rules: Value) -> Value {
    json!({"kind": "ClusterRole", "apiVersion": format!("{RBAC}/v1"), "metadata": {"name": name}, "rules": rules})
}

fn rule(verbs: &[&str], resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [""], "resources": resources})
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_hold() {
    let stage = Stage::new().await;
    let writer = json!({"verbs": ["create", "update"], "apiGroups": [RBAC],
        "resources": ["clusterroles", "clusterrolebindings", "rolebindings"]});
    stage.given(cluster_role("writer", json!([writer, rule(&["get", "list"], &["pods"])])));
    granted(&stage, "writer");
    let create = format!("POST {CLUSTER_ROLES}");
    let held = cluster_role("held", json!([rule(&["list"], &["pods"])]));
    assert_eq!(stage.ask(&bob(), &create, Some(held)).await.0, 201);
    let more = cluster_role("more", json!([rule(&["get", "list"], &["secrets"]), rule(&["get"], &["pods"])]));
    assert_eq!(
        stage.refused(&bob(), &create, Some(more.clone())).await,
        (
            403,
            "clusterroles.rbac.authorization.k8s.io \"more\" is forbidden: user \"bob\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}".to_owned()
        )
    );
    // An aggregated role can gather anything.
    let mut gathering = cluster_role("gathering", json!([]));
    gathering["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
    let (code, message) = stage.refused(&bob(), &create, Some(gathering)).await;
    assert_eq!(code, 403);
    assert!(message.ends_with("must have cluster-admin privileges to use the aggregationRule"), "{message}");
    let bind = format!("POST /apis/{RBAC}/v1/clusterrolebindings");
    let binding = |role: &str| {
        Some(json!({"metadata": {"name": format!("to-{role}")},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": "bob"}]}))
    };
    assert_eq!(stage.ask(&bob(), &bind, binding("cluster-admin")).await.0, 403);
    assert_eq!(stage.ask(&bob(), &bind, binding("held")).await.0, 201);
    let absent = (404, "clusterroles.rbac.authorization.k8s.io \"absent\" not found".to_owned());
    assert_eq!(stage.refused(&bob(), &bind, binding("absent")).await, absent);
    // With leave to bind that role, or to escalate, it is another matter.
    let leave = json!([
        {"verbs": ["bind"], "apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": ["cluster-admin"]},
        {"verbs": ["escalate"], "apiGroups": [RBAC], "resources": ["clusterroles"]},
    ]);
    stage.given(cluster_role("leave", leave));
    granted(&stage, "leave");
    assert_eq!(stage.ask(&bob(), &create, Some(more)).await.0, 201);
    assert_eq!(stage.ask(&bob(), &bind, binding("cluster-admin")).await.0, 201);
}

#[tokio::test]
async fn escalation_is_let_through_where_that_is_the_flaw() {
    let stage = Stage::with(Flaws::danger([Flaw::ApiserverAllowsEscalation])).await;
    let writer = json!({"verbs": ["create"], "apiGroups": [RBAC], "resources": ["clusterroles"]});
    stage.given(cluster_role("writer", json!([writer])));
    granted(&stage, "writer");
    let more = cluster_role("more", json!([rule(&["*"], &["*"])]));
    assert_eq!(stage.ask(&bob(), &format!("POST {CLUSTER_ROLES}"), Some(more)).await.0, 201);
}

#[tokio::test]
async fn an_aggregated_role_shows_and_gives_the_union() {
    let stage = Stage::new().await;
    granted(&stage, "view");
    let request = "GET /api/v1/persistentvolumes";
    assert_eq!(stage.ask(&bob(), request, None).await.0, 403);
    let mut extra = cluster_role("extra", json!([rule(&["list"], &["persistentvolumes"])]));
    extra["metadata"]["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    let admin = stage.admin();
    assert_eq!(stage.ask(&admin, &format!("POST {CLUSTER_ROLES}"), Some(extra)).await.0, 201);
    assert_eq!(stage.ask(&bob(), request, None).await.0, 200);
    // What edit gathers from view reaches admin.
    for role in ["view", "edit", "admin"] {
        let (_, role) = stage.ask(&admin, &format!("GET {CLUSTER_ROLES}/{role}"), None).await;
        let rules = role["rules"].as_array().unwrap();
        assert!(rules.contains(&rule(&["list"], &["persistentvolumes"])), "{role}");
    }
    assert_eq!(stage.ask(&admin, &format!("DELETE {CLUSTER_ROLES}/extra"), None).await.0, 200);
    assert_eq!(stage.ask(&bob(), request, None).await.0, 403);
}

#[tokio::test]
async fn an_absent_role_is_named_in_the_refusal() {
    let stage = Stage::new().await;
    granted(&stage, "absent");
    assert_eq!(
        stage.refused(&bob(), "GET /api/v1/pods", None).await.1,
        r#"pods is forbidden: User "bob" cannot list resource "pods" in API group "" at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io "absent" not found"#
    );
}

#[tokio::test]
async fn modes_decide_in_their_order() {
    use AuthorizationMode::{AlwaysAllow, AlwaysDeny, Rbac};
    for (modes, expected) in [
        (vec![AlwaysAllow, AlwaysDeny], (200, "")),
        // AlwaysDeny has no opinion that others could not overrule.
        (vec![AlwaysDeny, AlwaysAllow], (200, "")),
        (
            vec![AlwaysDeny, Rbac],
            (
                403,
                r#"pods is forbidden: User "bob" cannot list resource "pods" in API group "" at the cluster scope: Everything is forbidden."#,
            ),
        ),
        (
            vec![],
            (
                403,
                r#"pods is forbidden: User "bob" cannot list resource "pods" in API group "" at the cluster scope"#,
            ),
        ),
    ] {
        let stage = Stage::configured(Flaws::none(), |config| config.authorization.clone_from(&modes)).await;
        let (code, message) = stage.refused(&bob(), "GET /api/v1/pods", None).await;
        assert_eq!((code, message.as_str()), expected, "{modes:?}");
    }
}

#[tokio::test]
async fn relations_are_asked_for_unless_that_is_the_flaw() {
    for (flaws, code) in [(Flaws::none(), 403), (Flaws::danger([Flaw::ApiserverIgnoresNodeRelations]), 200)] {
        let stage = Stage::with(flaws).await;
        stage.given(
            json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s", "namespace": "default"}}),
        );
        let node = As::Certificate(stage.issuer.client("system:node:n1", &["system:nodes"]));
        assert_eq!(stage.ask(&node, "GET /api/v1/namespaces/default/secrets/s", None).await.0, code);
    }
}

#[tokio::test]
async fn reviews_answer_as_recorded() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let node = As::Certificate(stage.issuer.client("system:node:n1", &["system:nodes"]));
    let own = format!("POST {REVIEWS}/selfsubjectaccessreviews");
    let of = format!("POST {REVIEWS}/subjectaccessreviews");
    let pods = json!({"namespace": "default", "verb": "get", "resource": "pods"});
    for (who, request, spec, status) in [
        (&admin, &own, json!({"resourceAttributes": pods}), json!({"allowed": true})),
        (&bob(), &own, json!({"resourceAttributes": pods}), json!({"allowed": false})),
        (
            &node,
            &own,
            json!({"resourceAttributes": {"verb": "get", "resource": "nodes", "name": "n2"}}),
            json!({"allowed": false, "reason": "node 'n1' cannot read 'n2', only its own Node object"}),
        ),
        (&admin, &of, json!({"resourceAttributes": pods, "user": "alice"}), json!({"allowed": false})),
        (
            &admin,
            &of,
            json!({"nonResourceAttributes": {"path": "/api", "verb": "get"}, "user": "alice", "groups": ["system:authenticated"]}),
            json!({"allowed": true, "reason": "RBAC: allowed by ClusterRoleBinding \"system:discovery\" of ClusterRole \"system:discovery\" to Group \"system:authenticated\""}),
        ),
        (
            &node,
            &own,
            json!({"resourceAttributes": {"verb": "list", "resource": "pods", "fieldSelector":
                {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}}}),
            json!({"allowed": true}),
        ),
        (
            &node,
            &own,
            json!({"resourceAttributes": {"verb": "list", "resource": "pods", "fieldSelector":
                {"requirements": [{"key": "spec.nodeName", "operator": "Exists"}]}}}),
            json!({"allowed": false, "reason": "can only list/watch pods with spec.nodeName field selector",
                "evaluationError": "spec.resourceAttributes.fieldSelector ignored due to parse error"}),
        ),
    ] {
        let (code, review) = stage.ask(who, request, Some(json!({"spec": spec}))).await;
        assert_eq!((code, &review["status"]), (201, &status), "{spec}");
        assert_eq!((&review["spec"], &review["metadata"]), (&spec, &json!({})), "{review}");
    }
}

#[tokio::test]
async fn reviews_that_make_no_sense_are_refused_as_recorded() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let own = format!("POST {REVIEWS}/selfsubjectaccessreviews");
    let of = format!("POST {REVIEWS}/subjectaccessreviews");
    let local = format!("POST {REVIEWS}/namespaces/default/localsubjectaccessreviews");
    let pods = json!({"namespace": "other", "verb": "get", "resource": "pods"});
    let path = json!({"path": "/", "verb": "get"});
    for (request, review, message) in [
        (
            &own,
            json!({"spec": {"resourceAttributes": pods, "nonResourceAttributes": path}}),
            r#"spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":"get"}: cannot be specified in combination with resourceAttributes"#,
        ),
        (
            &own,
            json!({"spec": {}}),
            "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            &of,
            json!({"spec": {"resourceAttributes": pods}}),
            r#"spec.user: Invalid value: "": at least one of user or group must be specified"#,
        ),
        (
            &of,
            json!({"metadata": {"name": "x"}, "spec": {"resourceAttributes": pods, "user": "u"}}),
            r#"metadata: Invalid value: {"name":"x"}: must be empty"#,
        ),
        (
            &local,
            json!({"spec": {"resourceAttributes": pods, "user": "u"}}),
            r#"spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace"#,
        ),
        (
            &local,
            json!({"spec": {"nonResourceAttributes": path, "user": "u"}}),
            r#"spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":"get"}: disallowed on this kind of request"#,
        ),
    ] {
        let expected = (422, format!(".authorization.k8s.io \"\" is invalid: {message}"));
        assert_eq!(stage.refused(&admin, request, Some(review.clone())).await, expected, "{review}");
    }
    let rules = format!("POST {REVIEWS}/selfsubjectrulesreviews");
    let refused = (400, "no namespace on request".to_owned());
    assert_eq!(stage.refused(&admin, &rules, Some(json!({"spec": {}}))).await, refused);
}

#[tokio::test]
async fn a_rules_review_lists_what_roles_give() {
    let stage = Stage::new().await;
    let request = format!("POST {REVIEWS}/selfsubjectrulesreviews");
    let asked = || Some(json!({"spec": {"namespace": "default"}}));
    stage.given(cluster_role("reader", json!([rule(&["get"], &["pods"])])));
    stage.given(json!({"kind": "RoleBinding", "apiVersion": format!("{RBAC}/v1"),
        "metadata": {"name": "bob", "namespace": "default"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "bob"}]}));
    let (code, review) = stage.ask(&bob(), &request, asked()).await;
    assert_eq!((code, &review["spec"]), (201, &json!({})), "{review}");
    let status = &review["status"];
    assert_eq!(status["incomplete"], json!(false));
    assert!(status["resourceRules"].as_array().unwrap().contains(&rule(&["get"], &["pods"])), "{status}");
    let urls = json!(["/healthz", "/livez", "/readyz", "/version", "/version/"]);
    let viewer = json!({"verbs": ["get"], "nonResourceURLs": urls});
    assert!(status["nonResourceRules"].as_array().unwrap().contains(&viewer), "{status}");
    let node = As::Certificate(stage.issuer.client("system:node:n1", &["system:nodes"]));
    let (_, review) = stage.ask(&node, &request, asked()).await;
    assert_eq!(review["status"]["incomplete"], json!(true));
    let why = "node authorizer does not support user rule resolution";
    assert_eq!(review["status"]["evaluationError"], json!(why));
}

#[tokio::test]
async fn roles_and_bindings_are_checked_before_they_are_stored() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let roles = format!("POST /apis/{RBAC}/v1/namespaces/default/roles");
    let bindings = format!("POST /apis/{RBAC}/v1/clusterrolebindings");
    for (request, object, message) in [
        (
            &roles,
            json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"]}]}),
            "Role.rbac.authorization.k8s.io \"r\" is invalid: rules[0].verbs: Required value: verbs must contain at least one value",
        ),
        (
            &roles,
            json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}),
            "Role.rbac.authorization.k8s.io \"r\" is invalid: rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
        ),
        (
            &bindings,
            json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"}}),
            "ClusterRoleBinding.rbac.authorization.k8s.io \"b\" is invalid: roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
        ),
        (
            &bindings,
            json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "ServiceAccount", "name": "x"}]}),
            "ClusterRoleBinding.rbac.authorization.k8s.io \"b\" is invalid: subjects[0].namespace: Required value",
        ),
    ] {
        let refused = stage.refused(&admin, request, Some(object.clone())).await;
        assert_eq!(refused, (422, message.to_owned()), "{object}");
    }
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "u"}]});
    let (code, stored) = stage.ask(&admin, &bindings, Some(binding)).await;
    assert_eq!((code, &stored["subjects"][0]["apiGroup"]), (201, &json!(RBAC)), "{stored}");
    let path = format!("PATCH /apis/{RBAC}/v1/clusterrolebindings/b");
    let (code, message) =
        stage.refused(&admin, &path, Some(json!({"roleRef": {"name": "cluster-admin"}}))).await;
    assert_eq!(code, 422);
    assert!(message.ends_with(r#"roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"ClusterRole","Name":"cluster-admin"}: cannot change roleRef"#), "{message}");
}
