//! Getting and listing objects.

use super::paging::{Page, Place};
use super::selection;
use super::{Target, revision};
use crate::answer;
use crate::server::{Asked, Server};
use crate::store::Stored;
use crate::table::Tables;
use bytes::Bytes;
use http::StatusCode;
use ravelin_api::{ListOptions, Status, object};
use ravelin_auth::Permit;
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers with one object.
pub(super) fn get(
    server: &Server,
    permit: &Permit,
    (asked, target): (&Asked, &Target),
) -> Result<Response, Status> {
    let store = server.objects(permit);
    if asked.query.flag("export") {
        let why = "the export parameter, deprecated since v1.14, is no longer supported";
        return Err(Status::bad_request(why));
    }
    let version = asked.query.first("resourceVersion").unwrap_or_default();
    revision::not_in_the_future(revision::parse(version).map_err(Status::plain_error)?, store.revision())?;
    let found = store.stored(&target.key());
    let found = found.ok_or_else(|| Status::not_found(target.group_resource(), &target.name))?;
    let mut whole = found.whole();
    whole.push(b'\n');
    Ok(answer::json(StatusCode::OK, Bytes::from(whole)))
}

/// Answers with all objects that match, or with one page of them: as a list, or as a table.
pub(super) fn list(
    server: &Server,
    permit: &Permit,
    (asked, target): (&Asked, &Target),
    tables: Option<&Tables>,
) -> Result<Response, Status> {
    let options = options(asked, target)?;
    selection::check_list(&options)?;
    let page = Page::of(&options, target, server.objects(permit).revision())?;
    let (resource, scope) = (target.stored_as(), scope(target));
    let store = server.objects(permit);
    let (found, revision) = match page.revision {
        None => store.list_stored(&resource, scope),
        Some(revision) => {
            let found = store.list_at(&resource, scope, revision);
            (found.map_err(|_| page.expired())?, revision)
        }
    };
    let matching = found
        .iter()
        .filter(|item| page.begins_before(&Place::of(target, item)) && matches(&options, target, item));
    let (items, more) = page.cut(matching.map(Arc::clone).collect(), &options);
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if let (Some(last), true) = (items.last(), more.is_some()) {
        metadata["continue"] = json!(page.token(&Place::of(target, last), revision));
        if let Some(Some(remaining)) = more {
            metadata["remainingItemCount"] = json!(remaining);
        }
    }
    if let Some(tables) = tables {
        let table = tables.of_items(&metadata, items.iter().map(|item| &***item));
        return Ok(answer::object(StatusCode::OK, &table));
    }
    Ok(answer::json(StatusCode::OK, rendered(target, &metadata, &items)))
}

/// The bytes of a list, put together from those of its items.
fn rendered(target: &Target, metadata: &Value, items: &[Arc<Stored>]) -> Bytes {
    let (kind, version) = (target.resource.list_kind(), target.resource.api_version());
    let head = format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":");
    let size: usize = items.iter().map(|item| item.item().len() + 1).sum();
    let mut bytes = Vec::with_capacity(head.len() + size + 200);
    bytes.extend_from_slice(head.as_bytes());
    // In the order of Go's struct: resourceVersion, continue, remainingItemCount.
    let members = ["resourceVersion", "continue", "remainingItemCount"];
    let members: Vec<String> = members
        .iter()
        .filter_map(|name| metadata.get(*name).map(|value| format!("\"{name}\":{value}")))
        .collect();
    bytes.extend_from_slice(format!("{{{}}},\"items\":[", members.join(",")).as_bytes());
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        bytes.extend_from_slice(item.item());
    }
    bytes.extend_from_slice(b"]}\n");
    Bytes::from(bytes)
}

/// The namespace to look in; `None` for all.
pub(super) fn scope(target: &Target) -> Option<&str> {
    if target.resource.namespaced && target.namespace.is_empty() { None } else { Some(target.scope()) }
}

/// The options of a list or watch, as far as both are checked alike.
pub(super) fn options(asked: &Asked, target: &Target) -> Result<ListOptions, Status> {
    let options = ListOptions::parse(&asked.query).map_err(|bad| Status::bad_request(bad.0))?;
    let options = selection::with_fields_of(target, options).map_err(Status::bad_request)?;
    // A name in the path selects too (`listOpts` of handlers/get.go).
    let named = options.fields.required("metadata.name").is_some_and(|name| name == target.name);
    if !target.name.is_empty() && !options.fields.is_empty() && !named {
        return Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"));
    }
    Ok(options)
}

/// Does an object match the selectors, and the name where the path has one?
pub(super) fn matches(options: &ListOptions, target: &Target, item: &Value) -> bool {
    (target.name.is_empty() || object::name(item) == target.name)
        && options.fields.matches(item)
        && (options.labels.is_empty() || options.labels.matches(&object::labels(item)))
}
