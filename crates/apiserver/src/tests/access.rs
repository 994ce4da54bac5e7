//! Who is let in, and to what; the texts are those of the recorded answers.

use super::stage::{As, Issuer, Stage};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ravelin_host::{Flaw, Flaws};
use serde_json::json;

#[tokio::test]
async fn anonymous_requests_are_refused_in_kubernetes_words() {
    let stage = Stage::new().await;
    for (request, message) in [
        (
            "GET /api/v1/namespaces/default/pods/p1",
            r#"pods "p1" is forbidden: User "system:anonymous" cannot get resource "pods" in API group "" in the namespace "default""#,
        ),
        (
            "GET /apis/nosuch.example/v1/foos",
            r#"foos.nosuch.example is forbidden: User "system:anonymous" cannot list resource "foos" in API group "nosuch.example" at the cluster scope"#,
        ),
        (
            "GET /api/v1/namespaces/default/pods/p1/log",
            r#"pods "p1" is forbidden: User "system:anonymous" cannot get resource "pods/log" in API group "" in the namespace "default""#,
        ),
        ("GET /", r#"forbidden: User "system:anonymous" cannot get path "/""#),
    ] {
        assert_eq!(stage.refused(&As::Nobody, request, None).await, (403, message.to_owned()), "{request}");
    }
    assert_eq!(stage.ask_raw(&As::Nobody, "GET /healthz", None).await, (200, "ok".to_owned()));
    let (code, version) = stage.ask(&As::Nobody, "GET /version", None).await;
    assert_eq!((code, version["minor"].as_str()), (200, Some("33")));
}

#[tokio::test]
async fn a_bad_credential_is_refused_where_none_is_welcome() {
    let stage = Stage::new().await;
    let other = Issuer::new(&stage.network);
    let bad = As::Certificate(other.client("admin", &["system:masters"]));
    let unauthorized = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
    for request in ["GET /api/v1/pods", "GET /version", "GET /healthz"] {
        for who in [&bad, &As::Token("bad".to_owned())] {
            let (code, body) = stage.ask_raw(who, request, None).await;
            assert_eq!((code, body.trim_end()), (401, unauthorized), "{request}");
        }
        let nobody = stage.ask_raw(&As::Nobody, request, None).await;
        assert_ne!(nobody.0, 401, "{request}");
    }
    let server_only = As::Certificate(stage.issuer.server(super::stage::NODE));
    assert_eq!(stage.ask(&server_only, "GET /version", None).await.0, 401);
}

#[tokio::test]
async fn a_bad_certificate_is_taken_where_nobody_checks_who_signed_it() {
    let stage = Stage::with(Flaws::danger([Flaw::ApiserverTrustsAnyClientCertificate])).await;
    let other = Issuer::new(&stage.network);
    let forged = As::Certificate(other.client("admin", &["system:masters"]));
    assert_eq!(stage.ask(&forged, "GET /api/v1/secrets", None).await.0, 200);
    assert_eq!(stage.ask(&As::Nobody, "GET /api/v1/secrets", None).await.0, 403);
}

#[tokio::test]
async fn everybody_may_everything_where_that_is_the_flaw() {
    let stage = Stage::with(Flaws::danger([Flaw::ApiserverAllowsEveryone])).await;
    assert_eq!(stage.ask(&As::Nobody, "GET /api/v1/secrets", None).await.0, 200);
}

#[tokio::test]
async fn rights_follow_roles_as_they_change() {
    let stage = Stage::new().await;
    let bob = As::Token("stat1c".to_owned());
    let request = "GET /api/v1/namespaces/default/configmaps";
    assert_eq!(stage.ask(&bob, request, None).await.0, 403);
    let rbac = "rbac.authorization.k8s.io";
    stage.given(json!({"kind": "RoleBinding", "apiVersion": format!("{rbac}/v1"),
        "metadata": {"name": "bob", "namespace": "default"},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": "bob"}]}));
    assert_eq!(stage.ask(&bob, request, None).await.0, 200);
    // Who administers a namespace gives away no more than that.
    let role = |verbs: &str, resource: &str| json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": [verbs]}]});
    let roles = format!("/apis/{rbac}/v1/namespaces/default/roles");
    let (code, message) = stage.refused(&bob, &format!("POST {roles}"), Some(role("*", "*"))).await;
    assert_eq!(code, 403);
    assert!(message.contains("is attempting to grant RBAC permissions not currently held"), "{message}");
    assert_eq!(stage.ask(&bob, &format!("POST {roles}"), Some(role("get", "configmaps"))).await.0, 201);
    let admin = stage.admin();
    let bindings = format!("DELETE /apis/{rbac}/v1/namespaces/default/rolebindings/bob");
    assert_eq!(stage.ask(&admin, &bindings, None).await.0, 200);
    assert_eq!(stage.ask(&bob, request, None).await.0, 403);
}

#[tokio::test]
async fn a_node_reaches_its_own_objects_and_no_others() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    stage.given(json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n2"}}));
    let node = As::Certificate(stage.issuer.client("system:node:n1", &["system:nodes"]));
    for (request, patch, expected) in [
        ("GET /api/v1/nodes/n1", None, (200, "")),
        (
            "GET /api/v1/nodes/n9",
            None,
            (
                403,
                r#"nodes "n9" is forbidden: User "system:node:n1" cannot get resource "nodes" in API group "" at the cluster scope: node 'n1' cannot read 'n9', only its own Node object"#,
            ),
        ),
        (
            "GET /api/v1/pods",
            None,
            (
                403,
                r#"pods is forbidden: User "system:node:n1" cannot list resource "pods" in API group "" at the cluster scope: can only list/watch pods with spec.nodeName field selector"#,
            ),
        ),
        ("GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn1", None, (200, "")),
        ("PATCH /api/v1/nodes/n1/status", Some(json!({"status": {"phase": "x"}})), (200, "")),
        (
            "PATCH /api/v1/nodes/n2/status",
            Some(json!({"status": {"phase": "x"}})),
            (403, r#"nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2""#),
        ),
        (
            "PATCH /api/v1/nodes/n1",
            Some(json!({"metadata": {"labels": {"node-restriction.kubernetes.io/x": "1"}}})),
            (
                403,
                r#"nodes "n1" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/x"#,
            ),
        ),
        (
            "POST /api/v1/nodes",
            Some(json!({"metadata": {"name": "n3"}})),
            (403, r#"nodes "n3" is forbidden: node "n1" is not allowed to modify node "n3""#),
        ),
        (
            "POST /api/v1/nodes",
            Some(json!({"metadata": {"name": "n1"}})),
            (409, r#"nodes "n1" already exists"#),
        ),
    ] {
        let (code, message) = stage.refused(&node, request, patch).await;
        assert_eq!((code, message.as_str()), expected, "{request}");
    }
}

#[tokio::test]
async fn a_pods_token_is_good_for_as_long_as_the_pod_is() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    stage.given(json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": "default"}}));
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let (code, pod) = stage.ask(&admin, "POST /api/v1/namespaces/default/pods", Some(pod)).await;
    assert_eq!((code, pod["spec"]["serviceAccountName"].as_str()), (201, Some("default")));
    assert_eq!(
        pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    let request = "POST /api/v1/namespaces/default/serviceaccounts/default/token";
    let bound =
        |name: &str| json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": name}}});
    assert_eq!(
        stage.refused(&admin, request, Some(bound("zz"))).await,
        (404, r#"pods "zz" not found"#.to_owned())
    );
    let (code, issued) = stage.ask(&admin, request, Some(bound("p"))).await;
    assert_eq!(code, 201);
    let token = As::Token(issued["status"]["token"].as_str().unwrap().to_owned());
    let (_, me) =
        stage.ask(&token, "POST /apis/authentication.k8s.io/v1/selfsubjectreviews", Some(json!({}))).await;
    assert_eq!(me["status"]["userInfo"]["username"], "system:serviceaccount:default:default");
    let gone = stage.ask(&admin, "DELETE /api/v1/namespaces/default/pods/p?gracePeriodSeconds=0", None).await;
    assert_eq!(gone.0, 200);
    assert_eq!(stage.ask(&token, "GET /version", None).await.0, 401);
}

#[tokio::test]
async fn a_node_gets_tokens_of_its_own_pods_and_a_pod_gets_none() {
    let stage = Stage::new().await;
    stage.given(json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": "default"}}));
    let pod = |name: &str, node: &str| json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}});
    let mut uids = Vec::new();
    for (name, node) in [("own", "n1"), ("other", "n2")] {
        let request = "POST /api/v1/namespaces/default/pods";
        let (code, made) = stage.ask(&stage.admin(), request, Some(pod(name, node))).await;
        assert_eq!(code, 201, "{made}");
        uids.push(made["metadata"]["uid"].clone());
    }
    let request = "POST /api/v1/namespaces/default/serviceaccounts/default/token";
    let bound = |name: &str, uid: &serde_json::Value| {
        Some(
            json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid}}}),
        )
    };
    let node = As::Certificate(stage.issuer.client("system:node:n1", &["system:nodes"]));
    assert_eq!(stage.ask(&node, request, bound("other", &uids[1])).await.0, 403);
    assert_eq!(stage.ask(&node, request, Some(json!({"spec": {}}))).await.0, 403);
    let (code, issued) = stage.ask(&node, request, bound("own", &uids[0])).await;
    assert_eq!(code, 201, "{issued}");
    let of_pod = As::Token(issued["status"]["token"].as_str().unwrap().to_owned());
    let (code, message) = stage.refused(&of_pod, request, bound("own", &uids[0])).await;
    let says =
        r#"User "system:serviceaccount:default:default" cannot create resource "serviceaccounts/token""#;
    assert!(code == 403 && message.contains(says), "{message}");
}

/// A stolen token of a pod lives a year, though its file says an hour.
#[tokio::test]
async fn the_tokens_of_kubelets_live_longer_than_they_say() {
    let hour = 3_600_u64;
    for (lives, asked, bound, told, lived) in [
        ((true, None), 3607, true, 3607, 365 * 24 * hour),
        ((false, None), 3607, true, 3607, 3607),
        ((true, None), 3600, true, 3600, 3600),
        ((true, None), 3607, false, 3607, 3607),
        ((true, Some(hour)), 3607, true, 3600, 3600),
    ] {
        let (extended, max_seconds) = lives;
        let stage = Stage::configured(Flaws::none(), |config| {
            config.token_lives = crate::TokenLives { extended, max_seconds };
        })
        .await;
        stage.given(json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": "default"}}));
        stage.given(
            json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "default"},
            "spec": {"serviceAccountName": "default", "containers": [{"name": "c"}]}}),
        );
        let mut request = json!({"spec": {"expirationSeconds": asked}});
        if bound {
            request["spec"]["boundObjectRef"] = json!({"kind": "Pod", "apiVersion": "v1", "name": "p"});
        }
        let path = "POST /api/v1/namespaces/default/serviceaccounts/default/token";
        let (code, issued) = stage.ask(&stage.admin(), path, Some(request)).await;
        assert_eq!((code, issued["spec"]["expirationSeconds"].as_u64()), (201, Some(told)));
        let begun = stage.caller.now();
        let says = ravelin_api::time::format(begun + jiff::SignedDuration::from_secs(told.cast_signed()));
        assert_eq!(issued["status"]["expirationTimestamp"], says);
        let token = issued["status"]["token"].as_str().unwrap();
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        let ends = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(ends, lived, "{asked} {bound} {lives:?}");
        assert_eq!(claims["kubernetes.io"].get("warnafter").is_some(), lived > told);
    }
}
