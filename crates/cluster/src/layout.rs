//! Which machines a cluster has, and their addresses.

use ipnet::IpNet;
use ravelin_config::ClusterConfig;
use std::net::{IpAddr, Ipv4Addr};

/// How many pod addresses each node has machines for.
pub const PODS_PER_NODE: usize = 7;

/// The largest cluster that the address plan has room for.
pub const MAX_NODES: u32 = 5_000;

/// The machines of a cluster. Nodes, users and the attacker are in 198.18.0.0/15, which RFC 2544
/// sets aside for tests; pods and services are where the configuration has them.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The apiserver's machine and the address it advertises. Where there are several, the first.
    pub control_plane: Place,
    /// The machines of further apiservers, over the same store.
    pub further_control_planes: Vec<Place>,
    /// The controller manager and the scheduler, on the control plane's own network.
    pub controllers: Place,
    /// The operator who set the cluster up, on the control plane's own network.
    pub operator: Place,
    /// A user somewhere on the network.
    pub user: Place,
    /// The attacker's machine.
    pub attacker: Place,
    /// The nodes.
    pub nodes: Vec<NodePlace>,
    /// Is the last member node the attacker's?
    has_rogue: bool,
    /// Did a pod run and go before the cluster was ready?
    has_departed: bool,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

/// A node and the machines of its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlace {
    /// The node's own machine.
    pub machine: Place,
    /// Its part of the pods' range.
    pub pod_cidr: IpNet,
    /// The addresses that its pods may get, in the order they are given out.
    pub pods: Vec<IpAddr>,
}

/// Why a cluster of this size cannot be laid out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// There are no more parts of the pods' range.
    #[error(
        "the pod range {range} has room for {room} nodes of /{mask}, not for {nodes}; accepted: a wider --cluster-cidr or fewer nodes"
    )]
    PodRange {
        /// The range.
        range: IpNet,
        /// The prefix length of one node's part.
        mask: u8,
        /// For how many nodes there is room.
        room: usize,
        /// How many were wanted.
        nodes: u32,
    },
    /// The parts of the pods' range are too small.
    #[error(
        "a node's part of the pod range {range}, a /{mask}, has no room for its pods; accepted: a --node-cidr-mask-size of at most 29"
    )]
    Pods {
        /// The range.
        range: IpNet,
        /// The prefix length of one node's part.
        mask: u8,
    },
    /// An address of the configuration is one that the simulation gives its own machines, or a pod's.
    #[error("the apiserver's address {0} is in the range of the nodes (198.18.0.0/15) or of the pods ({1})")]
    ApiserverAmongNodes(IpAddr, IpNet),
    /// The pods' range has addresses of the simulation's own machines.
    #[error(
        "the pod range {0} overlaps with 198.18.0.0/15, where the simulation has its nodes; accepted: another range"
    )]
    PodsAmongNodes(IpNet),
    /// The pods' range is of a kind that the simulated network does not have.
    #[error("the pod range {0} is IPv6, which the simulated network does not carry; accepted: an IPv4 range")]
    Ipv6(IpNet),
    /// The apiserver's address or the services' range is.
    #[error(
        "the apiserver's address {0} and the service range {1} must be IPv4: the simulated network carries nothing else"
    )]
    Ipv6Apiserver(IpAddr, IpNet),
}

impl Layout {
    /// The layout of a cluster of `nodes` nodes, numbered from 1, and one more machine that is
    /// there to join (`joiner`).
    ///
    /// # Errors
    /// Where the pods' range has no room.
    pub fn new(config: &ClusterConfig, nodes: u32) -> Result<Self, LayoutError> {
        let range = config.network.pod_cidr;
        let IpNet::V4(pods) = range else { return Err(LayoutError::Ipv6(range)) };
        let mask = config.network.node_cidr_mask_size;
        let wanted = usize::try_from(nodes).unwrap_or(usize::MAX).saturating_add(1);
        if mask > 29 {
            return Err(LayoutError::Pods { range, mask });
        }
        if own_range().contains(&pods) || pods.contains(&own_range()) {
            return Err(LayoutError::PodsAmongNodes(range));
        }
        let parts: Vec<_> = pods.subnets(mask).into_iter().flatten().take(wanted).collect();
        if parts.len() < wanted || nodes > MAX_NODES {
            return Err(LayoutError::PodRange { range, mask, room: parts.len().saturating_sub(1), nodes });
        }
        let node = |(index, part): (usize, ipnet::Ipv4Net)| NodePlace {
            machine: Place {
                name: if index + 1 == wanted { "joiner".into() } else { format!("node-{}", index + 1) },
                address: node_address(index),
            },
            pod_cidr: IpNet::V4(part),
            pods: part.hosts().skip(1).take(PODS_PER_NODE).map(IpAddr::V4).collect(),
        };
        let advertised = config.apiserver.advertise_address;
        let bound = Some(config.apiserver.bind_address);
        let bound = bound.filter(|address| !address.is_unspecified() && !address.is_loopback());
        let control_plane = advertised.or(bound).unwrap_or(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)));
        let services = config.apiserver.service_cluster_ip_range;
        if control_plane.is_ipv6() || services.addr().is_ipv6() {
            return Err(LayoutError::Ipv6Apiserver(control_plane, services));
        }
        if range.contains(&control_plane) || IpNet::V4(own_range()).contains(&control_plane) {
            return Err(LayoutError::ApiserverAmongNodes(control_plane, range));
        }
        let lan = |name: &str, last: u8| Place {
            name: name.into(),
            address: IpAddr::V4(Ipv4Addr::new(198, 19, 0, last)),
        };
        Ok(Self {
            control_plane: Place { name: "control-plane".into(), address: control_plane },
            further_control_planes: Vec::new(),
            controllers: lan("controllers", 11),
            operator: lan("operator", 12),
            user: lan("user", 21),
            attacker: lan("attacker", 66),
            nodes: parts.into_iter().enumerate().map(node).collect(),
            has_rogue: false,
            has_departed: false,
        })
    }

    /// The same with so many apiservers over one store (which stands for etcd), each on a machine of
    /// its own: from 1 to 9. Components dial the first; the `kubernetes` service leads to all.
    pub fn with_apiservers(self, count: u8) -> Self {
        let further = (2..=count.clamp(1, 9)).map(|number| Place {
            name: format!("control-plane-{number}"),
            address: IpAddr::V4(Ipv4Addr::new(198, 19, 0, 30 + number)),
        });
        Self { further_control_planes: further.collect(), ..self }
    }

    /// The machines of all apiservers, the first one first.
    pub fn control_planes(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.control_plane).chain(&self.further_control_planes)
    }

    /// The same, and a pod ran whose token somebody copied before it was deleted.
    pub fn with_departed(self) -> Self {
        Self { has_departed: true, ..self }
    }

    /// Did a pod run and go before the cluster was ready?
    pub(crate) fn has_departed(&self) -> bool {
        self.has_departed
    }

    /// The same, and the last member node is the attacker's. Unchanged where it is the only one:
    /// a cluster of rogues has nobody to attack.
    pub fn with_rogue(self) -> Self {
        Self { has_rogue: self.members().len() >= 2, ..self }
    }

    /// The attacker's node, by its number among the members.
    pub fn rogue(&self) -> Option<usize> {
        self.has_rogue.then(|| self.members().len() - 1)
    }

    /// The members that are not the attacker's, by number.
    pub fn honest(&self) -> Vec<usize> {
        (0..self.members().len()).filter(|node| Some(*node) != self.rogue()).collect()
    }

    /// The nodes that the cluster has from the start.
    pub fn members(&self) -> &[NodePlace] {
        &self.nodes[..self.nodes.len() - 1]
    }

    /// The machine that is there to join.
    pub fn joiner(&self) -> &NodePlace {
        self.nodes.last().expect("a layout has a joiner")
    }
}

/// Where the simulation's own machines are.
fn own_range() -> ipnet::Ipv4Net {
    ipnet::Ipv4Net::new(Ipv4Addr::new(198, 18, 0, 0), 15).expect("15 is a prefix length of IPv4")
}

fn node_address(index: usize) -> IpAddr {
    let (high, low) = (index / 250, index % 250);
    IpAddr::V4(Ipv4Addr::new(
        198,
        18,
        u8::try_from(high).unwrap_or(u8::MAX),
        u8::try_from(low).unwrap_or(0) + 1,
    ))
}
