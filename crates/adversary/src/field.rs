//! Where an attacker acts from: its machine, and the untrusted segments.

use crate::holdings::{Held, Holdings, Loot};
use crate::target::{Target, Transport};
use futures_util::future::LocalBoxFuture;
use ravelin_host::{Connection, Flaw, HostRef, SessionSecret};
use ravelin_oracle::dissect::{KeyLogLine, Secrets, SshSecret};
use ravelin_sim::{Wire, World};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// One honest use of the path, started by the tactic at the moment that suits it.
pub type Probe<'a> = LocalBoxFuture<'a, ()>;

/// How long any single step of an attacker may take.
pub const STEP: Duration = Duration::from_secs(5);

/// An attacker's place in a simulation.
#[derive(Clone)]
pub struct Field {
    world: World,
    holdings: Holdings,
    loot: Loot,
    began: Duration,
    packets_before: usize,
}

impl Field {
    /// The place of an attacker who holds this, from now on.
    pub fn new(world: &World, holdings: &Holdings, loot: &Loot) -> Self {
        let packets_before = world.wire().packet_count();
        let (holdings, loot) = (holdings.clone(), loot.clone());
        Self { world: world.clone(), holdings, loot, began: world.elapsed(), packets_before }
    }

    /// The attacker's own machine (or pod).
    pub fn host(&self) -> &HostRef {
        &self.holdings.host
    }

    /// What it began with.
    pub fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// What it gained on this path.
    pub fn loot(&self) -> &Loot {
        &self.loot
    }

    /// Every credential that it may show: its own first.
    pub fn credentials(&self) -> Vec<Held> {
        self.holdings.credentials.iter().cloned().chain(self.loot.all()).collect()
    }

    /// The untrusted segments.
    pub fn wire(&self) -> Wire {
        self.world.wire()
    }

    /// Simulated time since the simulation's start.
    pub fn now(&self) -> Duration {
        self.world.elapsed()
    }

    /// When this attempt began.
    pub fn began(&self) -> Duration {
        self.began
    }

    /// The flows that carried packets in this attempt.
    pub fn live_flows(&self) -> BTreeSet<u64> {
        self.wire().packets_since(self.packets_before).iter().map(|packet| packet.flow).collect()
    }

    /// The session secrets that the attacker knows: none, unless sessions have no secrecy.
    pub fn known_secrets(&self) -> Secrets {
        if self.host().flaws().has(Flaw::SessionsWithoutSecrecy) {
            referee_secrets(&self.world.secrets())
        } else {
            Secrets::default()
        }
    }

    /// Did packets of these connections (client, server) cross the network in this attempt? For
    /// whoever judges: an attacker off the path does not see it.
    pub fn referee_saw(&self, pairs: &[(IpAddr, SocketAddr)]) -> bool {
        let packets = self.wire().packets_since(self.packets_before);
        let ours = |(client, server): &(IpAddr, SocketAddr)| {
            packets.iter().any(|packet| packet.source.ip() == *client && packet.destination == *server)
        };
        pairs.iter().any(ours)
    }

    /// Every session secret of the run: for whoever judges, never for an attacker.
    pub fn referee_secrets(&self) -> Secrets {
        referee_secrets(&self.world.secrets())
    }

    /// A connection of the attacker's own.
    ///
    /// # Errors
    /// As `connect(2)`, within [`STEP`].
    pub async fn connect(&self, to: SocketAddr) -> std::io::Result<Connection> {
        let (wire, endpoint) = (self.wire(), to.into());
        let connecting: LocalBoxFuture<'_, std::io::Result<Connection>> = match self.holdings.place {
            Some(place) => Box::pin(wire.connect_as(Some(place), to)),
            None => Box::pin(self.host().connect(&endpoint)),
        };
        tokio::time::timeout(STEP, connecting).await.map_err(|_| std::io::ErrorKind::TimedOut)?
    }

    /// Names a flow from the attacker's machine, for people.
    pub fn flow(&self, to: SocketAddr) -> String {
        format!("attacker > {to}")
    }

    /// Ends the path's tunnels with forged resets, as anybody can who sees their sequence numbers;
    /// gives who had opened one, and whose it was.
    pub fn cut(&self, target: &Target) -> BTreeSet<(IpAddr, SocketAddr)> {
        let ends = match &target.transport {
            Transport::Direct => return BTreeSet::new(),
            Transport::Ssh(nodes) => nodes,
            Transport::Konnectivity(tunnel) => &tunnel.servers,
        };
        let (wire, flows) = (self.wire(), self.wire().flows());
        let tunnels = flows.iter().filter(|flow| ends.contains(&flow.server) && !flow.by_attacker);
        tunnels.filter(|flow| wire.reset(flow)).map(|flow| (flow.client.ip(), flow.server)).collect()
    }
}

/// Session secrets in the form that captures are read with: for whoever judges, never for an attacker.
pub fn referee_secrets(all: &[SessionSecret]) -> Secrets {
    let mut known = Secrets::default();
    for secret in all {
        match secret.clone() {
            SessionSecret::Tls { label, client_random, secret } => {
                known.add_tls(KeyLogLine { label, client_random, secret });
            }
            SessionSecret::Ssh { shared_secret, kex, cipher } => {
                known.add_ssh(SshSecret { shared_secret, kex, cipher });
            }
            _ => {}
        }
    }
    known
}
