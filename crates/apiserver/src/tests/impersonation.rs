//! Who may act as whom; texts and answers are those of the recorded answers, section (i).

use super::stage::{As, Backend, Stage};
use ravelin_host::{Flaw, Flaws};
use ravelin_transport::{body, collect};
use serde_json::{Value, json};

const WHO_AM_I: &str = "POST /apis/authentication.k8s.io/v1/selfsubjectreviews";
const RBAC: &str = "rbac.authorization.k8s.io";

/// A request with headers of one's own.
async fn ask(stage: &Stage, who: &As, request: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let (method, uri) = request.split_once(' ').unwrap();
    let mut builder = http::Request::builder().method(method).uri(uri).header("host", "api");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let content = if method == "POST" { body::full("{}") } else { body::empty() };
    let answer = stage.send(who, builder.header("content-type", "application/json").body(content).unwrap());
    let answer = answer.await;
    let code = answer.status().as_u16();
    let bytes = collect(answer.into_body(), 1 << 20).await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// Who the server takes somebody for, or what it says to them.
async fn taken_for(stage: &Stage, who: &As, headers: &[(&str, &str)]) -> Result<Value, (u16, String)> {
    let (code, mut answer) = ask(stage, who, WHO_AM_I, headers).await;
    match code {
        201 => Ok(answer["status"]["userInfo"].take()),
        code => Err((code, answer["message"].as_str().unwrap_or_default().to_owned())),
    }
}

/// Verbs, API group, resources, names.
type Rule<'a> = (&'a [&'a str], &'a str, &'a [&'a str], &'a [&'a str]);

/// Grants rules to a user.
fn grant(stage: &Stage, user: &str, rules: &[Rule<'_>]) {
    let rules: Vec<Value> = rules
        .iter()
        .map(|(verbs, group, resources, names)| {
            let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources});
            if !names.is_empty() {
                rule["resourceNames"] = json!(names);
            }
            rule
        })
        .collect();
    let version = format!("{RBAC}/v1");
    let name = format!("of-{}", user.replace(':', "-"));
    stage.given(
        json!({"kind": "ClusterRole", "apiVersion": version, "metadata": {"name": name}, "rules": rules}),
    );
    stage.given(json!({"kind": "ClusterRoleBinding", "apiVersion": version, "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}]}));
}

async fn stage_of(version: (u32, u32)) -> Stage {
    let stage = Stage::configured(Flaws::none(), |config| config.kubernetes_version = version).await;
    let legacy: &[Rule<'_>] = &[
        (&["impersonate"], "", &["users"], &["alice"]),
        (&["impersonate"], "", &["groups"], &["dev"]),
        (&["impersonate"], "authentication.k8s.io", &["userextras/scopes"], &["a"]),
    ];
    grant(&stage, "imper", legacy);
    stage
}

fn certificate(stage: &Stage, user: &str) -> As {
    As::Certificate(stage.issuer.client(user, &[]))
}

const USER: &str = "Impersonate-User";
const GROUP: &str = "Impersonate-Group";

#[tokio::test]
async fn whoever_may_do_everything_may_be_everybody() {
    let stage = stage_of((1, 36)).await;
    let admin = stage.admin();
    let account = "system:serviceaccount:default:bob";
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    let extra = json!({"acme.com/project": ["p"], "scopes": ["a"]});
    for (headers, expected) in [
        (&[(USER, "alice")][..], json!({"username": "alice", "groups": ["system:authenticated"]})),
        (&[(USER, account)], json!({"username": account, "groups": groups})),
        (
            &[
                (USER, "alice"),
                ("Impersonate-Uid", "u-1"),
                ("Impersonate-Extra-Scopes", "a"),
                ("Impersonate-Extra-acme.com%2Fproject", "p"),
            ],
            json!({"username": "alice", "uid": "u-1", "groups": ["system:authenticated"], "extra": extra}),
        ),
    ] {
        assert_eq!(taken_for(&stage, &admin, headers).await, Ok(expected), "{headers:?}");
    }
    let myself = taken_for(&stage, &admin, &[(USER, "")]).await.unwrap();
    assert_eq!((&myself["username"], &myself["groups"][0]), (&json!("admin"), &json!("system:masters")));
    for (headers, user) in [
        (&[(USER, "alice"), (GROUP, "system:unauthenticated")][..], "alice"),
        (&[(USER, "system:anonymous")], "system:anonymous"),
    ] {
        let says = format!(
            r#"selfsubjectreviews.authentication.k8s.io is forbidden: User "{user}" cannot create resource "selfsubjectreviews" in API group "authentication.k8s.io" at the cluster scope"#
        );
        assert_eq!(taken_for(&stage, &admin, headers).await, Err((403, says)), "{headers:?}");
    }
    stage.given(json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n2"}}));
    let (code, status) = ask(&stage, &admin, "GET /api/v1/nodes/n2", &[(USER, "system:node:n1")]).await;
    assert_eq!(code, 403);
    assert!(status["message"].as_str().unwrap().contains("only its own Node object"), "{status}");
    // Only in the legacy way, which is then tried first: as a node by that way one is in no group of nodes.
    let almighty = [(USER, "alice"), (GROUP, "system:masters")];
    let expected = json!({"username": "alice", "groups": ["system:masters", "system:authenticated"]});
    assert_eq!(taken_for(&stage, &admin, &almighty).await, Ok(expected));
    let node = taken_for(&stage, &admin, &[(USER, "system:node:n1")]).await.unwrap();
    assert_eq!(node["groups"], json!(["system:authenticated"]));
}

#[tokio::test]
async fn others_may_be_whom_they_are_allowed_to_be() {
    let stage = stage_of((1, 36)).await;
    let imper = certificate(&stage, "imper");
    let alice = [(USER, "alice")];
    let may = |groups: Value| Ok(json!({"username": "alice", "groups": groups}));
    assert_eq!(taken_for(&stage, &imper, &alice).await, may(json!(["system:authenticated"])));
    let in_dev = [(USER, "alice"), (GROUP, "dev")];
    assert_eq!(taken_for(&stage, &imper, &in_dev).await, may(json!(["dev", "system:authenticated"])));
    for (headers, says) in [
        (
            &[(USER, "alice"), (GROUP, "system:masters")][..],
            r#"groups "system:masters" is forbidden: User "imper" cannot impersonate resource "groups" in API group "" at the cluster scope"#,
        ),
        (
            &[(USER, "alice"), ("Impersonate-Extra-Scopes", "b")],
            r#"userextras.authentication.k8s.io "b" is forbidden: User "imper" cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope"#,
        ),
        (
            &[(USER, "alice"), ("Impersonate-Uid", "1")],
            r#"uids.authentication.k8s.io "1" is forbidden: User "imper" cannot impersonate resource "uids" in API group "authentication.k8s.io" at the cluster scope"#,
        ),
        (
            &[(USER, "system:serviceaccount:default:bob")],
            r#"serviceaccounts "bob" is forbidden: User "imper" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default""#,
        ),
    ] {
        let refused = taken_for(&stage, &imper, headers).await;
        assert_eq!(refused, Err((403, says.to_owned())), "{headers:?}");
    }
    let without = |user: &str| {
        format!(
            r#"selfsubjectreviews.authentication.k8s.io is forbidden: User "{user}" cannot impersonate-on:user-info:create resource "selfsubjectreviews" in API group "authentication.k8s.io" at the cluster scope"#
        )
    };
    let refused = taken_for(&stage, &certificate(&stage, "alice"), &[(USER, "bob")]).await;
    assert_eq!(refused, Err((403, without("alice"))));
    assert_eq!(taken_for(&stage, &As::Nobody, &alice).await, Err((403, without("system:anonymous"))));
}

#[tokio::test]
async fn headers_that_name_nobody_are_a_bad_request() {
    for (version, headers, says) in [
        (
            36,
            &[(GROUP, "dev")][..],
            r#"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"dev"}, Extra:map[string][]string(nil)} without impersonating a user name"#,
        ),
        (
            36,
            &[("Impersonate-Extra-Scopes", "a")],
            r#"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string(nil), Extra:map[string][]string{"scopes":[]string{"a"}}} without impersonating a user name"#,
        ),
        (33, &[(GROUP, "dev")], "requested [{Group  dev    }] without impersonating a user"),
    ] {
        let stage = stage_of((1, version)).await;
        let refused = taken_for(&stage, &stage.admin(), headers).await;
        assert_eq!(refused, Err((400, says.to_owned())), "{headers:?}");
    }
    let stage = stage_of((1, 36)).await;
    let unreadable = http::HeaderValue::from_bytes(b"\xffalice").unwrap();
    let request = http::Request::builder().uri("/version").header(USER, unreadable).body(body::empty());
    assert_eq!(stage.send(&stage.admin(), request.unwrap()).await.status(), 400, "never as oneself instead");
}

#[tokio::test]
async fn before_one_could_be_constrained_users_alone_count() {
    let stage = stage_of((1, 33)).await;
    let refused = taken_for(&stage, &certificate(&stage, "alice"), &[(USER, "bob")]).await;
    let says = r#"users "bob" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope"#;
    assert_eq!(refused, Err((403, says.to_owned())));
    let user = taken_for(&stage, &certificate(&stage, "imper"), &[(USER, "alice")]).await.unwrap();
    assert_eq!(user["username"], "alice");
}

#[tokio::test]
async fn constrained_impersonation_is_for_some_requests_only() {
    let stage = stage_of((1, 36)).await;
    let on_pods: Rule<'_> = (&["impersonate-on:user-info:get"], "", &["pods"], &[]);
    let group = "authentication.k8s.io";
    grant(
        &stage,
        "helper",
        &[
            (&["impersonate:user-info"], group, &["users", "groups"], &["alice", "dev", "system:masters"]),
            on_pods,
        ],
    );
    grant(&stage, "alice", &[(&["*"], "", &["pods"], &[])]);
    stage.given_pod("10.1.0.1");
    let helper = certificate(&stage, "helper");
    let one = "GET /api/v1/namespaces/default/pods/p1";
    let all = "GET /api/v1/namespaces/default/pods";
    let code = async |request: &str, headers: &[(&str, &str)]| {
        let (code, answer) = ask(&stage, &helper, request, headers).await;
        (code, answer["message"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code(one, &[(USER, "alice")]).await.0, 200);
    let (refused, says) = code(all, &[(USER, "alice")]).await;
    assert_eq!(refused, 403);
    assert!(says.contains("cannot impersonate-on:user-info:list resource"), "{says}");
    let (refused, says) = code(one, &[(USER, "alice"), (GROUP, "system:masters")]).await;
    assert_eq!(refused, 403);
    assert!(says.ends_with("impersonating the system:masters group is not allowed"), "{says}");
    assert_eq!(code(one, &[(USER, "bob")]).await.0, 403);
    assert_eq!(code(one, &[]).await.0, 403, "as oneself one may nothing");
}

#[tokio::test]
async fn a_pod_acts_as_its_own_node_and_no_other() {
    let stage = stage_of((1, 36)).await;
    let account = "system:serviceaccount:default:agent";
    let group = "authentication.k8s.io";
    grant(
        &stage,
        account,
        &[
            (&["impersonate:associated-node"], group, &["nodes"], &["*"]),
            (&["impersonate-on:associated-node:list"], "", &["pods"], &[]),
        ],
    );
    stage.given_pod("10.1.0.1");
    stage.given(json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "agent", "namespace": "default"}}));
    stage.given(
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "agent", "namespace": "default"},
        "spec": {"nodeName": "n1", "serviceAccountName": "agent", "containers": [{"name": "c"}]}}),
    );
    let request = json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "agent"}}});
    let path = "POST /api/v1/namespaces/default/serviceaccounts/agent/token";
    let (code, issued) = stage.ask(&stage.admin(), path, Some(request)).await;
    assert_eq!(code, 201, "{issued}");
    let agent = As::Token(issued["status"]["token"].as_str().unwrap().to_owned());
    for (request, node, expected) in [
        ("GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn1", "system:node:n1", 200),
        ("GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn2", "system:node:n1", 403),
        ("GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn2", "system:node:n2", 403),
        ("GET /api/v1/nodes/n1", "system:node:n1", 403),
    ] {
        let (code, answer) = ask(&stage, &agent, request, &[(USER, node)]).await;
        assert_eq!(code, expected, "{request} as {node}: {answer}");
    }
}

#[tokio::test]
async fn everybody_is_anybody_where_rights_are_ignored() {
    for flaw in [None, Some(Flaw::ApiserverIgnoresImpersonationRights)] {
        let flaws = flaw.map_or_else(Flaws::none, |flaw| Flaws::danger([flaw]));
        let stage = Stage::with(flaws).await;
        let headers = [(USER, "alice"), (GROUP, "system:masters")];
        let (code, _) = ask(&stage, &certificate(&stage, "nobody"), "GET /api/v1/secrets", &headers).await;
        assert_eq!(code, if flaw.is_some() { 200 } else { 403 });
        let (code, _) = ask(&stage, &certificate(&stage, "nobody"), "GET /api/v1/secrets", &[]).await;
        assert_eq!(code, 403);
    }
}

#[tokio::test]
async fn nobody_further_on_learns_who_was_impersonated() {
    let stage = stage_of((1, 36)).await;
    stage.given_pod("10.1.0.1");
    let pod = Backend::default();
    let _pod = pod.start(stage.network.host("p1", [10, 1, 0, 1]), 80, None).await;
    let request = "GET /api/v1/namespaces/default/pods/p1:80/proxy/x";
    let said =
        [(USER, "alice"), (GROUP, "system:masters"), ("Impersonate-Extra-a", "b"), ("x-other", "kept")];
    assert_eq!(ask(&stage, &stage.admin(), request, &said).await.0, 200);
    let (_, headers, _) = pod.requests().pop().unwrap();
    assert!(headers.contains_key("x-other"));
    assert!(headers.keys().all(|name| !name.as_str().starts_with("impersonate")), "{headers:?}");
}
