//! The ports of all nodes that services get (`pkg/registry/core/service/{storage,portallocator}`).

use super::services::{kind, needs_health_check, needs_node_ports};
use super::{Target, cause};
use ravelin_api::object::{self, section_mut};
use ravelin_api::{Cause, Status};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The ports of the nodes that a service has.
pub(super) fn ports_of(service: &Value) -> Vec<u64> {
    let ports = object::list(service, "spec.ports").iter();
    ports.filter_map(|port| port["nodePort"].as_u64()).filter(|port| *port != 0).collect()
}

/// The one at which nodes tell a load balancer whether they have endpoints.
pub(super) fn health_port(service: &Value) -> Option<u64> {
    object::at(service, "spec.healthCheckNodePort").and_then(Value::as_u64).filter(|port| *port != 0)
}

/// Takes the ports that are asked for, and gives those that are not (`initNodePorts`): two of one
/// number, of different protocols, share one.
pub(super) fn node_ports(
    (target, range): (&Target, (u16, u16)),
    service: &mut Value,
    others: &[Arc<Value>],
) -> Result<(), Status> {
    let range = PortRange { first: range.0.into(), last: range.1.into() };
    let in_use =
        |other: &Arc<Value>| ports_of(other).into_iter().chain(health_port(other)).collect::<Vec<_>>();
    let mut taken: BTreeSet<u64> = others.iter().flat_map(in_use).collect();
    if matches!(kind(service), "NodePort" | "LoadBalancer") {
        for (i, port) in object::list(service, "spec.ports").iter().enumerate() {
            let Some(number) = port["nodePort"].as_u64().filter(|number| *number != 0) else { continue };
            let before = &object::list(service, "spec.ports")[..i];
            let shared = before.iter().any(|one| one["nodePort"] == port["nodePort"]);
            range
                .check(number, &taken, shared)
                .map_err(|why| target.invalid(vec![wrong(i, number, &why)]))?;
        }
        taken.extend(ports_of(service));
    }
    if needs_node_ports(service) {
        give_node_ports(&range, service, &mut taken)?;
    }
    if needs_health_check(service) && health_port(service).is_none() {
        let free = range.free(&mut taken);
        let free = free.ok_or_else(|| full("failed to allocate a HealthCheck NodePort 0"))?;
        section_mut(service, "spec").insert("healthCheckNodePort".into(), json!(free));
    }
    Ok(())
}

fn give_node_ports(range: &PortRange, service: &mut Value, taken: &mut BTreeSet<u64>) -> Result<(), Status> {
    let known: Vec<(Value, Value)> = object::list(service, "spec.ports")
        .iter()
        .filter(|port| port["nodePort"].as_u64().unwrap_or(0) != 0)
        .map(|port| (port["port"].clone(), port["nodePort"].clone()))
        .collect();
    let mut given = known;
    let ports = service["spec"].get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter(|port| port["nodePort"].as_u64().unwrap_or(0) == 0) {
        let shared = given.iter().find(|(number, _)| *number == port["port"]).map(|(_, known)| known.clone());
        let number = match shared {
            Some(number) => number,
            None => json!(range.free(taken).ok_or_else(|| full("failed to allocate a nodePort"))?),
        };
        given.push((port["port"].clone(), number.clone()));
        port["nodePort"] = number;
    }
    Ok(())
}

fn full(what: &str) -> Status {
    Status::internal_error(&format!("{what}: range is full"))
}

fn wrong(index: usize, number: u64, why: &str) -> Cause {
    let field = format!("spec.ports[{index}].nodePort");
    cause("FieldValueInvalid", &field, format!("Invalid value: {number}: {why}"))
}

/// Where node ports come from.
struct PortRange {
    first: u64,
    last: u64,
}

impl PortRange {
    fn check(&self, number: u64, taken: &BTreeSet<u64>, shared: bool) -> Result<(), String> {
        let Self { first, last } = self;
        if !(*first..=*last).contains(&number) {
            let range = format!("{first}-{last}");
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {range}"
            ));
        }
        let is_taken = taken.contains(&number) && !shared;
        if is_taken { Err("provided port is already allocated".to_owned()) } else { Ok(()) }
    }

    /// The lower part is left to ports that are asked for (KEP-3668).
    fn free(&self, taken: &mut BTreeSet<u64>) -> Option<u64> {
        let size = self.last.saturating_sub(self.first) + 1;
        let band = if size < 16 { 0 } else { (size / 32).clamp(16, 128) };
        let (lower, upper) = (self.first..self.first + band, self.first + band..=self.last);
        let free = upper.chain(lower).find(|port| !taken.contains(port))?;
        taken.insert(free);
        Some(free)
    }
}
