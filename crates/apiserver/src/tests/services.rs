//! What services are given, keep and lose.

use super::stage::Stage;
use serde_json::{Value, json};

const SERVICES: &str = "/api/v1/namespaces/default/services";

/// Status, and the message of a refusal.
fn told(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_services_type_decides_what_it_is_given_and_loses() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let make = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let (code, made) = stage.ask(&admin, &format!("POST {SERVICES}"), Some(make)).await;
    assert_eq!((code, &made["spec"]["ports"][0]["nodePort"]), (201, &Value::Null));
    let put = format!("PUT {SERVICES}/s");
    let change = async |spec: Value| {
        let object = json!({"metadata": {"name": "s"}, "spec": spec});
        stage.ask(&admin, &put, Some(object)).await
    };
    let (code, open) = change(json!({"type": "NodePort", "ports": [{"port": 80}]})).await;
    let port = open["spec"]["ports"][0]["nodePort"].clone();
    assert_eq!((code, port.as_u64()), (200, Some(30_086)), "the lower ones are for who asks (KEP-3668)");
    assert_eq!(open["spec"]["externalTrafficPolicy"], "Cluster");
    assert_eq!(open["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    let (_, still) = change(json!({"type": "NodePort", "ports": [{"port": 81}]})).await;
    assert_eq!(still["spec"]["ports"][0]["nodePort"], port);
    let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]});
    let (code, balanced) = change(local).await;
    assert_eq!((code, balanced["spec"]["healthCheckNodePort"].as_u64()), (200, Some(30_087)));
    let moved = change(json!({"clusterIP": "10.96.9.9", "ports": [{"port": 80}]})).await;
    let why = r#"Service "s" is invalid: spec.clusterIPs[0]: Invalid value: ["10.96.9.9"]: may not change once set"#;
    assert_eq!(told(&moved), (422, why));
    let (code, gone) = change(json!({"type": "ExternalName", "externalName": "a.example"})).await;
    assert_eq!((code, &gone["spec"]["clusterIP"]), (200, &Value::Null));
    let (code, back) = change(json!({"ports": [{"port": 80}]})).await;
    assert!(code == 200 && back["spec"]["clusterIP"].is_string(), "{back}");
}

#[tokio::test]
async fn addresses_and_ports_that_are_asked_for_must_be_free_and_of_the_range() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let make = async |name: &str, spec: Value| {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        stage.ask(&admin, &format!("POST {SERVICES}"), Some(object)).await
    };
    let port = |number: u64| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": number}]});
    assert_eq!(make("a", port(30_001)).await.0, 201);
    let start = r#"Service "b" is invalid: spec.ports[0].nodePort: Invalid value: "#;
    let table = [
        (30_001, "30001: provided port is already allocated"),
        (80, "80: provided port is not in the valid range. The range of valid ports is 30000-32767"),
    ];
    for (number, why) in table {
        assert_eq!(told(&make("b", port(number)).await), (422, format!("{start}{why}").as_str()));
    }
    let address = |text: &str| json!({"clusterIP": text, "ports": [{"port": 80}]});
    assert_eq!(make("c", address("10.96.0.77")).await.0, 201);
    let table = [
        ("10.96.0.77", "provided IP is already allocated"),
        ("192.0.2.1", "the provided network does not match the current range"),
    ];
    for (asked, why) in table {
        let message = format!(
            r#"Service "b" is invalid: spec.clusterIPs: Invalid value: ["{asked}"]: failed to allocate IP {asked}: {why}"#
        );
        assert_eq!(told(&make("b", address(asked)).await), (422, message.as_str()));
    }
    let (_, headless) = make("h", json!({"clusterIP": "None"})).await;
    assert_eq!(
        (&headless["spec"]["clusterIPs"], &headless["spec"]["ipFamilies"]),
        (&json!(["None"]), &json!(["IPv4", "IPv6"]))
    );
}
