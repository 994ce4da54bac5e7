//! The way of a connection through the tables of the computers that it passes; pure.

use crate::{Opening, PortMap, Redirect, Scope, Translated, Translation};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The tables of a network's computers, by address.
#[derive(Default)]
pub(crate) struct Tables {
    tables: BTreeMap<IpAddr, Translation>,
    /// Whose table the connections of a pod pass, where it has none of its own: its node's.
    keepers: BTreeMap<IpAddr, IpAddr>,
}

/// Where a connection leads in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Journey {
    /// Its destination.
    pub(crate) to: SocketAddr,
    /// From where it seems to come.
    pub(crate) source: IpAddr,
}

/// Why a connection leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nowhere {
    /// It is refused.
    Refused,
    /// It is never answered.
    Dropped,
}

impl From<Nowhere> for io::Error {
    fn from(nowhere: Nowhere) -> Self {
        match nowhere {
            Nowhere::Refused => io::ErrorKind::ConnectionRefused.into(),
            Nowhere::Dropped => io::ErrorKind::TimedOut.into(),
        }
    }
}

impl Tables {
    /// A computer with a table of its own.
    pub(crate) fn add(&mut self, address: IpAddr, table: Translation) {
        self.tables.insert(address, table);
    }

    /// A pod whose connections pass its node's table.
    pub(crate) fn keep(&mut self, pod: IpAddr, node: IpAddr) {
        self.keepers.insert(pod, node);
    }

    /// Replaces a computer's table of services.
    pub(crate) fn set_services(&mut self, address: IpAddr, table: Vec<Redirect>) {
        self.tables.entry(address).or_default().set_services(table);
    }

    /// Replaces a computer's table of its pods' ports.
    pub(crate) fn set_ports(&mut self, address: IpAddr, maps: Vec<PortMap>) {
        self.tables.entry(address).or_default().set_ports(maps);
    }

    /// Where a connection from `client` to `to` leads at the time `now`: first by the table of who
    /// opens it, then by that of the computer at which it arrives. `choose` gives one of so many.
    pub(crate) fn journey(
        &mut self,
        (client, to): (IpAddr, SocketAddr),
        now: Duration,
        mut choose: impl FnMut(usize) -> usize,
    ) -> Result<Journey, Nowhere> {
        let keeper = self.keepers.get(&client).copied().unwrap_or(client);
        let mut journey = Journey { to, source: client };
        for way in [Scope::Opened, Scope::Arriving] {
            let passed = if way == Scope::Opened { keeper } else { journey.to.ip() };
            if way == Scope::Arriving && passed == keeper {
                continue;
            }
            let Some(table) = self.tables.get_mut(&passed) else { continue };
            let opening = Opening { client: journey.source, to: journey.to, way, own: &[passed], now };
            match table.translate(&opening, &mut choose) {
                Translated::No => {}
                Translated::To { endpoint, masquerade } => {
                    journey.to = endpoint;
                    if masquerade {
                        journey.source = passed;
                    }
                }
                Translated::Refused => return Err(Nowhere::Refused),
                Translated::Dropped => return Err(Nowhere::Dropped),
            }
        }
        Ok(journey)
    }

    /// Where a connection leads that somebody opened to a socket of the computer `at` which stands for
    /// the address `to`: by that computer's table alone.
    pub(crate) fn carried(
        &mut self,
        at: IpAddr,
        (client, to, way): (IpAddr, SocketAddr, Scope),
        now: Duration,
        choose: impl FnMut(usize) -> usize,
    ) -> Result<SocketAddr, Nowhere> {
        let table = self.tables.entry(at).or_default();
        match table.translate(&Opening { client, to, way, own: &[at], now }, choose) {
            Translated::To { endpoint, .. } => Ok(endpoint),
            Translated::Dropped => Err(Nowhere::Dropped),
            Translated::Refused | Translated::No => Err(Nowhere::Refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_pods_connections_pass_its_nodes_table_and_nobody_elses() {
        let (node, pod, other): (IpAddr, IpAddr, IpAddr) =
            ([10, 0, 0, 1].into(), [10, 1, 0, 2].into(), [10, 0, 0, 9].into());
        let mut tables = Tables::default();
        tables.add(node, Translation::default());
        tables.keep(pod, node);
        tables.set_services(node, vec![Redirect::new(at("10.96.0.1:443"), vec![at("192.0.2.1:6443")])]);
        let mut go = |from| tables.journey((from, at("10.96.0.1:443")), Duration::ZERO, |_| 0);
        let through = Journey { to: at("192.0.2.1:6443"), source: pod };
        assert_eq!(go(pod), Ok(through));
        assert_eq!(go(node), Ok(Journey { source: node, ..through }));
        assert_eq!(go(other), Ok(Journey { to: at("10.96.0.1:443"), source: other }));
    }

    #[test]
    fn what_arrives_at_a_node_passes_its_table_once() {
        let (node, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 9].into());
        let mut tables = Tables::default();
        let port =
            Redirect { masquerade: true, ..Redirect::new(at("10.0.0.1:30080"), vec![at("10.1.0.2:80")]) };
        tables.set_services(node, vec![port]);
        let mut go = |from| tables.journey((from, at("10.0.0.1:30080")), Duration::ZERO, |_| 0);
        assert_eq!(go(other), Ok(Journey { to: at("10.1.0.2:80"), source: node }), "masqueraded");
        assert_eq!(go(node), Ok(Journey { to: at("10.1.0.2:80"), source: node }));
    }
}
