//! Services, endpoints and slices of them in tables.

use super::cells::{NONE, age, labels, named, or};
use jiff::Timestamp;
use ravelin_api::object;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How many addresses or ports are shown of a longer list.
const MAX_SHOWN: usize = 3;

pub(super) fn service(item: &Value, now: Timestamp) -> Vec<Value> {
    let own = object::texts(item, "spec.clusterIPs");
    let own = own.first().copied().unwrap_or_else(|| object::text(item, "spec.clusterIP"));
    vec![
        json!(object::name(item)),
        json!(object::text(item, "spec.type")),
        json!(or(own, NONE)),
        json!(external(item)),
        json!(or(&ports(item), NONE)),
        age(item, now),
        json!(labels(object::at(item, "spec.selector"))),
    ]
}

fn external(item: &Value) -> String {
    let external = object::texts(item, "spec.externalIPs");
    match object::text(item, "spec.type") {
        "ClusterIP" | "NodePort" => or(&external.join(","), NONE).to_owned(),
        "LoadBalancer" => {
            let balancer: BTreeSet<&str> = object::list(item, "status.loadBalancer.ingress")
                .iter()
                .map(|ingress| or(object::text(ingress, "ip"), object::text(ingress, "hostname")))
                .filter(|place| !place.is_empty())
                .collect();
            let all: Vec<&str> = balancer.into_iter().chain(external).collect();
            or(&all.join(","), "<pending>").to_owned()
        }
        "ExternalName" => object::text(item, "spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn ports(item: &Value) -> String {
    let ports = object::list(item, "spec.ports").iter().map(|port| {
        let number = |name: &str| port.get(name).and_then(Value::as_i64).unwrap_or(0);
        let protocol = object::text(port, "protocol");
        match number("nodePort") {
            0 => format!("{}/{protocol}", number("port")),
            on_nodes => format!("{}:{on_nodes}/{protocol}", number("port")),
        }
    });
    ports.collect::<Vec<_>>().join(",")
}

/// The first few of a list, and how many more there are.
fn few(list: &[String], empty: &str) -> String {
    match list.len().checked_sub(MAX_SHOWN) {
        Some(more) if more > 0 => format!("{} + {more} more...", list[..MAX_SHOWN].join(",")),
        _ => or(&list.join(","), empty).to_owned(),
    }
}

pub(super) fn endpoints(item: &Value, now: Timestamp) -> Vec<Value> {
    let subsets = object::list(item, "subsets");
    let mut all = Vec::new();
    for subset in subsets {
        let ips = || object::list(subset, "addresses").iter().map(|address| object::text(address, "ip"));
        let ports = object::list(subset, "ports");
        if ports.is_empty() {
            all.extend(ips().map(str::to_owned));
        }
        for port in ports {
            let port = port.get("port").and_then(Value::as_i64).unwrap_or(0);
            all.extend(
                ips().map(
                    |ip| {
                        if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
                    },
                ),
            );
        }
    }
    let shown = if subsets.is_empty() { NONE.to_owned() } else { few(&all, "") };
    named(item, now, [json!(shown)])
}

pub(super) fn slice(item: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = object::list(item, "ports")
        .iter()
        .map(|port| match (port.get("port").and_then(Value::as_i64), port.get("name")) {
            (Some(number), _) => number.to_string(),
            (None, Some(Value::String(name))) => name.clone(),
            (None, _) => "*".to_owned(),
        })
        .collect();
    let addresses: Vec<String> = object::list(item, "endpoints")
        .iter()
        .flat_map(|endpoint| object::texts(endpoint, "addresses"))
        .map(str::to_owned)
        .collect();
    let (ports, addresses) = (few(&ports, "<unset>"), few(&addresses, "<unset>"));
    named(item, now, [json!(object::text(item, "addressType")), json!(ports), json!(addresses)])
}
