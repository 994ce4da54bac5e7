//! What the API serves: objects of the store, their subresources, reviews, discovery.
//!
//! Nothing here is reached without a [`Permit`](ravelin_auth::Permit). Which verb on which
//! resource leads where is decided here; what kinds need beyond that is in their own modules.

mod body;
mod csr;
mod delete;
mod discovery;
mod escalation;
mod name;
pub(crate) mod patch;
mod pods;
mod read;
mod reviews;
mod services;
mod strategy;
mod tokens;
mod watch;
mod write;

use crate::answer;
use crate::proxy;
use crate::server::{Asked, Server};
use crate::store::{Key, StoreError, resource_name};
use ravelin_api::{Cause, GroupResource, RESOURCES, Resource, Status};
use ravelin_auth::Permit;
use ravelin_transport::Response;
use std::sync::Arc;

/// Serves a request that was allowed.
pub(crate) async fn serve(server: &Arc<Server>, permit: Permit, asked: Asked) -> Result<Response, Status> {
    if !asked.info.is_resource_request {
        return Ok(discovery::serve(server, &permit, &asked));
    }
    let info = &asked.info;
    let Some(resource) = Resource::find(&info.group, &info.version, &info.resource) else {
        let known = RESOURCES.iter().any(|r| r.group == info.group && r.version == info.version);
        return if known { Err(Status::no_such_resource()) } else { Ok(answer::page_not_found()) };
    };
    if info.subresource == "proxy" {
        return proxy::serve(server, permit, asked, resource).await;
    }
    if info.subresource != "log" {
        body::check_accept(&asked)?;
    }
    if info.parts.len() > 3 {
        return Err(Status::no_such_resource());
    }
    if !resource.stored {
        return reviews::serve(server, &permit, asked, resource).await;
    }
    let target = Target { resource, namespace: info.namespace.clone(), name: info.name.clone() };
    if !resource.namespaced && !info.namespace.is_empty() && resource.plural != "namespaces" {
        return Err(Status::no_such_resource());
    }
    match info.subresource.as_str() {
        "" => objects(server, permit, asked, target).await,
        "status" | "approval" if resource.subresources.contains(&info.subresource.as_str()) => {
            parts_of_objects(server, permit, asked, target).await
        }
        "log" if resource.plural == "pods" && info.verb == "get" => proxy::log(server, permit, asked).await,
        "binding" if resource.plural == "pods" && info.verb == "create" => {
            pods::bind(server, &permit, asked, target).await
        }
        "token" if resource.plural == "serviceaccounts" && info.verb == "create" => {
            tokens::request(server, &permit, asked, target).await
        }
        "log" | "binding" | "token" if resource.subresources.contains(&info.subresource.as_str()) => {
            Err(Status::method_not_allowed())
        }
        _ => Err(Status::no_such_resource()),
    }
}

async fn objects(
    server: &Arc<Server>,
    permit: Permit,
    asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let named = asked.info.parts.len() > 1;
    match asked.info.verb.as_str() {
        "get" if named => read::get(server, &permit, &target),
        "list" if !named => read::list(server, &permit, &asked, &target),
        "watch" => watch::watch(server, &permit, &asked, &target),
        "create" if !named => write::create(server, permit, asked, target).await,
        "update" if named => write::update(server, permit, asked, target).await,
        "patch" if named => write::patch(server, permit, asked, target).await,
        "delete" if named => delete::one(server, permit, asked, target).await,
        "deletecollection" if !named => delete::collection(server, permit, asked, target).await,
        _ => Err(Status::method_not_allowed()),
    }
}

async fn parts_of_objects(
    server: &Arc<Server>,
    permit: Permit,
    asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    match asked.info.verb.as_str() {
        "get" => read::get(server, &permit, &target),
        "update" => write::update(server, permit, asked, target).await,
        "patch" => write::patch(server, permit, asked, target).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// What a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) resource: &'static Resource,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Target {
    /// The resource's name in the store.
    pub(crate) fn stored_as(&self) -> String {
        resource_name(self.resource.plural, self.resource.group)
    }

    /// The key of the object.
    pub(crate) fn key(&self) -> Key {
        Key::namespaced(&self.stored_as(), self.scope(), &self.name)
    }

    /// The namespace in which the object is stored: empty for what has none, also where the path
    /// names one (`/api/v1/namespaces/a`).
    pub(crate) fn scope(&self) -> &str {
        if self.resource.namespaced { &self.namespace } else { "" }
    }

    /// The resource, as errors name it.
    pub(crate) fn group_resource(&self) -> GroupResource<'static> {
        self.resource.group_resource()
    }

    /// 422 for this object.
    pub(crate) fn invalid(&self, causes: Vec<Cause>) -> Status {
        let kind = GroupResource { group: self.resource.group, resource: self.resource.kind };
        Status::invalid(kind, &self.name, causes)
    }

    /// 403 for this object, saying why.
    pub(crate) fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(self.group_resource(), &self.name, why)
    }

    /// The status of what the store refused.
    pub(crate) fn refused(&self, error: StoreError) -> Status {
        let resource = self.group_resource();
        match error {
            StoreError::AlreadyExists(key) => Status::already_exists(resource, &key.name),
            StoreError::NotFound(key) => Status::not_found(resource, &key.name),
            StoreError::Modified(key) => Status::modified_meanwhile(resource, &key.name),
            StoreError::OtherUid { key, asked, actual } => {
                let why = format!(
                    "Precondition failed: UID in precondition: {asked}, UID in object meta: {actual}"
                );
                Status::conflict(resource, &key.name, &why)
            }
            StoreError::NamespaceRequired | StoreError::UnknownKind(_) => {
                Status::internal_error(&error.to_string())
            }
            StoreError::NameRequired => self.invalid(vec![cause(
                "FieldValueRequired",
                "metadata.name",
                "Required value: name or generateName is required",
            )]),
        }
    }
}

/// One cause of a 422.
pub(crate) fn cause(reason: &str, field: &str, message: impl Into<String>) -> Cause {
    Cause { reason: reason.to_owned(), message: message.into(), field: field.to_owned() }
}
