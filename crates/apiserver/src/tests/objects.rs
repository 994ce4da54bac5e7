//! Objects over REST.

use super::stage::{As, Stage, read};
use crate::store::Key;
use http_body_util::BodyExt;
use ravelin_transport::body;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn an_object_lives_its_life_in_kubernetes_words() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let map = |name: &str| json!({"metadata": {"name": name}, "data": {"a": "1"}});
    let (code, created) = stage.ask(&admin, &format!("POST {MAPS}"), Some(map("kk"))).await;
    assert_eq!((code, created["kind"].as_str()), (201, Some("ConfigMap")));
    for (request, content, expected) in [
        (format!("POST {MAPS}"), Some(map("kk")), (409, r#"configmaps "kk" already exists"#)),
        (
            format!("POST {MAPS}"),
            Some(json!({})),
            (
                422,
                r#"ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required"#,
            ),
        ),
        (
            format!("POST {MAPS}"),
            Some(json!({"metadata": {"name": "x", "namespace": "b"}})),
            (400, "the namespace of the provided object does not match the namespace sent on the request"),
        ),
        (
            "POST /api/v1/namespaces/nope/configmaps".into(),
            Some(map("x")),
            (404, r#"namespaces "nope" not found"#),
        ),
        (format!("GET {MAPS}/nope"), None, (404, r#"configmaps "nope" not found"#)),
        (format!("GET {MAPS}/kk/foo"), None, (404, "the server could not find the requested resource")),
        (
            format!("POST {MAPS}/kk"),
            Some(map("kk")),
            (405, "the server does not allow this method on the requested resource"),
        ),
        (
            format!("PUT {MAPS}/kk"),
            Some(map("zz")),
            (400, "the name of the object (zz) does not match the name on the URL (kk)"),
        ),
        (
            format!("PATCH {MAPS}/kk"),
            Some(json!({"metadata": {"resourceVersion": "1"}})),
            (
                409,
                r#"Operation cannot be fulfilled on configmaps "kk": the object has been modified; please apply your changes to the latest version and try again"#,
            ),
        ),
        (format!("GET {MAPS}?limit=abc"), None, (400, r#"strconv.ParseInt: parsing "abc": invalid syntax"#)),
        (
            format!("GET {MAPS}?fieldSelector=data.a%3D1"),
            None,
            (400, r#""data.a" is not a known field selector: only "metadata.name", "metadata.namespace""#),
        ),
    ] {
        let (code, message) = stage.refused(&admin, &request, content).await;
        assert_eq!((code, message.as_str()), expected, "{request}");
    }
    let (code, patched) =
        stage.ask(&admin, &format!("PATCH {MAPS}/kk"), Some(json!({"data": {"a": "2"}}))).await;
    assert_eq!((code, patched["data"]["a"].as_str()), (200, Some("2")));
    let (_, body) = stage.ask_raw(&admin, &format!("GET {MAPS}/kk"), None).await;
    let history = stage.api.store().history(&Key::namespaced("configmaps", "default", "kk"));
    assert_eq!(body.as_bytes(), history.last().unwrap().rendered(), "the store knows the exact bytes");
    let (code, list) = stage.ask(&admin, &format!("GET {MAPS}?fieldSelector=metadata.name%3Dkk"), None).await;
    assert_eq!((code, list["items"].as_array().map(Vec::len)), (200, Some(1)));
    assert_eq!(stage.ask(&admin, &format!("DELETE {MAPS}/kk"), None).await.1["status"], "Success");
    assert_eq!(stage.ask(&admin, &format!("GET {MAPS}/kk"), None).await.0, 404);
    assert_eq!(
        stage.ask_raw(&admin, "GET /apis/nosuch.example/v1/foos", None).await,
        (404, "404 page not found\n".to_owned())
    );
}

#[tokio::test]
async fn a_watch_gives_what_there_is_and_then_every_change() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let labelled = |value: &str| {
        json!({"kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"name": "w", "namespace": "default", "labels": {"on": value}}})
    };
    stage.given(labelled("yes"));
    let request = http::Request::builder()
        .uri(format!("{MAPS}?watch=1&labelSelector=on%3Dyes&timeoutSeconds=600"))
        .body(body::empty())
        .unwrap();
    let mut events = stage.send(&admin, request).await.into_body();
    let store = stage.api.store();
    let key = Key::namespaced("configmaps", "default", "w");
    for value in ["yes", "no", "yes"] {
        let mut changed = labelled(value);
        changed["data"] = json!({"to": value});
        store.update(&key, changed).unwrap();
    }
    store.delete(&key, &crate::store::Precondition::default()).unwrap();
    let mut text = String::new();
    while text.lines().count() < 5 {
        let frame = timeout(Duration::from_secs(10), events.frame()).await.expect("an event is missing");
        text.push_str(std::str::from_utf8(&frame.unwrap().unwrap().into_data().unwrap()).unwrap());
    }
    let kinds: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone()).collect();
    assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]);
}

#[tokio::test]
async fn a_watch_from_a_forgotten_revision_is_told_to_list_again() {
    let stage = Stage::new().await;
    stage.given(
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "w", "namespace": "default"}}),
    );
    stage.api.store().compact(u64::MAX);
    let (code, event) =
        stage.ask(&stage.admin(), &format!("GET {MAPS}?watch=1&resourceVersion=1"), None).await;
    assert_eq!(
        (code, event["type"].as_str(), event["object"]["code"].as_u64()),
        (200, Some("ERROR"), Some(410))
    );
}

#[tokio::test]
async fn services_get_addresses_of_their_own() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let request = "POST /api/v1/namespaces/default/services";
    let mut addresses = Vec::new();
    for name in ["kubernetes", "a", "b"] {
        let service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 443}]}});
        let (code, service) = stage.ask(&admin, request, Some(service)).await;
        assert_eq!(code, 201);
        addresses.push(service["spec"]["clusterIP"].as_str().unwrap().to_owned());
    }
    assert_eq!(addresses[0], "10.96.0.1");
    assert_ne!(addresses[1], addresses[2]);
    for asked in ["10.96.0.1", "10.97.0.1", "127.0.0.1"] {
        let service =
            json!({"metadata": {"name": "c"}, "spec": {"clusterIP": asked, "ports": [{"port": 1}]}});
        assert_eq!(stage.ask(&admin, request, Some(service)).await.0, 422, "{asked}");
    }
}

#[tokio::test]
async fn endpoints_may_not_point_at_the_server_itself() {
    let stage = Stage::new().await;
    let slice = json!({"metadata": {"name": "s"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"port": 1}]});
    let request = "POST /apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    assert_eq!(stage.ask(&stage.admin(), request, Some(slice)).await.0, 422);
}

#[tokio::test]
async fn a_signing_request_says_who_made_it_and_only_approvers_approve_it() {
    use base64::Engine;
    let stage = Stage::new().await;
    let admin = stage.admin();
    let key = ravelin_pki::KeyPair::generate(&mut ravelin_entropy::Entropy::operating_system());
    let pem = |organization: &str| {
        let subject = ravelin_pki::Subject {
            common_name: "system:node:n1".into(),
            organizations: vec![organization.into()],
        };
        base64::engine::general_purpose::STANDARD.encode(ravelin_pki::SigningRequest::create(
            &subject,
            &[],
            &key,
        ))
    };
    let csr = |signer: &str, organization: &str| {
        json!({"metadata": {"name": "c"}, "spec": {"request": pem(organization), "signerName": signer,
            "usages": ["client auth"], "username": "forged", "groups": ["system:masters"]}})
    };
    let all = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let node = As::Certificate(stage.issuer.client("system:node:n1", &["system:nodes"]));
    let request = csr("kubernetes.io/kube-apiserver-client-kubelet", "system:nodes");
    let (code, created) = stage.ask(&node, &format!("POST {all}"), Some(request)).await;
    assert_eq!((code, created["spec"]["username"].as_str()), (201, Some("system:node:n1")));
    assert_eq!(created["spec"]["groups"], json!(["system:nodes", "system:authenticated"]));
    let masters = csr("kubernetes.io/kube-apiserver-client", "system:masters");
    let (code, message) = stage.refused(&admin, &format!("POST {all}"), Some(masters)).await;
    let expected = r#"certificatesigningrequests.certificates.k8s.io "c" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"#;
    assert_eq!((code, message.as_str()), (403, expected));
    let approve = |status: &str| json!({"status": {"conditions": [{"type": "Approved", "status": status}]}});
    let approval = format!("PATCH {all}/c/approval");
    assert_eq!(stage.ask(&node, &approval, Some(approve("True"))).await.0, 403);
    assert_eq!(stage.ask(&admin, &approval, Some(approve("False"))).await.0, 422);
    assert_eq!(stage.ask(&admin, &approval, Some(approve("True"))).await.0, 200);
    let removed = Some(json!({"status": {"conditions": []}}));
    assert_eq!(stage.ask(&admin, &approval, removed).await.0, 422);
    let junk = Some(json!({"status": {"certificate": "eA=="}}));
    let (code, message) = stage.refused(&admin, &format!("PATCH {all}/c/status"), junk).await;
    assert_eq!(code, 422);
    assert!(message.ends_with("must contain at least one CERTIFICATE PEM block"), "{message}");
}

#[tokio::test]
async fn a_pod_is_bound_once_and_goes_when_its_kubelet_says_so() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    stage.given(json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": "default"}}));
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |container: &str| json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": container, "image": "i"}]}});
    assert_eq!(stage.ask(&admin, &format!("POST {pods}"), Some(pod(".."))).await.0, 422);
    assert_eq!(stage.ask(&admin, &format!("POST {pods}"), Some(pod("c"))).await.0, 201);
    let binding = json!({"target": {"kind": "Node", "name": "n1"}});
    let bind = format!("POST {pods}/p/binding");
    assert_eq!(stage.ask(&admin, &bind, Some(binding.clone())).await.0, 201);
    assert_eq!(stage.ask(&admin, &bind, Some(binding)).await.0, 409);
    let moved = Some(json!({"spec": {"nodeName": "n2"}}));
    assert_eq!(stage.ask(&admin, &format!("PATCH {pods}/p"), moved).await.0, 422);
    let (code, marked) = stage.ask(&admin, &format!("DELETE {pods}/p"), None).await;
    assert_eq!((code, marked["metadata"]["deletionGracePeriodSeconds"].as_i64()), (200, Some(30)));
    assert_eq!(stage.ask(&admin, &format!("GET {pods}/p"), None).await.0, 200);
    let now = Some(json!({"gracePeriodSeconds": 0}));
    assert_eq!(stage.ask(&admin, &format!("DELETE {pods}/p"), now).await.0, 200);
    assert_eq!(stage.ask(&admin, &format!("GET {pods}/p"), None).await.0, 404);
}

#[tokio::test]
async fn reviews_answer_as_recorded() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let (group, tokens) =
        ("/apis/authorization.k8s.io/v1", "POST /apis/authentication.k8s.io/v1/tokenreviews");
    let sar = format!("POST {group}/subjectaccessreviews");
    let ask = |spec: Value| json!({"spec": spec});
    for (request, spec, status) in [
        (
            sar.as_str(),
            json!({"user": "alice", "resourceAttributes": {"verb": "get", "resource": "pods"}}),
            json!({"allowed": false}),
        ),
        (
            sar.as_str(),
            json!({"user": "alice", "groups": ["system:authenticated"], "nonResourceAttributes": {"path": "/api", "verb": "get"}}),
            json!({"allowed": true, "reason": "RBAC: allowed by ClusterRoleBinding \"system:discovery\" of ClusterRole \"system:discovery\" to Group \"system:authenticated\""}),
        ),
        (tokens, json!({"token": "bad"}), json!({"user": {}, "error": "invalid bearer token"})),
        (
            tokens,
            json!({"token": "stat1c"}),
            json!({"authenticated": true, "audiences": ["https://kubernetes.default.svc"],
            "user": {"username": "bob", "uid": "1", "groups": ["system:authenticated"]}}),
        ),
    ] {
        let (code, review) = stage.ask(&admin, request, Some(ask(spec))).await;
        assert_eq!((code, &review["status"]), (201, &status), "{request}");
    }
    for (spec, message) in [
        (
            json!({"resourceAttributes": {"verb": "get"}}),
            r#".authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or group must be specified"#,
        ),
        (
            json!({"user": "a"}),
            r#".authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"#,
        ),
    ] {
        assert_eq!(stage.refused(&admin, &sar, Some(ask(spec))).await, (422, message.to_owned()));
    }
}

#[tokio::test]
async fn an_overlong_body_is_refused() {
    let stage = Stage::new().await;
    let request = http::Request::builder()
        .method("POST")
        .uri(MAPS)
        .header("content-type", "application/json")
        .body(body::full(vec![b' '; 3 * 1024 * 1024 + 1]))
        .unwrap();
    let answer = stage.send(&stage.admin(), request).await;
    assert_eq!(answer.status(), 413);
    let (text, _) = read(answer).await;
    assert!(String::from_utf8_lossy(&text).contains("Request entity too large: limit is 3145728"));
}
