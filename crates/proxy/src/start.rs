//! The proxy's loop.

use crate::health::Health;
use crate::table::{Node, table};
use ravelin_client::{Client, ClientConfig, Reflector, Store};
use ravelin_host::{HostRef, Redirect, Task, field};
use std::sync::Arc;

/// A running proxy; it ends when this is dropped. The table that it last set stays.
#[derive(Debug)]
pub struct Proxy {
    pub(crate) client: Client,
    pub(crate) health: Arc<Health>,
    _tasks: Vec<Task>,
}

impl Proxy {
    /// Starts the proxy of a node, which has the host's name (`--hostname-override`).
    pub fn start(host: HostRef, config: ClientConfig) -> Self {
        let client = Client::new(host.clone(), config);
        let services = Reflector::new(client.clone(), "/api/v1/services");
        let slices = Reflector::new(client.clone(), "/apis/discovery.k8s.io/v1/endpointslices");
        let health = Arc::new(Health::default());
        let following = follow((host.clone(), Arc::clone(&health)), services.store(), slices.store());
        let task = host.spawn("proxy", Box::pin(following));
        Self { client, health, _tasks: vec![task, services.run(), slices.run()] }
    }
}

/// Sets the table whenever it changes.
async fn follow((host, health): (HostRef, Arc<Health>), mut services: Store, mut slices: Store) {
    // A table of one without the other would refuse what works.
    if !(services.synced().await && slices.synced().await) {
        return;
    }
    let mut last: Option<Vec<Redirect>> = None;
    let addresses = host.addresses();
    let node = Node { name: host.name(), addresses: &addresses };
    loop {
        let (all_services, all_slices) = (services.objects(), slices.objects());
        let (each_service, each_slice) = (all_services.values(), all_slices.values());
        let current = table(each_service.map(|one| &**one), each_slice.map(|one| &**one), node);
        if last.as_ref() != Some(&current) {
            host.observe("proxy.table", &[field("addresses", current.len())]);
            host.set_redirects(current.clone());
            last = Some(current);
        }
        health.updated(host.now(), last.as_ref().map_or(0, Vec::len));
        let is_alive = tokio::select! {
            biased;
            alive = services.changed() => alive,
            alive = slices.changed() => alive,
        };
        if !is_alive {
            return;
        }
        health.queued(host.now());
    }
}
