//! Who is asking: what the server takes for a proof, for how long, and what it tells of it.

use super::stage::{As, Stage};
use crate::{Anonymous, AuditConfig};
use jiff::ToSpan;
use ravelin_host::{Flaw, Flaws};
use ravelin_transport::{Response, body, collect};
use serde_json::{Value, json};
use std::time::Duration;

const TOKEN: &str = "POST /api/v1/namespaces/default/serviceaccounts/bob/token";
const REVIEW: &str = "POST /apis/authentication.k8s.io/v1/tokenreviews";

fn named(kind: &str, name: &str) -> Value {
    json!({"kind": kind, "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"}})
}

async fn with_bob(flaws: Flaws, token_cache: Duration) -> Stage {
    let stage = Stage::configured(flaws, |config| {
        config.token_cache = token_cache;
        config.kubernetes_version = (1, 36);
    })
    .await;
    stage.given(named("ServiceAccount", "bob"));
    stage
}

async fn token_of_bob(stage: &Stage, spec: Value) -> String {
    let (code, issued) = stage.ask(&stage.admin(), TOKEN, Some(json!({"spec": spec}))).await;
    assert_eq!(code, 201, "{issued}");
    issued["status"]["token"].as_str().unwrap().to_owned()
}

async fn get(stage: &Stage, who: &As, (path, header): (&str, Option<(&str, &str)>)) -> Response {
    let mut request = http::Request::builder().uri(path).header("host", "api");
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    stage.send(who, request.body(body::empty()).unwrap()).await
}

#[tokio::test]
async fn nobody_is_welcome_at_the_open_paths_alone() {
    let stage = Stage::configured(Flaws::none(), |config| {
        config.anonymous = Anonymous::OnPaths(vec!["/healthz".to_owned(), "/livez".to_owned()]);
    })
    .await;
    let bad = As::Token("bad".to_owned());
    for (path, nobody) in [
        ("/healthz", 200),
        ("/livez?verbose", 200),
        ("/healthz/", 401),
        ("/healthz/ping", 401),
        ("/Healthz", 401),
        ("/version", 401),
        ("/api/v1/pods", 401),
    ] {
        assert_eq!(get(&stage, &As::Nobody, (path, None)).await.status(), nobody, "{path}");
        assert_eq!(get(&stage, &bad, (path, None)).await.status(), 401, "{path}");
    }
}

#[tokio::test]
async fn a_bad_certificate_does_not_spoil_a_good_token() {
    let stage = with_bob(Flaws::none(), Duration::ZERO).await;
    let token = token_of_bob(&stage, json!({})).await;
    let other = super::stage::Issuer::new(&stage.network);
    let stranger = As::Certificate(other.client("admin", &["system:masters"]));
    let bearer = format!("Bearer {token}");
    let list = "/api/v1/namespaces/default/pods";
    let with = |value: &'static str| Some(("authorization", value));
    assert_eq!(get(&stage, &stranger, (list, Some(("authorization", &bearer)))).await.status(), 403);
    assert_eq!(get(&stage, &stranger, (list, with("Bearer bad"))).await.status(), 401);
    assert_eq!(get(&stage, &stranger, (list, None)).await.status(), 401);
    for (header, expected) in
        [("Bearer ", 403), ("Bearer", 403), ("bearer x", 401), ("Basic eDp5", 403), ("Foo x", 403)]
    {
        assert_eq!(get(&stage, &As::Nobody, (list, with(header))).await.status(), expected, "{header}");
    }
}

#[tokio::test]
async fn a_revoked_token_works_until_it_is_forgotten() {
    for (cache, after_moment, after_ten) in [(10, 403, 401), (0, 401, 401)] {
        let stage = with_bob(Flaws::none(), Duration::from_secs(cache)).await;
        let bob = As::Token(token_of_bob(&stage, json!({})).await);
        let list = "GET /api/v1/namespaces/default/pods";
        assert_eq!(stage.ask(&bob, list, None).await.0, 403);
        let account = "DELETE /api/v1/namespaces/default/serviceaccounts/bob";
        assert_eq!(stage.ask(&stage.admin(), account, None).await.0, 200);
        assert_eq!(stage.ask(&bob, list, None).await.0, after_moment, "{cache}");
        stage.network.set_clock(stage.caller.now() + 9.seconds());
        assert_eq!(stage.ask(&bob, list, None).await.0, after_moment, "use does not make it last longer");
        stage.network.set_clock(stage.caller.now() + 1.seconds());
        assert_eq!(stage.ask(&bob, list, None).await.0, after_ten, "{cache}");
    }
}

#[tokio::test]
async fn a_token_outlives_its_pod_only_where_binding_is_ignored() {
    for flaw in [None, Some(Flaw::ApiserverIgnoresTokenBinding)] {
        let flaws = flaw.map_or_else(Flaws::none, |flaw| Flaws::danger([flaw]));
        let stage = with_bob(flaws, Duration::ZERO).await;
        let mut pod = named("Pod", "p");
        pod["spec"] = json!({"serviceAccountName": "bob", "containers": [{"name": "c"}]});
        stage.given(pod);
        let bound = json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}});
        let stolen = As::Token(token_of_bob(&stage, bound).await);
        assert_eq!(stage.ask(&stolen, "GET /version", None).await.0, 200);
        let pod = "DELETE /api/v1/namespaces/default/pods/p?gracePeriodSeconds=0";
        assert_eq!(stage.ask(&stage.admin(), pod, None).await.0, 200);
        let expected = if flaw.is_some() { 200 } else { 401 };
        assert_eq!(stage.ask(&stolen, "GET /version", None).await.0, expected, "{flaw:?}");
    }
}

#[tokio::test]
async fn requests_for_tokens_are_answered_in_kubernetes_words() {
    let stage = with_bob(Flaws::none(), Duration::ZERO).await;
    stage.given(json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}}));
    let mut pod = named("Pod", "p");
    pod["spec"] = json!({"serviceAccountName": "other", "containers": [{"name": "c"}]});
    stage.given(pod);
    let admin = stage.admin();
    let bound = |version: &str, kind: &str, name: &str| json!({"spec": {"boundObjectRef": {"kind": kind, "apiVersion": version, "name": name}}});
    let mut other_uid = bound("v1", "Node", "n1");
    other_uid["spec"]["boundObjectRef"]["uid"] = json!("u");
    let seconds = |seconds: i64| json!({"spec": {"expirationSeconds": seconds}});
    for (request, content, expected) in [
        (&TOKEN.replace("bob", "nope"), json!({}), (404, r#"serviceaccounts "nope" not found"#)),
        (&TOKEN.to_owned(), bound("v1", "Pod", "zz"), (404, r#"pods "zz" not found"#)),
        (&TOKEN.to_owned(), bound("v1", "Node", "zz"), (404, r#"nodes "zz" not found"#)),
        (&TOKEN.to_owned(), bound("v1", "Secret", "zz"), (404, r#"secrets "zz" not found"#)),
        (
            &TOKEN.to_owned(),
            bound("apps/v1", "Deployment", "d"),
            (400, "cannot bind token to object of type apps/v1, Kind=Deployment"),
        ),
        (
            &TOKEN.to_owned(),
            bound("v1", "ConfigMap", "c"),
            (400, "cannot bind token to object of type /v1, Kind=ConfigMap"),
        ),
        (
            &TOKEN.to_owned(),
            bound("v1", "Pod", "p"),
            (
                400,
                r#"cannot bind token for serviceaccount "bob" to pod running with different serviceaccount name."#,
            ),
        ),
        (
            &TOKEN.to_owned(),
            other_uid,
            (
                409,
                r#"Operation cannot be fulfilled on Node "n1": the UID in the bound object reference (u) does not match the UID in record. The object might have been deleted and then recreated"#,
            ),
        ),
        (
            &TOKEN.to_owned(),
            seconds(599),
            (
                422,
                r#"TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"#,
            ),
        ),
        (
            &TOKEN.to_owned(),
            seconds((1 << 32) + 1),
            (
                422,
                r#"TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"#,
            ),
        ),
        (
            &TOKEN.to_owned(),
            json!({"metadata": {"name": "alice"}}),
            (
                422,
                r#"TokenRequest.authentication.k8s.io "bob" is invalid: metadata.name: Invalid value: "alice": must match the service account name if specified"#,
            ),
        ),
        (
            &TOKEN.replace("POST", "GET"),
            json!({}),
            (405, "the server does not allow this method on the requested resource"),
        ),
    ] {
        let (code, message) = stage.refused(&admin, request, Some(content)).await;
        assert_eq!((code, message.as_str()), expected, "{request}");
    }
    let (code, issued) = stage.ask(&admin, TOKEN, Some(json!({}))).await;
    assert_eq!(code, 201);
    let uid = stage.ask(&admin, "GET /api/v1/namespaces/default/serviceaccounts/bob", None).await.1;
    let told = (&issued["metadata"]["name"], &issued["metadata"]["uid"], &issued["spec"]);
    let spec = json!({"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 3600, "boundObjectRef": null});
    assert_eq!(told, (&json!("bob"), &uid["metadata"]["uid"], &spec));
}

#[tokio::test]
async fn a_review_tells_whose_a_token_is_and_why_it_is_nobodys() {
    let stage = with_bob(Flaws::none(), Duration::ZERO).await;
    let review = async |spec: Value| {
        let (code, mut answer) = stage.ask(&stage.admin(), REVIEW, Some(json!({"spec": spec}))).await;
        (code, answer["status"].take())
    };
    let token = token_of_bob(&stage, json!({"expirationSeconds": 600})).await;
    let (code, status) = review(json!({"token": token})).await;
    assert_eq!((code, &status["authenticated"]), (201, &json!(true)));
    assert_eq!(status["audiences"], json!(["https://kubernetes.default.svc"]));
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(status["user"]["groups"], json!(groups));
    let credential = &status["user"]["extra"]["authentication.kubernetes.io/credential-id"][0];
    assert!(credential.as_str().unwrap().starts_with("JTI="));
    let vault = token_of_bob(&stage, json!({"audiences": ["vault"]})).await;
    let (_, status) = review(json!({"token": vault, "audiences": ["vault", "x"]})).await;
    assert_eq!((&status["authenticated"], &status["audiences"]), (&json!(true), &json!(["vault"])));
    let (_, status) = review(json!({"token": vault})).await;
    let says = r#"[invalid bearer token, token audiences ["vault"] is invalid for the target audiences ["https://kubernetes.default.svc"]]"#;
    assert_eq!(status, json!({"user": {}, "error": says}));
    assert_eq!(review(json!({"token": "x.y"})).await.1, json!({"user": {}, "error": "invalid bearer token"}));
    stage.network.set_clock(stage.caller.now() + 20.minutes());
    let (_, status) = review(json!({"token": token})).await;
    let says = "[invalid bearer token, service account token has expired]";
    assert_eq!(status, json!({"user": {}, "error": says}));
    let (code, message) = stage.refused(&stage.admin(), REVIEW, Some(json!({"spec": {}}))).await;
    assert_eq!((code, message.as_str()), (400, "token is required for TokenReview in authentication"));
}

#[tokio::test]
async fn others_find_out_whose_tokens_are_genuine() {
    let stage = with_bob(Flaws::none(), Duration::ZERO).await;
    for (path, media_type) in [
        ("/.well-known/openid-configuration", "application/json"),
        ("/openid/v1/jwks", "application/jwk-set+json"),
    ] {
        assert_eq!(get(&stage, &As::Nobody, (path, None)).await.status(), 403, "{path}");
        let answer = get(&stage, &stage.admin(), (path, None)).await;
        assert_eq!(answer.headers()["content-type"], media_type);
        assert_eq!(answer.headers()["cache-control"], "public, max-age=3600");
        let text = collect(answer.into_body(), 1 << 20).await.unwrap();
        let document: Value = serde_json::from_slice(&text).unwrap();
        let told = [&document["jwks_uri"], &document["keys"][0]["alg"]];
        assert!(
            told.contains(&&json!("ES256")) || told.contains(&&json!("https://10.0.0.1:6443/openid/v1/jwks"))
        );
    }
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let stage = Stage::new().await;
    for (who, path) in
        [(&As::Nobody, "/version"), (&As::Nobody, "/api/v1/pods"), (&As::Token("bad".to_owned()), "/version")]
    {
        let answer = get(&stage, who, (path, None)).await;
        assert_eq!(answer.headers()["audit-id"].len(), 36, "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-cache, private", "{path}");
    }
    let answer = get(&stage, &As::Nobody, ("/version", Some(("audit-id", "my-id")))).await;
    assert_eq!(answer.headers()["audit-id"], "my-id");
}

#[tokio::test]
async fn the_audit_log_tells_who_did_what_and_no_secret() {
    let stage = Stage::configured(Flaws::none(), |config| {
        config.audit = Some(AuditConfig { path: "/var/log/audit.log".to_owned() });
    })
    .await;
    stage.given(named("ServiceAccount", "bob"));
    let token = token_of_bob(&stage, json!({})).await;
    let bob = As::Token(token.clone());
    let watch = get(&stage, &stage.admin(), ("/api/v1/pods?watch=1&timeoutSeconds=1", None)).await;
    assert_eq!(watch.status(), 200);
    drop(watch);
    let impersonated = http::Request::builder()
        .uri("/api/v1/namespaces/default/secrets/s?x=%3C")
        .header("impersonate-user", "alice")
        .header("user-agent", "test/1")
        .header("x-forwarded-for", "1.2.3.4, nonsense")
        .header("audit-id", "mine")
        .body(body::empty())
        .unwrap();
    assert_eq!(stage.send(&stage.admin(), impersonated).await.status(), 403);
    assert_eq!(stage.ask(&bob, "GET /version", None).await.0, 200);
    assert_eq!(stage.ask(&As::Token("sesame".to_owned()), "GET /version", None).await.0, 401);
    let made = json!({"metadata": {"name": "told", "uid": "u"}});
    let configmaps = "/api/v1/namespaces/default/configmaps";
    assert_eq!(stage.ask(&stage.admin(), &format!("POST {configmaps}"), Some(made)).await.0, 201);
    assert_eq!(stage.ask(&stage.admin(), &format!("DELETE {configmaps}/told"), None).await.0, 200);
    let log = stage.api_host.disk().read("/var/log/audit.log").unwrap();
    let log = String::from_utf8(log).unwrap();
    assert!(!log.contains(&token) && !log.contains("sesame"), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |uri: &str| lines.iter().filter(|line| line["requestURI"] == uri).collect::<Vec<_>>();
    let denied = of("/api/v1/namespaces/default/secrets/s?x=%3C")[0];
    assert_eq!(denied["auditID"], "mine");
    assert_eq!((&denied["verb"], &denied["stage"]), (&json!("get"), &json!("ResponseComplete")));
    assert_eq!(
        (&denied["user"]["username"], &denied["impersonatedUser"]["username"]),
        (&json!("admin"), &json!("alice"))
    );
    assert_eq!(denied["sourceIPs"], json!(["1.2.3.4", "10.0.0.9"]));
    let about = json!({"resource": "secrets", "namespace": "default", "name": "s", "apiVersion": "v1"});
    assert_eq!((&denied["objectRef"], &denied["userAgent"]), (&about, &json!("test/1")));
    assert_eq!(
        (&denied["responseStatus"]["code"], &denied["responseStatus"]["reason"]),
        (&json!(403), &json!("Forbidden"))
    );
    assert_eq!(
        denied["annotations"],
        json!({"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""})
    );
    assert_eq!(denied["requestReceivedTimestamp"], "2026-01-01T00:00:00.000000Z");
    // Of a body its object's own name and version are told, and of an answer its status.
    let issued_for = &lines[0]["objectRef"];
    assert_eq!((&issued_for["name"], &issued_for["subresource"]), (&json!("bob"), &json!("token")));
    let made = of("/api/v1/namespaces/default/configmaps")[0];
    assert_eq!(
        made["objectRef"],
        json!({"resource": "configmaps", "namespace": "default", "name": "told", "uid": "u", "apiVersion": "v1"})
    );
    assert_eq!(made["responseStatus"], json!({"metadata": {}, "code": 201}));
    let gone = &of("/api/v1/namespaces/default/configmaps/told")[0]["responseStatus"];
    assert_eq!((&gone["status"], &gone["details"]["name"]), (&json!("Success"), &json!("told")));
    let watched: Vec<&Value> =
        of("/api/v1/pods?watch=1&timeoutSeconds=1").iter().map(|line| &line["stage"]).collect();
    assert_eq!(watched, ["ResponseStarted", "ResponseComplete"]);
    let [allowed, unknown] = of("/version")[..] else { panic!("{log}") };
    assert_eq!(allowed["annotations"]["authorization.k8s.io/decision"], "allow");
    assert!(
        allowed["annotations"]["authorization.k8s.io/reason"]
            .as_str()
            .unwrap()
            .starts_with("RBAC: allowed by")
    );
    assert_eq!(
        (&unknown["stage"], &unknown["user"], &unknown["responseStatus"]["code"]),
        (&json!("ResponseStarted"), &json!({}), &json!(401))
    );
    let first = log.lines().next().unwrap();
    let issued = "authentication.kubernetes.io/issued-credential-id";
    assert!(lines[0]["annotations"][issued].as_str().unwrap().starts_with("JTI="), "{first}");
    assert!(
        first.starts_with(r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":""#)
    );
}
