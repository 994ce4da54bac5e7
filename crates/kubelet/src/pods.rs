//! The node's pods: from what the apiserver says to what the runtime runs, and back as status.

mod environment;
mod events;
mod host_ports;
mod inject;
mod restarts;
mod sources;
mod tokens;
mod volumes;
mod worker;

use crate::allocation::Allocation;
use crate::node;
use crate::state::Shared;
use crate::ticks::Ticks;
use events::Events;
use host_ports::HostPorts;
use inject::Injector;
use ipnet::IpNet;
use ravelin_api::object;
use ravelin_client::{Client, Reflector, Store};
use ravelin_runtime::PodView;
pub(crate) use restarts::{Policy, Restarts};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use worker::Worker;

/// Runs the pods that are bound to this node, for ever.
pub(crate) async fn run(shared: Arc<Shared>, client: Client) {
    let range = node::pod_cidr(&shared.host, &client, &shared.config).await;
    let selector = format!("spec.nodeName={}", shared.config.node_name);
    let reflector =
        Reflector::new(client.clone(), "/api/v1/pods").with_parameters(&[("fieldSelector", &selector)]);
    let mut store = reflector.store();
    let _following = reflector.run();
    let mut pods = Pods {
        injector: Injector::new(&shared.host, client.clone()),
        events: Events::new(&client, &shared.config),
        host_ports: HostPorts::default(),
        sync: shared.config.sync_interval.map(Ticks::start),
        next_sync: None,
        ticks: shared.config.status_update_interval.map(Ticks::start),
        shared,
        client,
        range,
        addresses: Allocation::default(),
        workers: BTreeMap::new(),
    };
    // Before the first list nothing is known, and nothing must be stopped.
    store.synced().await;
    // A kubelet before this one may have left ports of pods.
    pods.shared.host.set_port_maps(Vec::new());
    let mut ends = pods.shared.config.runtime.changes();
    loop {
        ends.borrow_and_update();
        let due = pods.sync(&bound(&store)).await;
        tokio::select! {
            biased;
            _ = store.changed() => {}
            Ok(()) = ends.changed() => {}
            () = until(due) => {}
        }
    }
}

fn bound(store: &Store) -> Vec<Arc<Value>> {
    store.objects().into_values().collect()
}

/// Waits for the moment, for ever where there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

struct Pods {
    shared: Arc<Shared>,
    client: Client,
    injector: Injector,
    events: Events,
    range: IpNet,
    addresses: Allocation,
    workers: BTreeMap<String, Worker>,
    host_ports: HostPorts,
    /// When what others wrote of the pods is corrected.
    ticks: Option<Ticks>,
    /// When running pods are given what their volumes hold by then.
    sync: Option<Ticks>,
    next_sync: Option<Instant>,
}

impl Pods {
    /// Brings what runs in line with what is wanted. Gives the time of the next thing to do.
    async fn sync(&mut self, wanted: &[Arc<Value>]) -> Option<Instant> {
        self.publish(wanted);
        self.look_again();
        let uids: BTreeSet<&str> = wanted.iter().map(|pod| object::uid(pod)).collect();
        let gone: Vec<String> =
            self.workers.keys().filter(|uid| !uids.contains(uid.as_str())).cloned().collect();
        for uid in gone {
            self.stop(&uid).await;
        }
        for pod in wanted {
            // What cannot be read is not run, and must not keep the others from running.
            let Ok(view) = PodView::parse(pod) else { continue };
            if let Some(address) = self.reported_address(pod, &view) {
                self.addresses.keep(&view.uid, address);
            }
        }
        for pod in wanted {
            if object::is_terminating(pod) {
                self.terminate(pod).await;
            } else if let Ok(view) = PodView::parse(pod) {
                self.advance(pod, view).await;
            }
        }
        self.workers.values().filter_map(Worker::due).chain(self.next_sync).min()
    }

    /// Lets running pods look again for what their volumes hold, when it is time.
    fn look_again(&mut self) {
        if self.next_sync.is_some_and(|next| next <= Instant::now()) {
            self.workers.values_mut().for_each(Worker::look_again);
        }
        let ahead = self.next_sync.is_some_and(|next| next > Instant::now());
        if !ahead {
            self.next_sync = self.sync.map(|ticks| ticks.next());
        }
    }

    /// Makes the pods known to the kubelet's endpoint.
    fn publish(&self, wanted: &[Arc<Value>]) {
        let key = |pod: &Value| (object::namespace(pod).to_owned(), object::name(pod).to_owned());
        self.shared.replace_pods(wanted.iter().map(|pod| (key(pod), Value::clone(pod))).collect());
    }

    /// The address that a kubelet before this one gave to a pod.
    fn reported_address(&self, pod: &Value, view: &PodView) -> Option<IpAddr> {
        let address: IpAddr = object::text(pod, "status.podIP").parse().ok()?;
        (!view.host_network && self.range.contains(&address)).then_some(address)
    }

    async fn stop(&mut self, uid: &str) {
        self.end(uid, Duration::ZERO).await;
        self.workers.remove(uid);
    }

    /// Ends what runs of a pod, within so long. Has it ended?
    async fn end(&mut self, uid: &str, grace: Duration) -> bool {
        if !self.shared.config.runtime.stop_pod(uid, grace).await {
            return false;
        }
        self.addresses.release(uid);
        if self.host_ports.remove(uid) {
            self.shared.host.set_port_maps(self.host_ports.all());
        }
        true
    }

    /// Stops a pod that is being deleted, and tells the apiserver that it is gone.
    async fn terminate(&mut self, pod: &Value) {
        let uid = object::uid(pod);
        let host = &self.shared.host;
        let worker = self.workers.entry(uid.to_owned()).or_insert_with(|| Worker::new(host));
        let (serving, stopping) = graces(pod);
        if worker.begin_ending(serving)
            && let Some(state) = self.shared.config.runtime.status(uid).await
        {
            self.events.killing(pod, &state);
        }
        let is_due = worker.is_due();
        if worker.is_draining() {
            return;
        }
        let has_ended = self.end(uid, stopping).await;
        let Some(worker) = self.workers.get_mut(uid) else { return };
        if !has_ended {
            worker.wait_for_its_end();
        } else if is_due || worker.was_waited_for() {
            let path = format!("{}?gracePeriodSeconds=0", worker::path(pod));
            let deleted = self.client.delete(&path).await;
            worker.retry_unless_done(&self.shared.host, pod, deleted.map(|_| ()));
        }
    }

    /// Does what is due for a pod: starts it, reports it, refreshes its token.
    async fn advance(&mut self, pod: &Value, view: PodView) {
        let host = &self.shared.host;
        let worker = self.workers.entry(view.uid.clone()).or_insert_with(|| Worker::new(host));
        let context = worker::Context {
            shared: &self.shared,
            client: &self.client,
            injector: &mut self.injector,
            events: &self.events,
            addresses: &mut self.addresses,
            host_ports: &mut self.host_ports,
            range: self.range,
        };
        worker.settle(&context, pod, &view).await;
        worker.reconcile(&context, (pod, &view), self.ticks).await;
        if worker.is_due() {
            worker.advance(context, pod, &view).await;
        }
    }
}

/// For how long a pod that is deleted goes on serving, and how long it may take to end after that.
///
/// It serves as long as its containers ask to sleep before they stop (`lifecycle.preStop.sleep`,
/// KEP-3960), and no longer than its grace period. What is left of that is theirs to end in, and no less
/// than two seconds (`minimumGracePeriodInSeconds` of `pkg/kubelet/kuberuntime`).
fn graces(pod: &Value) -> (Duration, Duration) {
    const LEAST: u64 = 2;
    let containers = object::list(pod, "spec.containers").iter();
    let sleeps = containers.filter_map(|container| {
        object::at(container, "lifecycle.preStop.sleep.seconds").and_then(Value::as_u64)
    });
    let most = pod["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(0);
    let serving = sleeps.max().unwrap_or(0).min(most);
    let stopping = if most == 0 { 0 } else { (most - serving).max(LEAST) };
    (Duration::from_secs(serving), Duration::from_secs(stopping))
}
