//! Binds pending pods to nodes.

use crate::follow::{Controller, Outcome, values};
use crate::placement::{Placement, is_pending, unplaced};
use async_trait::async_trait;
use ravelin_api::object;
use ravelin_client::{Client, ClientError, Event, EventRecorder, Store};
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
    /// Who tells of it, if anybody does.
    pub(crate) recorder: Option<EventRecorder>,
    /// Why pods could not be placed, as it was told last, by UID.
    pub(crate) told: BTreeMap<String, String>,
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
        let message = format!("Successfully assigned {namespace}/{name} to {node}");
        self.tell(pod, (false, "Scheduled"), message);
        Ok(())
    }

    fn tell(&self, pod: &Value, (is_warning, reason): (bool, &'static str), message: String) {
        if let Some(recorder) = &self.recorder {
            recorder.tell(pod, Event { is_warning, reason, message, field_path: String::new() });
        }
    }

    /// Says why a pod stays where it is, when that is news.
    fn not_placed(&mut self, pod: &Value, why: String) {
        if self.told.insert(object::uid(pod).to_owned(), why.clone()).as_ref() != Some(&why) {
            self.tell(pod, (true, "FailedScheduling"), why);
        }
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
        self.told.retain(|uid, _| pending.iter().any(|pod| object::uid(pod) == uid));
        self.assumed.retain(|uid, _| pending.iter().any(|pod| object::uid(pod) == uid));
        let mut placement = Placement::new(&nodes, &pods);
        self.assumed.values().for_each(|node| placement.took(node));
        for pod in pending {
            if self.assumed.contains_key(object::uid(pod)) {
                continue;
            }
            let Some(node) = placement.choose(pod) else {
                self.not_placed(pod, unplaced(&nodes, pod));
                continue;
            };
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
