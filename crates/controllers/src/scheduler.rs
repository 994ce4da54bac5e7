//! Binds pending pods to nodes.

use crate::follow::{Controller, Outcome, values};
use crate::placement::{Placement, is_pending};
use async_trait::async_trait;
use ravelin_api::object;
use ravelin_client::{Client, ClientError, Store};
use ravelin_host::field;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where pods are.
pub(crate) const PODS: &str = "/api/v1/pods";

/// The scheduler.
pub(crate) struct Scheduler {
    pub(crate) client: Client,
    pub(crate) nodes: Store,
    pub(crate) pods: Store,
    /// Where pods were bound to, by UID, until that is seen.
    pub(crate) assumed: BTreeMap<String, String>,
}

impl Scheduler {
    async fn bind(&self, pod: &Value, node: &str) -> Result<(), ClientError> {
        let (namespace, name) = (object::namespace(pod), object::name(pod));
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "name": name, "namespace": namespace, "uid": object::uid(pod) },
            "target": { "apiVersion": "v1", "kind": "Node", "name": node },
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/binding");
        self.client.create(&path, &binding).await?;
        let fields = [field("pod", format!("{namespace}/{name}")), field("node", node)];
        self.client.host().observe("scheduler.bound", &fields);
        Ok(())
    }
}

#[async_trait]
impl Controller for Scheduler {
    fn name(&self) -> &'static str {
        "scheduler"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        let (nodes, pods) = (values(&self.nodes), values(&self.pods));
        let pending: Vec<&Value> = pods.iter().filter(|pod| is_pending(pod)).collect();
        self.assumed.retain(|uid, _| pending.iter().any(|pod| object::uid(pod) == uid));
        let mut placement = Placement::new(&nodes, &pods);
        self.assumed.values().for_each(|node| placement.took(node));
        for pod in pending {
            if self.assumed.contains_key(object::uid(pod)) {
                continue;
            }
            let Some(node) = placement.choose(pod) else { continue };
            let bound = self.bind(pod, node).await;
            if bound.is_ok() {
                placement.took(node);
                self.assumed.insert(object::uid(pod).to_owned(), node.to_owned());
            }
            outcome.note(bound);
        }
        outcome.result()
    }
}
