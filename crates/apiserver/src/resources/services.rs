//! What is particular to services: their addresses.

use super::{Target, cause};
use crate::server::Server;
use ipnet::IpNet;
use ravelin_api::Status;
use ravelin_api::object::{self, section_mut};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The first of the ports that `NodePort` services get (`DefaultServiceNodePortRange`).
const FIRST_NODE_PORT: u64 = 30_000;
const LAST_NODE_PORT: u64 = 32_767;
/// The most addresses of a range that are looked at.
const MAX_SEARCHED: usize = 65_536;

/// Fills in what a new service leaves open (`SetDefaults_Service`).
pub(super) fn complete(service: &mut Value) {
    service["status"] = json!({"loadBalancer": {}});
    let spec = section_mut(service, "spec");
    spec.entry("type").or_insert_with(|| json!("ClusterIP"));
    spec.entry("sessionAffinity").or_insert_with(|| json!("None"));
    if spec["type"] != "ExternalName" {
        spec.entry("internalTrafficPolicy").or_insert_with(|| json!("Cluster"));
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(port) = port.as_object_mut() else { continue };
        port.entry("protocol").or_insert_with(|| json!("TCP"));
        if let Some(number) = port.get("port").cloned() {
            port.entry("targetPort").or_insert(number);
        }
    }
}

/// Gives a new service its address and node ports. The caller lets one at a time in here.
pub(super) fn allocate(server: &Server, target: &Target, service: &mut Value) -> Result<(), Status> {
    if target.resource.plural != "services" || object::text(service, "spec.type") == "ExternalName" {
        return Ok(());
    }
    let (others, _) = server.store.list("services", None);
    let asked = object::text(service, "spec.clusterIP").to_owned();
    if asked != "None" {
        let taken: BTreeSet<IpAddr> =
            others.iter().filter_map(|other| object::text(other, "spec.clusterIP").parse().ok()).collect();
        let range = &server.config.service_range;
        let address = if asked.is_empty() {
            free_address(range, target, &taken)
        } else {
            asked_address(range, &asked, &taken)
        };
        let address = address.map_err(|why| {
            let message = format!("Invalid value: [\"{asked}\"]: failed to allocate IP {asked}: {why}");
            target.invalid(vec![cause("FieldValueInvalid", "spec.clusterIPs", message)])
        })?;
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let spec = section_mut(service, "spec");
        spec.insert("clusterIP".into(), json!(address));
        spec.insert("clusterIPs".into(), json!([address]));
        spec.insert("ipFamilies".into(), json!([family]));
        spec.insert("ipFamilyPolicy".into(), json!("SingleStack"));
    }
    if matches!(object::text(service, "spec.type"), "NodePort" | "LoadBalancer") {
        node_ports(target, service, &others)?;
    }
    Ok(())
}

fn asked_address(range: &IpNet, asked: &str, taken: &BTreeSet<IpAddr>) -> Result<IpAddr, String> {
    let address: IpAddr = asked.parse().map_err(|_| "must be a valid IP address".to_owned())?;
    if !range.contains(&address) || address == range.network() {
        return Err(format!(
            "the provided IP ({asked}) is not in the valid range. The range of valid IPs is {range}"
        ));
    }
    if taken.contains(&address) { Err("provided IP is already allocated".to_owned()) } else { Ok(address) }
}

/// The range's first address is for the API's own service; its lower part is left to addresses
/// that are asked for (KEP-3070).
fn free_address(range: &IpNet, target: &Target, taken: &BTreeSet<IpAddr>) -> Result<IpAddr, String> {
    let hosts: Vec<IpAddr> =
        range.hosts().skip_while(|ip| *ip == range.network()).take(MAX_SEARCHED).collect();
    if (target.scope(), target.name.as_str()) == ("default", "kubernetes") {
        let first = hosts.first().filter(|first| !taken.contains(*first));
        return first.copied().ok_or_else(|| "the first address is already allocated".to_owned());
    }
    let hosts = hosts.get(1..).unwrap_or_default();
    let band = (hosts.len() / 16).clamp(16, 256).min(hosts.len());
    let (lower, upper) = hosts.split_at(band);
    let free = upper.iter().chain(lower).find(|ip| !taken.contains(*ip));
    free.copied().ok_or_else(|| "range is full".to_owned())
}

fn node_ports(target: &Target, service: &mut Value, others: &[std::sync::Arc<Value>]) -> Result<(), Status> {
    let ports_of = |service: &Value| -> Vec<u64> {
        let ports = object::list(service, "spec.ports").iter();
        ports.filter_map(|port| port.get("nodePort").and_then(Value::as_u64)).collect()
    };
    let mut taken: BTreeSet<u64> = others.iter().flat_map(|other| ports_of(other)).collect();
    if let Some(port) = ports_of(service).into_iter().find(|port| *port != 0 && !taken.insert(*port)) {
        let message = format!("Invalid value: {port}: provided port is already allocated");
        return Err(target.invalid(vec![cause("FieldValueInvalid", "spec.ports[0].nodePort", message)]));
    }
    let ports = service["spec"].get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter(|port| port["nodePort"].as_u64().unwrap_or(0) == 0) {
        let free = (FIRST_NODE_PORT..=LAST_NODE_PORT).find(|port| !taken.contains(port));
        let free =
            free.ok_or_else(|| Status::internal_error("failed to allocate a nodePort: range is full"))?;
        taken.insert(free);
        port["nodePort"] = json!(free);
    }
    Ok(())
}

/// A service keeps its address.
pub(super) fn check_update(target: &Target, new: &mut Value, present: &Value) -> Result<(), Status> {
    let (asked, now) = (object::text(new, "spec.clusterIP"), object::text(present, "spec.clusterIP"));
    if !asked.is_empty() && asked != now && !now.is_empty() {
        let message = "Invalid value: field is immutable";
        return Err(target.invalid(vec![cause("FieldValueInvalid", "spec.clusterIPs[0]", message)]));
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if let Some(kept) = present["spec"].get(field) {
            section_mut(new, "spec").insert(field.to_owned(), kept.clone());
        }
    }
    Ok(())
}
