//! Creating, updating and patching objects, and the parts that subresources name.

use super::body::{self, Given};
use super::patch::{Patch, PatchKind};
use super::{Target, events, managed, metadata, services, strategy};
use crate::admit::{self, Change, Operation};
use crate::answer;
use crate::audit::Shown;
use crate::server::{Asked, Server};
use crate::store::{Key, Step, StoreError};
use http::StatusCode;
use ravelin_api::managed::Manager;
use ravelin_api::object::{self, metadata_mut};
use ravelin_api::{Cause, GroupResource, Status};
use ravelin_auth::{Attributes, Permit};
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::Arc;

/// How often a patch is tried again when somebody else was faster (`maxRetryWhenPatchConflicts`).
const MAX_ATTEMPTS: usize = 5;
/// How often another name is made up where the first is taken (`maxNameGenerationCreateAttempts`).
const MAX_NAMES: usize = 8;
/// The largest request that etcd takes (`--max-request-bytes`).
const MAX_STORED_BYTES: usize = 1536 * 1024;

/// Creates an object.
pub(super) async fn create(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    mut target: Target,
) -> Result<Response, Status> {
    let mut given = body::read(&mut asked, kind_of(&target).as_ref(), "CreateOptions").await?;
    same_namespace(&mut given.object, &target)?;
    target.name = object::name(&given.object).to_owned();
    let created = Writing::new(server, &permit, (&target, ""), given.options.dry_run).create(&given)?;
    if target.resource.plural == "events" {
        events::forget_old(server.objects(&permit), server.host.now());
    }
    Ok(given.warn(answer::object(StatusCode::CREATED, &created)))
}

/// Replaces an object, or the part of it that the subresource names. Some kinds may be created in
/// this way too.
pub(super) async fn update(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let mut given = body::read(&mut asked, kind_of(&target).as_ref(), "UpdateOptions").await?;
    same_namespace(&mut given.object, &target)?;
    let new = &given.object;
    same_name(new, &target)?;
    let subresource = asked.info.subresource.as_str();
    let who = managed::manager(server, &asked);
    let writing = Writing::new(server, &permit, (&target, subresource), given.options.dry_run).by(&who);
    let exists = server.objects(&permit).get(&target.key()).is_some();
    if !exists && subresource.is_empty() && created_by_update(&target) {
        let create = Attributes { verb: "create".to_owned(), ..permit.attributes().clone() };
        let may = server.authorization.authorize(server, create).map_err(|denied| denied.status())?;
        let created = writing.to_create(&may).create(&given)?;
        return Ok(given.warn(answer::object(StatusCode::CREATED, &created)));
    }
    if !exists {
        // Admission sees what would be made of nothing before anybody says that there is nothing.
        admit::namespace_is_open(server, &target)?;
    }
    let stored = writing.replace(|present| {
        let uid = object::uid(new);
        if !uid.is_empty() && uid != object::uid(present) {
            let (asked, actual) = (uid.to_owned(), object::uid(present).to_owned());
            return Err(target.refused(StoreError::OtherUid { key: target.key(), asked, actual }));
        }
        Ok(new.clone())
    })?;
    Ok(given.warn(answer::object(StatusCode::OK, &stored)))
}

/// Patches an object, or the part of it that the subresource names.
pub(super) async fn patch(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    if PatchKind::of_request(&asked)? == PatchKind::Apply {
        return managed::serve(server, permit, asked, target).await;
    }
    let patch = Patch::read(&mut asked, &target).await?;
    let who = managed::manager(server, &asked);
    let subresource = asked.info.subresource.as_str();
    let writing = Writing::new(server, &permit, (&target, subresource), patch.options.dry_run).by(&who);
    let warnings = RefCell::new(Vec::new());
    let stored = writing.replace(|present| {
        let mut patched = patch.apply(present)?;
        same_namespace(&mut patched.object, &target)?;
        same_name(&patched.object, &target)?;
        warnings.replace(patched.findings);
        Ok(patched.object)
    })?;
    Ok(answer::with_warnings(answer::object(StatusCode::OK, &stored), &warnings.into_inner()))
}

/// A target's `apiVersion` and `kind`.
pub(super) struct Kind(String, &'static str);

impl Kind {
    pub(super) fn as_ref(&self) -> (&str, &str) {
        (&self.0, self.1)
    }
}

pub(super) fn kind_of(target: &Target) -> Kind {
    Kind(target.resource.api_version(), target.resource.kind)
}

/// Kinds that a PUT creates where there are none (`AllowCreateOnUpdate` of each strategy).
fn created_by_update(target: &Target) -> bool {
    target.resource.group == "rbac.authorization.k8s.io"
        || matches!(target.resource.plural, "leases" | "events" | "endpoints" | "services")
}

/// Kinds that may be replaced without saying which version is meant (`AllowUnconditionalUpdate`).
fn updated_unconditionally(target: &Target) -> bool {
    !matches!(
        target.resource.plural,
        "leases" | "serviceaccounts" | "csidrivers" | "csinodes" | "volumeattachments"
    )
}

fn version_required(target: &Target) -> Status {
    // Upstream names the resource where a kind belongs.
    let message = "Invalid value: 0: must be specified for an update";
    let cause = super::cause("FieldValueInvalid", "metadata.resourceVersion", message);
    Status::invalid(target.group_resource(), &target.name, vec![cause])
}

/// A change of an object on its way through all that is asked of one.
#[derive(Clone, Copy)]
pub(super) struct Writing<'a> {
    server: &'a Server,
    permit: &'a Permit,
    target: &'a Target,
    subresource: &'a str,
    operation: Operation,
    dry_run: bool,
    owners: Owners<'a>,
}

/// What becomes of the record of who owns which field.
#[derive(Clone, Copy)]
enum Owners<'a> {
    /// It stays.
    Kept,
    /// This one owns what it changes.
    Noted(&'a Manager),
    /// The object brings it along.
    Written,
}

impl<'a> Writing<'a> {
    /// A change that somebody has leave for.
    pub(super) fn new(
        server: &'a Server,
        permit: &'a Permit,
        (target, subresource): (&'a Target, &'a str),
        dry_run: bool,
    ) -> Self {
        let (operation, owners) = (Operation::Update, Owners::Kept);
        Self { server, permit, target, subresource, operation, dry_run, owners }
    }

    /// By somebody who then owns what it changes.
    fn by(self, who: &'a Manager) -> Self {
        Self { owners: Owners::Noted(who), ..self }
    }

    /// Of an object that says itself who owns what.
    pub(super) fn with_owners(self) -> Self {
        Self { owners: Owners::Written, ..self }
    }

    /// The creation of what is not there, by leave of its own.
    pub(super) fn to_create(self, permit: &'a Permit) -> Self {
        Self { permit, operation: Operation::Create, ..self }
    }

    fn change(&self, operation: Operation) -> Change<'a> {
        Change { user: self.permit.user(), target: self.target, subresource: self.subresource, operation }
    }

    /// Creates the object.
    pub(super) fn create(&self, given: &Given) -> Result<Arc<Value>, Status> {
        let (server, target) = (self.server, self.target);
        let mut new = given.object.clone();
        if !matches!(self.owners, Owners::Written) {
            metadata_mut(&mut new).remove("managedFields");
        }
        admit::namespace_is_open(server, target)?;
        admit::before_create(server, &self.change(Operation::Create), &mut new)?;
        let prefix = object::text(&new, "metadata.generateName").to_owned();
        let generated = object::name(&new).is_empty() && !prefix.is_empty();
        let mut entropy = server.host.entropy("apiserver/name");
        if generated {
            metadata::generate_name(&mut new, &prefix, |limit| entropy.below(limit));
        }
        let named = Target { name: object::name(&new).to_owned(), ..target.clone() };
        let change = Change { target: &named, ..self.change(Operation::Create) };
        strategy::prepare_create(server, &change, &mut new)?;
        if !matches!(object::resource_version(&new), "" | "0") {
            return Err(Status::plain_error("resourceVersion should not be set on objects to be created"));
        }
        refuse_too_large(&new)?;
        let _one_at_a_time = server.allocation();
        services::allocate(server, &named, &mut new)?;
        let (resource, namespace) = (target.stored_as(), target.scope());
        let store = server.objects(self.permit);
        for attempt in 1.. {
            let created = if self.dry_run {
                store.would_create(&resource, namespace, new.clone())
            } else {
                store.create(&resource, namespace, new.clone())
            };
            match created {
                Err(StoreError::AlreadyExists(key)) if generated && attempt == MAX_NAMES => {
                    return Err(Status::generated_name_exists(target.group_resource(), &key.name));
                }
                Err(StoreError::AlreadyExists(_)) if generated => {
                    metadata::generate_name(&mut new, &prefix, |limit| entropy.below(limit));
                }
                done => return done.map_err(|error| named.refused(error)),
            }
        }
        unreachable!("the last attempt answers")
    }

    /// Replaces the object by a function of its present state. Where somebody else changes it
    /// meanwhile, it starts over.
    pub(super) fn replace(
        &self,
        make: impl Fn(&Value) -> Result<Value, Status>,
    ) -> Result<Arc<Value>, Status> {
        let key = self.target.key();
        for _ in 0..MAX_ATTEMPTS {
            let Some(present) = self.server.objects(self.permit).get(&key) else {
                return Err(Status::not_found(self.target.group_resource(), &self.target.name));
            };
            let mut new = make(&present)?;
            self.check_version(object::resource_version(&new), object::resource_version(&present))?;
            self.prepare(&mut new, &present)?;
            let is_service = self.target.resource.plural == "services" && self.subresource.is_empty();
            let _one_at_a_time = is_service.then(|| self.server.allocation());
            if is_service {
                services::reallocate(self.server, self.target, (&mut new, &present))?;
            }
            refuse_too_large(&new)?;
            match self.commit(&key, &present, new) {
                Err(StoreError::Modified(_)) => {}
                done => return done.map_err(|error| self.target.refused(error)),
            }
        }
        Err(self.target.refused(StoreError::Modified(key)))
    }

    /// What is written must be made of what is there; of some kinds, if it says of what it is made. None
    /// and zero are no version (`Store.Update`).
    fn check_version(&self, given: &str, present: &str) -> Result<(), Status> {
        let number = if given.is_empty() { Ok(0) } else { given.parse::<u64>() };
        let Ok(number) = number else {
            let why = if given.bytes().all(|byte| byte.is_ascii_digit()) {
                "value out of range"
            } else {
                "invalid syntax"
            };
            return Err(Status::plain_error(format!("strconv.ParseUint: parsing {given:?}: {why}")));
        };
        if number == 0 && (updated_unconditionally(self.target) || !self.subresource.is_empty()) {
            return Ok(());
        }
        if number == 0 {
            return Err(version_required(self.target));
        }
        if number.to_string() == present {
            return Ok(());
        }
        Err(self.target.refused(StoreError::Modified(self.target.key())))
    }

    fn prepare(&self, new: &mut Value, present: &Value) -> Result<(), Status> {
        let change = self.change(self.operation);
        let causes: Vec<Cause> = metadata::causes_of_change(new, present);
        strategy::keep_what_the_server_owns(new, present);
        admit::before_update(self.server, &change, new, present)?;
        if !causes.is_empty() {
            return Err(self.target.invalid(causes));
        }
        strategy::prepare_update(self.server, &change, new, present)?;
        match self.owners {
            Owners::Kept => managed::keep(new, present),
            Owners::Noted(who) => managed::note(new, present, (who, kind_of(self.target).as_ref())),
            Owners::Written => {}
        }
        Ok(())
    }

    fn commit(&self, key: &Key, present: &Value, new: Value) -> Result<Arc<Value>, StoreError> {
        self.server.objects(self.permit).modify(key, |now| {
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

/// etcd takes no request above its limit, whatever is in it.
fn refuse_too_large(object: &Value) -> Result<(), Status> {
    if weight(object) <= MAX_STORED_BYTES {
        return Ok(());
    }
    Err(Status::plain_error("etcdserver: request is too large"))
}

/// About how many bytes a value takes.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| weight(item) + 1).sum(),
        Value::Object(members) => members.iter().map(|(name, member)| name.len() + 3 + weight(member)).sum(),
        _ => 4,
    }
}

/// An object is in the namespace of its path, and says so itself or not; of what has none, what it says is
/// dropped (`EnsureObjectNamespaceMatchesRequestNamespace`).
pub(super) fn same_namespace(object: &mut Value, target: &Target) -> Result<(), Status> {
    let given = object::namespace(object);
    if given.is_empty() || given == target.scope() {
        return Ok(());
    }
    if target.scope().is_empty() {
        metadata_mut(object).remove("namespace");
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
    if given.is_empty() {
        return Err(unnamed(target));
    }
    Err(Status::bad_request(format!(
        "the name of the object ({given}) does not match the name on the URL ({url})"
    )))
}

/// 400 for an object that should bear the name of its path, and bears none.
pub(super) fn unnamed(target: &Target) -> Status {
    Status::bad_request(format!(
        "the name of the object ({} based on URL) was undeterminable: name must be provided",
        target.name
    ))
}

/// The `Success` that some creations answer with instead of an object.
pub(super) fn created() -> Response {
    let mut answer = answer::object(
        StatusCode::CREATED,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    );
    let shown = Status { code: 201, reason: None, message: String::new(), details: None };
    answer.extensions_mut().insert(Shown(Box::new(shown)));
    answer
}

/// 422 without a kind, as patches that lead nowhere are refused.
pub(super) fn invalid_patch(cause: Cause) -> Status {
    Status::invalid(GroupResource { group: "", resource: "" }, "", vec![cause])
}
