//! Server-side apply (KEP-555): a configuration is merged into what there is, by who owns which field
//! (`apiserver/pkg/endpoints/handlers/patch.go`, `applyPatcher`).
//!
//! Owners are kept of objects to which somebody applied, and of no others: what was there before
//! belongs to `before-first-apply` then, as for objects that Kubernetes stored before it knew owners.

use super::body::{self, Given};
use super::options::WriteOptions;
use super::write::{Writing, kind_of, same_namespace};
use super::{Target, cause, options};
use crate::answer;
use crate::server::{Asked, Server};
use http::header::USER_AGENT;
use http::{HeaderMap, StatusCode};
use ravelin_api::managed::{Applied, Conflict, Manager, apply, updated};
use ravelin_api::object::{self, metadata_mut};
use ravelin_api::{Cause, Details, Query, Reason, Status, Typed, time};
use ravelin_auth::{Attributes, Permit};
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most managers of one object that are kept (`defaultMaxUpdateManagers`); the oldest go first.
const MAX_MANAGERS: usize = 20;
/// The longest name that is made of what a client calls itself (`managerNameFromUserAgent`).
const MAX_NAME: usize = 128;

/// Applies the body to the object, or creates it.
pub(super) async fn serve(
    server: &Server,
    permit: Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let force = asked.query.flag("force");
    let options = checked(&asked.query)?;
    let given = config(&mut asked, &target, options).await?;
    let subresource = asked.info.subresource.clone();
    let who = Manager { applies: true, subresource, ..manager(server, &asked) };
    let kind = kind_of(&target);
    let applied = |live: &Value| {
        let applied = apply(live, (&given.object, kind.as_ref()), (&who, force));
        let Applied { mut object, managers } = applied.map_err(|all| conflict(&target, &all))?;
        if is_as_it_was(live, (&object, &managers)) {
            return Ok(live.clone());
        }
        write(&mut object, &managers, kind.as_ref());
        Ok(object)
    };
    let writing = Writing::new(server, &permit, (&target, &who.subresource), options.dry_run).with_owners();
    if server.objects(&permit).get(&target.key()).is_none() && who.subresource.is_empty() {
        let create = Attributes { verb: "create".to_owned(), ..permit.attributes().clone() };
        let may = server.authorization.authorize(server, create).map_err(|denied| denied.status())?;
        let new = Given { object: applied(&json!({}))?, ..given.clone() };
        let created = writing.to_create(&may).create(&new)?;
        return Ok(given.warn(answer::object(StatusCode::CREATED, &created)));
    }
    let stored = writing.replace(applied)?;
    Ok(given.warn(answer::object(StatusCode::OK, &stored)))
}

fn checked(query: &Query) -> Result<WriteOptions, Status> {
    if query.first("fieldManager").unwrap_or_default().is_empty() {
        let message = "Required value: is required for apply patch";
        let missing = cause("FieldValueRequired", "fieldManager", message);
        return Err(options::invalid("PatchOptions", vec![missing]));
    }
    WriteOptions::read(query, "ApplyOptions")
}

/// The configuration in the body: YAML, of which JSON is a part.
async fn config(asked: &mut Asked, target: &Target, options: WriteOptions) -> Result<Given, Status> {
    let bytes = body::bytes(asked.take_body()).await?;
    let decoding = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
    let json = body::yaml_to_json(&bytes).map_err(decoding)?;
    let kind = kind_of(target);
    let Typed { mut object, findings } = body::from_json(&json, kind.as_ref(), options.validation)?;
    if !object::list(&object, "metadata.managedFields").is_empty() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    same_namespace(&mut object, target)?;
    let given = object::name(&object);
    if !given.is_empty() && given != target.name {
        let url = &target.name;
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({url})"
        )));
    }
    metadata_mut(&mut object).insert("name".into(), json!(target.name));
    asked.written.remember(&object);
    let warnings = if options.validation == body::Validation::Warn { findings } else { Vec::new() };
    Ok(Given { object, warnings, options })
}

/// Who changes an object with this request, by its own word.
pub(super) fn manager(server: &Server, asked: &Asked) -> Manager {
    Manager {
        name: name(asked.query.first("fieldManager").unwrap_or_default(), &asked.headers),
        applies: false,
        subresource: asked.info.subresource.clone(),
        time: time::format(server.host.now()),
        fields: ravelin_api::managed::FieldSet::default(),
    }
}

fn name(given: &str, headers: &HeaderMap) -> String {
    if !given.is_empty() {
        return given.to_owned();
    }
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    agent.split('/').next().unwrap_or_default().chars().take(MAX_NAME).collect()
}

/// Writes down who owns what after a change; of objects to which nobody applied, nothing.
pub(super) fn note(new: &mut Value, present: &Value, (who, kind): (&Manager, (&str, &str))) {
    let asked = object::list(new, "metadata.managedFields");
    // An empty entry is how one asks to forget them all.
    let forgets = asked.len() == 1 && asked[0].as_object().is_some_and(|entry| entry.is_empty());
    let known = object::list(present, "metadata.managedFields");
    if forgets || known.is_empty() {
        metadata_mut(new).remove("managedFields");
        return;
    }
    let managers = updated((present, new), kind, who);
    write(new, &managers, kind);
}

/// Did applying change nothing but the time at which it was done?
fn is_as_it_was(live: &Value, (object, managers): (&Value, &[Manager])) -> bool {
    let timeless = |managers: &[Manager]| -> Vec<Manager> {
        managers.iter().map(|manager| Manager { time: String::new(), ..manager.clone() }).collect()
    };
    object == live && timeless(&Manager::all_of(live)) == timeless(managers)
}

/// Leaves the record as it is.
pub(super) fn keep(new: &mut Value, present: &Value) {
    match object::at(present, "metadata.managedFields") {
        Some(known) => drop(metadata_mut(new).insert("managedFields".into(), known.clone())),
        None => drop(metadata_mut(new).remove("managedFields")),
    }
}

fn write(object: &mut Value, managers: &[Manager], kind: (&str, &str)) {
    let kept = &managers[managers.len().saturating_sub(MAX_MANAGERS)..];
    let entries: Vec<Value> = kept.iter().map(|manager| manager.write(kind.0)).collect();
    if entries.is_empty() {
        metadata_mut(object).remove("managedFields");
    } else {
        metadata_mut(object).insert("managedFields".into(), json!(entries));
    }
}

/// 409 with every field that somebody else owns (`managedfields/internal/conflict.go`).
fn conflict(target: &Target, conflicts: &[Conflict]) -> Status {
    let version = target.resource.api_version();
    let owner = |conflict: &Conflict| {
        let mut owner = format!("{:?}", conflict.manager);
        if !conflict.subresource.is_empty() {
            owner.push_str(&format!(" with subresource {:?}", conflict.subresource));
        }
        if !conflict.applies {
            owner.push_str(&format!(" using {version}"));
            if !conflict.time.is_empty() {
                owner.push_str(&format!(" at {}", conflict.time));
            }
        }
        owner
    };
    let message = match conflicts {
        [one] => format!("Apply failed with 1 conflict: conflict with {}: {}", owner(one), one.path),
        many => {
            let mut paths: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for conflict in many {
                paths.entry(owner(conflict)).or_default().push(&conflict.path);
            }
            let told = paths.iter().map(|(owner, paths)| {
                let paths: String = paths.iter().map(|path| format!("\n- {path}")).collect();
                format!("conflicts with {owner}:{paths}")
            });
            format!("Apply failed with {} conflicts: {}", many.len(), told.collect::<Vec<_>>().join("\n"))
        }
    };
    let causes = conflicts.iter().map(|conflict| Cause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", owner(conflict)),
        field: conflict.path.clone(),
    });
    let details = Details { causes: causes.collect(), ..Details::default() };
    Status { code: 409, reason: Some(Reason::Conflict), message, details: Some(Box::new(details)) }
}
