//! Empties namespaces that are being deleted, and lets them go
//! (`pkg/controller/namespace/deletion/namespaced_resources_deleter.go`).

use crate::follow::{Controller, Outcome, objects};
use crate::namespaces::NAMESPACES;
use async_trait::async_trait;
use ravelin_api::{RESOURCES, object};
use ravelin_client::{Client, ClientError, Store};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// What this controller's finalizer is called (`v1.FinalizerKubernetes`).
const FINALIZER: &str = "kubernetes";
/// How long until it is seen whether what was left over is gone (kubelets end pods in their time).
const PATIENCE: Duration = Duration::from_secs(5);

/// The namespace controller.
pub(crate) struct Terminating {
    pub(crate) client: Client,
    pub(crate) namespaces: Store,
    pub(crate) due: Option<Instant>,
}

impl Terminating {
    /// Deletes all that the namespace holds. Is it empty then?
    async fn empty(&self, namespace: &str) -> Result<bool, ClientError> {
        let mut left = 0;
        for resource in RESOURCES.iter().filter(|resource| resource.namespaced && resource.stored) {
            let path = resource.path(namespace);
            if object::list(&self.client.get(&path).await?, "items").is_empty() {
                continue;
            }
            self.client.delete(&path).await?;
            left += object::list(&self.client.get(&path).await?, "items").len();
        }
        Ok(left == 0)
    }

    async fn finish(&self, namespace: &Value) -> Result<(), ClientError> {
        let mut finished = namespace.clone();
        let others = object::texts(namespace, "spec.finalizers");
        let others: Vec<&str> = others.into_iter().filter(|finalizer| *finalizer != FINALIZER).collect();
        finished["spec"]["finalizers"] = json!(others);
        let path = format!("{NAMESPACES}/{}/finalize", object::name(namespace));
        self.client.update(&path, &finished).await.map(|_| ())
    }
}

#[async_trait]
impl Controller for Terminating {
    fn name(&self) -> &'static str {
        "namespace"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        self.due = None;
        for namespace in objects(&self.namespaces) {
            let waits = object::texts(&namespace, "spec.finalizers").contains(&FINALIZER);
            if !object::is_terminating(&namespace) || !waits {
                continue;
            }
            match self.empty(object::name(&namespace)).await {
                Ok(true) => outcome.note(self.finish(&namespace).await),
                Ok(false) => self.due = Some(Instant::now() + PATIENCE),
                Err(error) => outcome.note::<()>(Err(error)),
            }
        }
        outcome.result()
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }
}
