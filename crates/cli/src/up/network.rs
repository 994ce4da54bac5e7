//! The hosts of a layout on this computer, and the one port that others can reach.

use crate::files::Refused;
use ravelin_cluster::Layout;
use ravelin_host::HostRef;
use ravelin_host::os::{Network, Observer};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Where the apiserver listens if nothing else is asked for (the port of kubeadm's).
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);

/// A network without hosts, which tells what its components say of themselves, or not.
pub(crate) fn of(verbose: bool) -> Network {
    let observer: Observer = Arc::new(|host, kind, fields| {
        let fields = fields.iter().map(|(name, value)| format!(" {name}={value:?}"));
        let line = format!("{host}: {kind}{}", fields.collect::<String>());
        // That nobody reads it is no failure.
        let _ = writeln!(io::stderr(), "{}", ravelin_report::harmless(&line));
    });
    Network::new(verbose.then_some(observer))
}

/// The hosts of a layout, by name; a node has all addresses of its part of the pods' range.
pub(crate) fn hosts<'a>(network: &'a Network, layout: &'a Layout) -> impl Fn(&str) -> HostRef + 'a {
    move |name| {
        if let Some(node) = layout.nodes.iter().find(|node| node.machine.name == name) {
            return network.host(name, node.machine.address, node.pod_cidr.hosts().skip(1).collect());
        }
        let others = [&layout.controllers, &layout.operator, &layout.user];
        let place = layout.control_planes().chain(others).find(|place| place.name == name);
        network.host(name, place.expect("it is laid out").address, Vec::new())
    }
}

/// Opens the apiserver's port where it was asked for, or at the usual place, or anywhere.
pub(crate) fn publish(
    network: &Network,
    port: SocketAddr,
    listen: Option<SocketAddr>,
) -> Result<SocketAddr, Refused> {
    let Some(listen) = listen else {
        let anywhere = SocketAddr::new(USUAL.ip(), 0);
        return network.publish(port, USUAL).or_else(|_| network.publish(port, anywhere)).map_err(|error| {
            Refused::failed(format!("no port of {} can be listened on: {error}", USUAL.ip()))
        });
    };
    network.publish(port, listen).map_err(|error| {
        let what = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "something else listens there; choose another port, or port 0 for a free one"
            }
            io::ErrorKind::AddrNotAvailable => "it is no address of this computer",
            io::ErrorKind::PermissionDenied => "ports below 1024 are the superuser's; choose a higher one",
            _ => "it cannot be listened on",
        };
        Refused::usage(format!("--listen {listen}: {what} ({error})"))
    })
}
