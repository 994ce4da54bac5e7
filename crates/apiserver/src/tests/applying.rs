//! Server-side apply over REST.

use super::stage::{As, Stage, read};
use ravelin_transport::body;
use serde_json::{Value, json};

const MAP: &str = "/api/v1/namespaces/default/configmaps/m";

impl Stage {
    async fn applies(&self, who: &As, query: &str, config: &str) -> (u16, Value) {
        let request = http::Request::builder()
            .method("PATCH")
            .uri(format!("{MAP}?{query}"))
            .header("content-type", "application/apply-patch+yaml")
            .body(body::full(config.to_owned()))
            .unwrap();
        let answer = self.send(who, request).await;
        let code = answer.status().as_u16();
        (code, serde_json::from_slice(&read(answer).await.0).unwrap())
    }
}

fn map(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata: {data}\n")
}

#[tokio::test]
async fn what_somebody_applied_is_theirs_until_it_is_taken() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let (code, made) = stage.applies(&admin, "fieldManager=x", &map("{a: '1', b: '1'}")).await;
    assert_eq!((code, &made["data"]), (201, &json!({"a": "1", "b": "1"})));
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&json!("x"), &json!("Apply")));
    assert_eq!(entry["fieldsV1"], json!({"f:data": {"f:a": {}, "f:b": {}}}));
    let (_, same) = stage.applies(&admin, "fieldManager=x", &map("{a: '1', b: '1'}")).await;
    assert_eq!(same, made, "nothing was changed");
    let (code, again) = stage.applies(&admin, "fieldManager=x", &map("{a: '1'}")).await;
    assert_eq!((code, &again["data"]), (200, &json!({"a": "1"})), "what is no longer said is gone");
    let (code, refused) = stage.applies(&admin, "fieldManager=y", &map("{a: '2'}")).await;
    let message = r#"Apply failed with 1 conflict: conflict with "x": .data.a"#;
    assert_eq!((code, &refused["message"]), (409, &json!(message)));
    let cause =
        json!({"reason": "FieldManagerConflict", "message": "conflict with \"x\"", "field": ".data.a"});
    assert_eq!(refused["details"]["causes"], json!([cause]));
    let (code, forced) = stage.applies(&admin, "fieldManager=y&force=true", &map("{a: '2'}")).await;
    assert_eq!((code, &forced["data"]), (200, &json!({"a": "2"})));
    let patch = format!("PATCH {MAP}?fieldManager=hand");
    let (_, patched) = stage.ask(&admin, &patch, Some(json!({"data": {"a": "3", "c": "1"}}))).await;
    assert_eq!(patched["data"], json!({"a": "3", "c": "1"}));
    let (code, refused) = stage.applies(&admin, "fieldManager=y", &map("{a: '2', c: '2'}")).await;
    let message = "Apply failed with 2 conflicts: conflicts with \"hand\" using v1 at 2026-01-01T00:00:00Z:\n- .data.a\n- .data.c";
    assert_eq!((code, &refused["message"]), (409, &json!(message)));
}

#[tokio::test]
async fn applying_asks_for_what_it_needs() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    for (query, config, code, wanted) in [
        ("", map("{}"), 422, "fieldManager: Required value: is required for apply patch"),
        ("fieldManager=x", "[1".to_owned(), 400, "error decoding YAML"),
        (
            "fieldManager=x",
            map("{}").replace("name: m", "name: other"),
            400,
            "does not match the name on the URL",
        ),
        ("fieldManager=x&fieldValidation=Strict", map("{}") + "foo: 1\n", 400, "unknown field \"foo\""),
        (
            "fieldManager=x",
            map("{}").replace("name: m", "managedFields: [{manager: x}]"),
            400,
            "metadata.managedFields must be nil",
        ),
    ] {
        let (found, status) = stage.applies(&admin, query, &config).await;
        let message = status["message"].as_str().unwrap();
        assert!(found == code && message.contains(wanted), "{found} {message}");
    }
    let (code, _) = stage.applies(&As::Token("stat1c".to_owned()), "fieldManager=x", &map("{}")).await;
    assert_eq!(code, 403, "who may not patch may not apply");
    let (code, _) = stage.applies(&admin, "fieldManager=x&dryRun=All", &map("{}")).await;
    assert_eq!((code, stage.ask(&admin, &format!("GET {MAP}"), None).await.0), (201, 404));
}

#[tokio::test]
async fn objects_that_nobody_applied_to_have_no_managers() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let given =
        json!({"metadata": {"name": "m", "managedFields": [{"manager": "forged"}]}, "data": {"a": "1"}});
    let (_, made) = stage.ask(&admin, "POST /api/v1/namespaces/default/configmaps", Some(given)).await;
    assert_eq!(made["metadata"].get("managedFields"), None);
    let (code, refused) = stage.applies(&admin, "fieldManager=x", &map("{a: '2'}")).await;
    assert_eq!(code, 409);
    assert!(refused["message"].as_str().unwrap().contains("before-first-apply"), "{refused}");
}
