//! Every pod runs as a service account, whose token is projected into it
//! (`plugin/pkg/admission/serviceaccount/admission.go`).

use super::Change;
use crate::server::Server;
use ravelin_api::Status;
use ravelin_api::object::{self, list, section_mut, text};
use ravelin_auth::node;
use serde_json::{Value, json};

const MIRROR: &str = "kubernetes.io/config.mirror";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What a volume with a token is called, before its random end.
const VOLUME: &str = "kube-api-access-";
/// What the kubelet's token lives: an hour, and the 7 s that make it recognisable
/// (`WarnOnlyBoundTokenExpirationSeconds`).
const TOKEN_SECONDS: i64 = 3607;
/// With it, a service account's pods may use only the secrets that it lists.
const ENFORCE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";

/// Gives a new pod its service account, the volume with its token and its pull secrets.
pub(super) fn admit(server: &Server, change: &Change<'_>, pod: &mut Value) -> Result<(), Status> {
    if object::annotations(pod).contains_key(MIRROR) {
        // A node makes mirror pods, and must gain nothing by them.
        return match what_a_mirror_may_not(pod) {
            Some(why) => change.refuse(pod, why),
            None => Ok(()),
        };
    }
    let namespace = change.target.scope();
    let given = text(pod, "spec.serviceAccountName").to_owned();
    let name = if given.is_empty() { "default".to_owned() } else { given };
    let Some(account) = server.reading().core("serviceaccounts", namespace, &name) else {
        let why =
            format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return change.refuse(pod, &why);
    };
    let spec = section_mut(pod, "spec");
    spec.insert("serviceAccountName".into(), json!(name));
    spec.insert("serviceAccount".into(), json!(name));
    let wanted = object::flag(pod, "spec.automountServiceAccountToken");
    let wanted = wanted.or_else(|| object::flag(&account, "automountServiceAccountToken"));
    if wanted.unwrap_or(true) {
        project_token(server, pod);
    }
    if list(pod, "spec.imagePullSecrets").is_empty() {
        let secrets = list(&account, "imagePullSecrets").iter();
        let secrets: Vec<Value> = secrets.map(|secret| json!({"name": text(secret, "name")})).collect();
        if !secrets.is_empty() {
            section_mut(pod, "spec").insert("imagePullSecrets".into(), json!(secrets));
        }
    }
    let limited = object::annotations(&account).get(ENFORCE_SECRETS).is_some_and(|on| is_true(on));
    match unlisted_secret(&account, pod).filter(|_| limited) {
        Some(why) => change.refuse(pod, &why),
        None => Ok(()),
    }
}

/// As Go's `strconv.ParseBool` reads it.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn what_a_mirror_may_not(pod: &Value) -> Option<&'static str> {
    if !text(pod, "spec.serviceAccountName").is_empty() {
        return Some("a mirror pod may not reference service accounts");
    }
    if !node::secrets(pod).is_empty() {
        return Some("a mirror pod may not reference secrets");
    }
    let mut sources = list(pod, "spec.volumes").iter().flat_map(|volume| list(volume, "projected.sources"));
    sources
        .any(|source| source.get("serviceAccountToken").is_some_and(Value::is_object))
        .then_some("a mirror pod may not use ServiceAccountToken volume projections")
}

/// What of the pod refers to a secret that its account does not list.
fn unlisted_secret(account: &Value, pod: &Value) -> Option<String> {
    let names = |of: &str| list(account, of).iter().map(|one| text(one, "name")).collect::<Vec<_>>();
    let (secrets, pull_secrets) = (names("secrets"), names("imagePullSecrets"));
    let unlisted = |name: &str| !secrets.contains(&name);
    let name = object::name(account);
    let denied = format!("is not allowed because service account {name} does not reference that secret");
    for volume in list(pod, "spec.volumes").iter().filter(|volume| volume.get("secret").is_some()) {
        let secret = text(volume, "secret.secretName");
        if unlisted(secret) {
            return Some(format!("volume with secret.secretName=\"{secret}\" {denied}"));
        }
    }
    for (of, kind) in [("spec.initContainers", "init container"), ("spec.containers", "container")] {
        for container in list(pod, of) {
            let called = format!("{kind} {}", text(container, "name"));
            for variable in list(container, "env") {
                let secret = object::at(variable, "valueFrom.secretKeyRef").map(|key| text(key, "name"));
                if let Some(secret) = secret.filter(|secret| unlisted(secret)) {
                    let variable = text(variable, "name");
                    return Some(format!(
                        "{called} with envVar {variable} referencing secret.secretName=\"{secret}\" {denied}"
                    ));
                }
            }
            for source in list(container, "envFrom") {
                let secret = source.get("secretRef").map(|secret| text(secret, "name"));
                if let Some(secret) = secret.filter(|secret| unlisted(secret)) {
                    return Some(format!(
                        "{called} with envFrom referencing secret.secretName=\"{secret}\" {denied}"
                    ));
                }
            }
        }
    }
    let pulls = list(pod, "spec.imagePullSecrets").iter().map(|secret| text(secret, "name")).enumerate();
    pulls.into_iter().find(|(_, secret)| !pull_secrets.contains(secret)).map(|(i, secret)| {
        format!(
            "imagePullSecrets[{i}].name=\"{secret}\" is not allowed because service account {name} does not reference that imagePullSecret"
        )
    })
}

fn project_token(server: &Server, pod: &mut Value) {
    let mut names = list(pod, "spec.volumes").iter().map(|volume| text(volume, "name"));
    let present = names.find(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let is_new = present.is_none();
    let volume =
        present.unwrap_or_else(|| format!("{VOLUME}{}", server.host.entropy("apiserver/volume").word(5)));
    let spec = section_mut(pod, "spec");
    let mut mounted = false;
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            mounted |= mount(container, &volume);
        }
    }
    if !mounted || !is_new {
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
    if mounts.iter().any(|mount| text(mount, "mountPath") == MOUNT_PATH) {
        return false;
    }
    mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH}));
    true
}
