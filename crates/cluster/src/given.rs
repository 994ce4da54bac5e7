//! The objects that the user gave: what a running cluster has, written into the new one.
//!
//! They come as `kubectl get -o yaml` prints them, so they are freed of what only the cluster that
//! they are from knows: uids, versions, owners, statuses.

use ravelin_apiserver::Store;
use ravelin_apiserver::store::StoreError;
use ravelin_config::Manifest;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a cluster writes itself and would only be confused by: by kind, and name of the object.
const OWN: &[(&str, &str)] = &[
    ("ConfigMap", "kube-root-ca.crt"),
    ("Endpoints", "kubernetes"),
    ("EndpointSlice", "kubernetes"),
    ("Service", "kubernetes"),
];

/// The namespaces that every cluster has.
const SYSTEM: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// The given objects, ready to be written.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// What is written straight into the store.
    pub(crate) seeded: Vec<Value>,
    /// What the API has to complete, with the path to create it at: services, which get addresses.
    pub(crate) created: Vec<(String, Value)>,
}

impl Given {
    pub(crate) fn of(manifests: &[Manifest]) -> Self {
        let mut given = Self::default();
        let mut namespaces: BTreeSet<String> = BTreeSet::new();
        let objects = manifests.iter().map(|manifest| &manifest.object).filter(|object| !is_own(object));
        for object in objects {
            let object = plain(object.clone());
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
            if object["kind"] == "Service" {
                given.created.push((format!("/api/v1/namespaces/{namespace}/services"), object));
            } else {
                given.seeded.push(object);
            }
            namespaces.insert(namespace);
        }
        let known = |name: &String| {
            let is_it = |o: &&Value| o["kind"] == "Namespace" && o["metadata"]["name"] == name.as_str();
            SYSTEM.contains(&name.as_str()) || given.seeded.iter().any(|object| is_it(&object))
        };
        let missing: Vec<Value> =
            namespaces.iter().filter(|name| !known(name)).map(|name| namespace(name)).collect();
        given.seeded.splice(..0, missing);
        given
    }
}

/// Writes an object into the store; one of that name that is there already (a default role, say)
/// gives way, as it did in the cluster that this one is from.
pub(crate) fn plant(store: &Store, mut object: Value) -> Result<(), StoreError> {
    match store.seed(object.clone()) {
        Err(StoreError::AlreadyExists(key)) => store.update(&key, object).map(|_| ()),
        Err(StoreError::NamespaceRequired) => {
            object["metadata"]["namespace"] = json!("default");
            match store.seed(object.clone()) {
                Err(StoreError::AlreadyExists(key)) => store.update(&key, object).map(|_| ()),
                seeded => seeded.map(|_| ()),
            }
        }
        seeded => seeded.map(|_| ()),
    }
}

fn is_own(object: &Value) -> bool {
    OWN.iter().any(|(kind, name)| object["kind"] == *kind && object["metadata"]["name"] == *name)
}

/// The object without what only its old cluster knows.
fn plain(mut object: Value) -> Value {
    const OF_THE_OLD: [&str; 7] = [
        "creationTimestamp",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    ];
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|key, _| !OF_THE_OLD.contains(&key.as_str()));
    }
    if object["kind"] == "Service"
        && let Some(whole) = object.as_object_mut()
    {
        whole.remove("status");
    }
    object
}

fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    })
}
