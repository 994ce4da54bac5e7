//! Namespaces that end take nothing new, and some never end
//! (`apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go`).

use crate::resources::{Target, cause};
use crate::server::Server;
use ravelin_api::{GroupResource, Status, object};

/// The namespaces that the control plane itself needs.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Leave to delete a namespace.
pub(super) fn may_be_deleted(target: &Target) -> Result<(), Status> {
    if IMMORTAL.contains(&target.name.as_str()) {
        return Err(target.forbidden("this namespace may not be deleted"));
    }
    Ok(())
}

/// Leave to create something in the target's namespace.
pub(super) fn is_open(server: &Server, target: &Target) -> Result<(), Status> {
    let name = target.scope();
    if name.is_empty() {
        return Ok(());
    }
    let resource = GroupResource { group: "", resource: "namespaces" };
    let namespace = server.reading().core("namespaces", "", name);
    let namespace = namespace.ok_or_else(|| Status::not_found(resource, name))?;
    let ends =
        object::is_terminating(&namespace) || object::text(&namespace, "status.phase") == "Terminating";
    if !ends {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    let mut refusal = target.forbidden(&why);
    if let Some(details) = &mut refusal.details {
        let message = format!("namespace {name} is being terminated");
        details.causes.push(cause("NamespaceTerminating", "metadata.namespace", message));
    }
    Err(refusal)
}
