//! What Kubernetes itself creates when it starts: the system namespaces and the default roles
//! and bindings (`pkg/controlplane/controller/systemnamespaces`,
//! `pkg/registry/rbac/rest/storage_rbac.go`). What kubeadm adds is for whoever sets up the cluster.

use crate::store::{Key, Step, Store, StoreError};
use ravelin_auth::rbac;
use serde_json::{Value, json};
use std::sync::LazyLock;

const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// They are the same at each start.
static DEFAULT_OBJECTS: LazyLock<Vec<Value>> = LazyLock::new(rbac::default_objects);

/// Creates what is missing, and repairs what of the default roles and bindings was taken away.
pub(crate) fn seed(store: &Store) {
    for object in NAMESPACES.into_iter().map(namespace) {
        create(store, object);
    }
    for object in DEFAULT_OBJECTS.iter() {
        if let Some(key) = create(store, object.clone()) {
            repair(store, &key, object);
        }
    }
}

/// Creates an object; where there is one already, its key.
fn create(store: &Store, object: Value) -> Option<Key> {
    match store.seed(object) {
        Ok(_) => None,
        Err(StoreError::AlreadyExists(key)) => Some(key),
        Err(error) => panic!("a default object is no good: {error}"),
    }
}

fn repair(store: &Store, key: &Key, default: &Value) {
    let done = store.modify(key, |present| {
        let repaired = rbac::reconciled(present, default);
        Ok::<_, StoreError>(repaired.map_or_else(|| Step::Leave(present.clone()), Step::Store))
    });
    // Who deleted it at this very moment meant to.
    drop(done);
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

#[cfg(test)]
mod tests {
    use super::*;
    use ravelin_api::object;
    use ravelin_host::memory::Network;

    #[test]
    fn a_start_repairs_default_roles_and_leaves_what_opted_out() {
        let store = Store::new(Network::new().host("api", [10, 0, 0, 1]));
        seed(&store);
        let before = store.revision();
        seed(&store);
        assert_eq!(store.revision(), before, "nothing is missing");
        let key = |name: &str| Key::namespaced("clusterroles.rbac.authorization.k8s.io", "", name);
        let strip = |name: &str, opted_out: bool| {
            let mut role = store.get(&key(name)).unwrap().as_ref().clone();
            role["rules"] = json!([]);
            if opted_out {
                role["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] =
                    json!("false");
            }
            store.update(&key(name), role).unwrap();
        };
        strip("system:discovery", false);
        strip("system:basic-user", true);
        seed(&store);
        let rules = |name: &str| object::list(&store.get(&key(name)).unwrap(), "rules").len();
        assert_eq!((rules("system:discovery") > 0, rules("system:basic-user")), (true, 0));
    }
}
