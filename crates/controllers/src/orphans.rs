//! Deletes the pods of nodes that are gone (`gcOrphaned` of `pkg/controller/podgc/gc_controller.go`).

use crate::addresses::NODES;
use crate::follow::{Controller, Outcome, objects};
use crate::garbage::delete_with;
use async_trait::async_trait;
use ravelin_api::object;
use ravelin_client::{Client, ClientError, Store};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A node has to be missing so long before that counts (`quarantineTime`).
const QUARANTINE: Duration = Duration::from_secs(40);

/// The pod garbage collector.
pub(crate) struct Orphans {
    pub(crate) client: Client,
    pub(crate) nodes: Store,
    pub(crate) pods: Store,
    /// Nodes that pods name and that are not there, and since when.
    pub(crate) missing: BTreeMap<String, Instant>,
}

#[async_trait]
impl Controller for Orphans {
    fn name(&self) -> &'static str {
        "podgc"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        let mut missing = BTreeMap::new();
        for pod in objects(&self.pods) {
            let node = object::text(&pod, "spec.nodeName");
            if node.is_empty() || self.nodes.object(node).is_some() {
                continue;
            }
            let since = self.missing.get(node).copied().unwrap_or_else(Instant::now);
            missing.insert(node.to_owned(), since);
            if since.elapsed() < QUARANTINE {
                continue;
            }
            // What is watched may lag behind: the apiserver decides.
            match self.client.get(&format!("{NODES}/{node}")).await {
                Err(error) if error.code() == Some(404) => {}
                Err(error) => {
                    outcome.note::<()>(Err(error));
                    continue;
                }
                Ok(_) => continue,
            }
            let (namespace, name) = (object::namespace(&pod), object::name(&pod));
            let options = json!({
                "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
                "preconditions": { "uid": object::uid(&pod) },
            });
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
            outcome.note(delete_with(&self.client, &path, &options).await);
        }
        self.missing = missing;
        outcome.result()
    }

    fn due(&self) -> Option<Instant> {
        let ends = self.missing.values().map(|since| *since + QUARANTINE);
        ends.filter(|ends| *ends > Instant::now()).min()
    }
}
