//! Tables, one a property.

use super::*;
use serde_json::json;

fn service(name: &str, address: &str, ports: Value) -> Value {
    json!({ "metadata": { "namespace": "default", "name": name },
            "spec": { "clusterIP": address, "clusterIPs": [address], "ports": ports } })
}

/// A service `web` of one port, 80, with more in its `spec`.
fn web(spec: Value) -> Value {
    let mut service = service("web", "10.96.0.9", json!([{ "port": 80, "nodePort": 30080 }]));
    for (name, value) in spec.as_object().unwrap() {
        service["spec"][name] = value.clone();
    }
    service
}

fn slice(service: &str, ports: Value, endpoints: Value) -> Value {
    json!({ "metadata": { "namespace": "default", "labels": { "kubernetes.io/service-name": service } },
            "ports": ports, "endpoints": endpoints })
}

/// One endpoint here and one elsewhere.
fn both() -> Value {
    slice(
        "web",
        json!([{ "port": 8080 }]),
        json!([
            { "addresses": ["10.1.0.2"], "nodeName": "node-1" },
            { "addresses": ["10.2.0.2"], "nodeName": "node-2" },
        ]),
    )
}

/// One endpoint elsewhere.
fn elsewhere() -> Value {
    let endpoints = json!([{ "addresses": ["10.2.0.2"], "nodeName": "node-2" }]);
    slice("web", json!([{ "port": 8080 }]), endpoints)
}

/// The table of node-1: `address way> endpoints`, with what is particular.
fn rendered(services: &[Value], slices: &[Value]) -> Vec<String> {
    let addresses = [IpAddr::from([10, 0, 0, 1])];
    let table = table(services, slices, Node { name: "node-1", addresses: &addresses });
    let render = |redirect: Redirect| {
        let to: Vec<String> = redirect.to.iter().map(ToString::to_string).collect();
        let way = match redirect.scope {
            Scope::Everywhere => "",
            Scope::Opened => "opened ",
            Scope::Arriving => "arriving ",
        };
        let masquerade = if redirect.masquerade { "masquerade " } else { "" };
        let to = match (to.is_empty(), redirect.otherwise) {
            (true, Otherwise::Refuse) => "refused".to_owned(),
            (true, Otherwise::Drop) => "dropped".to_owned(),
            (false, _) => to.join(" "),
        };
        let affinity = redirect.affinity.map(|lasting| format!(" for {}s", lasting.as_secs()));
        format!("{} {way}{masquerade}> {to}{}", redirect.from, affinity.unwrap_or_default())
    };
    table.into_iter().map(render).collect()
}

#[test]
fn addresses_lead_to_ready_endpoints_of_the_same_port() {
    let services = [
        service(
            "web",
            "10.96.0.9",
            json!([
                { "name": "a", "port": 80 }, { "name": "b", "port": 443 }, { "name": "u", "port": 53, "protocol": "UDP" },
            ]),
        ),
        service("kubernetes", "10.96.0.1", json!([{ "name": "https", "port": 443, "protocol": "TCP" }])),
        service("headless", "None", json!([{ "port": 80 }])),
        service("empty", "10.96.0.5", json!([{ "port": 70000 }, { "port": 81 }])),
    ];
    let slices = [
        slice(
            "web",
            json!([{ "name": "a", "port": 8080 }, { "name": "b", "port": 8443 }]),
            json!([
                { "addresses": ["10.1.0.3"], "conditions": { "ready": true } },
                { "addresses": ["10.1.0.2"], "conditions": {} },
                { "addresses": ["10.1.0.4"], "conditions": { "ready": false } },
                { "addresses": ["not an address"] },
            ]),
        ),
        slice(
            "kubernetes",
            json!([{ "name": "https", "port": 6443 }]),
            json!([{ "addresses": ["192.0.2.1"] }]),
        ),
        slice("headless", json!([{ "name": "", "port": 80 }]), json!([{ "addresses": ["10.1.0.9"] }])),
    ];
    let expected = [
        "10.96.0.1:443 > 192.0.2.1:6443",
        "10.96.0.5:81 > refused",
        "10.96.0.9:80 > 10.1.0.2:8080 10.1.0.3:8080",
        "10.96.0.9:443 > 10.1.0.2:8443 10.1.0.3:8443",
    ];
    assert_eq!(rendered(&services, &slices), expected);
}

#[test]
fn a_slice_of_another_namespace_leads_nowhere() {
    let mut other = both();
    other["metadata"]["namespace"] = json!("other");
    assert_eq!(rendered(&[web(json!({}))], &[other]), ["10.96.0.9:80 > refused"]);
}

#[test]
fn endpoints_that_end_serve_only_where_no_other_is_ready() {
    let endpoint = |address: &str, ready: bool, serving: bool| {
        json!({ "addresses": [address],
                "conditions": { "ready": ready, "serving": serving, "terminating": !ready } })
    };
    let ports = || json!([{ "port": 8080 }]);
    let mixed = json!([endpoint("10.1.0.2", true, true), endpoint("10.1.0.3", false, true)]);
    let ending = json!([endpoint("10.1.0.3", false, true), endpoint("10.1.0.4", false, false)]);
    let over = json!([endpoint("10.1.0.4", false, false)]);
    let to = |endpoints: Value| rendered(&[web(json!({}))], &[slice("web", ports(), endpoints)]).remove(0);
    assert_eq!(to(mixed), "10.96.0.9:80 > 10.1.0.2:8080");
    assert_eq!(to(ending), "10.96.0.9:80 > 10.1.0.3:8080");
    assert_eq!(to(over), "10.96.0.9:80 > refused");
}

#[test]
fn endpoints_on_the_node_itself_or_nowhere_are_left_out() {
    let addresses = ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "10.1.0.2", "::1", "fe80::1"];
    let endpoints = addresses.iter().map(|address| json!({ "addresses": [address] })).collect();
    let slices = [slice("web", json!([{ "port": 8080 }]), endpoints)];
    assert_eq!(rendered(&[web(json!({}))], &slices), ["10.96.0.9:80 > 10.1.0.2:8080"]);
}

#[test]
fn node_ports_and_external_addresses_are_masqueraded_to_any_endpoint() {
    let spec = json!({ "type": "NodePort", "externalIPs": ["192.0.2.10", "not an address"] });
    let expected = [
        "10.0.0.1:30080 masquerade > 10.1.0.2:8080 10.2.0.2:8080",
        "10.96.0.9:80 > 10.1.0.2:8080 10.2.0.2:8080",
        "192.0.2.10:80 masquerade > 10.1.0.2:8080 10.2.0.2:8080",
    ];
    assert_eq!(rendered(&[web(spec)], &[both()]), expected);
    let only_inside = web(json!({ "type": "ClusterIP" }));
    assert_eq!(rendered(&[only_inside], &[both()]).len(), 1, "its node port is a leftover");
}

#[test]
fn an_external_local_policy_keeps_to_the_node_for_what_arrives() {
    let spec = json!({ "type": "NodePort", "externalTrafficPolicy": "Local" });
    let external = |slices: &[Value]| rendered(&[web(spec.clone())], slices)[..2].to_vec();
    assert_eq!(
        external(&[both()]),
        ["10.0.0.1:30080 opened > 10.1.0.2:8080 10.2.0.2:8080", "10.0.0.1:30080 arriving > 10.1.0.2:8080",]
    );
    assert_eq!(external(&[elsewhere()])[1], "10.0.0.1:30080 arriving > dropped");
    assert_eq!(external(&[])[1], "10.0.0.1:30080 arriving > refused");
}

#[test]
fn an_internal_local_policy_keeps_to_the_node() {
    let spec = json!({ "internalTrafficPolicy": "Local" });
    let internal = |slices: &[Value]| rendered(&[web(spec.clone())], slices).remove(0);
    assert_eq!(internal(&[both()]), "10.96.0.9:80 > 10.1.0.2:8080");
    assert_eq!(internal(&[elsewhere()]), "10.96.0.9:80 > dropped");
    assert_eq!(internal(&[]), "10.96.0.9:80 > refused");
}

#[test]
fn affinity_lasts_three_hours_unless_the_service_says_otherwise() {
    let affine = |config: Value| {
        let spec = json!({ "sessionAffinity": "ClientIP", "sessionAffinityConfig": config });
        rendered(&[web(spec)], &[elsewhere()]).remove(0)
    };
    assert_eq!(affine(json!(null)), "10.96.0.9:80 > 10.2.0.2:8080 for 10800s");
    let short = json!({ "clientIP": { "timeoutSeconds": 60 } });
    assert_eq!(affine(short), "10.96.0.9:80 > 10.2.0.2:8080 for 60s");
}

#[test]
fn the_oldest_service_keeps_an_address_and_cluster_addresses_come_first() {
    let named = |name: &str, created: &str, spec: Value| {
        let mut service = web(spec);
        service["metadata"]["name"] = json!(name);
        service["metadata"]["creationTimestamp"] = json!(created);
        service
    };
    let claims = json!({ "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
                         "externalIPs": ["192.0.2.10", "10.96.0.8"] });
    let young =
        json!({ "clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.8"], "externalIPs": ["192.0.2.10"] });
    let services =
        [named("young", "2026-01-02T00:00:00Z", young), named("old", "2026-01-01T00:00:00Z", claims)];
    let to =
        |name: &str, address: &str| slice(name, json!([{ "port": 1 }]), json!([{ "addresses": [address] }]));
    let slices = [to("young", "10.1.0.2"), to("old", "10.1.0.3")];
    let expected =
        ["10.96.0.7:80 > 10.1.0.3:1", "10.96.0.8:80 > 10.1.0.2:1", "192.0.2.10:80 masquerade > 10.1.0.3:1"];
    assert_eq!(rendered(&services, &slices), expected);
}

#[test]
fn load_balancers_addresses_are_claimed_unless_they_keep_them_to_themselves() {
    let mut service = web(json!({ "type": "LoadBalancer", "ports": [{ "port": 80 }] }));
    let ingress =
        json!([{ "ip": "192.0.2.7" }, { "ip": "192.0.2.8", "ipMode": "Proxy" }, { "hostname": "lb" }]);
    service["status"] = json!({ "loadBalancer": { "ingress": ingress } });
    let expected = ["10.96.0.9:80 > 10.2.0.2:8080", "192.0.2.7:80 masquerade > 10.2.0.2:8080"];
    assert_eq!(rendered(&[service.clone()], &[elsewhere()]), expected);
    service["metadata"]["labels"] = json!({ OTHER_PROXY: "another" });
    assert!(rendered(&[service], &[elsewhere()]).is_empty());
}
