//! Which paths there are, and which methods they know. A path that nobody serves is 404, a method
//! that a path does not know is 405 (go-restful's `CurlyRouter`).

use crate::server::Asked;
use http::Method;
use ravelin_api::{Resource, Status, names};

/// What a request leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    Review,
    Proxy,
    Log,
    Stream,
    Bind,
    Evict,
    Token,
    Finalize,
}

impl Route {
    /// The route of a request about a resource.
    ///
    /// # Errors
    /// 404, 405.
    pub(super) fn of(resource: &Resource, asked: &Asked) -> Result<Self, Status> {
        let info = &asked.info;
        // In its own path a namespace is both.
        let in_namespace = !info.namespace.is_empty() && resource.plural != "namespaces";
        let named = info.parts.len() > 1;
        if in_namespace && !resource.namespaced {
            return Err(Status::no_such_resource());
        }
        if resource.namespaced && !in_namespace && named {
            return Err(Status::no_such_resource());
        }
        if info.verb == "proxy" {
            return Err(Status::no_such_resource());
        }
        if info.subresource == "proxy" && resource.subresources.contains(&"proxy") {
            return Ok(Self::Proxy);
        }
        if info.parts.len() > 3 {
            return Err(Status::no_such_resource());
        }
        let found = if !resource.stored {
            Self::of_review(resource, asked)?
        } else if !info.subresource.is_empty() {
            Self::of_subresource(resource, asked)?
        } else if info.path.split('/').nth(if info.group.is_empty() { 3 } else { 4 }) == Some("watch") {
            (asked.method == Method::GET).then_some(Self::Watch)
        } else if named {
            Self::of_object(asked)
        } else {
            Self::of_collection(resource, asked)
        };
        // No route is registered for HEAD (`apiserver/pkg/endpoints/installer.go`), whatever its verb.
        let found = found.filter(|_| asked.method != Method::HEAD).ok_or_else(Status::method_not_allowed)?;
        if named {
            check_name(&info.name)?;
        }
        Ok(found)
    }

    fn of_object(asked: &Asked) -> Option<Self> {
        Some(match asked.info.verb.as_str() {
            "get" => Self::Get,
            "update" => Self::Update,
            "patch" => Self::Patch,
            "delete" => Self::Delete,
            _ => return None,
        })
    }

    fn of_collection(resource: &Resource, asked: &Asked) -> Option<Self> {
        // Across all namespaces there is only reading.
        let whole = !resource.namespaced || !asked.info.namespace.is_empty();
        Some(match asked.info.verb.as_str() {
            "list" => Self::List,
            "watch" => Self::Watch,
            "create" if whole => Self::Create,
            "deletecollection" if whole && resource.plural != "namespaces" => Self::DeleteCollection,
            _ => return None,
        })
    }

    fn of_review(resource: &Resource, asked: &Asked) -> Result<Option<Self>, Status> {
        let in_namespace = !asked.info.namespace.is_empty();
        if asked.info.parts.len() > 1 || resource.namespaced != in_namespace {
            return Err(Status::no_such_resource());
        }
        Ok((asked.info.verb == "create").then_some(Self::Review))
    }

    fn of_subresource(resource: &Resource, asked: &Asked) -> Result<Option<Self>, Status> {
        let (verb, subresource) = (asked.info.verb.as_str(), asked.info.subresource.as_str());
        if !resource.subresources.contains(&subresource) {
            return Err(Status::no_such_resource());
        }
        Ok(match (subresource, verb) {
            ("status" | "approval", "get" | "update" | "patch") => Self::of_object(asked),
            ("log", "get") => Some(Self::Log),
            ("exec" | "attach" | "portforward", "get" | "create") => Some(Self::Stream),
            ("binding", "create") => Some(Self::Bind),
            ("eviction", "create") => Some(Self::Evict),
            ("token", "create") => Some(Self::Token),
            ("finalize", "update") => Some(Self::Finalize),
            _ => None,
        })
    }
}

/// A name that is no segment of a path is in no store (`NamespaceKeyFunc`).
fn check_name(name: &str) -> Result<(), Status> {
    let faults = names::path_segment(name, false);
    if faults.is_empty() {
        return Ok(());
    }
    Err(Status::bad_request(format!("Name parameter invalid: {name:?}: {}", faults.join(";"))))
}
