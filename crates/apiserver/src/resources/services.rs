//! What is particular to services: their defaults, addresses and ports.
//!
//! After `SetDefaults_Service` of `pkg/apis/core/v1/defaults.go` and `pkg/registry/core/service`.

use super::service_ports::{health_port, node_ports, ports_of};
use super::{Target, cause};
use crate::server::Server;
use ipnet::IpNet;
use ravelin_api::Status;
use ravelin_api::object::{self, section_mut};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The most addresses of a range that are looked at.
const MAX_SEARCHED: usize = 65_536;
/// How long a client comes to the same endpoint (`DefaultClientIPServiceAffinitySeconds`).
const AFFINITY_SECONDS: u64 = 10_800;

/// Fills in what a new service leaves open.
pub(super) fn complete(service: &mut Value) {
    service["status"] = json!({"loadBalancer": {}});
    default(service);
    let spec = section_mut(service, "spec");
    let asked = spec.get("clusterIP").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !asked.is_empty() && !has_members(spec, "clusterIPs") {
        spec.insert("clusterIPs".into(), json!([asked]));
    }
}

fn default(service: &mut Value) {
    let external = is_external(service);
    let spec = section_mut(service, "spec");
    // What is empty is as good as absent.
    for field in ["type", "sessionAffinity", "clusterIP", "externalTrafficPolicy", "internalTrafficPolicy"] {
        if spec.get(field).is_some_and(|value| value.is_null() || value == "") {
            spec.remove(field);
        }
    }
    let kind = spec.entry("type").or_insert_with(|| json!("ClusterIP")).clone();
    let affinity = spec.entry("sessionAffinity").or_insert_with(|| json!("None")).clone();
    if affinity == "None" {
        spec.remove("sessionAffinityConfig");
    } else if affinity == "ClientIP" {
        let config = spec.entry("sessionAffinityConfig").or_insert_with(|| json!({}));
        if config["clientIP"]["timeoutSeconds"].is_null() {
            *config = json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}});
        }
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(port) = port.as_object_mut() else { continue };
        port.entry("protocol").or_insert_with(|| json!("TCP"));
        let is_open = |target: &Value| {
            target.is_null() || target == "" || target.as_u64().is_some_and(|number| number == 0)
        };
        if port.get("targetPort").is_none_or(is_open) {
            let number = port.get("port").cloned().unwrap_or_else(|| json!(0));
            port.insert("targetPort".into(), number);
        }
    }
    if external {
        spec.entry("externalTrafficPolicy").or_insert_with(|| json!("Cluster"));
    }
    if kind != "ExternalName" {
        spec.entry("internalTrafficPolicy").or_insert_with(|| json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        spec.entry("allocateLoadBalancerNodePorts").or_insert_with(|| json!(true));
    }
}

fn has_members(spec: &Map<String, Value>, list: &str) -> bool {
    spec.get(list).and_then(Value::as_array).is_some_and(|members| !members.is_empty())
}

/// Its type.
pub(super) fn kind(service: &Value) -> &str {
    object::text(service, "spec.type")
}

/// Has it no address of its own because it wants none?
pub(super) fn is_headless(service: &Value) -> bool {
    object::text(service, "spec.clusterIP") == "None" || object::texts(service, "spec.clusterIPs") == ["None"]
}

/// Can it be reached from outside of the cluster (`ExternallyAccessible`)?
pub(super) fn is_external(service: &Value) -> bool {
    let claims = !object::list(service, "spec.externalIPs").is_empty();
    match kind(service) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" | "" => claims,
        _ => false,
    }
}

/// Must its nodes tell a load balancer where its endpoints are (`NeedsHealthCheck`)?
pub(super) fn needs_health_check(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && object::text(service, "spec.externalTrafficPolicy") == "Local"
}

fn needs_address(service: &Value) -> bool {
    matches!(kind(service), "ClusterIP" | "NodePort" | "LoadBalancer")
}

/// Does each of its ports get a port of the nodes?
pub(super) fn needs_node_ports(service: &Value) -> bool {
    kind(service) == "NodePort"
        || kind(service) == "LoadBalancer"
            && object::flag(service, "spec.allocateLoadBalancerNodePorts") != Some(false)
}

/// Gives a new service its address and node ports. The caller lets one at a time in here.
pub(super) fn allocate(server: &Server, target: &Target, service: &mut Value) -> Result<(), Status> {
    if target.resource.plural != "services" || kind(service) == "ExternalName" {
        return Ok(());
    }
    let (others, _) = server.reading().list("services", None);
    if is_headless(service) {
        families_of_headless(&server.config.service_range, service);
    } else {
        address(server, target, service, &others)?;
    }
    node_ports((target, server.config.node_ports), service, &others)
}

/// Gives a changed service what it lacks by now, as another type may need more. The caller lets one at
/// a time in here.
pub(super) fn reallocate(
    server: &Server,
    target: &Target,
    (service, present): (&mut Value, &Value),
) -> Result<(), Status> {
    if kind(service) == "ExternalName" {
        return Ok(());
    }
    let lacks_address = kind(present) == "ExternalName" && !is_headless(service);
    let has_all = ports_of(service).len() == object::list(service, "spec.ports").len();
    let lacks_ports = needs_node_ports(service) && !has_all || ports_of(service) != ports_of(present);
    let lacks_health = needs_health_check(service) && health_port(service).is_none();
    if !lacks_address && !lacks_ports && !lacks_health {
        return Ok(());
    }
    let (mut others, _) = server.reading().list("services", None);
    others.retain(|other| object::uid(other) != object::uid(present));
    if lacks_address {
        address(server, target, service, &others)?;
    }
    node_ports((target, server.config.node_ports), service, &others)
}

fn address(
    server: &Server,
    target: &Target,
    service: &mut Value,
    others: &[Arc<Value>],
) -> Result<(), Status> {
    let taken: BTreeSet<IpAddr> =
        others.iter().filter_map(|other| object::text(other, "spec.clusterIP").parse().ok()).collect();
    let range = &server.config.service_range;
    let asked = object::text(service, "spec.clusterIP").to_owned();
    let address = if asked.is_empty() {
        let full = |why| Status::internal_error(&format!("failed to allocate a serviceIP: {why}"));
        free_address(range, target, &taken).map_err(full)?
    } else {
        asked_address(range, &asked, &taken).map_err(|why| {
            let shown = &service["spec"]["clusterIPs"];
            let message = format!("Invalid value: {shown}: failed to allocate IP {asked}: {why}");
            target.invalid(vec![cause("FieldValueInvalid", "spec.clusterIPs", message)])
        })?
    };
    let spec = section_mut(service, "spec");
    spec.insert("clusterIP".into(), json!(address));
    spec.insert("clusterIPs".into(), json!([address]));
    spec.insert("ipFamilies".into(), json!([family(address)]));
    spec.insert("ipFamilyPolicy".into(), json!("SingleStack"));
    Ok(())
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Headless services without a selector may have endpoints of both families.
fn families_of_headless(range: &IpNet, service: &mut Value) {
    let selects = object::at(service, "spec.selector").and_then(Value::as_object);
    let selects = selects.is_some_and(|selector| !selector.is_empty());
    let own = family(range.addr());
    let other = if own == "IPv4" { "IPv6" } else { "IPv4" };
    let spec = section_mut(service, "spec");
    let (policy, families) =
        if selects { ("SingleStack", json!([own])) } else { ("RequireDualStack", json!([own, other])) };
    spec.entry("ipFamilyPolicy").or_insert_with(|| json!(policy));
    spec.entry("ipFamilies").or_insert(families);
}

fn asked_address(range: &IpNet, asked: &str, taken: &BTreeSet<IpAddr>) -> Result<IpAddr, String> {
    let address: IpAddr = asked.parse().map_err(|_| "must be a valid IP address".to_owned())?;
    let is_edge = address == range.network() || address.is_ipv4() && address == range.broadcast();
    if !range.contains(&address) || is_edge {
        return Err("the provided network does not match the current range".to_owned());
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

/// A changed service keeps what it was given (`patchAllocatedValues`), unless its new type has no use
/// for it (`dropTypeDependentFields`), and its address for good.
pub(super) fn check_update(target: &Target, new: &mut Value, present: &Value) -> Result<(), Status> {
    default(new);
    keep_allocated(new, present);
    drop_by_type(new, present);
    let (old, now) = (object::texts(present, "spec.clusterIPs"), object::texts(new, "spec.clusterIPs"));
    let both_have = kind(new) != "ExternalName" && kind(present) != "ExternalName";
    if both_have && !old.is_empty() && old.first() != now.first() {
        let shown = &new["spec"]["clusterIPs"];
        let shown = if shown.is_null() { json!([]) } else { shown.clone() };
        let message = format!("Invalid value: {shown}: may not change once set");
        return Err(target.invalid(vec![cause("FieldValueInvalid", "spec.clusterIPs[0]", message)]));
    }
    Ok(())
}

fn keep_allocated(new: &mut Value, present: &Value) {
    if needs_address(new) && needs_address(present) {
        let (old, now) = (&present["spec"]["clusterIP"], object::text(new, "spec.clusterIP").to_owned());
        let spec = section_mut(new, "spec");
        if now.is_empty() && !has_members(spec, "clusterIPs") && !old.is_null() {
            spec.insert("clusterIP".into(), old.clone());
        }
        let changed = !now.is_empty() && *old != json!(now);
        if changed && spec.get("clusterIPs").is_none_or(|all| *all == present["spec"]["clusterIPs"]) {
            spec.insert("clusterIPs".into(), json!([now]));
        }
        for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            let kept = &present["spec"][field];
            if spec.get(field).is_none_or(Value::is_null) && !kept.is_null() {
                spec.insert(field.to_owned(), kept.clone());
            }
        }
    }
    let has_node_ports = |service: &Value| matches!(kind(service), "NodePort" | "LoadBalancer");
    if has_node_ports(new) && has_node_ports(present) {
        let mut used: BTreeSet<u64> = ports_of(new).into_iter().collect();
        for port in new["spec"].get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            let old = object::list(present, "spec.ports").iter();
            let same = old.filter(|old| object::text(old, "name") == object::text(port, "name"));
            let known = same.filter_map(|old| old["nodePort"].as_u64()).next_back();
            if let Some(known) = known.filter(|_| port["nodePort"].as_u64().unwrap_or(0) == 0)
                && used.insert(known)
            {
                port["nodePort"] = json!(known);
            }
        }
    }
    if needs_health_check(new)
        && let Some(port) = health_port(present).filter(|_| health_port(new).is_none())
    {
        section_mut(new, "spec").insert("healthCheckNodePort".into(), json!(port));
    }
}

/// What the user did not touch and a type does not have goes with the old type.
fn drop_by_type(new: &mut Value, present: &Value) {
    let same = |field: &str, new: &Value| new["spec"][field] == present["spec"][field];
    let mut drop = Vec::new();
    if !needs_address(new) && needs_address(present) {
        drop.extend(["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
    }
    if needs_health_check(present) && !needs_health_check(new) {
        drop.push("healthCheckNodePort");
    }
    if kind(present) == "LoadBalancer" && kind(new) != "LoadBalancer" {
        drop.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if is_external(present) && !is_external(new) {
        drop.push("externalTrafficPolicy");
    }
    drop.retain(|field| same(field, new));
    let had = matches!(kind(present), "NodePort" | "LoadBalancer");
    let has = matches!(kind(new), "NodePort" | "LoadBalancer");
    let unchanged = ports_of(new) == ports_of(present);
    let spec = section_mut(new, "spec");
    drop.into_iter().for_each(|field| {
        spec.remove(field);
    });
    if had && !has && unchanged {
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(port) = port.as_object_mut() {
                port.remove("nodePort");
            }
        }
    }
}
