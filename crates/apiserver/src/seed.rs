//! What Kubernetes itself creates when it starts: the system namespaces and the default roles
//! and bindings (`pkg/controlplane/controller/systemnamespaces`,
//! `pkg/registry/rbac/rest/storage_rbac.go`). What kubeadm adds is for whoever sets up the cluster.

use crate::store::{Store, StoreError};
use ravelin_auth::rbac;
use serde_json::{Value, json};

const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Creates what is missing; what is there stays as it is.
pub(crate) fn seed(store: &Store) {
    let namespaces = NAMESPACES.into_iter().map(namespace);
    for object in namespaces.chain(rbac::default_objects()) {
        match store.seed(object) {
            Ok(_) | Err(StoreError::AlreadyExists(_)) => {}
            Err(error) => panic!("a default object is no good: {error}"),
        }
    }
}

fn namespace(name: &str) -> Value {
    json!({
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    })
}
