//! From services and endpoints to redirects; pure.

use ravelin_api::object;
use ravelin_host::Redirect;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// A service's namespace and name, and a port's name.
type PortKey<'a> = (&'a str, &'a str, &'a str);

/// The table for these services and slices: each cluster address and port leads to the endpoints
/// that are ready, in order. What cannot be read is left out, which means refused.
pub fn table<'a>(
    services: impl IntoIterator<Item = &'a Value>,
    slices: impl IntoIterator<Item = &'a Value>,
) -> Vec<Redirect> {
    let mut ready: BTreeMap<PortKey<'a>, BTreeSet<SocketAddr>> = BTreeMap::new();
    for slice in slices {
        gather(slice, &mut ready);
    }
    let mut redirects: BTreeMap<SocketAddr, Vec<SocketAddr>> = BTreeMap::new();
    for service in services {
        let (namespace, name) = (object::namespace(service), object::name(service));
        for port in object::list(service, "spec.ports").iter().filter(|port| is_tcp(port)) {
            let key = (namespace, name, object::text(port, "name"));
            let to: Vec<SocketAddr> = ready.get(&key).into_iter().flatten().copied().collect();
            for address in cluster_addresses(service) {
                let Some(number) = number(&port["port"]) else { continue };
                // The first service keeps an address that two claim.
                redirects.entry(SocketAddr::new(address, number)).or_insert_with(|| to.clone());
            }
        }
    }
    redirects.into_iter().map(|(from, to)| Redirect { from, to }).collect()
}

fn gather<'a>(slice: &'a Value, ready: &mut BTreeMap<PortKey<'a>, BTreeSet<SocketAddr>>) {
    let namespace = object::namespace(slice);
    let labels = object::labels(slice);
    let Some(service) = labels.get("kubernetes.io/service-name") else { return };
    for port in object::list(slice, "ports").iter().filter(|port| is_tcp(port)) {
        let Some(number) = number(&port["port"]) else { continue };
        let to = ready.entry((namespace, service, object::text(port, "name"))).or_default();
        for endpoint in object::list(slice, "endpoints") {
            // "nil should be interpreted as ready" (discovery/v1 types.go).
            if endpoint["conditions"]["ready"] == false {
                continue;
            }
            let addresses = object::texts(endpoint, "addresses");
            let first = addresses.first().and_then(|address| address.parse::<IpAddr>().ok());
            to.extend(first.map(|address| SocketAddr::new(address, number)));
        }
    }
}

/// The service's own addresses: none for headless and external ones.
fn cluster_addresses(service: &Value) -> BTreeSet<IpAddr> {
    let mut texts = object::texts(service, "spec.clusterIPs");
    texts.push(object::text(service, "spec.clusterIP"));
    texts.into_iter().filter_map(|address| address.parse().ok()).collect()
}

fn is_tcp(port: &Value) -> bool {
    matches!(port["protocol"].as_str(), None | Some("TCP"))
}

fn number(port: &Value) -> Option<u16> {
    port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(name: &str, address: &str, ports: Value) -> Value {
        json!({ "metadata": { "namespace": "default", "name": name },
                "spec": { "clusterIP": address, "clusterIPs": [address], "ports": ports } })
    }

    fn slice(service: &str, ports: Value, endpoints: Value) -> Value {
        json!({ "metadata": { "namespace": "default", "labels": { "kubernetes.io/service-name": service } },
                "ports": ports, "endpoints": endpoints })
    }

    fn rendered(table: Vec<Redirect>) -> Vec<String> {
        let render = |redirect: Redirect| {
            let to: Vec<String> = redirect.to.iter().map(ToString::to_string).collect();
            format!("{} > {}", redirect.from, to.join(" "))
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
            "10.96.0.5:81 > ",
            "10.96.0.9:80 > 10.1.0.2:8080 10.1.0.3:8080",
            "10.96.0.9:443 > 10.1.0.2:8443 10.1.0.3:8443",
        ];
        assert_eq!(rendered(table(&services, &slices)), expected);
    }

    #[test]
    fn a_slice_of_another_namespace_leads_nowhere() {
        let services = [service("web", "10.96.0.9", json!([{ "port": 80 }]))];
        let mut other = slice("web", json!([{ "port": 80 }]), json!([{ "addresses": ["10.1.0.9"] }]));
        other["metadata"]["namespace"] = json!("other");
        assert_eq!(rendered(table(&services, &[other])), ["10.96.0.9:80 > "]);
    }
}
