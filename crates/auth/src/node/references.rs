//! What a pod refers to (`pkg/api/v1/pod/util.go`: `VisitPodSecretNames`,
//! `VisitPodConfigmapNames`).

use ravelin_api::object::{list, name, text};
use serde_json::Value;
use std::collections::BTreeSet;

/// The annotation of a pod that a node mirrors from its own files.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// Where a volume's source keeps the name of a secret, besides `secret` itself.
const SECRETS_OF_VOLUMES: [&str; 9] = [
    "secret.secretName",
    "azureFile.secretName",
    "cephfs.secretRef.name",
    "cinder.secretRef.name",
    "csi.nodePublishSecretRef.name",
    "flexVolume.secretRef.name",
    "iscsi.secretRef.name",
    "rbd.secretRef.name",
    "scaleIO.secretRef.name",
];

/// The names of the secrets that a pod refers to.
pub fn secrets(pod: &Value) -> BTreeSet<&str> {
    let mut names: BTreeSet<&str> =
        list(pod, "spec.imagePullSecrets").iter().map(|s| text(s, "name")).collect();
    for volume in list(pod, "spec.volumes") {
        names.extend(SECRETS_OF_VOLUMES.map(|path| text(volume, path)));
        names.insert(text(volume, "storageos.secretRef.name"));
        names.extend(list(volume, "projected.sources").iter().map(|s| text(s, "secret.name")));
    }
    names.extend(of_containers(pod, "secretKeyRef", "secretRef"));
    names.remove("");
    names
}

/// The names of the config maps that a pod refers to.
pub fn configmaps(pod: &Value) -> BTreeSet<&str> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for volume in list(pod, "spec.volumes") {
        names.insert(text(volume, "configMap.name"));
        names.extend(list(volume, "projected.sources").iter().map(|s| text(s, "configMap.name")));
    }
    names.extend(of_containers(pod, "configMapKeyRef", "configMapRef"));
    names.remove("");
    names
}

/// The names of the volume claims of a pod, those included that are made for it
/// (`component-helpers/storage/ephemeral`).
pub fn claims(pod: &Value) -> BTreeSet<String> {
    let names = list(pod, "spec.volumes").iter().map(|volume| {
        let claimed = text(volume, "persistentVolumeClaim.claimName");
        if claimed.is_empty() && volume.get("ephemeral").is_some_and(Value::is_object) {
            return format!("{}-{}", name(pod), text(volume, "name"));
        }
        claimed.to_owned()
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// The names of the resource claims of a pod: those that it names, and those made for it, which its
/// status names (`dynamic-resource-allocation/resourceclaim`).
pub fn resource_claims(pod: &Value) -> BTreeSet<&str> {
    let named = list(pod, "spec.resourceClaims").iter();
    let made = list(pod, "status.resourceClaimStatuses").iter();
    let extended = text(pod, "status.extendedResourceClaimStatus.resourceClaimName");
    let names = named.chain(made).map(|claim| text(claim, "resourceClaimName"));
    names.chain([extended]).filter(|name| !name.is_empty()).collect()
}

fn of_containers<'a>(pod: &'a Value, key: &str, whole: &str) -> BTreeSet<&'a str> {
    let kinds = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];
    let containers = kinds.iter().flat_map(|kind| list(pod, kind));
    let (key, whole) = (format!("valueFrom.{key}.name"), format!("{whole}.name"));
    containers
        .flat_map(|container| {
            let each = list(container, "env").iter().map(|variable| text(variable, &key));
            each.chain(list(container, "envFrom").iter().map(|source| text(source, &whole)))
        })
        .collect()
}
