//! What the machinery of the API answers to bodies, options, forms and revisions.

use super::stage::{As, Stage, read};
use http::{HeaderMap, Request};
use ravelin_api::{Enveloped, to_protobuf};
use ravelin_transport::body;
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: (&str, &str) = ("content-type", "application/json");

struct Answer {
    code: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

async fn call(stage: &Stage, request: &str, headers: &[(&str, &str)], content: &[u8]) -> Answer {
    let (method, uri) = request.split_once(' ').unwrap();
    let mut built = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        built = built.header(*name, *value);
    }
    let request = built.body(body::full(content.to_vec())).unwrap();
    let answer = stage.send(&admin(stage), request).await;
    let (code, headers) = (answer.status().as_u16(), answer.headers().clone());
    Answer { code, headers, bytes: read(answer).await.0 }
}

fn admin(stage: &Stage) -> As {
    stage.admin()
}

fn map(name: &str) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"}, "data": {"a": "1"}})
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_as_recorded() {
    let stage = Stage::new().await;
    let dry = format!("POST {MAPS}?dryRun=All");
    let unrecognized = "the object provided is unrecognized (must be of type ConfigMap): ";
    for (request, media_type, content, code, message) in [
        (
            dry.clone(),
            "application/json",
            r#"{"apiVersion":"#,
            400,
            format!(r#"{unrecognized}couldn't get version/kind; json parse error: unexpected end of JSON input ({{"apiVersion":)"#),
        ),
        (
            dry.clone(),
            "application/json",
            "[]",
            400,
            format!(r#"{unrecognized}couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct {{ APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }} (5b5d)"#),
        ),
        (
            dry.clone(),
            "application/json",
            r#"{"kind":"Pod","apiVersion":"v1"}"#,
            400,
            r#"Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion"#.into(),
        ),
        (
            dry.clone(),
            "application/json",
            r#"{"metadata":{"name":"x"},"data":{"a":1}}"#,
            400,
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"#.into(),
        ),
        (
            format!("{dry}&fieldValidation=Strict"),
            "application/json",
            r#"{"kind":"ConfigMap","kind":"ConfigMap","metadata":{"name":"x"},"zzz":1}"#,
            400,
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "kind", unknown field "zzz""#.into(),
        ),
        (
            dry.clone(),
            "application/xml",
            "{}",
            415,
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf".into(),
        ),
        (
            dry.clone(),
            "application/vnd.kubernetes.protobuf",
            "zzzz",
            400,
            format!("{unrecognized}provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] (7a7a7a7a)"),
        ),
        (
            format!("POST {MAPS}?dryRun=Foo"),
            "application/json",
            "{}",
            422,
            r#"CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Foo"]: supported values: "All""#.into(),
        ),
    ] {
        let answer = call(&stage, &request, &[("content-type", media_type)], content.as_bytes()).await;
        assert_eq!((answer.code, answer.message()), (code, message), "{request} {content}");
    }
    let warned = call(&stage, &dry, &[JSON], br#"{"metadata":{"name":"unk"},"zzz":1}"#).await;
    assert_eq!((warned.code, warned.header("warning")), (201, r#"299 - "unknown field \"zzz\"""#));
    let shouted =
        call(&stage, &dry, &[("content-type", "APPLICATION/JSON")], br#"{"metadata":{"name":"ct"}}"#).await;
    assert_eq!(shouted.code, 201);
    let large = json!({"metadata": {"name": "big"}, "data": {"x": "x".repeat(1_100_000)}}).to_string();
    let refused = call(&stage, &dry, &[JSON], large.as_bytes()).await;
    assert_eq!(
        refused.message(),
        r#"ConfigMap "big" is invalid: []: Too long: may not be more than 1048576 bytes"#
    );
    let huge = call(&stage, &dry, &[JSON], &vec![b' '; 3_200_000]).await;
    assert_eq!((huge.code, huge.message().as_str()), (413, "Request entity too large: limit is 3145728"));
}

#[tokio::test]
async fn answers_come_in_the_form_that_is_wanted() {
    let stage = Stage::new().await;
    stage.given(map("kk"));
    let get = format!("GET {MAPS}/kk");
    let yaml = call(&stage, &get, &[("accept", "application/yaml")], b"").await;
    assert_eq!(yaml.header("content-type"), "application/yaml");
    assert!(yaml.bytes.starts_with(b"apiVersion: v1\ndata:\n  a: \"1\"\nkind: ConfigMap\nmetadata:\n"));
    let protobuf =
        call(&stage, &get, &[("accept", "application/vnd.kubernetes.protobuf,application/json")], b"").await;
    assert_eq!(protobuf.header("content-type"), "application/vnd.kubernetes.protobuf");
    let object = Enveloped::open(&protobuf.bytes).unwrap().read("v1", "ConfigMap").unwrap().unwrap();
    assert_eq!(object["data"], json!({"a": "1"}));
    let metadata = call(
        &stage,
        &get,
        &[("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")],
        b"",
    )
    .await;
    assert_eq!(
        (metadata.json()["kind"].clone(), metadata.json().get("data").cloned()),
        (json!("PartialObjectMetadata"), None)
    );
    let refused = call(&stage, &get, &[("accept", "text/html")], b"").await;
    assert_eq!(
        (refused.code, refused.message().as_str()),
        (
            406,
            "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )
    );
    let human = call(&stage, &format!("{get}?pretty=true"), &[], b"").await;
    assert!(human.bytes.starts_with(b"{\n  \"kind\": \"ConfigMap\",\n"));
    // Errors too, and before anybody is known.
    let missing = call(&stage, &format!("GET {MAPS}/nope"), &[("accept", "application/yaml")], b"").await;
    assert!(String::from_utf8(missing.bytes).unwrap().contains("message: configmaps \"nope\" not found\n"));
}

#[tokio::test]
async fn kubectls_protobuf_bodies_are_understood() {
    let stage = Stage::new().await;
    let headers = [("content-type", "application/vnd.kubernetes.protobuf")];
    let review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}});
    let path = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = call(&stage, path, &headers, &to_protobuf(&review).unwrap()).await;
    assert_eq!((answer.code, answer.json()["status"]["allowed"].clone()), (201, json!(true)));
    let created = call(&stage, &format!("POST {MAPS}"), &headers, &to_protobuf(&map("pb")).unwrap()).await;
    assert_eq!((created.code, created.json()["data"]["a"].clone()), (201, json!("1")));
    let options =
        json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "preconditions": {"uid": "other"}});
    let kept = call(&stage, &format!("DELETE {MAPS}/pb"), &headers, &to_protobuf(&options).unwrap()).await;
    assert_eq!(kept.code, 409);
}

#[tokio::test]
async fn a_list_in_pages_is_one_list() {
    let stage = Stage::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        stage.given(map(name));
    }
    let first = call(&stage, &format!("GET {MAPS}?limit=2"), &[], b"").await.json();
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    // What happens meanwhile is not in the list.
    call(&stage, &format!("DELETE {MAPS}/d"), &[], b"").await;
    stage.given(map("bb"));
    let mut names: Vec<String> = Vec::new();
    let mut page = first.clone();
    loop {
        let items = page["items"].as_array().unwrap().clone();
        names.extend(items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()));
        assert_eq!(page["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
        let Some(token) = page["metadata"]["continue"].as_str() else { break };
        page = call(&stage, &format!("GET {MAPS}?limit=2&continue={token}"), &[], b"").await.json();
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let store = stage.api.store();
    store.compact(store.revision());
    let expired = call(&stage, &format!("GET {MAPS}?limit=2&continue={token}"), &[], b"").await;
    assert_eq!((expired.code, expired.json()["reason"].clone()), (410, json!("Expired")));
    let fresh = expired.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    let rest = call(&stage, &format!("GET {MAPS}?continue={fresh}"), &[], b"").await.json();
    let rest: Vec<&str> = rest["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(rest, ["bb", "c", "e"], "inconsistent, as announced");
}

#[tokio::test]
async fn revisions_and_selectors_are_refused_in_kubernetes_words() {
    let stage = Stage::new().await;
    stage.given(map("kk"));
    let current = stage.api.store().revision();
    for (query, code, message) in [
        ("resourceVersion=abc", 400, r#"invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax"#.to_owned()),
        ("resourceVersion=999999999", 504, format!("Timeout: Too large resource version: 999999999, current: {current}")),
        ("watch=1&resourceVersion=abc", 500, r#"resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax"#.to_owned()),
        (
            "watch=1&timeoutSeconds=1&resourceVersionMatch=Exact",
            422,
            r#"ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided, resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"]"#.to_owned(),
        ),
        ("timeoutSeconds=abc", 400, r#"strconv.ParseInt: parsing "abc": invalid syntax"#.to_owned()),
        ("continue=!", 400, "invalid continue token: continue key is not valid: illegal base64 data at input byte 0".to_owned()),
    ] {
        let answer = call(&stage, &format!("GET {MAPS}?{query}"), &[], b"").await;
        assert_eq!((answer.code, answer.message()), (code, message), "{query}");
    }
    let pods = call(&stage, "GET /api/v1/pods?fieldSelector=spec.x%3D1", &[], b"").await;
    assert_eq!(pods.message(), "field label not supported: spec.x");
    let old =
        call(&stage, &format!("GET {MAPS}?resourceVersion={current}&resourceVersionMatch=Exact"), &[], b"")
            .await;
    assert_eq!(old.json()["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn patches_are_judged_as_recorded() {
    let stage = Stage::new().await;
    stage.given(map("kk"));
    let kk = format!("PATCH {MAPS}/kk");
    let operations = vec![json!({"op": "test", "path": "/data/a", "value": "1"}); 10_001];
    let (json_patch, merge) = ("application/json-patch+json", "application/merge-patch+json");
    for (media_type, patch, code, message) in [
        (
            json_patch,
            json!([{"op": "remove", "path": "/x"}]),
            422,
            "the server rejected our request due to an error in our request",
        ),
        (
            json_patch,
            json!(operations),
            413,
            "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
        ),
        ("text/plain", json!({}), 415, "415: Unsupported Media Type"),
        (
            "application/apply-patch+yaml",
            json!({}),
            422,
            r#"PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch"#,
        ),
        (
            merge,
            json!({"metadata": {"name": "zz"}}),
            400,
            "the name of the object (zz) does not match the name on the URL (kk)",
        ),
        (
            merge,
            json!({"metadata": {"uid": "1"}}),
            422,
            r#"ConfigMap "kk" is invalid: metadata.uid: Invalid value: "1": field is immutable"#,
        ),
        (
            merge,
            json!([]),
            400,
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
    ] {
        let answer = call(&stage, &kk, &[("content-type", media_type)], patch.to_string().as_bytes()).await;
        assert_eq!((answer.code, answer.message().as_str()), (code, message), "{media_type}");
    }
    let good = call(
        &stage,
        &kk,
        &[("content-type", json_patch)],
        br#"[{"op":"replace","path":"/data/a","value":"2"}]"#,
    )
    .await;
    assert_eq!((good.code, good.json()["data"]["a"].clone()), (200, json!("2")));
    let unknown = call(&stage, &kk, &[("content-type", merge)], br#"{"data":{"b":"3"},"zzz":1}"#).await;
    assert_eq!(
        (unknown.header("warning"), unknown.json().get("zzz").cloned()),
        (r#"299 - "unknown field \"zzz\"""#, None)
    );
    let absent = call(&stage, &format!("PATCH {MAPS}/nope"), &[("content-type", merge)], b"{}").await;
    assert_eq!((absent.code, absent.message().as_str()), (404, r#"configmaps "nope" not found"#));
}

#[tokio::test]
async fn deletion_waits_for_whoever_must_clean_up() {
    let stage = Stage::new().await;
    let mut held = map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    stage.given(held);
    let path = format!("{MAPS}/held");
    let marked = call(&stage, &format!("DELETE {path}"), &[JSON], br#"{"propagationPolicy":"Foreground"}"#)
        .await
        .json();
    assert_eq!(marked["metadata"]["finalizers"], json!(["example.com/hold", "foregroundDeletion"]));
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let merge = ("content-type", "application/merge-patch+json");
    let more = call(
        &stage,
        &format!("PATCH {path}"),
        &[merge],
        br#"{"metadata":{"finalizers":["example.com/new"]}}"#,
    )
    .await;
    assert_eq!(
        more.message(),
        r#"ConfigMap "held" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/new"}"#
    );
    call(&stage, &format!("PATCH {path}"), &[merge], br#"{"metadata":{"finalizers":null}}"#).await;
    assert_eq!(call(&stage, &format!("GET {path}"), &[], b"").await.code, 404);
    let both = call(
        &stage,
        &format!("DELETE {path}"),
        &[JSON],
        br#"{"propagationPolicy":"Foo","orphanDependents":true}"#,
    )
    .await;
    assert_eq!(both.code, 422);
}

#[tokio::test]
async fn a_namespace_ends_when_its_finalizer_is_gone() {
    let stage = Stage::new().await;
    call(&stage, "POST /api/v1/namespaces", &[JSON], br#"{"metadata":{"name":"ends"}}"#).await;
    let marked = call(&stage, "DELETE /api/v1/namespaces/ends", &[], b"").await.json();
    assert_eq!(marked["status"]["phase"], "Terminating");
    let mut finished = marked.clone();
    finished["spec"]["finalizers"] = json!([]);
    let finalize = "PUT /api/v1/namespaces/ends/finalize";
    assert_eq!(call(&stage, finalize, &[JSON], finished.to_string().as_bytes()).await.code, 200);
    assert_eq!(call(&stage, "GET /api/v1/namespaces/ends", &[], b"").await.code, 404);
}

#[tokio::test]
async fn paths_and_methods_are_known_or_not() {
    let stage = Stage::new().await;
    stage.given(map("kk"));
    let (unknown, method) = (
        "the server could not find the requested resource",
        "the server does not allow this method on the requested resource",
    );
    for (request, code, message) in [
        (format!("TRACE {MAPS}/kk"), 405, method),
        (format!("OPTIONS {MAPS}/kk"), 405, method),
        (format!("PURGE {MAPS}"), 405, method),
        (format!("PUT {MAPS}"), 405, method),
        ("POST /api/v1/configmaps".to_owned(), 405, method),
        ("DELETE /api/v1/namespaces".to_owned(), 405, method),
        ("GET /api/v1/namespaces/default/pods/p/binding".to_owned(), 405, method),
        ("GET /api/v1/namespaces/default/pods/a%2Fb".to_owned(), 404, unknown),
        ("GET /api/v1/configmaps/kk".to_owned(), 404, unknown),
        ("GET /api/v1/namespaces/default/nodes".to_owned(), 404, unknown),
        ("POST /version".to_owned(), 405, method),
        (
            format!("GET {MAPS}/kk?export=1"),
            400,
            "the export parameter, deprecated since v1.14, is no longer supported",
        ),
    ] {
        let answer = call(&stage, &request, &[], b"").await;
        assert_eq!((answer.code, answer.message().as_str()), (code, message), "{request}");
    }
    for (request, code, text) in [
        ("GET //version", 404, "404 page not found\n"),
        ("GET /apis/nosuch.example/v1/foos", 404, "404 page not found\n"),
        ("GET /healthz/ping", 200, "ok"),
        ("GET /readyz/etcd", 200, "ok"),
        ("GET /livez?verbose", 200, "[+]ping ok\n[+]log ok\n[+]etcd ok\nlivez check passed\n"),
    ] {
        let answer = call(&stage, request, &[], b"").await;
        assert_eq!(
            (answer.code, String::from_utf8(answer.bytes).unwrap().as_str()),
            (code, text),
            "{request}"
        );
    }
    assert_eq!(call(&stage, &format!("HEAD {MAPS}/kk"), &[], b"").await.code, 405);
    let nodes = call(&stage, "GET /api/v1/nodes/", &[], b"").await;
    assert_eq!((nodes.code, nodes.json()["kind"].clone()), (200, json!("NodeList")));
    let discovered = call(
        &stage,
        "GET /apis",
        &[(
            "accept",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
        )],
        b"",
    )
    .await;
    assert_eq!(discovered.json()["apiVersion"], "apidiscovery.k8s.io/v2");
    let legacy = call(&stage, "GET /api/v1", &[("accept", "application/json")], b"").await.json();
    let eviction =
        legacy["resources"].as_array().unwrap().iter().find(|r| r["name"] == "pods/eviction").cloned();
    assert_eq!(eviction.unwrap()["group"], "policy");
}

#[tokio::test]
async fn names_are_made_up_until_one_is_free() {
    let stage = Stage::new().await;
    let created =
        call(&stage, &format!("POST {MAPS}"), &[JSON], br#"{"metadata":{"generateName":"x-"}}"#).await.json();
    let name = created["metadata"]["name"].as_str().unwrap();
    let tail = name.strip_prefix("x-").unwrap();
    assert_eq!(tail.len(), 5);
    assert!(tail.chars().all(|letter| "bcdfghjklmnpqrstvwxz2456789".contains(letter)), "{name}");
    let bad =
        call(&stage, &format!("POST {MAPS}"), &[JSON], br#"{"metadata":{"name":"A","labels":{"-":"x"}}}"#)
            .await;
    assert_eq!(bad.json()["details"]["causes"].as_array().map(Vec::len), Some(2));
}
