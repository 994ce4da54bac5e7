//! Destination translation, as a service proxy and the pods' network program it; pure.
//!
//! What a host does with it: connections that are opened on the computer (or by its pods) and
//! those that arrive at it from elsewhere pass the table. It is read once for a connection, when
//! that is opened: later changes do not touch it, as connection tracking has it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// More clients than this are not remembered for affinity: the one longest silent is forgotten.
const MAX_REMEMBERED: usize = 65_536;

/// Which connections a redirect is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All that pass this computer.
    #[default]
    Everywhere,
    /// Those that this computer or its pods open.
    Opened,
    /// Those that arrive from other computers.
    Arriving,
}

impl Scope {
    /// Is a redirect of this scope for connections that come this way?
    fn covers(self, way: Self) -> bool {
        self == Self::Everywhere || self == way
    }
}

/// What becomes of a connection to a translated address that leads nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Otherwise {
    /// It is refused (`REJECT`).
    #[default]
    Refuse,
    /// It is never answered (`DROP`).
    Drop,
}

/// One translated address: a connection to `from` goes to one of `to`, chosen when it is opened.
/// Of several with one address, the first that is for a connection counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redirect {
    /// The address and port that is asked for.
    pub from: SocketAddr,
    /// The endpoints.
    pub to: Vec<SocketAddr>,
    /// Which connections it is for.
    pub scope: Scope,
    /// What becomes of them where there is no endpoint.
    pub otherwise: Otherwise,
    /// For how long after its last connection a client comes to the same endpoint again.
    pub affinity: Option<Duration>,
    /// Do endpoints see this computer's address instead of the client's?
    pub masquerade: bool,
}

impl Redirect {
    /// For all connections, under their own source, refused where there is no endpoint.
    pub fn new(from: SocketAddr, to: Vec<SocketAddr>) -> Self {
        let (scope, otherwise) = (Scope::default(), Otherwise::default());
        Self { from, to, scope, otherwise, affinity: None, masquerade: false }
    }
}

/// A port of the computer that is a pod's (`hostPort`; the `portmap` plugin of CNI).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortMap {
    /// The one address that it is for (`hostIP`); all of the computer's where there is none.
    pub address: Option<IpAddr>,
    /// The computer's port.
    pub port: u16,
    /// The pod's address and port.
    pub to: SocketAddr,
}

/// A connection as it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Who opens it.
    pub client: IpAddr,
    /// What it asks for.
    pub to: SocketAddr,
    /// Was it opened here ([`Scope::Opened`]), or does it arrive ([`Scope::Arriving`])?
    pub way: Scope,
    /// The computer's own addresses.
    pub own: &'a [IpAddr],
    /// The time, from any beginning.
    pub now: Duration,
}

/// Where a connection leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translated {
    /// Where it was going.
    No,
    /// Elsewhere.
    To {
        /// The endpoint.
        endpoint: SocketAddr,
        /// Does it see this computer's address instead of the client's?
        masquerade: bool,
    },
    /// It is refused.
    Refused,
    /// It is never answered.
    Dropped,
}

/// The tables of one computer.
#[derive(Clone, Debug, Default)]
pub struct Translation {
    services: Vec<Redirect>,
    ports: Vec<PortMap>,
    /// Do the pods' ports come first, also for addresses of services (`Flaw::HostPortsBeforeServices`)?
    ports_first: bool,
    /// The endpoint that a client had last, and when, by service address and client.
    affine: BTreeMap<(SocketAddr, IpAddr), (SocketAddr, Duration)>,
}

impl Translation {
    /// Replaces the services' table.
    pub fn set_services(&mut self, table: Vec<Redirect>) {
        let known =
            |address: SocketAddr| table.iter().any(|one| one.from == address && one.affinity.is_some());
        self.affine.retain(|(address, _), _| known(*address));
        self.services = table;
    }

    /// Replaces the table of the pods' ports.
    pub fn set_ports(&mut self, ports: Vec<PortMap>) {
        self.ports = ports;
    }

    /// Lets the pods' ports come before services, at their addresses too.
    pub fn danger_ports_first(&mut self) {
        self.ports_first = true;
    }

    /// Forgets everything but the order.
    pub fn clear(&mut self) {
        *self = Self { ports_first: self.ports_first, ..Self::default() };
    }

    /// Where a connection leads. `choose` gives one of so many.
    pub fn translate(&mut self, opening: &Opening<'_>, choose: impl FnOnce(usize) -> usize) -> Translated {
        if self.ports_first
            && let Some(to) = self.port(opening)
        {
            return to;
        }
        let found = self.services.iter().find(|one| one.from == opening.to && one.scope.covers(opening.way));
        let Some(redirect) = found else {
            return self.port(opening).unwrap_or(Translated::No);
        };
        if redirect.to.is_empty() {
            return match redirect.otherwise {
                Otherwise::Refuse => Translated::Refused,
                Otherwise::Drop => Translated::Dropped,
            };
        }
        let endpoint = match redirect.affinity {
            None => redirect.to[choose(redirect.to.len())],
            Some(lasting) => affine(&mut self.affine, (redirect, lasting), opening, choose),
        };
        Translated::To { endpoint, masquerade: redirect.masquerade }
    }

    /// The pod whose port is asked for. Only the computer's own addresses have ports of pods; with
    /// the flaw those of services are taken for its own, as the IPVS proxy binds them to a device of
    /// the node (CVE-2019-9946).
    fn port(&self, opening: &Opening<'_>) -> Option<Translated> {
        let ip = opening.to.ip();
        let is_local = opening.own.contains(&ip)
            || self.ports_first && self.services.iter().any(|redirect| redirect.from.ip() == ip);
        let matches =
            |map: &&PortMap| map.port == opening.to.port() && map.address.is_none_or(|address| address == ip);
        let found = self.ports.iter().find(matches).filter(|_| is_local)?;
        Some(Translated::To { endpoint: found.to, masquerade: false })
    }
}

type Affine = BTreeMap<(SocketAddr, IpAddr), (SocketAddr, Duration)>;

/// The endpoint that the client had before, where that was not too long ago and it still is one.
fn affine(
    known: &mut Affine,
    (redirect, lasting): (&Redirect, Duration),
    opening: &Opening<'_>,
    choose: impl FnOnce(usize) -> usize,
) -> SocketAddr {
    let key = (redirect.from, opening.client);
    let kept = known.get(&key).filter(|(endpoint, last)| {
        opening.now.saturating_sub(*last) < lasting && redirect.to.contains(endpoint)
    });
    let endpoint = kept.map_or_else(|| redirect.to[choose(redirect.to.len())], |(endpoint, _)| *endpoint);
    known.insert(key, (endpoint, opening.now));
    if known.len() > MAX_REMEMBERED
        && let Some(oldest) = known.iter().min_by_key(|(_, (_, last))| *last).map(|(key, _)| *key)
    {
        known.remove(&oldest);
    }
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn asked(to: &str, way: Scope, seconds: u64) -> Opening<'static> {
        static OWN: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1))];
        let now = Duration::from_secs(seconds);
        Opening { client: [10, 1, 0, 9].into(), to: at(to), way, own: &OWN, now }
    }

    fn to(endpoint: &str) -> Translated {
        Translated::To { endpoint: at(endpoint), masquerade: false }
    }

    #[test]
    fn the_first_redirect_whose_scope_covers_the_way_counts() {
        let mut table = Translation::default();
        let inside =
            Redirect { scope: Scope::Opened, ..Redirect::new(at("192.0.2.1:80"), vec![at("10.1.0.2:1")]) };
        let outside = Redirect {
            scope: Scope::Arriving,
            otherwise: Otherwise::Drop,
            ..Redirect::new(at("192.0.2.1:80"), vec![])
        };
        table.set_services(vec![inside, outside, Redirect::new(at("192.0.2.2:80"), vec![])]);
        let mut go = |address: &str, way| table.translate(&asked(address, way, 0), |_| 0);
        assert_eq!(go("192.0.2.1:80", Scope::Opened), to("10.1.0.2:1"));
        assert_eq!(go("192.0.2.1:80", Scope::Arriving), Translated::Dropped);
        assert_eq!(go("192.0.2.2:80", Scope::Arriving), Translated::Refused);
        assert_eq!(go("192.0.2.2:81", Scope::Opened), Translated::No);
    }

    #[test]
    fn a_client_keeps_its_endpoint_while_it_comes_often_enough_and_that_is_there() {
        let mut table = Translation::default();
        let both = vec![at("10.1.0.2:1"), at("10.1.0.3:1")];
        let affine = |to: Vec<SocketAddr>| Redirect {
            affinity: Some(Duration::from_secs(100)),
            ..Redirect::new(at("192.0.2.1:80"), to)
        };
        table.set_services(vec![affine(both.clone())]);
        // The choice changes with each connection; only affinity keeps the endpoint.
        let go = |table: &mut Translation, seconds, choice| {
            table.translate(&asked("192.0.2.1:80", Scope::Opened, seconds), |_| choice)
        };
        assert_eq!(go(&mut table, 0, 1), to("10.1.0.3:1"));
        assert_eq!(go(&mut table, 99, 0), to("10.1.0.3:1"));
        assert_eq!(go(&mut table, 198, 0), to("10.1.0.3:1"), "each connection counts anew");
        assert_eq!(go(&mut table, 298, 0), to("10.1.0.2:1"), "it was away for too long");
        table.set_services(vec![affine(vec![at("10.1.0.3:1")])]);
        assert_eq!(go(&mut table, 299, 0), to("10.1.0.3:1"), "the endpoint is gone");
        table.set_services(vec![affine(both)]);
        assert_eq!(go(&mut table, 300, 0), to("10.1.0.3:1"));
    }

    #[test]
    fn ports_of_pods_are_the_computers_own_and_come_after_services() {
        let map = |port, to: &str| PortMap { address: None, port, to: at(to) };
        let mut table = Translation::default();
        table.set_services(vec![
            Redirect::new(at("10.96.0.1:443"), vec![at("192.0.2.10:6443")]),
            Redirect::new(at("10.0.0.1:30080"), vec![at("10.1.0.5:80")]),
        ]);
        table.set_ports(vec![map(443, "10.1.0.2:8443"), map(30080, "10.1.0.2:1")]);
        let go = |table: &mut Translation, address: &str| {
            table.translate(&asked(address, Scope::Opened, 0), |_| 0)
        };
        assert_eq!(go(&mut table, "10.96.0.1:443"), to("192.0.2.10:6443"));
        assert_eq!(go(&mut table, "10.0.0.1:443"), to("10.1.0.2:8443"));
        assert_eq!(go(&mut table, "10.0.0.2:443"), Translated::No, "another computer's");
        assert_eq!(go(&mut table, "10.0.0.1:30080"), to("10.1.0.5:80"));
        // CVE-2019-9946.
        table.danger_ports_first();
        assert_eq!(go(&mut table, "10.96.0.1:443"), to("10.1.0.2:8443"));
        assert_eq!(go(&mut table, "10.0.0.1:30080"), to("10.1.0.2:1"));
        assert_eq!(go(&mut table, "10.0.0.2:443"), Translated::No);
        let bound = PortMap { address: Some([10, 0, 0, 7].into()), ..map(443, "10.1.0.2:8443") };
        table.set_ports(vec![bound]);
        assert_eq!(go(&mut table, "10.96.0.1:443"), to("192.0.2.10:6443"), "it is for one address");
    }
}
