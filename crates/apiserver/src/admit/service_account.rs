//! Every pod runs as a service account, whose token is projected into it
//! (`plugin/pkg/admission/serviceaccount/admission.go`).

use super::Change;
use crate::server::Server;
use ravelin_api::Status;
use ravelin_api::object::{self, section_mut};
use ravelin_auth::Lookup;
use serde_json::{Value, json};

const MIRROR: &str = "kubernetes.io/config.mirror";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the kubelet's token lives: an hour, and the 7 s that make it recognisable
/// (`TokenExpirationSeconds`).
const TOKEN_SECONDS: i64 = 3607;

/// Gives a new pod its service account and the volume with its token.
pub(super) fn admit(server: &Server, change: &Change<'_>, pod: &mut Value) -> Result<(), Status> {
    // A node makes mirror pods; they get no token.
    if object::annotations(pod).contains_key(MIRROR) {
        return Ok(());
    }
    let namespace = change.target.scope();
    let given = object::text(pod, "spec.serviceAccountName").to_owned();
    let name = if given.is_empty() { "default".to_owned() } else { given };
    let Some(account) = server.store.core("serviceaccounts", namespace, &name) else {
        let why =
            format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return Err(change.target.forbidden(&why));
    };
    let spec = section_mut(pod, "spec");
    spec.insert("serviceAccountName".into(), json!(name));
    spec.insert("serviceAccount".into(), json!(name));
    let wanted = object::flag(pod, "spec.automountServiceAccountToken");
    let wanted = wanted.or_else(|| object::flag(&account, "automountServiceAccountToken"));
    if wanted.unwrap_or(true) {
        project_token(server, pod);
    }
    Ok(())
}

fn project_token(server: &Server, pod: &mut Value) {
    let volume = format!("kube-api-access-{}", server.host.entropy("apiserver/volume").word(5));
    let spec = section_mut(pod, "spec");
    let mut mounted = false;
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            mounted |= mount(container, &volume);
        }
    }
    if !mounted {
        return;
    }
    let projected = json!({
        "name": volume,
        "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace",
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]},
    });
    let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
    if let Some(volumes) = volumes.as_array_mut() {
        volumes.push(projected);
    }
}

/// Mounts the volume, unless something is mounted there already.
fn mount(container: &mut Value, volume: &str) -> bool {
    let Some(container) = container.as_object_mut() else { return false };
    let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
    let Some(mounts) = mounts.as_array_mut() else { return false };
    if mounts.iter().any(|mount| object::text(mount, "mountPath") == MOUNT_PATH) {
        return false;
    }
    mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH}));
    true
}
