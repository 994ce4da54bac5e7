//! The ConfigMaps, Secrets and services that pods need, as they were last read.
//!
//! The kubelet reads them when a pod starts and again while it runs (the `Cache` strategy of
//! `configMapAndSecretChangeDetectionStrategy`), and one answer serves all pods that need it then.

use super::volumes::ObjectKey;
use ravelin_api::object;
use ravelin_client::{Client, ClientError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// More objects than this are not remembered.
const MAX_REMEMBERED: usize = 1024;

/// What was read, and when.
type Read<T> = (Instant, Arc<T>);

/// Reads objects, and remembers them for a while.
pub(super) struct Sources {
    client: Client,
    objects: BTreeMap<(String, ObjectKey), Read<Option<Value>>>,
    services: Option<Read<Vec<Value>>>,
}

impl Sources {
    pub(super) fn new(client: Client) -> Self {
        Self { client, objects: BTreeMap::new(), services: None }
    }

    /// An object of a namespace as it was at most so long ago; `None` where it does not exist.
    pub(super) async fn object(
        &mut self,
        namespace: &str,
        key: &ObjectKey,
        oldest: Duration,
    ) -> Result<Arc<Option<Value>>, ClientError> {
        let slot = (namespace.to_owned(), key.clone());
        if let Some((read, found)) = self.objects.get(&slot).filter(|(read, _)| read.elapsed() < oldest) {
            debug_assert!(*read <= Instant::now());
            return Ok(Arc::clone(found));
        }
        let ObjectKey { plural, name } = key;
        let path = format!("/api/v1/namespaces/{namespace}/{plural}/{name}");
        let found = Arc::new(match self.client.get(&path).await {
            Ok(object) => Some(object),
            Err(error) if error.code() == Some(404) => None,
            Err(error) => return Err(error),
        });
        if self.objects.len() >= MAX_REMEMBERED {
            self.objects.clear();
        }
        self.objects.insert(slot, (Instant::now(), Arc::clone(&found)));
        Ok(found)
    }

    /// All services as they were at most so long ago.
    pub(super) async fn services(&mut self, oldest: Duration) -> Result<Arc<Vec<Value>>, ClientError> {
        if let Some((_, known)) = self.services.as_ref().filter(|(read, _)| read.elapsed() < oldest) {
            return Ok(Arc::clone(known));
        }
        let list = self.client.list("/api/v1/services", &[]).await?;
        let services = Arc::new(object::list(&list, "items").to_vec());
        self.services = Some((Instant::now(), Arc::clone(&services)));
        Ok(services)
    }
}
