//! Where a node's SSH server forwards to.

use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// What a node's SSH server forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// To these targets, and nowhere else.
    To(NodeTargets),
    /// Anywhere, as the node's own OpenSSH does where nobody wrote `PermitOpen`: who has the tunnels'
    /// key reaches through any node whatever that node does (kubernetes/kubernetes issue 11816).
    DangerAnywhere,
}

/// What tunnels are for: a node's own kubelet, its own pods, and services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTargets {
    /// The ports of the node's own addresses, and of its loopback: the kubelet's.
    pub kubelet_ports: Vec<u16>,
    /// Where the node's own pods are.
    pub pods: Vec<IpNet>,
    /// Where services are; the node's service proxy leads on from there.
    pub services: Vec<IpNet>,
}

impl Forwarding {
    /// By which rule this server, on a computer with these addresses, forwards there; or which
    /// refuses it.
    pub(crate) fn judge(&self, own: &[IpAddr], to: SocketAddr) -> Result<&'static str, &'static str> {
        match self {
            Self::To(targets) => targets.judge(own, to),
            Self::DangerAnywhere => Ok("anywhere"),
        }
    }
}

impl NodeTargets {
    fn judge(&self, own: &[IpAddr], to: SocketAddr) -> Result<&'static str, &'static str> {
        let address = to.ip().to_canonical();
        let within = |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&address));
        // `connect(2)` to no address in particular reaches the computer itself.
        let is_own = address.is_loopback() || address.is_unspecified() || own.contains(&address);
        if to.port() == 0 {
            return Err("no port");
        }
        if is_own {
            let is_kubelet = self.kubelet_ports.contains(&to.port());
            return if is_kubelet { Ok("kubelet") } else { Err("not a port of the kubelet") };
        }
        if within(&self.pods) {
            return Ok("pod");
        }
        if within(&self.services) {
            return Ok("service");
        }
        Err("neither this node's kubelet, nor one of its pods, nor a service")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(to: &str) -> Result<&'static str, &'static str> {
        let targets = NodeTargets {
            kubelet_ports: vec![10_250],
            pods: vec!["10.244.1.0/24".parse().unwrap(), "fd00:1::/64".parse().unwrap()],
            services: vec!["10.96.0.0/16".parse().unwrap()],
        };
        let own = ["198.18.0.1".parse().unwrap(), "10.244.1.1".parse().unwrap()];
        Forwarding::To(targets).judge(&own, to.parse().unwrap())
    }

    #[test]
    fn the_kubelet_the_pods_and_services_are_reached_and_nothing_else() {
        for to in ["198.18.0.1:10250", "127.0.0.1:10250", "[::1]:10250", "[::ffff:198.18.0.1]:10250"] {
            assert_eq!(judged(to), Ok("kubelet"), "{to}");
        }
        for to in ["10.244.1.7:80", "[fd00:1::7]:443"] {
            assert_eq!(judged(to), Ok("pod"), "{to}");
        }
        assert_eq!(judged("10.96.0.1:443"), Ok("service"));
        for to in ["198.18.0.1:22", "127.0.0.1:2379", "[::1]:22", "0.0.0.0:22", "[::]:22", "10.244.1.1:22"] {
            assert_eq!(judged(to), Err("not a port of the kubelet"), "{to}");
        }
        for to in
            ["198.18.0.2:10250", "10.244.2.7:80", "192.0.2.10:443", "169.254.169.254:80", "[fe80::1]:80"]
        {
            let refused = "neither this node's kubelet, nor one of its pods, nor a service";
            assert_eq!(judged(to), Err(refused), "{to}");
        }
        assert_eq!(judged("10.244.1.7:0"), Err("no port"));
    }

    #[test]
    fn the_danger_is_that_everything_is_reached() {
        for to in ["169.254.169.254:80", "192.0.2.10:443", "127.0.0.1:2379"] {
            assert_eq!(Forwarding::DangerAnywhere.judge(&[], to.parse().unwrap()), Ok("anywhere"), "{to}");
        }
    }
}
