//! Admission: what a write must still pass after it was authorized. A plugin runs if the
//! configuration names it.

mod certificates;
mod external_ips;
mod namespace_lifecycle;
mod service_account;

pub(crate) use certificates::{may_approve, may_sign, restrict_subject};

use crate::resources::Target;
use crate::server::Server;
use ravelin_api::{Status, object};
pub(crate) use ravelin_auth::node_restriction::Operation;
use ravelin_auth::node_restriction::{self, Known, Write};
use ravelin_auth::{Attributes, UserInfo};
use ravelin_host::Flaw;
use serde_json::Value;

const CERTIFICATE_APPROVAL: &str = "CertificateApproval";
const CERTIFICATE_SIGNING: &str = "CertificateSigning";
const CERTIFICATE_SUBJECT_RESTRICTION: &str = "CertificateSubjectRestriction";
const DENY_SERVICE_EXTERNAL_IPS: &str = "DenyServiceExternalIPs";
const NAMESPACE_LIFECYCLE: &str = "NamespaceLifecycle";
const NODE_RESTRICTION: &str = "NodeRestriction";
const SERVICE_ACCOUNT: &str = "ServiceAccount";

/// A write that somebody wants.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) user: &'a UserInfo,
    pub(crate) target: &'a Target,
    pub(crate) subresource: &'a str,
    pub(crate) operation: Operation,
}

impl Change<'_> {
    /// 403, as admission names what may have no name yet (`apiserver/pkg/admission/errors.go`).
    fn refuse<T>(&self, object: &Value, why: &str) -> Result<T, Status> {
        let own = self.target.name.as_str();
        let names = [own, object::name(object), object::text(object, "metadata.generateName"), "Unknown"];
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        Err(Status::forbidden(self.target.group_resource(), name, why))
    }
}

/// Admits a new object, and completes it.
pub(crate) fn before_create(server: &Server, change: &Change<'_>, new: &mut Value) -> Result<(), Status> {
    let target = change.target;
    if runs(server, SERVICE_ACCOUNT) && target.resource.plural == "pods" && change.subresource.is_empty() {
        service_account::admit(server, change, new)?;
    }
    node_restriction(server, change, (Some(new), None))?;
    external_ips(server, change, (new, None))
}

/// Admits a changed object.
pub(crate) fn before_update(
    server: &Server,
    change: &Change<'_>,
    new: &Value,
    present: &Value,
) -> Result<(), Status> {
    node_restriction(server, change, (Some(new), Some(present)))?;
    external_ips(server, change, (new, Some(present)))
}

/// Admits a deletion.
pub(crate) fn before_delete(server: &Server, change: &Change<'_>, present: &Value) -> Result<(), Status> {
    if runs(server, NAMESPACE_LIFECYCLE) && change.target.resource.plural == "namespaces" {
        namespace_lifecycle::may_be_deleted(change.target)?;
    }
    node_restriction(server, change, (None, Some(present)))
}

/// New objects need a namespace that exists and is not being deleted.
pub(crate) fn namespace_is_open(server: &Server, target: &Target) -> Result<(), Status> {
    if !runs(server, NAMESPACE_LIFECYCLE) {
        return Ok(());
    }
    namespace_lifecycle::is_open(server, target)
}

fn runs(server: &Server, plugin: &str) -> bool {
    server.config.admission.iter().any(|named| named == plugin)
}

fn external_ips(
    server: &Server,
    change: &Change<'_>,
    (new, present): (&Value, Option<&Value>),
) -> Result<(), Status> {
    let concerned = change.target.resource.plural == "services" && change.subresource.is_empty();
    let flawed = server.host.flaws().has(Flaw::ApiserverAllowsExternalIps);
    if !concerned || flawed || !runs(server, DENY_SERVICE_EXTERNAL_IPS) {
        return Ok(());
    }
    external_ips::admit(change, new, present)
}

fn node_restriction(
    server: &Server,
    change: &Change<'_>,
    (object, old): (Option<&Value>, Option<&Value>),
) -> Result<(), Status> {
    let flaws = server.host.flaws();
    let flawed = flaws.has(Flaw::ApiserverAllowsEveryone) || flaws.has(Flaw::ApiserverIgnoresNodeRestriction);
    if flawed || !runs(server, NODE_RESTRICTION) {
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
    let may = |asked: &Attributes| server.authorization.decide(server, asked).is_allowed();
    let known =
        Known { objects: server.reading().lookup(), may: &may, version: server.config.kubernetes_version };
    node_restriction::admit(&write, &known)
}
