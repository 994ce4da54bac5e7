//! The store, to look at.

use super::{Key, Store, resource_name};
use ravelin_api::GroupResource;
use ravelin_auth::Lookup;
use serde_json::Value;
use std::sync::Arc;

/// The objects for whoever only looks: what decides about a request before anybody has leave for it,
/// and what goes with a change that somebody has leave for. Nothing is written through this.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a>(pub(crate) &'a Store);

impl<'a> Reading<'a> {
    /// As [`Store::get`].
    pub(crate) fn get(self, key: &Key) -> Option<Arc<Value>> {
        self.0.get(key)
    }

    /// As [`Store::list`].
    pub(crate) fn list(self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Value>>, u64) {
        self.0.list(resource, namespace)
    }

    /// The objects, one by one.
    pub(crate) fn lookup(self) -> &'a dyn Lookup {
        self.0
    }

    /// An object of the core group.
    pub(crate) fn core(self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.0.core(resource, namespace, name)
    }
}

impl Lookup for Store {
    fn find(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.get(&Key::namespaced(&resource_name(resource.resource, resource.group), namespace, name))
    }
}
