//! A computer that knows where a name or an address of the configuration leads: what a cluster's DNS,
//! its hosts files and its load balancers know.

use async_trait::async_trait;
use ravelin_entropy::Entropy;
use ravelin_host::{
    Connection, Disk, Endpoint, Field, Flaws, Host, HostRef, Listener, PortMap, Redirect, SessionSecret, Task,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A computer, one name or address, and where that leads.
struct KnownHost {
    inner: HostRef,
    name: String,
    leads_to: Vec<IpAddr>,
    /// Whose turn it is, where an address stands for several computers.
    turn: AtomicUsize,
}

/// A computer on which `name` leads to these addresses, in turn. It is the same computer where it leads
/// there anyway.
pub(crate) fn knowing(host: &HostRef, name: &str, leads_to: &[IpAddr]) -> HostRef {
    let own: Option<IpAddr> = name.parse().ok();
    if leads_to.is_empty() || (leads_to.len() == 1 && own == leads_to.first().copied()) {
        return Arc::clone(host);
    }
    Arc::new(KnownHost {
        inner: Arc::clone(host),
        name: name.to_owned(),
        leads_to: leads_to.to_vec(),
        turn: AtomicUsize::new(0),
    })
}

#[async_trait]
impl Host for KnownHost {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.inner.addresses()
    }

    async fn connect(&self, to: &Endpoint) -> io::Result<Connection> {
        match to {
            Endpoint::Tcp(address) if self.name.parse() == Ok(address.ip()) => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                let there = self.leads_to[turn % self.leads_to.len()];
                self.inner.connect(&SocketAddr::new(there, address.port()).into()).await
            }
            _ => self.inner.connect(to).await,
        }
    }

    async fn listen(&self, on: &Endpoint) -> io::Result<Box<dyn Listener>> {
        self.inner.listen(on).await
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name == self.name && name.parse::<IpAddr>().is_err() {
            return Ok(self.leads_to.clone());
        }
        self.inner.resolve(name).await
    }

    fn now(&self) -> jiff::Timestamp {
        self.inner.now()
    }

    fn entropy(&self, label: &str) -> Entropy {
        self.inner.entropy(label)
    }

    fn spawn(&self, label: &str, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Task {
        self.inner.spawn(label, future)
    }

    fn disk(&self) -> &dyn Disk {
        self.inner.disk()
    }

    fn set_redirects(&self, table: Vec<Redirect>) {
        self.inner.set_redirects(table);
    }

    fn set_port_maps(&self, maps: Vec<PortMap>) {
        self.inner.set_port_maps(maps);
    }

    fn pod(&self, address: IpAddr) -> io::Result<HostRef> {
        self.inner.pod(address)
    }

    fn observe(&self, kind: &'static str, fields: &[Field]) {
        self.inner.observe(kind, fields);
    }

    fn session_secret(&self, secret: SessionSecret) {
        self.inner.session_secret(secret);
    }

    fn flaws(&self) -> &Flaws {
        self.inner.flaws()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ravelin_host::memory::Network;
    use std::net::Ipv4Addr;

    #[tokio::test(start_paused = true)]
    async fn a_name_or_an_address_leads_to_each_of_its_computers_in_turn() {
        let network = Network::new();
        let at = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
        let servers: Vec<HostRef> =
            [1, 2].map(|last| network.host(&format!("server-{last}"), at(last))).into();
        let node = network.host("node", at(9));
        let listen = |host: &HostRef| {
            let host = Arc::clone(host);
            async move { host.listen(&Endpoint::tcp(host.addresses()[0], 8132)).await.expect("a free port") }
        };
        let _listening = [listen(&servers[0]).await, listen(&servers[1]).await];
        let balanced = knowing(&node, "203.0.113.7", &[at(1), at(2)]);
        for expected in [1, 2, 1] {
            let dialled = balanced.connect(&Endpoint::tcp(Ipv4Addr::new(203, 0, 113, 7), 8132)).await;
            assert_eq!(dialled.expect("it leads there").peer, Endpoint::tcp(at(expected), 8132));
        }
        let named = knowing(&node, "tunnels.example", &[at(1)]);
        assert_eq!(named.resolve("tunnels.example").await.expect("it is known"), [at(1)]);
        assert!(named.resolve("other.example").await.is_err());
        assert!(Arc::ptr_eq(&knowing(&node, "192.0.2.1", &[at(1)]), &node), "it leads there anyway");
    }
}
