//! Persistent volumes: the claims they are bound to, and the secrets that their drivers need
//! (`pkg/volume/persistentvolume/util/util.go`, `VisitPVSecretNames`).

use ravelin_api::object::{name, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Namespace and name.
type Place = (String, String);

/// Where a volume's source refers to a secret that kubelets read; the namespace is beside the name,
/// else it is the claim's. What only controllers need (publishing, expanding there) is left out.
const SECRET_REFERENCES: [&str; 10] = [
    "cephfs.secretRef",
    "cinder.secretRef",
    "csi.nodeExpandSecretRef",
    "csi.nodePublishSecretRef",
    "csi.nodeStageSecretRef",
    "flexVolume.secretRef",
    "iscsi.secretRef",
    "rbd.secretRef",
    "scaleIO.secretRef",
    "storageos.secretRef",
];

/// The bound volumes.
#[derive(Clone, Debug, Default)]
pub(super) struct Volumes {
    bound: BTreeMap<String, Bound>,
    /// Which volumes need a secret.
    needing: BTreeMap<Place, BTreeSet<String>>,
}

#[derive(Clone, Debug)]
struct Bound {
    claim: Place,
    secrets: BTreeSet<Place>,
}

impl Volumes {
    pub(super) fn set(&mut self, volume: &Value) {
        let volume_name = name(volume);
        self.remove(volume_name);
        let Some(bound) = bound(volume) else { return };
        for secret in &bound.secrets {
            self.needing.entry(secret.clone()).or_default().insert(volume_name.to_owned());
        }
        self.bound.insert(volume_name.to_owned(), bound);
    }

    pub(super) fn remove(&mut self, volume: &str) {
        let Some(gone) = self.bound.remove(volume) else { return };
        for secret in gone.secrets {
            if let Some(volumes) = self.needing.get_mut(&secret) {
                volumes.remove(volume);
                if volumes.is_empty() {
                    self.needing.remove(&secret);
                }
            }
        }
    }

    /// The claim that a volume is bound to.
    pub(super) fn claim_of(&self, volume: &str) -> Option<&Place> {
        self.bound.get(volume).map(|bound| &bound.claim)
    }

    /// The claims of the volumes that need a secret (namespace, name).
    pub(super) fn claims_behind_secret(&self, secret: (&str, &str)) -> impl Iterator<Item = &Place> {
        let secret = (secret.0.to_owned(), secret.1.to_owned());
        let volumes = self.needing.get(&secret).into_iter().flatten();
        volumes.filter_map(|volume| self.claim_of(volume))
    }
}

fn bound(volume: &Value) -> Option<Bound> {
    let claim = (text(volume, "spec.claimRef.namespace"), text(volume, "spec.claimRef.name"));
    if claim.1.is_empty() {
        return None;
    }
    let references = SECRET_REFERENCES.map(|path| {
        let at = |field: &str| text(volume, &format!("spec.{path}.{field}"));
        (at("namespace"), at("name"))
    });
    let azure = (text(volume, "spec.azureFile.secretNamespace"), text(volume, "spec.azureFile.secretName"));
    let secrets = references.into_iter().chain([azure]).filter(|(_, name)| !name.is_empty());
    let secrets = secrets.map(|(namespace, name)| {
        let namespace = if namespace.is_empty() { claim.0 } else { namespace };
        (namespace.to_owned(), name.to_owned())
    });
    Some(Bound { claim: (claim.0.to_owned(), claim.1.to_owned()), secrets: secrets.collect() })
}
