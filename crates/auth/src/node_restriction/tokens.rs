//! Which tokens a node may ask for: those of its pods, for the audiences that these ask for.

use super::{Known, Write, runs_on, written};
use crate::{Attributes, Lookup};
use ravelin_api::{GroupResource, Status, object};
use serde_json::Value;
use std::sync::Arc;

/// From which version on `ServiceAccountNodeAudienceRestriction` is on by default
/// (`pkg/features/kube_features.go`).
const OWN_AUDIENCES: (u32, u32) = (1, 33);
/// Leave to ask for tokens of an audience: this verb on a resource of the audience's name (KEP-4412).
const REQUEST_AUDIENCE: &str = "request-serviceaccounts-token-audience";

pub(super) fn admit(node: &str, write: &Write<'_>, known: &Known<'_>) -> Result<(), Status> {
    let pod = check_binding(node, write, known.objects)?;
    if known.version < OWN_AUDIENCES {
        return Ok(());
    }
    let audience = match object::texts(written(write)?, "spec.audiences").as_slice() {
        [] => "",
        [one] => *one,
        _ => return write.refuse("node may only request 0 or 1 audiences"),
    };
    let granted = || {
        let asked = Attributes {
            namespace: object::namespace(&pod).to_owned(),
            name: object::text(&pod, "spec.serviceAccountName").to_owned(),
            ..Attributes::of_resource(write.user.clone(), REQUEST_AUDIENCE, "", audience)
        };
        (known.may)(&asked)
    };
    if asks_for(&pod, audience, known.objects) || granted() {
        return Ok(());
    }
    write.refuse(format!(
        "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
        write.user.name
    ))
}

fn check_binding(node: &str, write: &Write<'_>, objects: &dyn Lookup) -> Result<Arc<Value>, Status> {
    let request = written(write)?;
    let text = |name: &str| object::text(request, &format!("spec.boundObjectRef.{name}"));
    let name = text("name");
    if (text("apiVersion"), text("kind")) != ("v1", "Pod") || name.is_empty() {
        return write.refuse("node requested token not bound to a pod");
    }
    let uid = text("uid");
    if uid.is_empty() {
        return write.refuse("node requested token with a pod binding without a uid");
    }
    let pod = objects.core("pods", write.namespace, name).ok_or_else(|| super::unlisted("pod", name))?;
    if object::uid(&pod) != uid {
        return write.refuse(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        ));
    }
    if !runs_on(&pod, node) {
        return write.refuse("node requested token bound to a pod scheduled on a different node");
    }
    Ok(pod)
}

/// Does the pod itself, or the driver of one of its volumes, ask for tokens of this audience?
fn asks_for(pod: &Value, audience: &str, objects: &dyn Lookup) -> bool {
    object::list(pod, "spec.volumes").iter().any(|volume| {
        let sources = object::list(volume, "projected.sources").iter();
        let mut tokens = sources.filter_map(|source| source.get("serviceAccountToken"));
        if tokens.any(|token| object::text(token, "audience") == audience) {
            return true;
        }
        let drivers = GroupResource { group: "storage.k8s.io", resource: "csidrivers" };
        let driver = driver_of(pod, volume, objects);
        let driver = driver.and_then(|name| objects.find(drivers, "", &name));
        driver.is_some_and(|driver| {
            let requests = object::list(&driver, "spec.tokenRequests").iter();
            requests.map(|request| object::text(request, "audience")).any(|of| of == audience)
        })
    })
}

/// The CSI driver of a volume: named by it, or by what its claim is bound to.
fn driver_of(pod: &Value, volume: &Value, objects: &dyn Lookup) -> Option<String> {
    let named = object::text(volume, "csi.driver");
    if !named.is_empty() {
        return Some(named.to_owned());
    }
    let claim = if volume.get("ephemeral").is_some_and(Value::is_object) {
        format!("{}-{}", object::name(pod), object::text(volume, "name"))
    } else {
        object::text(volume, "persistentVolumeClaim.claimName").to_owned()
    };
    let claim = objects.core("persistentvolumeclaims", object::namespace(pod), &claim)?;
    let bound = objects.core("persistentvolumes", "", object::text(&claim, "spec.volumeName"))?;
    Some(object::text(&bound, "spec.csi.driver").to_owned()).filter(|driver| !driver.is_empty())
}
