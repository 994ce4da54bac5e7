//! Keeps the EndpointSlices of services with selectors.

use crate::follow::{Controller, Outcome, objects, values};
use crate::slices::{is_current, is_managed, slice_of};
use async_trait::async_trait;
use ravelin_api::object;
use ravelin_client::{Client, ClientError, Store};
use serde_json::Value;
use std::collections::BTreeSet;

/// Where EndpointSlices are.
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

/// The EndpointSlice controller.
pub(crate) struct Slices {
    pub(crate) client: Client,
    pub(crate) services: Store,
    pub(crate) pods: Store,
    pub(crate) slices: Store,
}

impl Slices {
    async fn put(&self, wanted: &Value) -> Result<(), ClientError> {
        let collection = collection(object::namespace(wanted));
        let name = object::name(wanted);
        match self.slices.object(&format!("{}/{name}", object::namespace(wanted))) {
            Some(known) if is_current(&known, wanted) => Ok(()),
            Some(known) => {
                let mut changed = Value::clone(&known);
                changed["endpoints"] = wanted["endpoints"].clone();
                changed["ports"] = wanted["ports"].clone();
                self.client.update(&format!("{collection}/{name}"), &changed).await.map(|_| ())
            }
            None => self.client.create(&collection, wanted).await.map(|_| ()),
        }
    }
}

#[async_trait]
impl Controller for Slices {
    fn name(&self) -> &'static str {
        "endpointslice"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        let pods = values(&self.pods);
        let mut wanted_keys = BTreeSet::new();
        for service in objects(&self.services) {
            let Some(wanted) = slice_of(&service, &pods) else { continue };
            wanted_keys.insert(format!("{}/{}", object::namespace(&wanted), object::name(&wanted)));
            let put = self.put(&wanted).await;
            outcome.note(put);
        }
        for (key, slice) in self.slices.objects() {
            if is_managed(&slice) && !wanted_keys.contains(&key) {
                let path = format!("{}/{}", collection(object::namespace(&slice)), object::name(&slice));
                outcome.note(self.client.delete(&path).await);
            }
        }
        outcome.result()
    }
}

fn collection(namespace: &str) -> String {
    format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")
}
