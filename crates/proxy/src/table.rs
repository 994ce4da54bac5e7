//! From services and endpoints to redirects; pure.
//!
//! After the rules of `pkg/proxy/iptables/proxier.go`: cluster addresses first, then external ones,
//! node ports last. What is external is masqueraded and leads anywhere (`externalTrafficPolicy:
//! Cluster`), or keeps its source and leads to endpoints of this node (`Local`).

use crate::endpoints::{Categorized, Endpoints, is_tcp, number};
use ravelin_api::object;
use ravelin_host::{Otherwise, Redirect, Scope};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long a client comes to the same endpoint (`DefaultClientIPServiceAffinitySeconds`).
const AFFINITY_SECONDS: u64 = 10_800;

/// Services that another proxy is to serve carry this label (`LabelServiceProxyName`).
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";

/// The node that a table is for.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its addresses, which have the node ports.
    pub addresses: &'a [IpAddr],
}

/// The table of a node for these services and slices, in the order of addresses. What cannot be
/// read is left out, which means refused. An address that several services claim is the oldest's.
pub fn table<'a>(
    services: impl IntoIterator<Item = &'a Value>,
    slices: impl IntoIterator<Item = &'a Value>,
    node: Node<'_>,
) -> Vec<Redirect> {
    let endpoints = Endpoints::of(slices, node.name);
    let mut services: Vec<&Value> = services.into_iter().filter(|service| is_served(service)).collect();
    services.sort_by_key(|service| {
        (
            object::text(service, "metadata.creationTimestamp"),
            object::namespace(service),
            object::name(service),
        )
    });
    let ports: Vec<Port<'_>> =
        services.into_iter().flat_map(|service| Port::all(service, &endpoints)).collect();
    let mut claimed: BTreeMap<SocketAddr, Vec<Redirect>> = BTreeMap::new();
    for tier in [Tier::Cluster, Tier::External, Tier::NodePorts] {
        for port in &ports {
            let addresses = match tier {
                Tier::Cluster => port.cluster_addresses(),
                Tier::External => port.external_addresses(),
                Tier::NodePorts => port.node_ports(node),
            };
            for from in addresses {
                let redirects = || match tier {
                    Tier::Cluster => vec![port.internal(from)],
                    Tier::External | Tier::NodePorts => port.external(from),
                };
                claimed.entry(from).or_insert_with(redirects);
            }
        }
    }
    claimed.into_values().flatten().collect()
}

/// Has the service addresses that this proxy serves? Headless and external ones have none
/// (`ShouldSkipService`).
fn is_served(service: &Value) -> bool {
    let has_address = !matches!(object::text(service, "spec.clusterIP"), "" | "None");
    let is_named = object::text(service, "spec.type") == "ExternalName";
    has_address && !is_named && !object::labels(service).contains_key(OTHER_PROXY)
}

/// What comes before what.
#[derive(Clone, Copy)]
enum Tier {
    Cluster,
    External,
    NodePorts,
}

/// One port of one service.
struct Port<'a> {
    service: &'a Value,
    number: u16,
    node_port: Option<u16>,
    endpoints: Categorized,
}

impl<'a> Port<'a> {
    fn all(service: &'a Value, endpoints: &Endpoints<'a>) -> Vec<Self> {
        let (namespace, name) = (object::namespace(service), object::name(service));
        let ports = object::list(service, "spec.ports").iter().filter(|port| is_tcp(port));
        let read = ports.filter_map(|port| {
            Some(Self {
                service,
                number: number(&port["port"])?,
                node_port: number(&port["nodePort"]),
                endpoints: endpoints.categorized((namespace, name, object::text(port, "name"))),
            })
        });
        read.collect()
    }

    fn cluster_addresses(&self) -> Vec<SocketAddr> {
        let mut texts = object::texts(self.service, "spec.clusterIPs");
        texts.push(object::text(self.service, "spec.clusterIP"));
        self.at(texts)
    }

    /// The addresses that the service claims outside of the cluster's range (CVE-2020-8554): its
    /// `externalIPs` and what its `status` says of a load balancer, unless that wants to keep them
    /// to itself (`ipMode: Proxy`, KEP-1860).
    fn external_addresses(&self) -> Vec<SocketAddr> {
        let mut texts = object::texts(self.service, "spec.externalIPs");
        if object::text(self.service, "spec.type") == "LoadBalancer" {
            let ingress = object::list(self.service, "status.loadBalancer.ingress");
            let ours = ingress.iter().filter(|one| one["ipMode"] != "Proxy");
            texts.extend(ours.map(|one| object::text(one, "ip")));
        }
        self.at(texts)
    }

    fn node_ports(&self, node: Node<'_>) -> Vec<SocketAddr> {
        let has_any = matches!(object::text(self.service, "spec.type"), "NodePort" | "LoadBalancer");
        let port = self.node_port.filter(|_| has_any);
        port.into_iter()
            .flat_map(|port| node.addresses.iter().map(move |address| SocketAddr::new(*address, port)))
            .collect()
    }

    fn at(&self, texts: Vec<&str>) -> Vec<SocketAddr> {
        let addresses: BTreeSet<IpAddr> = texts.into_iter().filter_map(|text| text.parse().ok()).collect();
        addresses.into_iter().map(|address| SocketAddr::new(address, self.number)).collect()
    }

    /// How a cluster address is translated.
    fn internal(&self, from: SocketAddr) -> Redirect {
        let is_local = object::text(self.service, "spec.internalTrafficPolicy") == "Local";
        self.redirect(from, is_local)
    }

    /// How an address outside of the cluster's range is translated. With a local policy, the node
    /// and its pods reach every endpoint all the same.
    fn external(&self, from: SocketAddr) -> Vec<Redirect> {
        let anywhere = self.redirect(from, false);
        if object::text(self.service, "spec.externalTrafficPolicy") != "Local" {
            return vec![Redirect { masquerade: true, ..anywhere }];
        }
        vec![
            Redirect { scope: Scope::Opened, ..anywhere },
            Redirect { scope: Scope::Arriving, ..self.redirect(from, true) },
        ]
    }

    fn redirect(&self, from: SocketAddr, is_local: bool) -> Redirect {
        let Categorized { cluster, local, has_any } = &self.endpoints;
        let to = if is_local { local } else { cluster };
        // Without any endpoint an address refuses; where others have some, it stays silent.
        let otherwise = if *has_any { Otherwise::Drop } else { Otherwise::Refuse };
        Redirect { otherwise, affinity: self.affinity(), ..Redirect::new(from, to.clone()) }
    }

    fn affinity(&self) -> Option<Duration> {
        let configured = &self.service["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"];
        let seconds = configured.as_u64().unwrap_or(AFFINITY_SECONDS);
        (object::text(self.service, "spec.sessionAffinity") == "ClientIP")
            .then(|| Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests;
