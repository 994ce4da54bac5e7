//! What the API serves: objects of the store, their subresources, reviews, discovery.
//!
//! Nothing here is reached without a [`Permit`](ravelin_auth::Permit). Which verb on which
//! resource leads where is decided here; what kinds need beyond that is in their own modules.

mod body;
mod csr;
mod data;
mod delete;
mod discovery;
mod escalation;
mod events;
mod identity_reviews;
mod managed;
mod metadata;
mod name;
mod namespaces;
mod options;
mod paging;
pub(crate) mod patch;
mod pods;
mod qos;
mod read;
mod registered;
mod reviews;
mod revision;
mod roles;
mod route;
mod selection;
mod service_ports;
mod service_rules;
mod services;
mod strategy;
mod tokens;
mod watch;
mod write;

use crate::answer;
use crate::negotiate::Wanted;
use crate::proxy;
use crate::server::{Asked, Server};
use crate::store::{Key, StoreError, resource_name};
use crate::table::Tables;
use ravelin_api::{Cause, GroupResource, RESOURCES, Resource, Status};
use ravelin_auth::Permit;
use ravelin_transport::Response;
use route::Route;
use std::sync::Arc;

/// Serves a request that was allowed.
pub(crate) async fn serve(server: &Arc<Server>, permit: Permit, asked: Asked) -> Result<Response, Status> {
    if !asked.info.is_resource_request {
        return discovery::serve(server, &permit, &asked).await;
    }
    let info = &asked.info;
    let Some(resource) = Resource::find(&info.group, &info.version, &info.resource) else {
        let known = RESOURCES.iter().any(|r| r.group == info.group && r.version == info.version);
        return if known { Err(Status::no_such_resource()) } else { Ok(answer::page_not_found()) };
    };
    let route = Route::of(resource, &asked)?;
    match route {
        Route::Proxy => return proxy::serve(server, permit, asked, resource).await,
        Route::Log => return proxy::log(server, permit, asked).await,
        Route::Stream => return proxy::stream(server, permit, asked).await,
        Route::Patch => {
            patch::PatchKind::of_request(&asked)?;
        }
        _ => {}
    }
    let wanted = Wanted::of_route(&asked.headers, &asked.query, (&asked.info.verb, resource.stored))?;
    let tables = Tables::of(server, wanted, (resource, &asked.query))?;
    let target = Target { resource, namespace: info.namespace.clone(), name: info.name.clone() };
    let about = (&asked, &target);
    let answer = match route {
        Route::Get => read::get(server, &permit, about),
        Route::List if tables.is_some() => {
            let table = read::list(server, &permit, about, tables.as_ref())?;
            return wanted.of_table().apply(table, None).await;
        }
        Route::List => read::list(server, &permit, about, None),
        // A stream cannot be written again at its end.
        Route::Watch => {
            let watching = watch::watch(server, &permit, about, (wanted, tables))?;
            return proxy::watch_messages(server, &permit.user().name, asked, watching);
        }
        Route::Create => write::create(server, permit, asked, target).await,
        Route::Update => write::update(server, permit, asked, target).await,
        Route::Patch => write::patch(server, permit, asked, target).await,
        Route::Delete => delete::one(server, permit, asked, target).await,
        Route::DeleteCollection => delete::collection(server, permit, asked, target).await,
        Route::Bind => pods::bind(server, &permit, asked, target).await,
        Route::Evict => pods::evict(server, permit, asked, target).await,
        Route::Token => tokens::request(server, &permit, asked, target).await,
        Route::Finalize => namespaces::finalize(server, permit, asked, target).await,
        Route::Review => reviews::serve(server, &permit, asked, resource).await,
        Route::Proxy | Route::Log | Route::Stream => Err(Status::no_such_resource()),
    };
    wanted.apply(answer?, tables.as_ref()).await
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
                    "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {asked}, UID in object meta: {actual}",
                    etcd_key(&key)
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

/// Where etcd would hold an object, as errors tell it (`pkg/registry`, the prefixes of each store).
fn etcd_key(key: &Key) -> String {
    let prefix = match key.resource.split('.').next().unwrap_or_default() {
        "nodes" => "minions",
        "services" => "services/specs",
        "endpoints" => "services/endpoints",
        plural => plural,
    };
    if key.namespace.is_empty() {
        format!("/registry/{prefix}/{}", key.name)
    } else {
        format!("/registry/{prefix}/{}/{}", key.namespace, key.name)
    }
}

/// One cause of a 422.
pub(crate) fn cause(reason: &str, field: &str, message: impl Into<String>) -> Cause {
    Cause { reason: reason.to_owned(), message: message.into(), field: field.to_owned() }
}
