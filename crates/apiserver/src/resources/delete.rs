//! Deleting objects: at once, or marked until whoever must has cleaned up
//! (`apiserver/pkg/registry/rest/delete.go`, `generic/registry/store.go`).

use super::body::{self, BodyForm};
use super::options;
use super::{Target, cause, namespaces, read, selection};
use crate::admit::{self, Change, Operation};
use crate::answer;
use crate::server::{Asked, Server};
use crate::store::{Precondition, Step, StoreError};
use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use ravelin_api::object::{self, metadata_mut};
use ravelin_api::{Enveloped, GroupResource, Query, RESOURCES, Status, Untyped, bad_number, time};
use ravelin_auth::Permit;
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::sync::Arc;

const META: &str = "meta.k8s.io/v1";
/// What Kubernetes calls the set of kinds that its options are read with.
const SCHEME: &str = "pkg/apis/meta/internalversion/scheme/register.go:28";
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// Deletes one object.
pub(super) async fn one(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let options = Options::read(&mut asked).await?;
    let deleted = Deletion { server, permit: &permit, options: &options }.of(&target)?;
    if !deleted.gone && options.orphan == Some(false) {
        return Ok(answer::object(StatusCode::ACCEPTED, &deleted.object));
    }
    if !deleted.gone || returns_object(&target) {
        return Ok(answer::object(StatusCode::OK, &deleted.object));
    }
    let uid = object::uid(&deleted.object);
    Ok(answer::status(&Status::deleted(target.group_resource(), &target.name, uid)))
}

/// Kinds whose deletion answers with the object (`ReturnDeletedObject` of each store).
fn returns_object(target: &Target) -> bool {
    target.resource.group == "storage.k8s.io"
        || matches!(
            target.resource.plural,
            "pods"
                | "namespaces"
                | "services"
                | "serviceaccounts"
                | "persistentvolumes"
                | "persistentvolumeclaims"
        )
}

/// Deletes every object that matches.
pub(super) async fn collection(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let options = Options::read(&mut asked).await?;
    let selected = read::options(&asked, &target)?;
    selection::check_list(&selected)?;
    let (found, revision) = server.objects(&permit).list(&target.stored_as(), read::scope(&target));
    let mut items = Vec::new();
    for item in found.iter().filter(|item| read::matches(&selected, &target, item)) {
        let one = Target { name: object::name(item).to_owned(), ..target.clone() };
        match (Deletion { server, permit: &permit, options: &options }).of(&one) {
            Ok(_) => items.push(without_kind(item)),
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

/// Items of lists bear no kind of their own.
fn without_kind(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(members) = item.as_object_mut() {
        members.remove("kind");
        members.remove("apiVersion");
    }
    item
}

/// How something is to be deleted (`metav1.DeleteOptions`).
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    precondition: Precondition,
    grace_seconds: Option<i64>,
    dry_run: bool,
    orphan: Option<bool>,
    propagation: Option<String>,
}

impl Options {
    /// From the body where there is one, else from the query.
    async fn read(asked: &mut Asked) -> Result<Self, Status> {
        let bytes = body::bytes(asked.take_body()).await?;
        if bytes.is_empty() {
            return Self::of_query(&asked.query);
        }
        let given = match body::form(asked)? {
            BodyForm::Json => from_json(&bytes)?,
            BodyForm::Yaml => from_json(&body::yaml_to_json(&bytes).map_err(Status::bad_request)?)?,
            BodyForm::Protobuf => from_protobuf(&bytes)?,
        };
        Self::of_value(&given)
    }

    /// From an object.
    ///
    /// # Errors
    /// 422.
    pub(super) fn of_value(given: &Value) -> Result<Self, Status> {
        let text = |path: &str| object::at(given, path).and_then(Value::as_str).map(str::to_owned);
        let dry_run = object::texts(given, "dryRun");
        let options = Self {
            precondition: Precondition {
                uid: text("preconditions.uid"),
                resource_version: text("preconditions.resourceVersion"),
            },
            grace_seconds: given.get("gracePeriodSeconds").and_then(Value::as_i64),
            dry_run: !dry_run.is_empty(),
            orphan: object::flag(given, "orphanDependents"),
            propagation: text("propagationPolicy"),
        };
        options.check(&dry_run)
    }

    fn of_query(query: &Query) -> Result<Self, Status> {
        let grace_seconds = match query.first("gracePeriodSeconds") {
            None | Some("") => None,
            Some(text) => Some(text.parse().map_err(|_| Status::bad_request(bad_number(text)))?),
        };
        let dry_run: Vec<&str> = query
            .iter()
            .filter(|(name, value)| *name == "dryRun" && !value.is_empty())
            .map(|(_, value)| value)
            .collect();
        let options = Self {
            precondition: Precondition::default(),
            grace_seconds,
            dry_run: !dry_run.is_empty(),
            orphan: query.first("orphanDependents").map(|_| query.flag("orphanDependents")),
            propagation: query.first("propagationPolicy").map(str::to_owned),
        };
        options.check(&dry_run)
    }

    /// `ValidateDeleteOptions`.
    fn check(self, dry_run: &[&str]) -> Result<Self, Status> {
        let mut causes = Vec::new();
        let field = "propagationPolicy";
        if let Some(policy) = &self.propagation {
            if self.orphan.is_some() {
                let why = "orphanDependents and deletionPropagation cannot be both set";
                causes.push(cause("FieldValueInvalid", field, format!("Invalid value: {policy:?}: {why}")));
            }
            if !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan") {
                let supported = "\"Foreground\", \"Background\", \"Orphan\", \"nil\"";
                let message = format!("Unsupported value: {policy:?}: supported values: {supported}");
                causes.push(cause("FieldValueNotSupported", field, message));
            }
        }
        causes.extend(options::dry_run_cause(dry_run));
        if causes.is_empty() { Ok(self) } else { Err(options::invalid("DeleteOptions", causes)) }
    }
}

fn from_json(bytes: &[u8]) -> Result<Value, Status> {
    let parse_error =
        |why: String| Status::bad_request(format!("couldn't get version/kind; json parse error: {why}"));
    let given = Untyped::read(bytes).map_err(parse_error)?;
    if !matches!(given.go_kind(), "object" | "null") {
        return Err(parse_error(body::no_object(given.go_kind())));
    }
    let kind = Some(given.text("kind").unwrap_or_default()).filter(|kind| !kind.is_empty());
    let version = given.text("apiVersion").unwrap_or_default();
    let (kind, group_version) = (kind.unwrap_or("DeleteOptions"), version.split('/').next_back());
    // Every group knows them, in each of its versions.
    let known = version.is_empty()
        || RESOURCES.iter().any(|r| r.api_version() == version || Some(r.version) == group_version);
    if kind != "DeleteOptions" || !known {
        let version = if version.is_empty() { META } else { version };
        return Err(Status::bad_request(format!(
            "no kind {kind:?} is registered for version {version:?} in scheme \"{SCHEME}\""
        )));
    }
    given.of_kind(META, "DeleteOptions").map(|typed| typed.object).map_err(Status::bad_request)
}

fn from_protobuf(bytes: &Bytes) -> Result<Value, Status> {
    let bad = |why: &dyn std::fmt::Display| Status::bad_request(why.to_string());
    let opened = Enveloped::open(bytes).map_err(|why| bad(&why))?;
    let read = opened.read(META, "DeleteOptions").map_err(|why| bad(&why))?;
    read.ok_or_else(|| Status::bad_request("decoded object cannot be converted to DeleteOptions"))
}

/// A deletion that somebody has leave for.
pub(super) struct Deletion<'a> {
    pub(super) server: &'a Server,
    pub(super) permit: &'a Permit,
    pub(super) options: &'a Options,
}

/// What became of an object that was to be deleted.
pub(super) struct Deleted {
    object: Arc<Value>,
    gone: bool,
}

impl Deletion<'_> {
    /// Deletes one object.
    pub(super) fn of(&self, target: &Target) -> Result<Deleted, Status> {
        let present = self.present(target)?;
        let change =
            Change { user: self.permit.user(), target, subresource: "", operation: Operation::Delete };
        admit::before_delete(self.server, &change, &present)?;
        self.run(target, &present)
    }

    /// Deletes a pod whose eviction was admitted.
    pub(super) fn evict(&self, target: &Target) -> Result<Deleted, Status> {
        self.run(target, self.present(target)?.as_ref())
    }

    fn present(&self, target: &Target) -> Result<Arc<Value>, Status> {
        let present = self.server.objects(self.permit).get(&target.key());
        present.ok_or_else(|| Status::not_found(target.group_resource(), &target.name))
    }

    fn run(&self, target: &Target, present: &Value) -> Result<Deleted, Status> {
        let (server, key) = (self.server, target.key());
        let store = server.objects(self.permit);
        self.check_precondition(target, present)?;
        let now = server.host.now();
        if self.options.dry_run {
            return Ok(match self.step(target, present, now) {
                Step::Remove(object) => Deleted { object: Arc::new(object), gone: true },
                Step::Store(object) | Step::Leave(object) => {
                    Deleted { object: Arc::new(object), gone: false }
                }
            });
        }
        let done = store.modify(&key, |present| {
            self.options.precondition.check(&key, present)?;
            Ok::<_, StoreError>(self.step(target, present, now))
        });
        let object = done.map_err(|error| target.refused(error))?;
        Ok(Deleted { gone: store.get(&key).is_none(), object })
    }

    fn check_precondition(&self, target: &Target, present: &Value) -> Result<(), Status> {
        let wanted = &self.options.precondition;
        let compared = [
            ("UID", wanted.uid.as_deref(), object::uid(present), "deleted and then recreated"),
            (
                "ResourceVersion",
                wanted.resource_version.as_deref(),
                object::resource_version(present),
                "modified",
            ),
        ];
        for (what, asked, actual, happened) in compared {
            if let Some(asked) = asked.filter(|asked| *asked != actual) {
                let why = format!(
                    "the {what} in the precondition ({asked}) does not match the {what} in record ({actual}). The object might have been {happened}"
                );
                // Upstream names the kind where a resource belongs.
                let kind = GroupResource { group: target.resource.group, resource: target.resource.kind };
                return Err(Status::conflict(kind, &target.name, &why));
            }
        }
        Ok(())
    }

    /// Removes the object, or marks it where a finalizer or a kubelet has to end it.
    fn step(&self, target: &Target, present: &Value, now: Timestamp) -> Step {
        let mut marked = present.clone();
        self.set_finalizers(&mut marked);
        if target.resource.plural == "namespaces" && namespaces::holds_back(&mut marked) {
            mark(&mut marked, 0, now);
            return Step::Store(marked);
        }
        let waits = !object::list(&marked, "metadata.finalizers").is_empty();
        if target.resource.plural == "pods" {
            let grace = shorten(&mut marked, self.options.grace_seconds, now);
            return if waits || grace > 0 { Step::Store(marked) } else { Step::Remove(marked) };
        }
        if !waits {
            return Step::Remove(present.clone());
        }
        mark(&mut marked, 0, now);
        Step::Store(marked)
    }

    /// What the garbage collector still has to do with the dependents
    /// (`deletionFinalizersForGarbageCollection`).
    fn set_finalizers(&self, object: &mut Value) {
        let policy = self.options.propagation.as_deref();
        let own = object::texts(object, "metadata.finalizers");
        let orphan = match (self.options.orphan, policy) {
            (Some(orphan), _) => orphan,
            (None, Some(policy)) => policy == "Orphan",
            (None, None) => own.contains(&ORPHAN),
        };
        let foreground = match (self.options.orphan, policy) {
            (Some(_), _) => false,
            (None, Some(policy)) => policy == "Foreground",
            (None, None) => own.contains(&FOREGROUND),
        };
        let mut wanted: Vec<&str> =
            own.iter().copied().filter(|finalizer| ![ORPHAN, FOREGROUND].contains(finalizer)).collect();
        wanted.extend(orphan.then_some(ORPHAN));
        wanted.extend(foreground.then_some(FOREGROUND));
        if wanted == own {
            return;
        }
        let wanted = json!(wanted);
        metadata_mut(object).insert("finalizers".into(), wanted);
    }
}

/// Marks an object as being deleted; one that is stays as it is.
fn mark(object: &mut Value, grace: i64, now: Timestamp) {
    let ends = time::format(now + SignedDuration::from_secs(grace));
    let metadata = metadata_mut(object);
    metadata.entry("deletionTimestamp").or_insert_with(|| json!(ends));
    metadata.entry("deletionGracePeriodSeconds").or_insert_with(|| json!(grace));
}

/// Marks a pod, or shortens the time that it still has (`BeforeDelete`). Gives back what it has.
fn shorten(pod: &mut Value, asked: Option<i64>, now: Timestamp) -> i64 {
    // A negative time is the shortest there is.
    let positive = |seconds: i64| if seconds < 0 { 1 } else { seconds };
    let asked = asked.map(positive);
    if !object::is_terminating(pod) {
        let grace = pod_grace(pod, asked);
        mark(pod, grace, now);
        return grace;
    }
    let left = object::at(pod, "metadata.deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    let Some(asked) = asked.filter(|asked| *asked < left) else { return left };
    let ends = time::parse(object::text(pod, "metadata.deletionTimestamp")).unwrap_or(now);
    let earlier = ends - SignedDuration::from_secs(left) + SignedDuration::from_secs(asked);
    // The end never lies in the past; a grace that is over already is as short as can be.
    let (ends, grace) = if earlier < now { (now, asked.min(1)) } else { (earlier, asked) };
    let metadata = metadata_mut(pod);
    metadata.insert("deletionTimestamp".into(), json!(time::format(ends)));
    metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
    grace
}

/// The seconds that a pod gets: none where no kubelet runs it (`podStrategy.CheckGracefulDelete`).
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let over = matches!(object::text(pod, "status.phase"), "Succeeded" | "Failed");
    if over || object::text(pod, "spec.nodeName").is_empty() {
        return 0;
    }
    let own = object::at(pod, "spec.terminationGracePeriodSeconds").and_then(Value::as_i64);
    let grace = asked.or(own).unwrap_or(0);
    if grace < 0 { 1 } else { grace }
}
