//! The ports of the node that pods ask for (`hostPort`); pure.
//!
//! As the `portmap` plugin of CNI programs them: the pod that came first keeps a port.

use ravelin_api::object;
use ravelin_host::PortMap;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

/// The ports of pods in the order in which they started, by UID.
#[derive(Debug, Default)]
pub(super) struct HostPorts(Vec<(String, Vec<PortMap>)>);

impl HostPorts {
    /// A pod that runs at an address. True where that changes something.
    pub(super) fn add(&mut self, pod: &Value, address: IpAddr) -> bool {
        let (uid, maps) = (object::uid(pod), port_maps(pod, address));
        let known = self.0.iter().find(|(of, _)| of == uid).map(|(_, maps)| maps.as_slice());
        if known.unwrap_or_default() == maps {
            return false;
        }
        self.remove(uid);
        self.0.push((uid.to_owned(), maps));
        true
    }

    /// A pod that runs no more. True where that changes something.
    pub(super) fn remove(&mut self, uid: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(of, _)| of != uid);
        self.0.len() != before
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<PortMap> {
        self.0.iter().flat_map(|(_, maps)| maps.clone()).collect()
    }
}

/// A pod that shares the node's network listens on its ports itself.
fn port_maps(pod: &Value, address: IpAddr) -> Vec<PortMap> {
    if object::flag(pod, "spec.hostNetwork") == Some(true) {
        return Vec::new();
    }
    let containers = object::list(pod, "spec.containers").iter();
    let ports = containers.flat_map(|container| object::list(container, "ports"));
    let tcp = ports.filter(|port| matches!(port["protocol"].as_str(), None | Some("TCP")));
    let number =
        |port: &Value| port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
    let map = |port: &Value| {
        let given = port["hostIP"].as_str().filter(|ip| !ip.is_empty());
        // An address that cannot be read is none of the node's.
        let given = given.map(str::parse::<IpAddr>).transpose().ok()?;
        Some(PortMap {
            address: given.filter(|ip| !ip.is_unspecified()),
            port: number(&port["hostPort"])?,
            to: SocketAddr::new(address, number(&port["containerPort"])?),
        })
    };
    tcp.filter_map(map).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, ports: Value) -> Value {
        json!({ "metadata": { "uid": uid }, "spec": { "containers": [{ "ports": ports }] } })
    }

    #[test]
    fn ports_are_those_that_pods_ask_for_as_long_as_they_run() {
        let mut ports = HostPorts::default();
        let mut taken = pod("u", json!([{ "hostPort": 80, "containerPort": 80 }]));
        taken["spec"]["hostNetwork"] = json!(true);
        assert!(!ports.add(&taken, [10, 0, 0, 1].into()));
        let asked = json!([
            { "hostPort": 443, "containerPort": 8443 },
            { "hostPort": 53, "containerPort": 53, "protocol": "UDP" },
            { "containerPort": 80 },
            { "hostPort": 1, "containerPort": 1, "hostIP": "192.0.2.1" },
            { "hostPort": 2, "containerPort": 2, "hostIP": "not an address" },
        ]);
        let first = pod("a", asked);
        assert!(ports.add(&first, [10, 1, 0, 2].into()));
        assert!(!ports.add(&first, [10, 1, 0, 2].into()), "nothing is new");
        let map = |address: Option<[u8; 4]>, port, to: &str| PortMap {
            address: address.map(IpAddr::from),
            port,
            to: to.parse().unwrap(),
        };
        let own = [map(None, 443, "10.1.0.2:8443"), map(Some([192, 0, 2, 1]), 1, "10.1.0.2:1")];
        assert_eq!(ports.all(), own);
        assert!(ports.add(&pod("b", json!([{ "hostPort": 443, "containerPort": 1 }])), [10, 1, 0, 3].into()));
        assert_eq!(ports.all()[..2], own, "who came first is asked first");
        assert!(ports.remove("a") && !ports.remove("a"));
        assert_eq!(ports.all(), [map(None, 443, "10.1.0.3:1")]);
    }
}
