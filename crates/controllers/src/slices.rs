//! The EndpointSlices and Endpoints that services should have; pure.
//!
//! After `staging/src/k8s.io/endpointslice`, `pkg/controller/endpoint` and
//! `pkg/controller/endpointslicemirroring`. Upstream gives slices random names; here they follow
//! from the service, so that a slice is found again.

use ravelin_api::object;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Who manages the slices made here for selectors (the label's value is Kubernetes').
const SLICES: &str = "endpointslice-controller.k8s.io";
/// Who manages those that repeat Endpoints made by hand.
const MIRRORING: &str = "endpointslicemirroring-controller.k8s.io";
/// Who manages Endpoints.
const ENDPOINTS: &str = "endpoint-controller";

const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const ENDPOINTS_MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const HEADLESS: &str = "service.kubernetes.io/headless";
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// What a leader's Endpoints carry, which were once used for elections.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// The most endpoints of one slice (`--max-endpoints-per-slice`).
const MAX_ENDPOINTS: usize = 100;
/// The most addresses of Endpoints that are repeated (`--mirroring-max-endpoints-per-subset`), or
/// made (`maxCapacity` of the endpoints controller).
const MAX_ADDRESSES: usize = 1000;

/// The pods that back a service, or nothing where it has no selector or is malformed.
pub(crate) fn backing<'a>(service: &Value, pods: &[&'a Value]) -> Option<Vec<&'a Value>> {
    let selector =
        object::at(service, "spec.selector")?.as_object().filter(|selector| !selector.is_empty())?;
    if object::text(service, "spec.type") == "ExternalName" {
        return None;
    }
    let namespace = object::namespace(service);
    let selected = |pod: &&&Value| {
        object::namespace(pod) == namespace
            && selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value)
            && address(pod).is_some()
    };
    Some(pods.iter().filter(selected).copied().collect())
}

/// The slices of a service with these pods: one for each set of port numbers, and each hundred.
pub(crate) fn slices_of(service: &Value, backing: &[&Value]) -> Vec<Value> {
    let publishes_all = object::flag(service, "spec.publishNotReadyAddresses") == Some(true);
    let mut groups: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for pod in backing {
        let ports = Value::Array(ports_of(service, pod));
        let group = groups.entry(ports.to_string()).or_insert_with(|| (ports, Vec::new()));
        group.1.push(endpoint(service, pod, publishes_all));
    }
    if groups.is_empty() {
        // A service without pods has a slice that says so.
        groups.insert(String::new(), (json!([]), Vec::new()));
    }
    let mut slices = Vec::new();
    for (ports, endpoints) in groups.into_values() {
        for part in endpoints.chunks(MAX_ENDPOINTS).chain(endpoints.is_empty().then_some(&[][..])) {
            slices.push(slice(service, slices.len(), (&ports, part)));
        }
    }
    slices
}

fn slice(service: &Value, number: usize, (ports, endpoints): (&Value, &[Value])) -> Value {
    let (name, uid) = (object::name(service), object::uid(service));
    let start = format!("{name}-{}", uid.get(..5).unwrap_or(uid));
    let mut labels = labels_of(service);
    labels.insert(SERVICE_NAME.to_owned(), json!(name));
    labels.insert(MANAGED_BY.to_owned(), json!(SLICES));
    let is_v6 = endpoints.first().is_some_and(|one| one["addresses"][0].as_str().is_some_and(is_v6));
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": if number == 0 { start } else { format!("{start}-{number}") },
            "namespace": object::namespace(service),
            "labels": labels,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": name, "uid": uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "addressType": if is_v6 { "IPv6" } else { "IPv4" },
        "endpoints": endpoints,
        "ports": ports,
    })
}

/// The labels that a service hands on.
fn labels_of(service: &Value) -> Map<String, Value> {
    let mut labels = service["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    if matches!(object::text(service, "spec.clusterIP"), "" | "None") {
        labels.insert(HEADLESS.to_owned(), json!(""));
    } else {
        labels.remove(HEADLESS);
    }
    labels
}

/// The Endpoints of a service with these pods. Upstream keeps them beside the slices.
pub(crate) fn endpoints_of(service: &Value, backing: &[&Value]) -> Value {
    let publishes_all = object::flag(service, "spec.publishNotReadyAddresses") == Some(true);
    let mut subsets: BTreeMap<String, (Value, [Vec<Value>; 2])> = BTreeMap::new();
    for pod in backing.iter().take(MAX_ADDRESSES) {
        if object::is_terminating(pod) && !publishes_all {
            continue;
        }
        let ports = Value::Array(ports_of(service, pod));
        let subset = subsets.entry(ports.to_string()).or_insert_with(|| (ports, Default::default()));
        let is_ready = publishes_all || is_ready(pod);
        subset.1[usize::from(!is_ready)].push(json!({
            "ip": address(pod), "nodeName": pod["spec"]["nodeName"], "targetRef": target(pod),
        }));
    }
    let subsets = subsets.into_values().map(|(ports, [ready, not_ready])| {
        let mut subset = json!({});
        for (name, mut addresses) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
            addresses.sort_by_key(|one| one["ip"].as_str().and_then(|ip| ip.parse::<IpAddr>().ok()));
            if !addresses.is_empty() {
                subset[name] = Value::Array(addresses);
            }
        }
        if ports.as_array().is_some_and(|ports| !ports.is_empty()) {
            subset["ports"] = ports;
        }
        subset
    });
    let mut labels = labels_of(service);
    labels.insert(ENDPOINTS_MANAGED_BY.to_owned(), json!(ENDPOINTS));
    let subsets: Vec<Value> = subsets.collect();
    let mut endpoints = json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": object::name(service), "namespace": object::namespace(service), "labels": labels,
        },
    });
    if !subsets.is_empty() {
        endpoints["subsets"] = Value::Array(subsets);
    }
    endpoints
}

/// The slices that repeat Endpoints which somebody made by hand for a service without a selector:
/// one for each subset.
pub(crate) fn mirrored(endpoints: &Value, service: Option<&Value>) -> Vec<Value> {
    let is_ours = |service: &Value| {
        let selector = object::at(service, "spec.selector").and_then(Value::as_object);
        selector.is_none_or(Map::is_empty)
    };
    let skips = object::labels(endpoints).get(SKIP_MIRROR) == Some(&"true")
        || object::annotations(endpoints).contains_key(LEADER);
    if skips || !service.is_some_and(is_ours) {
        return Vec::new();
    }
    let subsets = object::list(endpoints, "subsets").iter().enumerate();
    subsets.map(|(number, subset)| mirror(endpoints, number, subset)).collect()
}

fn mirror(endpoints: &Value, number: usize, subset: &Value) -> Value {
    let (name, uid) = (object::name(endpoints), object::uid(endpoints));
    let mut labels = endpoints["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), json!(name));
    labels.insert(MANAGED_BY.to_owned(), json!(MIRRORING));
    let mut all = Vec::new();
    for (list, ready) in [("addresses", true), ("notReadyAddresses", false)] {
        for address in object::list(subset, list).iter().take(MAX_ADDRESSES) {
            let mut endpoint = json!({ "addresses": [address["ip"]], "conditions": { "ready": ready } });
            for part in ["hostname", "nodeName", "targetRef"] {
                if !address[part].is_null() {
                    endpoint[part] = address[part].clone();
                }
            }
            all.push(endpoint);
        }
    }
    let is_v6 = all.first().is_some_and(|one| one["addresses"][0].as_str().is_some_and(is_v6));
    let port = |port: &Value| {
        json!({ "name": port["name"].as_str().unwrap_or_default(), "port": port["port"],
                "protocol": port["protocol"].as_str().unwrap_or("TCP") })
    };
    let ports: Vec<Value> = object::list(subset, "ports").iter().map(port).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-mirror-{number}"),
            "namespace": object::namespace(endpoints),
            "labels": labels,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Endpoints", "name": name, "uid": uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "addressType": if is_v6 { "IPv6" } else { "IPv4" },
        "endpoints": all,
        "ports": ports,
    })
}

/// Is this a slice that [`slices_of`] made?
pub(crate) fn is_managed(slice: &Value) -> bool {
    object::labels(slice).get(MANAGED_BY) == Some(&SLICES)
}

/// Is this a slice that [`mirrored`] made?
pub(crate) fn is_mirror(slice: &Value) -> bool {
    object::labels(slice).get(MANAGED_BY) == Some(&MIRRORING)
}

/// Are these Endpoints that [`endpoints_of`] made?
pub(crate) fn is_derived(endpoints: &Value) -> bool {
    object::labels(endpoints).get(ENDPOINTS_MANAGED_BY) == Some(&ENDPOINTS)
}

/// A pod's address, while it has one and is not over.
fn address(pod: &Value) -> Option<&str> {
    let over = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    pod["status"]["podIP"].as_str().filter(|address| !address.is_empty() && !over)
}

fn is_ready(pod: &Value) -> bool {
    object::has_condition(pod, "Ready")
}

fn is_v6(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6())
}

fn target(pod: &Value) -> Value {
    json!({
        "kind": "Pod",
        "name": pod["metadata"]["name"],
        "namespace": pod["metadata"]["namespace"],
        "uid": pod["metadata"]["uid"],
    })
}

/// `podToEndpoint`: "ready" is never true of a pod that ends, unless all are to be published.
fn endpoint(service: &Value, pod: &Value, publishes_all: bool) -> Value {
    let (serving, terminating) = (is_ready(pod), object::is_terminating(pod));
    let mut endpoint = json!({
        "addresses": [address(pod)],
        "conditions": {
            "ready": publishes_all || serving && !terminating, "serving": serving, "terminating": terminating,
        },
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": target(pod),
    });
    let hostname = object::text(pod, "spec.hostname");
    if !hostname.is_empty() && object::text(pod, "spec.subdomain") == object::name(service) {
        endpoint["hostname"] = json!(hostname);
    }
    endpoint
}

/// The ports of a service as they are at a pod; those that the pod does not name are left out.
fn ports_of(service: &Value, pod: &Value) -> Vec<Value> {
    object::list(service, "spec.ports").iter().filter_map(|port| port_of(port, pod)).collect()
}

fn port_of(port: &Value, pod: &Value) -> Option<Value> {
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    let target = match &port["targetPort"] {
        Value::String(name) => named_port(pod, (name, protocol)),
        number => number.as_u64().filter(|number| *number != 0).or_else(|| port["port"].as_u64()),
    };
    let name = port["name"].as_str().unwrap_or_default();
    let mut known = json!({ "name": name, "port": target?, "protocol": protocol });
    if let Some(spoken) = port["appProtocol"].as_str() {
        known["appProtocol"] = json!(spoken);
    }
    Some(known)
}

fn named_port(pod: &Value, (name, protocol): (&str, &str)) -> Option<u64> {
    let containers = object::list(pod, "spec.containers").iter();
    let mut ports = containers.flat_map(|container| object::list(container, "ports"));
    let found =
        ports.find(|port| port["name"] == name && port["protocol"].as_str().unwrap_or("TCP") == protocol);
    found?["containerPort"].as_u64()
}

#[cfg(test)]
mod tests;
