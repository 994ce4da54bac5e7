//! Machines by name: what people are told in place of addresses, and over which segment two
//! machines reach each other.

use ravelin_cluster::Layout;
use ravelin_sim::{Trace, Untrusted};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The machines of a layout, by address.
pub struct Places {
    known: BTreeMap<IpAddr, (String, Zone)>,
    zones: BTreeMap<String, Zone>,
    untrusted: Untrusted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zone {
    ControlPlane,
    User,
    Node(usize),
    Attacker,
}

impl Places {
    /// The machines of a cluster and its surroundings.
    pub fn of(layout: &Layout, untrusted: Untrusted) -> Self {
        let mut known = BTreeMap::new();
        for lan in layout.control_planes().chain([&layout.controllers, &layout.operator]) {
            known.insert(lan.address, (lan.name.clone(), Zone::ControlPlane));
        }
        known.insert(layout.user.address, (layout.user.name.clone(), Zone::User));
        known.insert(layout.attacker.address, (layout.attacker.name.clone(), Zone::Attacker));
        for (number, node) in layout.nodes.iter().enumerate() {
            let name = &node.machine.name;
            known.insert(node.machine.address, (name.clone(), Zone::Node(number)));
            for (index, pod) in node.pods.iter().enumerate() {
                known.insert(*pod, (format!("{name}-pod-{}", index + 1), Zone::Node(number)));
            }
        }
        let zones = known.values().cloned().collect();
        Self { known, zones, untrusted }
    }

    /// The same, with the names of the pods that got these addresses, as the trace has them.
    pub fn with_pods(mut self, trace: &Trace) -> Self {
        for line in trace.iter().filter(|line| line.contains("\"kind\":\"kubelet.pod\"")) {
            let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let address = event["address"].as_str().and_then(|address| address.parse().ok());
            let pod = event["pod"].as_str().and_then(|pod| pod.rsplit('/').next());
            let machine = address.and_then(|address: IpAddr| self.known.get_mut(&address));
            if let (Some((name, zone)), Some(pod)) = (machine, pod) {
                // A pod on its node's own network has the node's address, and not its name.
                if name.contains("-pod-") {
                    pod.clone_into(name);
                    self.zones.insert(pod.to_owned(), *zone);
                }
            }
        }
        self
    }

    /// Every machine: its address and its name.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, &str)> + '_ {
        self.known.iter().map(|(address, (name, _))| (*address, name.as_str()))
    }

    /// The text with machines' names in place of their addresses; ports stay.
    pub fn named(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for word in text.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || ".:[]".contains(c))) {
            let end = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != ']').len();
            let (address, rest) = word.split_at(end);
            match self.name_of(address) {
                Some(name) => out.push_str(&name),
                None => out.push_str(address),
            }
            out.push_str(rest);
        }
        out
    }

    fn name_of(&self, address: &str) -> Option<String> {
        if let Ok(socket) = address.parse::<SocketAddr>() {
            return self.known.get(&socket.ip()).map(|(name, _)| format!("{name}:{}", socket.port()));
        }
        let ip: IpAddr = address.parse().ok()?;
        self.known.get(&ip).map(|(name, _)| name.clone())
    }

    /// The segment that a flow (`A > B`, of addresses) crosses, `None` for one within the control
    /// plane or a node, or whose ends are no machines of the layout.
    pub fn segment(&self, flow: &str) -> Option<&'static str> {
        let (from, to) = flow.split_once(" > ")?;
        match (self.zone(from)?, self.zone(to)?) {
            (Zone::ControlPlane, Zone::ControlPlane) => None,
            // The attacker stands on every untrusted segment, and takes this one where it can.
            (Zone::Attacker, _) | (_, Zone::Attacker) => {
                Some(if self.untrusted.access { "access" } else { "fabric" })
            }
            (Zone::Node(one), Zone::Node(other)) => (one != other).then_some("fabric"),
            _ => Some("access"),
        }
    }

    /// Where an end of a flow stands: an address with or without its port, or a machine's name.
    fn zone(&self, end: &str) -> Option<Zone> {
        let end = end.split(' ').next().unwrap_or_default();
        let ip = end.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| end.parse());
        match ip {
            Ok(ip) => self.known.get(&ip).map(|(_, zone)| *zone),
            Err(_) => self.zones.get(end).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ravelin_config::ClusterConfig;

    fn places() -> Places {
        let config = ClusterConfig::read(&[], None).expect("what kubeadm sets up by default");
        Places::of(&Layout::new(&config, 2).expect("there is room"), Untrusted::ALL)
    }

    #[test]
    fn addresses_are_told_as_names_and_all_else_as_it_is() {
        let places = places();
        let named = |text: &str| places.named(text);
        assert_eq!(named("192.0.2.10:46093 > 198.18.0.1:10250: x"), "control-plane:46093 > node-1:10250: x");
        assert_eq!(
            named("attacker > 198.18.0.2:10250 (the impostor)"),
            "attacker > node-2:10250 (the impostor)"
        );
        assert_eq!(named("(198.19.0.66), 203.0.113.9."), "(attacker), 203.0.113.9.");
        assert_eq!(named("https://192.0.2.10:6443/api is 1.2"), "https://control-plane:6443/api is 1.2");
    }

    #[test]
    fn a_flow_crosses_access_or_fabric_or_nothing() {
        let places = places();
        let table = [
            ("192.0.2.10:1 > 198.18.0.1:10250 (the impostor)", Some("access")),
            ("198.18.0.1:1 > 198.18.0.2:22", Some("fabric")),
            ("198.18.0.1:1 > 10.244.0.2:80", None),
            ("attacker > 198.18.0.1:10250", Some("access")),
            ("attacker > 192.0.2.10:6443", Some("access")),
            ("operator > 192.0.2.10:6443", None),
            ("operator > apiserver > kubelet of node-1", None),
        ];
        for (flow, segment) in table {
            assert_eq!(places.segment(flow), segment, "{flow}");
        }
    }
}
