//! The EndpointSlice that a service with a selector should have; pure.
//!
//! After `staging/src/k8s.io/endpointslice`, with one slice a service.

use serde_json::{Value, json};

/// Who manages the slices made here (the label's value is Kubernetes').
const MANAGED_BY: &str = "endpointslice-controller.k8s.io";

/// The slice of a service, or `None` where it has no selector or is malformed.
pub(crate) fn slice_of(service: &Value, pods: &[Value]) -> Option<Value> {
    let text = |pointer: &str| service.pointer(pointer).and_then(Value::as_str);
    let (namespace, name, uid) =
        (text("/metadata/namespace")?, text("/metadata/name")?, text("/metadata/uid")?);
    let selector = service.pointer("/spec/selector")?.as_object().filter(|selector| !selector.is_empty())?;
    let selected = |pod: &&Value| {
        pod["metadata"]["namespace"] == namespace
            && selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value)
    };
    let backing: Vec<&Value> = pods.iter().filter(selected).filter(|pod| address(pod).is_some()).collect();
    let ports =
        service.pointer("/spec/ports").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let ports: Vec<Value> = ports.iter().filter_map(|port| slice_port(port, &backing)).collect();
    let endpoints: Vec<Value> = backing.iter().map(|pod| endpoint(pod)).collect();
    Some(json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-{}", uid.get(..5).unwrap_or(uid)),
            "namespace": namespace,
            "labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": MANAGED_BY,
            },
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": name, "uid": uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    }))
}

/// Is this a slice that [`slice_of`] made?
pub(crate) fn is_managed(slice: &Value) -> bool {
    slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == MANAGED_BY
}

/// Does the slice say what the wanted one does?
pub(crate) fn is_current(slice: &Value, wanted: &Value) -> bool {
    slice["endpoints"] == wanted["endpoints"] && slice["ports"] == wanted["ports"]
}

fn address(pod: &Value) -> Option<&str> {
    let over = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    pod["status"]["podIP"].as_str().filter(|address| !address.is_empty() && !over)
}

fn endpoint(pod: &Value) -> Value {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let ready =
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"));
    let terminating = !pod["metadata"]["deletionTimestamp"].is_null();
    json!({
        "addresses": [address(pod)],
        "conditions": { "ready": ready && !terminating, "serving": ready, "terminating": terminating },
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": {
            "kind": "Pod",
            "name": pod["metadata"]["name"],
            "namespace": pod["metadata"]["namespace"],
            "uid": pod["metadata"]["uid"],
        },
    })
}

fn slice_port(port: &Value, pods: &[&Value]) -> Option<Value> {
    let target = match &port["targetPort"] {
        Value::Null => port["port"].as_u64(),
        Value::String(name) => pods.iter().find_map(|pod| named_port(pod, name)),
        number => number.as_u64(),
    };
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    let name = port["name"].as_str().unwrap_or_default();
    Some(json!({ "name": name, "port": target?, "protocol": protocol }))
}

fn named_port(pod: &Value, name: &str) -> Option<u64> {
    let containers = pod.pointer("/spec/containers")?.as_array()?;
    let mut ports = containers.iter().filter_map(|container| container["ports"].as_array()).flatten();
    ports.find(|port| port["name"] == name)?["containerPort"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, app: &str, ready: &str, ip: &str) -> Value {
        json!({
            "metadata": { "namespace": "default", "name": name, "uid": name, "labels": { "app": app } },
            "spec": { "nodeName": "n1", "containers": [{ "ports": [{ "name": "web", "containerPort": 8080 }] }] },
            "status": { "podIP": ip, "conditions": [{ "type": "Ready", "status": ready }] },
        })
    }

    #[test]
    fn a_slice_holds_the_selected_pods_that_have_an_address() {
        let service = json!({
            "metadata": { "namespace": "default", "name": "web", "uid": "0123456789" },
            "spec": { "selector": { "app": "a" }, "ports": [{ "port": 80, "targetPort": "web" }, { "port": 81 }] },
        });
        let pods = [
            pod("ready", "a", "True", "10.1.0.2"),
            pod("unready", "a", "False", "10.1.0.3"),
            pod("starting", "a", "False", ""),
            pod("other", "b", "True", "10.1.0.4"),
        ];
        let slice = slice_of(&service, &pods).unwrap();
        assert_eq!(slice["metadata"]["name"], "web-01234");
        let endpoints = slice["endpoints"].as_array().unwrap();
        let brief: Vec<_> = endpoints
            .iter()
            .map(|e| (e["addresses"][0].as_str().unwrap(), e["conditions"]["ready"] == true))
            .collect();
        assert_eq!(brief, [("10.1.0.2", true), ("10.1.0.3", false)]);
        assert_eq!(slice["ports"][0]["port"], 8080);
        assert_eq!(slice["ports"][1]["port"], 81);
        assert!(is_current(&slice, &slice) && is_managed(&slice));
    }

    #[test]
    fn a_service_without_selector_gets_no_slice() {
        let service =
            json!({ "metadata": { "namespace": "default", "name": "kubernetes", "uid": "u" }, "spec": {} });
        assert_eq!(slice_of(&service, &[]), None);
    }
}
