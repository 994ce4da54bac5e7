//! Notices that a node fell silent (`pkg/controller/nodelifecycle/node_lifecycle_controller.go`).
//!
//! A node lives as long as its lease is renewed or its status written. Only whether they changed
//! counts, by this computer's own watch: what time a node thinks it is does not matter. Rules of
//! the pure kind are in `taints`.

use crate::addresses::NODES;
use crate::follow::{Controller, Outcome, objects};
use crate::taints;
use async_trait::async_trait;
use ravelin_api::{object, time};
use ravelin_client::{Client, ClientError, PatchKind, Store};
use ravelin_host::field;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Where the leases of nodes are.
pub(crate) const NODE_LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// The node lifecycle controller.
pub(crate) struct NodeLifecycle {
    pub(crate) client: Client,
    pub(crate) nodes: Store,
    pub(crate) leases: Store,
    pub(crate) pods: Store,
    /// How long a node may be silent (`--node-monitor-grace-period`).
    pub(crate) grace: Duration,
    /// What was last heard of each node, by UID.
    pub(crate) heard: BTreeMap<String, Heard>,
}

/// A node's last sign of life.
pub(crate) struct Heard {
    at: Instant,
    renewed: String,
    reported: String,
}

impl NodeLifecycle {
    /// How long ago did this node show that it lives?
    fn silence(&mut self, node: &Value) -> Duration {
        let lease = self.leases.object(&format!("kube-node-lease/{}", object::name(node)));
        let renewed = lease.map(|lease| object::text(&lease, "spec.renewTime").to_owned());
        let renewed = renewed.unwrap_or_default();
        let ready = taints::condition(node, "Ready");
        let reported = ready.map_or("", |ready| object::text(ready, "lastHeartbeatTime")).to_owned();
        let heard = self.heard.entry(object::uid(node).to_owned()).or_insert_with(|| Heard {
            at: Instant::now(),
            renewed: String::new(),
            reported: String::new(),
        });
        if heard.renewed != renewed || heard.reported != reported {
            *heard = Heard { at: Instant::now(), renewed, reported };
        }
        heard.at.elapsed()
    }

    async fn watch_over(&mut self, node: &Value) -> Result<(), ClientError> {
        let path = format!("{NODES}/{}", object::name(node));
        let now = time::format(self.client.host().now());
        if self.silence(node) >= self.grace
            && let Some(conditions) = taints::of_silent(node, &now)
        {
            let mut changed = node.clone();
            changed["status"]["conditions"] = conditions;
            self.client.update(&format!("{path}/status"), &changed).await?;
            let fields = [field("node", object::name(node)), field("ready", "Unknown")];
            self.client.host().observe("controller.node-lifecycle", &fields);
            // The rest follows when the change is seen.
            return Ok(());
        }
        if let Some(taints) = taints::wanted(node, &now) {
            let version = object::resource_version(node);
            let patch = json!({ "metadata": { "resourceVersion": version }, "spec": { "taints": taints } });
            self.client.patch(&path, PatchKind::Merge, &patch).await?;
        }
        Ok(())
    }

    /// Pods of a node that is not ready are not either.
    async fn mark_pods(&self, nodes: &[Arc<Value>], outcome: &mut Outcome) {
        let is_down =
            |node: &&Arc<Value>| taints::condition(node, "Ready").is_some_and(|r| r["status"] != "True");
        let down: Vec<&str> = nodes.iter().filter(is_down).map(|node| object::name(node)).collect();
        if down.is_empty() {
            return;
        }
        for pod in objects(&self.pods) {
            if !down.contains(&object::text(&pod, "spec.nodeName")) || !object::has_condition(&pod, "Ready") {
                continue;
            }
            let now = time::format(self.client.host().now());
            let mut changed = Value::clone(&pod);
            let conditions = changed["status"]["conditions"].as_array_mut().into_iter().flatten();
            for ready in conditions.filter(|condition| condition["type"] == "Ready") {
                ready["status"] = json!("False");
                ready["lastTransitionTime"] = json!(now);
            }
            let (namespace, name) = (object::namespace(&pod), object::name(&pod));
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
            outcome.note(self.client.update(&path, &changed).await);
        }
    }
}

#[async_trait]
impl Controller for NodeLifecycle {
    fn name(&self) -> &'static str {
        "nodelifecycle"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        let nodes = objects(&self.nodes);
        self.heard.retain(|uid, _| nodes.iter().any(|node| object::uid(node) == uid));
        for node in &nodes {
            let watched = self.watch_over(node).await;
            outcome.note(watched);
        }
        self.mark_pods(&nodes, &mut outcome).await;
        outcome.result()
    }

    fn due(&self) -> Option<Instant> {
        // A node whose time is over already is looked at again when it speaks.
        let ends = self.heard.values().map(|heard| heard.at + self.grace);
        ends.filter(|ends| *ends > Instant::now()).min()
    }
}
