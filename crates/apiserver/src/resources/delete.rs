//! Deleting objects: at once, or marked until whoever must has cleaned up.

use super::{Target, body, read};
use crate::admit::{self, Change, Operation};
use crate::answer;
use crate::server::{Asked, Server};
use crate::store::{Key, Precondition, Step, StoreError};
use http::StatusCode;
use ravelin_api::object::{self, metadata_mut};
use ravelin_api::{Query, Status, time};
use ravelin_auth::{Permit, UserInfo};
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// How long a pod gets to end where nobody says otherwise
/// (`DefaultTerminationGracePeriodSeconds`).
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// Deletes one object.
pub(super) async fn one(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let options = Options::read(&mut asked).await?;
    let deleted = delete(server, permit.user(), &target, &options)?;
    let returns_object =
        matches!(target.resource.plural, "pods" | "namespaces" | "services" | "serviceaccounts");
    if returns_object || object::is_terminating(&deleted) {
        return Ok(answer::object(StatusCode::OK, &deleted));
    }
    let status = Status::deleted(target.group_resource(), &target.name, object::uid(&deleted));
    Ok(answer::status(&status))
}

/// Deletes every object that matches.
pub(super) async fn collection(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    if target.resource.namespaced && target.namespace.is_empty() || target.resource.plural == "namespaces" {
        return Err(Status::method_not_allowed());
    }
    let delete_options = Options::read(&mut asked).await?;
    let options = read::options(&asked, &target)?;
    let (found, revision) = server.store.list(&target.stored_as(), read::scope(&target));
    let mut items = Vec::new();
    for item in found.iter().filter(|item| read::matches(&options, &target, item)) {
        let one = Target { name: object::name(item).to_owned(), ..target.clone() };
        match delete(server, permit.user(), &one, &delete_options) {
            Ok(deleted) => items.push(deleted.as_ref().clone()),
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let list = json!({
        "kind": target.resource.list_kind(),
        "apiVersion": target.resource.api_version(),
        "metadata": {"resourceVersion": revision.to_string()},
        "items": items,
    });
    Ok(answer::object(StatusCode::OK, &list))
}

struct Options {
    precondition: Precondition,
    grace_seconds: Option<i64>,
    dry_run: bool,
}

impl Options {
    /// From the body where there is one, else from the query.
    async fn read(asked: &mut Asked) -> Result<Self, Status> {
        let bytes = body::bytes(asked.take_body()).await?;
        let given: Value = if bytes.is_empty() {
            json!({})
        } else {
            serde_json::from_slice(&bytes).map_err(|error| {
                Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
            })?
        };
        let text = |path: &str| object::at(&given, path).and_then(Value::as_str).map(str::to_owned);
        let in_body = object::at(&given, "dryRun").and_then(Value::as_array);
        let dry_run = match in_body {
            Some(values) if values.iter().any(|value| value != "All") => {
                body::dry_run(&Query::parse("dryRun=invalid"), "DeleteOptions")?
            }
            Some(values) if !values.is_empty() => true,
            _ => body::dry_run(&asked.query, "DeleteOptions")?,
        };
        let in_query = asked.query.first("gracePeriodSeconds").and_then(|seconds| seconds.parse().ok());
        Ok(Self {
            precondition: Precondition {
                uid: text("preconditions.uid"),
                resource_version: text("preconditions.resourceVersion"),
            },
            grace_seconds: given.get("gracePeriodSeconds").and_then(Value::as_i64).or(in_query),
            dry_run,
        })
    }
}

fn delete(
    server: &Server,
    user: &UserInfo,
    target: &Target,
    options: &Options,
) -> Result<Arc<Value>, Status> {
    let key = target.key();
    let Some(present) = server.store.get(&key) else {
        return Err(Status::not_found(target.group_resource(), &target.name));
    };
    let change = Change { user, target, subresource: "", operation: Operation::Delete };
    admit::before_delete(server, &change, &present)?;
    if options.dry_run {
        return Ok(present);
    }
    if target.resource.plural == "namespaces" {
        empty_namespace(server, target)?;
    }
    let now = time::format(server.host.now());
    let done = server.store.modify(&key, |present| {
        options.precondition.check(&key, present)?;
        Ok::<_, StoreError>(step(present, target, options.grace_seconds, &now))
    });
    done.map_err(|error| target.refused(error))
}

/// Removes the object, or marks it where a finalizer or a kubelet has to end it.
fn step(present: &Value, target: &Target, grace: Option<i64>, now: &str) -> Step {
    let waits = !object::list(present, "metadata.finalizers").is_empty();
    let grace = match target.resource.plural {
        "pods" => pod_grace(present, grace),
        _ => 0,
    };
    if !waits && grace == 0 {
        return Step::Remove(present.clone());
    }
    let mut marked = present.clone();
    let metadata = metadata_mut(&mut marked);
    metadata.entry("deletionTimestamp").or_insert_with(|| json!(now));
    let earlier = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64);
    let grace = earlier.map_or(grace, |earlier| earlier.min(grace));
    metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
    Step::Store(marked)
}

/// The seconds that a pod gets: none where no kubelet runs it (`podStrategy.CheckGracefulDelete`).
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let over = matches!(object::text(pod, "status.phase"), "Succeeded" | "Failed");
    if over || object::text(pod, "spec.nodeName").is_empty() {
        return 0;
    }
    let own = object::at(pod, "spec.terminationGracePeriodSeconds").and_then(Value::as_i64);
    asked.or(own).unwrap_or(DEFAULT_GRACE_SECONDS).max(0)
}

/// Deletes all that is in a namespace, as the namespace controller does before the namespace goes.
fn empty_namespace(server: &Server, target: &Target) -> Result<(), Status> {
    if matches!(target.name.as_str(), "default" | "kube-system" | "kube-public") {
        return Err(target.forbidden("this namespace may not be deleted"));
    }
    for resource in ravelin_api::RESOURCES.iter().filter(|resource| resource.namespaced && resource.stored) {
        let inside = Target { resource, namespace: target.name.clone(), name: String::new() };
        let (found, _) = server.store.list(&inside.stored_as(), Some(&target.name));
        for item in found {
            let key = Key::namespaced(&inside.stored_as(), &target.name, object::name(&item));
            match server.store.delete(&key, &Precondition::default()) {
                Ok(_) | Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(inside.refused(error)),
            }
        }
    }
    Ok(())
}
