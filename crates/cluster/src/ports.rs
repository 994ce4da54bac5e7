//! Where the ports are that should not answer just anybody, as a caller on the network dials them.

use crate::cluster::Cluster;
use crate::layout::Layout;
use ravelin_config::{ClusterConfig, InsecureListener};
use std::net::{IpAddr, SocketAddr};

/// The apiserver's plain port where the configuration has none.
const APISERVER_INSECURE_PORT: u16 = 8080;
/// The kubelet's read-only port where the configuration has none.
const KUBELET_READ_ONLY_PORT: u16 = 10255;

/// A port of a component, at the address that a remote caller would dial. Whether anybody
/// listens there shows when it is dialled: a listener that is off, or bound to loopback, refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortAt {
    /// The component's name, and its node's where there are several.
    pub name: String,
    /// The address.
    pub address: SocketAddr,
    /// Does it speak TLS?
    pub tls: bool,
}

/// The ports of one cluster.
#[derive(Clone)]
pub(crate) struct Ports {
    insecure: PortAt,
    read_only: Vec<PortAt>,
    components: Vec<PortAt>,
}

impl Ports {
    pub(crate) fn of(config: &ClusterConfig, layout: &Layout) -> Self {
        let plain = |listener: &Option<InsecureListener>, default| {
            listener.as_ref().map_or(default, |listener| listener.address.port())
        };
        let port = |name: &str, (machine, port): (IpAddr, u16), tls| PortAt {
            name: name.to_owned(),
            address: SocketAddr::new(machine, port),
            tls,
        };
        let read_only = config.kubelet.read_only_port.unwrap_or(KUBELET_READ_ONLY_PORT);
        let honest = layout.honest().into_iter().map(|node| &layout.members()[node].machine);
        let at = layout.controllers.address;
        let (manager, scheduler) = (&config.controller_manager, &config.scheduler);
        let beside = layout.control_plane.address;
        let tunnels = crate::konnectivity::of(config).into_iter();
        let tunnels = tunnels.flat_map(|given| [given.server.health, given.server.admin]);
        let tunnels = tunnels.map(|own| port("konnectivity-server", (beside, own.port()), false));
        Self {
            insecure: port(
                "kube-apiserver",
                (layout.control_plane.address, plain(&config.apiserver.insecure, APISERVER_INSECURE_PORT)),
                false,
            ),
            read_only: honest
                .map(|machine| {
                    port(&format!("kubelet on {}", machine.name), (machine.address, read_only), false)
                })
                .collect(),
            components: [
                port("kube-controller-manager", (at, manager.listener.port.unwrap_or(10257)), true),
                port("kube-controller-manager", (at, plain(&manager.insecure, 10252)), false),
                port("kube-scheduler", (at, scheduler.listener.port.unwrap_or(10259)), true),
                port("kube-scheduler", (at, plain(&scheduler.insecure, 10251)), false),
            ]
            .into_iter()
            .chain(tunnels)
            .collect(),
        }
    }
}

impl Cluster {
    /// Do kubelets serve what reaches into containers (`enableDebuggingHandlers`)?
    pub fn reaches_into_containers(&self) -> bool {
        self.members.iter().any(|member| member.plan.kubelet.debugging_handlers)
    }

    /// The apiserver's plain HTTP port; 8080 where the configuration has none.
    pub fn insecure_port(&self) -> PortAt {
        self.facts.ports.insecure.clone()
    }

    /// The read-only port of every honest kubelet; 10255 where the configuration has none.
    pub fn read_only_ports(&self) -> Vec<PortAt> {
        self.facts.ports.read_only.clone()
    }

    /// The ports of the controller manager and of the scheduler: HTTPS, and plain HTTP as it once
    /// was; Kubernetes' own numbers where the configuration has none. Where there is a Konnectivity
    /// server, its ports for health and metrics.
    pub fn component_ports(&self) -> Vec<PortAt> {
        self.facts.ports.components.clone()
    }
}
