//! What is particular to namespaces: they end in two steps. First they are marked, and take nothing
//! new; when a controller has emptied them it takes their finalizer away
//! (`pkg/registry/core/namespace/storage`).

use super::write::{Writing, kind_of};
use super::{Target, body};
use crate::answer;
use crate::server::{Asked, Server};
use http::StatusCode;
use ravelin_api::Status;
use ravelin_api::object::{self, section_mut};
use ravelin_auth::Permit;
use ravelin_transport::Response;
use serde_json::{Value, json};

/// Who takes the finalizer away that every namespace begins with (`FinalizerKubernetes`).
const FINALIZER: &str = "kubernetes";

/// Fills in what a new namespace has.
pub(super) fn complete(namespace: &mut Value, name: &str) {
    namespace["status"] = json!({"phase": "Active"});
    let finalizers = object::texts(namespace, "spec.finalizers");
    if !finalizers.contains(&FINALIZER) {
        let finalizers: Vec<&str> = finalizers.into_iter().chain([FINALIZER]).collect();
        let finalizers = json!(finalizers);
        section_mut(namespace, "spec").insert("finalizers".into(), finalizers);
    }
    label(namespace, name);
}

/// Its name is a label of it, always (`SetDefaults_Namespace`).
pub(super) fn label(namespace: &mut Value, name: &str) {
    object::metadata_mut(namespace);
    section_mut(&mut namespace["metadata"], "labels")
        .insert("kubernetes.io/metadata.name".into(), json!(name));
}

/// Must this namespace that is to be deleted be emptied first? Says so in its status, then.
pub(super) fn holds_back(namespace: &mut Value) -> bool {
    let marked = object::is_terminating(namespace);
    if marked && object::list(namespace, "spec.finalizers").is_empty() {
        return false;
    }
    section_mut(namespace, "status").insert("phase".into(), json!("Terminating"));
    true
}

/// Has nothing more to wait for?
pub(super) fn is_empty(namespace: &Value) -> bool {
    object::list(namespace, "spec.finalizers").is_empty()
}

/// Replaces the finalizers in the spec, and nothing else. The last one that goes takes the namespace
/// with it, where it is being deleted.
pub(super) async fn finalize(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let given = body::read(&mut asked, kind_of(&target).as_ref(), "UpdateOptions").await?;
    if object::name(&given.object) != target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            object::name(&given.object),
            target.name
        )));
    }
    let writing = Writing::new(server, &permit, (&target, "finalize"), given.options.dry_run);
    let stored = writing.replace(|_| Ok(given.object.clone()))?;
    Ok(given.warn(answer::object(StatusCode::OK, &stored)))
}
