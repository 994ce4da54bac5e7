//! What services' pods, and Endpoints made by hand, come to.

use super::*;

fn pod(name: &str, app: &str, ready: &str, ip: &str) -> Value {
    json!({
        "metadata": { "namespace": "default", "name": name, "uid": name, "labels": { "app": app } },
        "spec": { "nodeName": "n1", "containers": [{ "ports": [{ "name": "web", "containerPort": 8080 }] }] },
        "status": { "podIP": ip, "conditions": [{ "type": "Ready", "status": ready }] },
    })
}

fn service() -> Value {
    json!({
        "metadata": { "namespace": "default", "name": "web", "uid": "0123456789", "labels": { "a": "b" } },
        "spec": { "clusterIP": "10.96.0.9", "selector": { "app": "a" },
                  "ports": [{ "port": 80, "targetPort": "web" }, { "name": "other", "port": 81 }] },
    })
}

/// Each endpoint's address and conditions (ready, serving, terminating).
fn brief(slices: &[Value]) -> Vec<(String, [bool; 3])> {
    let endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().unwrap());
    endpoints
        .map(|one| {
            let condition = |name: &str| one["conditions"][name] == true;
            let conditions = ["ready", "serving", "terminating"].map(condition);
            (one["addresses"][0].as_str().unwrap().to_owned(), conditions)
        })
        .collect()
}

fn made(service: &Value, pods: &[Value]) -> (Vec<Value>, Value) {
    let pods: Vec<&Value> = pods.iter().collect();
    let backing = backing(service, &pods).expect("it has a selector");
    (slices_of(service, &backing), endpoints_of(service, &backing))
}

#[test]
fn a_slice_holds_the_selected_pods_that_have_an_address() {
    let mut over = pod("over", "a", "True", "10.1.0.5");
    over["status"]["phase"] = json!("Succeeded");
    let mut foreign = pod("foreign", "a", "True", "10.1.0.6");
    foreign["metadata"]["namespace"] = json!("other");
    let pods = [
        pod("ready", "a", "True", "10.1.0.2"),
        pod("unready", "a", "False", "10.1.0.3"),
        pod("starting", "a", "False", ""),
        pod("other", "b", "True", "10.1.0.4"),
        over,
        foreign,
    ];
    let (slices, endpoints) = made(&service(), &pods);
    assert_eq!(slices.len(), 1);
    assert_eq!(slices[0]["metadata"]["name"], "web-01234");
    assert_eq!(slices[0]["metadata"]["labels"]["a"], "b");
    let expected = [("10.1.0.2", [true, true, false]), ("10.1.0.3", [false, false, false])];
    assert_eq!(brief(&slices), expected.map(|(address, conditions)| (address.to_owned(), conditions)));
    assert_eq!((&slices[0]["ports"][0]["port"], &slices[0]["ports"][1]["port"]), (&json!(8080), &json!(81)));
    assert!(is_managed(&slices[0]) && !is_mirror(&slices[0]) && is_derived(&endpoints));
    let subset = &endpoints["subsets"][0];
    assert_eq!((&subset["addresses"][0]["ip"], &subset["addresses"][1]), (&json!("10.1.0.2"), &Value::Null));
    assert_eq!(subset["notReadyAddresses"][0]["ip"], "10.1.0.3");
    assert_eq!(subset["ports"], slices[0]["ports"]);
}

#[test]
fn a_pod_that_ends_serves_and_is_not_ready() {
    let mut ending = pod("ending", "a", "True", "10.1.0.2");
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let (slices, endpoints) = made(&service(), &[ending.clone()]);
    assert_eq!(brief(&slices), [("10.1.0.2".to_owned(), [false, true, true])]);
    assert_eq!(endpoints["subsets"], Value::Null, "Endpoints have no word for it");
    let mut all = service();
    all["spec"]["publishNotReadyAddresses"] = json!(true);
    let (slices, endpoints) = made(&all, &[ending, pod("unready", "a", "False", "10.1.0.3")]);
    assert_eq!(brief(&slices).iter().map(|(_, [ready, ..])| *ready).collect::<Vec<_>>(), [true, true]);
    assert_eq!(endpoints["subsets"][0]["addresses"].as_array().map(Vec::len), Some(2));
}

#[test]
fn pods_with_other_numbers_for_a_port_have_a_slice_of_their_own() {
    let mut other = pod("other", "a", "True", "10.1.0.3");
    other["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(9090);
    let mut nameless = pod("nameless", "a", "True", "10.1.0.4");
    nameless["spec"]["containers"][0]["ports"] = json!([]);
    let pods = [pod("one", "a", "True", "10.1.0.2"), other, nameless];
    let (slices, endpoints) = made(&service(), &pods);
    let ports: Vec<_> = slices.iter().map(|slice| slice["ports"].as_array().unwrap().len()).collect();
    assert_eq!(ports, [2, 2, 1], "a pod without that port has the other");
    let names: Vec<_> = slices.iter().map(|slice| slice["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["web-01234", "web-01234-1", "web-01234-2"]);
    assert_eq!(endpoints["subsets"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_slice_has_a_hundred_endpoints_at_most() {
    let pods: Vec<Value> = (0..201)
        .map(|n| pod(&format!("p{n}"), "a", "True", &format!("10.1.{}.{}", n / 200, n % 200)))
        .collect();
    let (slices, _) = made(&service(), &pods);
    let sizes: Vec<_> = slices.iter().map(|slice| slice["endpoints"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [100, 100, 1]);
    let (none, _) = made(&service(), &[]);
    assert_eq!((none.len(), &none[0]["endpoints"]), (1, &json!([])));
}

#[test]
fn a_headless_service_says_so_and_one_without_selector_has_nothing() {
    let mut headless = service();
    headless["spec"]["clusterIP"] = json!("None");
    headless["spec"]["ports"] = json!([]);
    let mut named = pod("p", "a", "True", "10.1.0.2");
    named["spec"]["hostname"] = json!("p");
    named["spec"]["subdomain"] = json!("web");
    let (slices, endpoints) = made(&headless, &[named]);
    for labels in [&slices[0]["metadata"]["labels"], &endpoints["metadata"]["labels"]] {
        assert_eq!(labels[HEADLESS], "");
    }
    assert_eq!(slices[0]["endpoints"][0]["hostname"], "p");
    let bare = json!({ "metadata": { "namespace": "default", "name": "kubernetes" }, "spec": {} });
    assert_eq!(backing(&bare, &[]), None);
}

#[test]
fn endpoints_made_by_hand_are_repeated_unless_they_refuse_it() {
    let mut by_hand = json!({
        "metadata": { "namespace": "default", "name": "outside", "uid": "e", "labels": { "a": "b" } },
        "subsets": [
            { "addresses": [{ "ip": "192.0.2.1" }], "notReadyAddresses": [{ "ip": "192.0.2.2" }],
              "ports": [{ "name": "https", "port": 443 }] },
            { "addresses": [{ "ip": "192.0.2.3" }], "ports": [{ "port": 80, "protocol": "TCP" }] },
        ],
    });
    let service = json!({ "metadata": { "namespace": "default", "name": "outside" }, "spec": {} });
    let slices = mirrored(&by_hand, Some(&service));
    assert_eq!(slices.len(), 2);
    assert!(slices.iter().all(is_mirror));
    assert_eq!(slices[0]["ports"], json!([{ "name": "https", "port": 443, "protocol": "TCP" }]));
    let ready: Vec<_> = brief(&slices).into_iter().map(|(address, [ready, ..])| (address, ready)).collect();
    let expected = [("192.0.2.1", true), ("192.0.2.2", false), ("192.0.2.3", true)];
    assert_eq!(ready, expected.map(|(address, ready)| (address.to_owned(), ready)));
    let mut selecting = service.clone();
    selecting["spec"]["selector"] = json!({ "app": "a" });
    assert!(mirrored(&by_hand, Some(&selecting)).is_empty(), "they are the controller's");
    assert!(mirrored(&by_hand, None).is_empty(), "there is no service");
    by_hand["metadata"]["labels"][SKIP_MIRROR] = json!("true");
    assert!(mirrored(&by_hand, Some(&service)).is_empty());
}
