//! Creating, updating and patching objects, and the parts that subresources name.

use super::patch::{BadPatch, MAX_OPERATIONS, PatchKind};
use super::{Target, body, cause, name, services, strategy};
use crate::admit::{self, Change, Operation};
use crate::answer;
use crate::server::{Asked, Server};
use crate::store::{Key, Step, StoreError};
use http::StatusCode;
use ravelin_api::{GroupResource, Status, object};
use ravelin_auth::{Permit, UserInfo};
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// How often a patch is tried again when somebody else was faster (`maxRetryWhenPatchConflicts`).
const MAX_ATTEMPTS: usize = 5;

/// Creates an object.
pub(super) async fn create(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    mut target: Target,
) -> Result<Response, Status> {
    let dry_run = body::dry_run(&asked.query, "CreateOptions")?;
    let mut new = body::object(&mut asked, &target).await?;
    if target.resource.namespaced && target.namespace.is_empty() {
        return Err(Status::method_not_allowed());
    }
    same_namespace(&new, &target)?;
    target.name = object::name(&new).to_owned();
    admit::namespace_is_open(server, &target)?;
    let change =
        Change { user: permit.user(), target: &target, subresource: "", operation: Operation::Create };
    admit::before_create(server, &change, &mut new)?;
    if !target.name.is_empty() {
        name::check(&target, &target.name)?;
    }
    strategy::prepare_create(server, &change, &mut new)?;
    let _one_at_a_time = server.allocation();
    services::allocate(server, &target, &mut new)?;
    let (resource, namespace) = (target.stored_as(), target.scope());
    let created = if dry_run {
        server.store.would_create(&resource, namespace, new)
    } else {
        server.store.create(&resource, namespace, new)
    };
    let created = created.map_err(|error| target.refused(error))?;
    Ok(answer::object(StatusCode::CREATED, &created))
}

/// Replaces an object, or the part of it that the subresource names.
pub(super) async fn update(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let dry_run = body::dry_run(&asked.query, "UpdateOptions")?;
    let new = body::object(&mut asked, &target).await?;
    same_namespace(&new, &target)?;
    same_name(&new, &target)?;
    let writing = Writing {
        server,
        user: permit.user(),
        target: &target,
        subresource: &asked.info.subresource,
        operation: Operation::Update,
        dry_run,
    };
    let stored = writing.replace(|present| {
        let uid = object::uid(&new);
        if !uid.is_empty() && uid != object::uid(present) {
            let (asked, actual) = (uid.to_owned(), object::uid(present).to_owned());
            return Err(target.refused(StoreError::OtherUid { key: target.key(), asked, actual }));
        }
        Ok(new.clone())
    })?;
    Ok(answer::object(StatusCode::OK, &stored))
}

/// Patches an object, or the part of it that the subresource names.
pub(super) async fn patch(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let dry_run = body::dry_run(&asked.query, "PatchOptions")?;
    let kind = PatchKind::of(&body::media_type(&asked))
        .ok_or_else(|| Status::unsupported_media_type("415: Unsupported Media Type"))?;
    let bytes = body::bytes(asked.take_body()).await?;
    let patch: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    let writing = Writing {
        server,
        user: permit.user(),
        target: &target,
        subresource: &asked.info.subresource,
        operation: Operation::Update,
        dry_run,
    };
    let stored = writing.replace(|present| {
        let patched = kind.apply(present, &patch).map_err(bad_patch)?;
        same_name(&patched, &target)?;
        same_namespace(&patched, &target)?;
        if object::uid(&patched) != object::uid(present) {
            let message = format!("Invalid value: {:?}: field is immutable", object::uid(&patched));
            let cause = cause("FieldValueInvalid", "metadata.uid", message);
            return Err(target.invalid(vec![cause.clone(), cause]));
        }
        Ok(patched)
    })?;
    Ok(answer::object(StatusCode::OK, &stored))
}

/// Runs a change of an object through all that is asked of one, as the server itself.
pub(super) struct Writing<'a> {
    pub(super) server: &'a Server,
    pub(super) user: &'a UserInfo,
    pub(super) target: &'a Target,
    pub(super) subresource: &'a str,
    pub(super) operation: Operation,
    pub(super) dry_run: bool,
}

impl Writing<'_> {
    /// Replaces the object by a function of its present state. Where somebody else changes it
    /// meanwhile, it starts over.
    pub(super) fn replace(
        &self,
        make: impl Fn(&Value) -> Result<Value, Status>,
    ) -> Result<Arc<Value>, Status> {
        let key = self.target.key();
        for _ in 0..MAX_ATTEMPTS {
            let Some(present) = self.server.store.get(&key) else {
                return Err(Status::not_found(self.target.group_resource(), &self.target.name));
            };
            let mut new = make(&present)?;
            let version = object::resource_version(&new);
            if !version.is_empty() && version != object::resource_version(&present) {
                return Err(self.target.refused(StoreError::Modified(key)));
            }
            self.prepare(&mut new, &present)?;
            match self.commit(&key, &present, new) {
                Err(StoreError::Modified(_)) => {}
                done => return done.map_err(|error| self.target.refused(error)),
            }
        }
        Err(self.target.refused(StoreError::Modified(key)))
    }

    fn prepare(&self, new: &mut Value, present: &Value) -> Result<(), Status> {
        let change = Change {
            user: self.user,
            target: self.target,
            subresource: self.subresource,
            operation: self.operation,
        };
        strategy::keep_what_the_server_owns(new, present);
        admit::before_update(self.server, &change, new, present)?;
        strategy::prepare_update(self.server, &change, new, present)
    }

    fn commit(&self, key: &Key, present: &Value, new: Value) -> Result<Arc<Value>, StoreError> {
        self.server.store.modify(key, |now| {
            if object::resource_version(now) != object::resource_version(present) {
                return Err(StoreError::Modified(key.clone()));
            }
            Ok(match (self.dry_run, strategy::is_finished(&new)) {
                (true, _) => Step::Leave(new),
                (false, true) => Step::Remove(new),
                (false, false) => Step::Store(new),
            })
        })
    }
}

fn bad_patch(bad: BadPatch) -> Status {
    match bad {
        BadPatch::Unprocessable => {
            Status::generic(422, "", (GroupResource { group: "", resource: "" }, ""), "")
        }
        BadPatch::TooLarge(operations) => Status::too_large(&format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {operations}"
        )),
    }
}

fn same_namespace(object: &Value, target: &Target) -> Result<(), Status> {
    let given = object::namespace(object);
    if given.is_empty() || given == target.scope() {
        return Ok(());
    }
    Err(Status::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    ))
}

fn same_name(object: &Value, target: &Target) -> Result<(), Status> {
    let (given, url) = (object::name(object), &target.name);
    if given == url {
        return Ok(());
    }
    Err(Status::bad_request(if given.is_empty() {
        format!("the name of the object ({url} based on URL) was undeterminable: name must be provided")
    } else {
        format!("the name of the object ({given}) does not match the name on the URL ({url})")
    }))
}

/// The `Success` that some creations answer with instead of an object.
pub(super) fn created() -> Response {
    answer::object(
        StatusCode::CREATED,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    )
}
