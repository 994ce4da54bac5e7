//! Deletes objects whose owners are gone (`pkg/controller/garbagecollector`).
//!
//! An owner is one object, by UID: another one of the same name is none. Whoever can write an owner
//! reference into an object can have it deleted (CVE-2025-5187).

use crate::follow::{Controller, Outcome, objects};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use ravelin_api::{Resource, Status, object};
use ravelin_client::{Client, ClientError, PatchKind, Store, body};
use ravelin_host::field;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// What the apiserver said of an owner that is not watched here holds so long.
const BELIEVED: Duration = Duration::from_secs(5 * 60);

/// The garbage collector.
pub(crate) struct GarbageCollector {
    client: Client,
    /// What is watched, by kind.
    stores: BTreeMap<&'static str, (&'static Resource, Store)>,
    /// Owners, by UID, that were there when the apiserver was asked.
    seen: BTreeMap<String, Instant>,
}

impl GarbageCollector {
    /// Collects among these resources.
    pub(crate) fn new(client: &Client, stores: &[(&str, &str, Store)]) -> Self {
        let watched = stores.iter().filter_map(|(api_version, kind, store)| {
            let resource = Resource::of_kind(api_version, kind)?;
            Some((resource.kind, (resource, store.clone())))
        });
        Self { client: client.clone(), stores: watched.collect(), seen: BTreeMap::new() }
    }

    /// Is the owner gone? Unknown kinds never are.
    async fn is_gone(&mut self, dependent: &Value, reference: &Value) -> Result<bool, ClientError> {
        let (kind, name, uid) = (
            object::text(reference, "kind"),
            object::text(reference, "name"),
            object::text(reference, "uid"),
        );
        let Some(resource) = Resource::of_kind(object::text(reference, "apiVersion"), kind) else {
            return Ok(false);
        };
        let namespace = if resource.namespaced { object::namespace(dependent) } else { "" };
        if resource.namespaced && namespace.is_empty() {
            // What belongs to the cluster cannot be owned from within a namespace: no such owner
            // can be looked up, and nothing is deleted (`errOwnerRefInvalidNamespace`).
            return Ok(false);
        }
        let key = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        let watched = self.stores.get(resource.kind).and_then(|(_, store)| store.object(&key));
        if watched.is_some_and(|owner| object::uid(&owner) == uid) {
            return Ok(false);
        }
        if self.seen.get(uid).is_some_and(|at| at.elapsed() < BELIEVED) {
            return Ok(false);
        }
        // What is watched may lag behind: the apiserver decides.
        let gone = match self.client.get(&resource.object_path(namespace, name)).await {
            Ok(owner) => object::uid(&owner) != uid,
            Err(error) if error.code() == Some(404) => true,
            Err(error) => return Err(error),
        };
        if !gone {
            self.seen.insert(uid.to_owned(), Instant::now());
        }
        Ok(gone)
    }

    async fn attend(&mut self, resource: &Resource, dependent: &Value) -> Result<(), ClientError> {
        let references = object::list(dependent, "metadata.ownerReferences");
        let mut solid = Vec::new();
        for reference in references {
            if !self.is_gone(dependent, reference).await? {
                solid.push(reference.clone());
            }
        }
        if solid.len() == references.len() {
            return Ok(());
        }
        let path = resource.object_path(object::namespace(dependent), object::name(dependent));
        if solid.is_empty() {
            return self.delete(&path, dependent).await;
        }
        let version = object::resource_version(dependent);
        let patch = json!({ "metadata": { "resourceVersion": version, "ownerReferences": solid } });
        self.client.patch(&path, PatchKind::Merge, &patch).await.map(|_| ())
    }

    async fn delete(&self, path: &str, dependent: &Value) -> Result<(), ClientError> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": {
                "uid": object::uid(dependent), "resourceVersion": object::resource_version(dependent),
            },
        });
        delete_with(&self.client, path, &options).await?;
        self.client.host().observe("controller.garbage", &[field("path", path)]);
        Ok(())
    }
}

/// Deletes with options.
///
/// # Errors
/// As the client's own requests.
pub(crate) async fn delete_with(client: &Client, path: &str, options: &Value) -> Result<(), ClientError> {
    let request = http::Request::delete(path)
        .header(CONTENT_TYPE, "application/json")
        .body(body::full(Bytes::from(options.to_string())))
        .map_err(|_| ClientError::Malformed("the path cannot be part of a request".to_owned()))?;
    let (code, _, answer) = client.raw(request).await?;
    if code.is_success() {
        return Ok(());
    }
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    match Status::from_value(&answer, code.as_u16()) {
        Some(status) => Err(ClientError::Status(Box::new(status))),
        None => Err(ClientError::Malformed(format!("a deletion was answered {code}"))),
    }
}

#[async_trait]
impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "garbagecollector"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        self.seen.retain(|_, at| at.elapsed() < BELIEVED);
        for (resource, store) in self.stores.values().cloned().collect::<Vec<_>>() {
            for dependent in objects(&store) {
                let owned = !object::list(&dependent, "metadata.ownerReferences").is_empty();
                if owned && !object::is_terminating(&dependent) {
                    let attended = self.attend(resource, &dependent).await;
                    outcome.note(attended);
                }
            }
        }
        outcome.result()
    }
}
