//! Keeps the EndpointSlices and Endpoints of services.

use crate::follow::{Controller, Outcome, objects};
use crate::slices::{backing, endpoints_of, is_derived, is_managed, is_mirror, mirrored, slices_of};
use async_trait::async_trait;
use ravelin_api::object;
use ravelin_client::{Client, ClientError, Store};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where EndpointSlices are.
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
/// Where Endpoints are.
pub(crate) const ENDPOINTS: &str = "/api/v1/endpoints";

/// A kind of object that is derived from others.
struct Derived<'a> {
    client: &'a Client,
    /// What there is.
    present: &'a Store,
    /// The path before and after the namespace.
    path: (&'static str, &'static str),
    /// What must be as wanted, besides labels.
    parts: &'static [&'static str],
}

const SLICE_PARTS: (&str, &str, &[&str]) =
    ("/apis/discovery.k8s.io/v1/namespaces", "endpointslices", &["endpoints", "ports"]);

impl<'a> Derived<'a> {
    fn slices(client: &'a Client, present: &'a Store) -> Self {
        let (before, after, parts) = SLICE_PARTS;
        Self { client, present, path: (before, after), parts }
    }

    fn collection(&self, namespace: &str) -> String {
        format!("{}/{namespace}/{}", self.path.0, self.path.1)
    }

    /// Creates or corrects what is wanted, and deletes what is ours and not wanted any more.
    async fn bring(&self, wanted: &[Value], is_ours: fn(&Value) -> bool) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        let mut wanted_keys = BTreeSet::new();
        for one in wanted {
            let put = self.put(one).await;
            outcome.note(put);
            wanted_keys.insert(format!("{}/{}", object::namespace(one), object::name(one)));
        }
        for (key, one) in self.present.objects() {
            if is_ours(&one) && !wanted_keys.contains(&key) {
                let path = format!("{}/{}", self.collection(object::namespace(&one)), object::name(&one));
                outcome.note(self.client.delete(&path).await);
            }
        }
        outcome.result()
    }

    async fn put(&self, wanted: &Value) -> Result<(), ClientError> {
        let (namespace, name) = (object::namespace(wanted), object::name(wanted));
        let collection = self.collection(namespace);
        let Some(known) = self.present.object(&format!("{namespace}/{name}")) else {
            return self.client.create(&collection, wanted).await.map(|_| ());
        };
        let labels = &wanted["metadata"]["labels"];
        let is_current = self.parts.iter().all(|&part| known[part] == wanted[part])
            && known["metadata"]["labels"] == *labels;
        if is_current {
            return Ok(());
        }
        let mut changed = Value::clone(&known);
        for &part in self.parts {
            changed[part] = wanted[part].clone();
        }
        object::metadata_mut(&mut changed).insert("labels".to_owned(), labels.clone());
        self.client.update(&format!("{collection}/{name}"), &changed).await.map(|_| ())
    }
}

/// What services and pods are there.
#[derive(Clone)]
pub(crate) struct Backends {
    pub(crate) services: Store,
    pub(crate) pods: Store,
}

impl Backends {
    /// What `derive` makes of each service with a selector and its pods.
    fn derived(&self, derive: impl Fn(&Value, &[&Value]) -> Vec<Value>) -> Vec<Value> {
        let pods = objects(&self.pods);
        let mut by_namespace: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for pod in &pods {
            by_namespace.entry(object::namespace(pod)).or_default().push(pod);
        }
        let services: Vec<Arc<Value>> = objects(&self.services);
        let mut wanted = Vec::new();
        for service in services.iter().filter(|service| !object::is_terminating(service)) {
            let here = by_namespace.get(object::namespace(service)).map_or(&[][..], Vec::as_slice);
            if let Some(backing) = backing(service, here) {
                wanted.extend(derive(service, &backing));
            }
        }
        wanted
    }
}

/// The EndpointSlice controller.
pub(crate) struct Slices {
    pub(crate) client: Client,
    pub(crate) backends: Backends,
    pub(crate) slices: Store,
}

#[async_trait]
impl Controller for Slices {
    fn name(&self) -> &'static str {
        "endpointslice"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let wanted = self.backends.derived(slices_of);
        Derived::slices(&self.client, &self.slices).bring(&wanted, is_managed).await
    }
}

/// The Endpoints controller.
pub(crate) struct LegacyEndpoints {
    pub(crate) client: Client,
    pub(crate) backends: Backends,
    pub(crate) endpoints: Store,
}

#[async_trait]
impl Controller for LegacyEndpoints {
    fn name(&self) -> &'static str {
        "endpoint"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let wanted = self.backends.derived(|service, backing| vec![endpoints_of(service, backing)]);
        let path = ("/api/v1/namespaces", "endpoints");
        let all = Derived { client: &self.client, present: &self.endpoints, path, parts: &["subsets"] };
        all.bring(&wanted, is_derived).await
    }
}

/// The controller that repeats Endpoints made by hand in slices.
pub(crate) struct Mirroring {
    pub(crate) client: Client,
    pub(crate) services: Store,
    pub(crate) endpoints: Store,
    pub(crate) slices: Store,
}

#[async_trait]
impl Controller for Mirroring {
    fn name(&self) -> &'static str {
        "endpointslicemirroring"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let services = self.services.objects();
        let all = self.endpoints.objects();
        let by_hand = all.iter().filter(|(_, endpoints)| !is_derived(endpoints));
        let wanted: Vec<Value> = by_hand
            .flat_map(|(key, endpoints)| mirrored(endpoints, services.get(key).map(|service| &**service)))
            .collect();
        Derived::slices(&self.client, &self.slices).bring(&wanted, is_mirror).await
    }
}
