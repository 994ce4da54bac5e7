//! Machines and where they stand.

use crate::SimConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The machines of a simulation and the names that it resolves.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// Every machine, those of pods included.
    pub machines: Vec<MachineSpec>,
    /// Host names.
    pub names: BTreeMap<String, Vec<IpAddr>>,
}

/// One machine.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    /// Its name, different from all others.
    pub name: String,
    /// Its addresses; it speaks from the first.
    pub addresses: Vec<IpAddr>,
    /// Where it stands.
    pub place: Place,
}

/// Where a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On the control plane's LAN.
    ControlPlane,
    /// A node, by its number.
    Node(u32),
    /// A pod of a node.
    Pod {
        /// The node's number.
        node: u32,
    },
    /// A user's machine.
    Access,
    /// On every untrusted segment.
    Attacker,
}

/// A piece of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// Among control-plane machines.
    ControlPlaneLan,
    /// A node and its pods.
    Node(u32),
    /// Control plane and users to nodes and pods.
    Access,
    /// Node to node.
    Fabric,
}

impl Segment {
    /// Do attackers touch it?
    pub fn is_untrusted(self, untrusted: &Untrusted) -> bool {
        match self {
            Self::Access => untrusted.access,
            Self::Fabric => untrusted.fabric,
            Self::ControlPlaneLan | Self::Node(_) => false,
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlPlaneLan => f.write_str("lan"),
            Self::Node(node) => write!(f, "node-{node}"),
            Self::Access => f.write_str("access"),
            Self::Fabric => f.write_str("fabric"),
        }
    }
}

/// The segments that attackers touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untrusted {
    /// Control plane and users to nodes and pods.
    pub access: bool,
    /// Node to node.
    pub fabric: bool,
}

impl Untrusted {
    /// Both.
    pub const ALL: Self = Self { access: true, fabric: true };
    /// Only between the control plane or users, and nodes.
    pub const ACCESS: Self = Self { access: true, fabric: false };
    /// Only between nodes.
    pub const FABRIC: Self = Self { access: false, fabric: true };
}

/// Destinations that stand for a connection with a chosen source (`Wire::connect_as`).
pub(crate) const MAGIC: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 0);
/// What a machine's own connections come from when translation leads them back to it.
pub(crate) const MASQUERADE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 77, 77));
pub(crate) const MASQUERADE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77));

/// A machine's index.
pub(crate) type Machine = usize;

/// A checked topology.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) machines: Vec<MachineSpec>,
    pub(crate) names: BTreeMap<String, Vec<IpAddr>>,
    owners: BTreeMap<IpAddr, Machine>,
    nodes: BTreeMap<u32, Machine>,
    pub(crate) attacker: Option<Machine>,
    untrusted: Untrusted,
    on_path: bool,
    /// The attacker's own machine, and those that it owns besides.
    held: BTreeSet<Machine>,
}

impl Map {
    pub(crate) fn new(topology: Topology, config: &SimConfig) -> Result<Self, String> {
        let mut owners = BTreeMap::new();
        let mut names = BTreeSet::new();
        let mut attacker = None;
        for (index, machine) in topology.machines.iter().enumerate() {
            if !names.insert(&machine.name) {
                return Err(format!("two machines are called {}", machine.name));
            }
            if machine.addresses.is_empty() {
                return Err(format!("{} has no address", machine.name));
            }
            for address in &machine.addresses {
                if reserved(*address) {
                    return Err(format!("{}: {address} cannot be a machine's", machine.name));
                }
                if owners.insert(*address, index).is_some() {
                    return Err(format!("{}: {address} belongs to another", machine.name));
                }
            }
            if machine.place == Place::Attacker && attacker.replace(index).is_some() {
                return Err("there is one attacker's machine at most".to_owned());
            }
        }
        let places = topology.machines.iter().enumerate();
        let nodes = places.filter_map(|(index, machine)| match machine.place {
            Place::Node(node) => Some((node, index)),
            _ => None,
        });
        let mut map = Self {
            nodes: nodes.collect(),
            owners,
            attacker,
            untrusted: config.untrusted,
            on_path: config.on_path,
            held: attacker.into_iter().collect(),
            names: topology.names,
            machines: topology.machines,
        };
        for name in &config.owned {
            let index = map.find(name).ok_or_else(|| format!("there is no machine {name} to own"))?;
            map.held.extend(map.with_pods(index));
        }
        Ok(map)
    }

    /// Does the attacker touch what these two machines send each other over this segment?
    pub(crate) fn touches(&self, segment: Segment, ends: [Option<Machine>; 2]) -> bool {
        let passes_it = self.on_path && segment.is_untrusted(&self.untrusted);
        passes_it || ends.iter().flatten().any(|end| self.held.contains(end))
    }

    /// A machine, and where it is a node, its pods.
    pub(crate) fn with_pods(&self, machine: Machine) -> Vec<Machine> {
        let Place::Node(node) = self.place(machine) else { return vec![machine] };
        (0..self.machines.len()).filter(|index| self.node_of(*index) == Some(node)).collect()
    }

    pub(crate) fn owner(&self, address: IpAddr) -> Option<Machine> {
        self.owners.get(&address).copied()
    }

    pub(crate) fn place(&self, machine: Machine) -> Place {
        self.machines[machine].place
    }

    pub(crate) fn name(&self, machine: Machine) -> &str {
        &self.machines[machine].name
    }

    pub(crate) fn find(&self, name: &str) -> Option<Machine> {
        self.machines.iter().position(|machine| machine.name == name)
    }

    /// The node that a machine is, or is a pod of.
    pub(crate) fn node_of(&self, machine: Machine) -> Option<u32> {
        match self.place(machine) {
            Place::Node(node) | Place::Pod { node } => Some(node),
            Place::ControlPlane | Place::Access | Place::Attacker => None,
        }
    }

    /// The machine of a node.
    pub(crate) fn node(&self, number: u32) -> Option<Machine> {
        self.nodes.get(&number).copied()
    }

    /// The segment between two machines, the untrusted one where there are several. `None` where
    /// no packet can pass.
    pub(crate) fn segment(&self, a: Machine, b: Machine) -> Option<Segment> {
        use Place::{Access, Attacker, ControlPlane};
        match (self.place(a), self.place(b)) {
            (ControlPlane, ControlPlane) => Some(Segment::ControlPlaneLan),
            (Attacker, other) | (other, Attacker) => self.attackers_segment(other),
            (ControlPlane | Access, _) | (_, ControlPlane | Access) => Some(Segment::Access),
            _ => match (self.node_of(a), self.node_of(b)) {
                (Some(a), Some(b)) if a == b => Some(Segment::Node(a)),
                _ => Some(Segment::Fabric),
            },
        }
    }

    /// The segment by which the attacker reaches a machine under an address: from the machine that
    /// has it, if it owns that, else from its own, else from any that it owns. `None` where it
    /// reaches it from nowhere.
    pub(crate) fn attackers_way(&self, source: IpAddr, to: Machine) -> Option<Segment> {
        let there = self.owner(source).filter(|owner| self.held.contains(owner) && *owner != to);
        let there = there.and_then(|owner| self.segment(owner, to));
        let own = || self.attacker.and_then(|attacker| self.segment(attacker, to));
        there.or_else(own).or_else(|| {
            let owned = self.held.iter().filter(|held| Some(**held) != self.attacker && **held != to);
            owned.filter_map(|held| self.segment(*held, to)).next()
        })
    }

    /// The segment on which a packet to an address that nobody owns gets lost.
    pub(crate) fn way_out(&self, from: Machine) -> Option<Segment> {
        match self.place(from) {
            Place::ControlPlane | Place::Access => Some(Segment::Access),
            Place::Node(_) | Place::Pod { .. } => Some(Segment::Fabric),
            Place::Attacker => None,
        }
    }

    fn attackers_segment(&self, other: Place) -> Option<Segment> {
        let on_fabric = matches!(other, Place::Node(_) | Place::Pod { .. });
        if self.untrusted.access {
            Some(Segment::Access)
        } else if self.untrusted.fabric && on_fabric {
            Some(Segment::Fabric)
        } else {
            None
        }
    }
}

fn reserved(address: IpAddr) -> bool {
    let magic = matches!(address, IpAddr::V4(v4) if v4.octets()[0] >= MAGIC.octets()[0]);
    let masquerade = address == MASQUERADE_V4 || address == MASQUERADE_V6;
    magic || masquerade || address.is_loopback() || address.is_unspecified()
}
