//! Admission: what a write must still pass after it was authorized.
//!
//! `NodeRestriction` runs where it is enabled; `NamespaceLifecycle` and `ServiceAccount` always,
//! as Kubernetes enables them by default. The plugins for certificates are with their resource.

mod service_account;

use crate::resources::Target;
use crate::server::Server;
use ravelin_api::{Status, object};
pub(crate) use ravelin_auth::node_restriction::Operation;
use ravelin_auth::node_restriction::{self, Write};
use ravelin_auth::{Lookup, UserInfo};
use ravelin_host::Flaw;
use serde_json::Value;

const NODE_RESTRICTION: &str = "NodeRestriction";

/// A write that somebody wants.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) user: &'a UserInfo,
    pub(crate) target: &'a Target,
    pub(crate) subresource: &'a str,
    pub(crate) operation: Operation,
}

/// Admits a new object, and completes it.
pub(crate) fn before_create(server: &Server, change: &Change<'_>, new: &mut Value) -> Result<(), Status> {
    if change.target.resource.plural == "pods" && change.subresource.is_empty() {
        service_account::admit(server, change, new)?;
    }
    node_restriction(server, change, (Some(new), None))
}

/// Admits a changed object.
pub(crate) fn before_update(
    server: &Server,
    change: &Change<'_>,
    new: &Value,
    present: &Value,
) -> Result<(), Status> {
    node_restriction(server, change, (Some(new), Some(present)))
}

/// Admits a deletion.
pub(crate) fn before_delete(server: &Server, change: &Change<'_>, present: &Value) -> Result<(), Status> {
    node_restriction(server, change, (None, Some(present)))
}

/// New objects need a namespace that exists and is not being deleted.
pub(crate) fn namespace_is_open(server: &Server, target: &Target) -> Result<(), Status> {
    let name = target.scope();
    if name.is_empty() {
        return Ok(());
    }
    let resource = ravelin_api::GroupResource { group: "", resource: "namespaces" };
    let namespace = server.store.core("namespaces", "", name);
    let namespace = namespace.ok_or_else(|| Status::not_found(resource, name))?;
    if object::is_terminating(&namespace) {
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        return Err(target.forbidden(&why));
    }
    Ok(())
}

fn node_restriction(
    server: &Server,
    change: &Change<'_>,
    (object, old): (Option<&Value>, Option<&Value>),
) -> Result<(), Status> {
    let runs = server.config.admission.iter().any(|plugin| plugin == NODE_RESTRICTION);
    if !runs || server.host.flaws().has(Flaw::ApiserverAllowsEveryone) {
        return Ok(());
    }
    let created = change.operation == Operation::Create && change.subresource.is_empty();
    let write = Write {
        user: change.user,
        operation: change.operation,
        resource: change.target.group_resource(),
        subresource: change.subresource,
        namespace: change.target.scope(),
        name: if created { "" } else { &change.target.name },
        object,
        old,
    };
    node_restriction::admit(&write, server.store.as_ref(), server.config.kubernetes_version)
}
