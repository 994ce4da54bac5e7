//! The environment variables that name services; pure.
//!
//! `getServiceEnvVarMap` of `pkg/kubelet/kubelet_pods.go` and `FromServices` of
//! `pkg/kubelet/envvars`: those of the pod's namespace, and always the `kubernetes` service.

use ravelin_api::object;
use serde_json::Value;
use std::collections::BTreeMap;

/// The variables for a pod, as the services are now; `None` where there is no `kubernetes` service.
pub(super) fn variables<'a>(
    services: impl IntoIterator<Item = &'a Value>,
    pod: &Value,
) -> Option<BTreeMap<String, String>> {
    let links = object::flag(pod, "spec.enableServiceLinks") != Some(false);
    let namespace = object::namespace(pod);
    let mut known: BTreeMap<&str, &Value> = BTreeMap::new();
    let mut has_apiserver = false;
    for service in services.into_iter().filter(|service| is_reachable(service)) {
        let (name, of) = (object::name(service), object::namespace(service));
        if (of, name) == ("default", "kubernetes") {
            has_apiserver = true;
            // A service of that name in the pod's own namespace comes first.
            known.entry(name).or_insert(service);
        } else if links && of == namespace {
            known.insert(name, service);
        }
    }
    let mut variables = BTreeMap::new();
    known.into_values().for_each(|service| add(&mut variables, service));
    has_apiserver.then_some(variables)
}

/// Has it an address?
fn is_reachable(service: &Value) -> bool {
    !matches!(object::text(service, "spec.clusterIP"), "" | "None")
}

fn add(variables: &mut BTreeMap<String, String>, service: &Value) {
    let start = screaming(object::name(service));
    let address = object::text(service, "spec.clusterIP");
    let ports = object::list(service, "spec.ports");
    let Some(first) = ports.first() else { return };
    let mut set = |name: String, value: String| {
        variables.insert(name, value);
    };
    set(format!("{start}_SERVICE_HOST"), address.to_owned());
    set(format!("{start}_SERVICE_PORT"), first["port"].to_string());
    for (number, port) in ports.iter().enumerate() {
        let name = object::text(port, "name");
        if !name.is_empty() {
            set(format!("{start}_SERVICE_PORT_{}", screaming(name)), port["port"].to_string());
        }
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let url = format!("{}://{}:{}", protocol.to_lowercase(), bracketed(address), port["port"]);
        if number == 0 {
            set(format!("{start}_PORT"), url.clone());
        }
        let each = format!("{start}_PORT_{}_{protocol}", port["port"]);
        set(each.clone(), url);
        set(format!("{each}_PROTO"), protocol.to_lowercase());
        set(format!("{each}_PORT"), port["port"].to_string());
        set(format!("{each}_ADDR"), address.to_owned());
    }
}

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

fn screaming(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(namespace: &str, name: &str, address: &str, ports: Value) -> Value {
        json!({ "metadata": { "namespace": namespace, "name": name },
                "spec": { "clusterIP": address, "ports": ports } })
    }

    fn names(services: &[Value], pod: Value) -> Vec<String> {
        variables(services, &pod).expect("there is an apiserver").into_keys().collect()
    }

    #[test]
    fn services_are_named_as_docker_named_linked_containers() {
        let services = [
            service("default", "kubernetes", "10.96.0.1", json!([{ "name": "https", "port": 443 }])),
            service("ns", "my-db", "10.96.0.2", json!([{ "port": 5432, "protocol": "TCP" }])),
            service("ns", "headless", "None", json!([{ "port": 1 }])),
            service("other", "theirs", "10.96.0.3", json!([{ "port": 1 }])),
        ];
        let pod = json!({ "metadata": { "namespace": "ns" }, "spec": {} });
        let set = variables(&services, &pod).expect("there is an apiserver");
        let expected = [
            ("KUBERNETES_PORT", "tcp://10.96.0.1:443"),
            ("KUBERNETES_PORT_443_TCP", "tcp://10.96.0.1:443"),
            ("KUBERNETES_PORT_443_TCP_ADDR", "10.96.0.1"),
            ("KUBERNETES_PORT_443_TCP_PORT", "443"),
            ("KUBERNETES_PORT_443_TCP_PROTO", "tcp"),
            ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
            ("KUBERNETES_SERVICE_PORT", "443"),
            ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
            ("MY_DB_PORT", "tcp://10.96.0.2:5432"),
            ("MY_DB_PORT_5432_TCP", "tcp://10.96.0.2:5432"),
            ("MY_DB_PORT_5432_TCP_ADDR", "10.96.0.2"),
            ("MY_DB_PORT_5432_TCP_PORT", "5432"),
            ("MY_DB_PORT_5432_TCP_PROTO", "tcp"),
            ("MY_DB_SERVICE_HOST", "10.96.0.2"),
            ("MY_DB_SERVICE_PORT", "5432"),
        ];
        let set: Vec<_> = set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(set, expected);
        let unlinked = json!({ "metadata": { "namespace": "ns" }, "spec": { "enableServiceLinks": false } });
        assert!(names(&services, unlinked).iter().all(|name| name.starts_with("KUBERNETES_")));
        assert_eq!(variables(&services[1..], &pod), None, "nothing leads to an apiserver");
    }

    #[test]
    fn a_namespaces_own_kubernetes_service_comes_first() {
        let services = [
            service("default", "kubernetes", "10.96.0.1", json!([{ "port": 443 }])),
            service("ns", "kubernetes", "10.96.0.66", json!([{ "port": 443 }])),
        ];
        let pod = json!({ "metadata": { "namespace": "ns" }, "spec": {} });
        for order in [[0, 1], [1, 0]] {
            let services = order.map(|index: usize| services[index].clone());
            let set = variables(&services, &pod).expect("there is an apiserver");
            assert_eq!(set["KUBERNETES_SERVICE_HOST"], "10.96.0.66");
        }
    }
}
