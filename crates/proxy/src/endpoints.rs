//! The endpoints of services, as their EndpointSlices have them; pure.

use ravelin_api::object;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A service's namespace and name, and a port's name.
pub(crate) type PortKey<'a> = (&'a str, &'a str, &'a str);

/// What is said of an endpoint, and whether it is of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Condition {
    ready: bool,
    /// It ends, and still serves.
    fading: bool,
    local: bool,
}

/// Every endpoint of a cluster, by service port.
#[derive(Default)]
pub(crate) struct Endpoints<'a>(BTreeMap<PortKey<'a>, BTreeMap<SocketAddr, Condition>>);

/// The endpoints that a service port leads to (`CategorizeEndpoints` of `pkg/proxy/topology.go`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Categorized {
    /// Anywhere in the cluster.
    pub(crate) cluster: Vec<SocketAddr>,
    /// On this node.
    pub(crate) local: Vec<SocketAddr>,
    /// Is there any at all?
    pub(crate) has_any: bool,
}

impl<'a> Endpoints<'a> {
    /// Reads the slices, as a node of this name.
    pub(crate) fn of(slices: impl IntoIterator<Item = &'a Value>, node: &str) -> Self {
        let mut all = Self::default();
        for slice in slices {
            all.add(slice, node);
        }
        all
    }

    fn add(&mut self, slice: &'a Value, node: &str) {
        let namespace = object::namespace(slice);
        let labels = object::labels(slice);
        let Some(service) = labels.get("kubernetes.io/service-name") else { return };
        for port in object::list(slice, "ports").iter().filter(|port| is_tcp(port)) {
            let Some(number) = number(&port["port"]) else { continue };
            let known = self.0.entry((namespace, service, object::text(port, "name"))).or_default();
            for endpoint in object::list(slice, "endpoints") {
                // Those that have several have them for other purposes: proxies use the first
                // (discovery/v1 types.go).
                let addresses = object::texts(endpoint, "addresses");
                let first = addresses.first().and_then(|address| address.parse::<IpAddr>().ok());
                if let Some(address) = first.filter(|address| is_usable(*address)) {
                    let entry = known.entry(SocketAddr::new(address, number)).or_default();
                    *entry = (*entry).max(Condition::of(endpoint, node));
                }
            }
        }
    }

    /// Those of a service port.
    pub(crate) fn categorized(&self, key: PortKey<'a>) -> Categorized {
        let Some(all) = self.0.get(&key) else { return Categorized::default() };
        let matching = |wanted: &dyn Fn(&Condition) -> bool| -> Vec<SocketAddr> {
            all.iter().filter(|(_, one)| wanted(one)).map(|(address, _)| *address).collect()
        };
        // Where all end, those serve that still can (KEP-1669).
        let or_fading = |local_only: bool| {
            let here = move |one: &Condition| one.local || !local_only;
            let ready = matching(&|one| here(one) && one.ready);
            if ready.is_empty() { matching(&|one| here(one) && one.fading) } else { ready }
        };
        let (cluster, local) = (or_fading(false), or_fading(true));
        Categorized { has_any: !cluster.is_empty(), cluster, local }
    }
}

impl Condition {
    /// "nil should be interpreted as ready", and as serving (discovery/v1 types.go).
    fn of(endpoint: &Value, node: &str) -> Self {
        let says = |name: &str, default| endpoint["conditions"][name].as_bool().unwrap_or(default);
        Self {
            ready: says("ready", true),
            fading: says("serving", true) && says("terminating", false),
            local: object::text(endpoint, "nodeName") == node,
        }
    }
}

/// Addresses that would lead to the node itself or to no one place are nobody's endpoints
/// (CVE-2021-25737); the apiserver refuses them too.
fn is_usable(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local)
}

/// Is this a port of TCP?
pub(crate) fn is_tcp(port: &Value) -> bool {
    matches!(port["protocol"].as_str(), None | Some("TCP"))
}

/// A port's number.
pub(crate) fn number(port: &Value) -> Option<u16> {
    port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}
