//! Which node needs which object (`plugin/pkg/auth/authorizer/node/graph.go`).

use super::references;
use super::volumes::Volumes;
use ravelin_api::object;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a pod refers to (or is).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The pod itself.
    Pod,
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// The pod's ServiceAccount.
    ServiceAccount,
    /// A PersistentVolumeClaim.
    Claim,
    /// A PersistentVolume that is bound to such a claim.
    Volume,
    /// A VolumeAttachment of the node.
    Attachment,
    /// A ResourceClaim.
    ResourceClaim,
}

/// Kind, namespace, name.
type Object = (Kind, String, String);

/// A pod that a node runs, and what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    node: String,
    objects: BTreeSet<Object>,
}

/// The ways from objects over pods to nodes.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pods: BTreeMap<(String, String), Placed>,
    /// How many pods lead from an object to a node.
    ways: BTreeMap<Object, BTreeMap<String, usize>>,
    volumes: Volumes,
    /// The node of each VolumeAttachment.
    attachments: BTreeMap<String, String>,
}

impl Graph {
    /// A pod was created or changed.
    pub fn set_pod(&mut self, pod: &Value) {
        let namespace = object::namespace(pod).to_owned();
        let name = object::name(pod).to_owned();
        let placed = placed(pod);
        if self.pods.get(&(namespace.clone(), name.clone())) == placed.as_ref() {
            return;
        }
        self.remove_pod(&namespace, &name);
        if let Some(placed) = placed {
            for object in &placed.objects {
                let nodes = self.ways.entry(object.clone()).or_default();
                *nodes.entry(placed.node.clone()).or_default() += 1;
            }
            self.pods.insert((namespace, name), placed);
        }
    }

    /// A pod was deleted.
    pub fn remove_pod(&mut self, namespace: &str, name: &str) {
        let Some(gone) = self.pods.remove(&(namespace.to_owned(), name.to_owned())) else { return };
        for object in gone.objects {
            let Some(nodes) = self.ways.get_mut(&object) else { continue };
            if let Some(count) = nodes.get_mut(&gone.node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(&gone.node);
                }
            }
            if nodes.is_empty() {
                self.ways.remove(&object);
            }
        }
    }

    /// A PersistentVolume was created or changed.
    pub fn set_volume(&mut self, volume: &Value) {
        self.volumes.set(volume);
    }

    /// A PersistentVolume was deleted.
    pub fn remove_volume(&mut self, name: &str) {
        self.volumes.remove(name);
    }

    /// A VolumeAttachment was created or changed.
    pub fn set_attachment(&mut self, attachment: &Value) {
        let name = object::name(attachment).to_owned();
        match object::text(attachment, "spec.nodeName") {
            "" => drop(self.attachments.remove(&name)),
            node => drop(self.attachments.insert(name, node.to_owned())),
        }
    }

    /// A VolumeAttachment was deleted.
    pub fn remove_attachment(&mut self, name: &str) {
        self.attachments.remove(name);
    }

    /// Does a pod of this node need the object (namespace, name), itself or through a volume?
    pub fn leads_to(&self, kind: Kind, of: (&str, &str), node: &str) -> bool {
        let claimed = |claim: &(String, String)| self.has_way(Kind::Claim, (&claim.0, &claim.1), node);
        match kind {
            Kind::Attachment => self.attachments.get(of.1).is_some_and(|attached| attached == node),
            Kind::Volume => self.volumes.claim_of(of.1).is_some_and(claimed),
            Kind::Secret => {
                self.has_way(kind, of, node) || self.volumes.claims_behind_secret(of).any(claimed)
            }
            _ => self.has_way(kind, of, node),
        }
    }

    fn has_way(&self, kind: Kind, of: (&str, &str), node: &str) -> bool {
        let object = (kind, of.0.to_owned(), of.1.to_owned());
        self.ways.get(&object).is_some_and(|nodes| nodes.contains_key(node))
    }
}

fn placed(pod: &Value) -> Option<Placed> {
    let node = object::text(pod, "spec.nodeName");
    if node.is_empty() {
        return None;
    }
    let namespace = object::namespace(pod);
    let of = |kind: Kind, name: &str| (kind, namespace.to_owned(), name.to_owned());
    let mut objects = BTreeSet::from([of(Kind::Pod, object::name(pod))]);
    // A node makes mirror pods itself: what they name must give it nothing.
    if !object::annotations(pod).contains_key(references::MIRROR) {
        let account = object::text(pod, "spec.serviceAccountName");
        if !account.is_empty() {
            objects.insert(of(Kind::ServiceAccount, account));
        }
        objects.extend(references::secrets(pod).iter().map(|name| of(Kind::Secret, name)));
        objects.extend(references::configmaps(pod).iter().map(|name| of(Kind::ConfigMap, name)));
        objects.extend(references::claims(pod).iter().map(|name| of(Kind::Claim, name)));
        objects.extend(references::resource_claims(pod).iter().map(|name| of(Kind::ResourceClaim, name)));
    }
    Some(Placed { node: node.to_owned(), objects })
}
