//! The name of an object in the store.

use std::fmt;

/// Which object: its resource, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The resource with its group, as in `pods` or `leases.coordination.k8s.io`.
    pub resource: String,
    /// The namespace; empty for objects of the whole cluster.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// The key of an object in a namespace.
    pub fn namespaced(resource: &str, namespace: &str, name: &str) -> Self {
        Self { resource: resource.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The key of an object of the whole cluster.
    pub fn cluster(resource: &str, name: &str) -> Self {
        Self::namespaced(resource, "", name)
    }

    /// The key of a request path such as `/api/v1/namespaces/default/pods/p1`, or `None` where
    /// the path names no single object. A subresource is left out.
    pub fn from_path(path: &str) -> Option<Self> {
        let mut parts = path.trim_start_matches('/').trim_end_matches('/').split('/');
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        let _version = parts.next()?;
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if rest.len() >= 2 => (*namespace, rest),
            rest => ("", rest),
        };
        let (resource, name) = (rest.first()?, rest.get(1)?);
        Some(Self::namespaced(&resource_name(resource, group), namespace, name))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.resource, self.name)
        } else {
            write!(f, "{}/{}/{}", self.resource, self.namespace, self.name)
        }
    }
}

/// A resource's name in the store: its plural and its group.
pub fn resource_name(plural: &str, group: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}
