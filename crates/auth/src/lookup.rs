//! The objects that a check depends on.

use ravelin_api::GroupResource;
use serde_json::Value;
use std::sync::Arc;

/// Read access to the objects as they are now.
pub trait Lookup: Send + Sync {
    /// One object; `None` where there is none. The namespace is empty for what has none.
    fn find(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Option<Arc<Value>>;

    /// One object of the core group.
    fn core(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.find(GroupResource { group: "", resource }, namespace, name)
    }
}

/// There are no objects.
#[derive(Clone, Copy, Debug)]
pub struct NoObjects;

impl Lookup for NoObjects {
    fn find(&self, _: GroupResource<'_>, _: &str, _: &str) -> Option<Arc<Value>> {
        None
    }
}

/// A few objects, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Objects(Vec<(&'static str, Arc<Value>)>);

#[cfg(test)]
impl Objects {
    pub(crate) fn with(mut self, resource: &'static str, object: Value) -> Self {
        self.0.push((resource, Arc::new(object)));
        self
    }
}

#[cfg(test)]
impl Lookup for Objects {
    fn find(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Option<Arc<Value>> {
        use ravelin_api::object;
        let wanted = |(of, o): &&(&str, Arc<Value>)| {
            *of == resource.resource && object::namespace(o) == namespace && object::name(o) == name
        };
        self.0.iter().find(wanted).map(|(_, object)| Arc::clone(object))
    }
}
