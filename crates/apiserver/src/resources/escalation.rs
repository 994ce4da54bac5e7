//! Nobody gives away through roles what they do not have themselves
//! (`pkg/registry/rbac/*/policybased/storage.go`).

use super::Target;
use crate::admit::Change;
use crate::server::Server;
use crate::store::Key;
use ravelin_api::{Status, object};
use ravelin_auth::{Attributes, names};
use ravelin_host::Flaw;
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Refuses a role, or a binding to a role, that holds more than its author does.
pub(super) fn check(server: &Server, change: &Change<'_>, new: &Value) -> Result<(), Status> {
    let target = change.target;
    let allowed = change.user.is_in(names::MASTERS) || server.host.flaws().has(Flaw::ApiserverAllowsEveryone);
    if target.resource.group != GROUP || allowed {
        return Ok(());
    }
    let (verb, rules) = match target.resource.plural {
        "roles" | "clusterroles" => {
            if allows(server, change, (target, "escalate")) {
                return Ok(());
            }
            ("grant", object::list(new, "rules").to_vec())
        }
        _ => {
            let role = role_of(target, new);
            if allows(server, change, (&role, "bind")) {
                return Ok(());
            }
            let found = server.store.get(&role.key());
            let found = found.ok_or_else(|| Status::not_found(role.group_resource(), &role.name))?;
            ("grant", object::list(&found, "rules").to_vec())
        }
    };
    let missing: Vec<String> =
        rules.iter().filter(|rule| !holds(server, change, rule)).map(Value::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let user = &change.user.name;
    let groups = &change.user.groups;
    Err(target.forbidden(&format!(
        "user {user:?} (groups={groups:?}) is attempting to {verb} RBAC permissions not currently held:\n{}",
        missing.join("\n")
    )))
}

/// The role that a binding names.
fn role_of(target: &Target, binding: &Value) -> Target {
    let is_cluster = object::text(binding, "roleRef.kind") != "Role";
    let plural = if is_cluster { "clusterroles" } else { "roles" };
    let resource = ravelin_api::Resource::find(GROUP, "v1", plural).expect("the table has the RBAC kinds");
    let namespace = if is_cluster { String::new() } else { target.namespace.clone() };
    Target { resource, namespace, name: object::text(binding, "roleRef.name").to_owned() }
}

fn allows(server: &Server, change: &Change<'_>, (target, verb): (&Target, &str)) -> bool {
    let Key { namespace, name, .. } = target.key();
    let asked = Attributes {
        namespace,
        name,
        ..Attributes::of_resource(change.user.clone(), verb, GROUP, target.resource.plural)
    };
    server.authorization.decide(server, &asked).is_allowed()
}

/// Does the author hold all that a rule gives? Each combination is asked for by its own words, so
/// that a wildcard is only held through a wildcard.
fn holds(server: &Server, change: &Change<'_>, rule: &Value) -> bool {
    let texts = |field: &str| object::texts(rule, field);
    // A part that cannot be read gives nobody knows what.
    let fields = ["verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"];
    let readable = |field: &str| match rule.get(field) {
        None | Some(Value::Null) => true,
        Some(value) => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
    };
    if !fields.into_iter().all(readable) {
        return false;
    }
    let namespace = change.target.scope().to_owned();
    let mut names = texts("resourceNames");
    if names.is_empty() {
        names.push("");
    }
    let held = |asked: &Attributes| server.authorization.decide(server, asked).is_allowed();
    texts("verbs").into_iter().all(|verb| {
        let on_resources = texts("apiGroups").into_iter().all(|group| {
            texts("resources").into_iter().all(|resource| {
                let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                names.iter().all(|name| {
                    held(&Attributes {
                        namespace: namespace.clone(),
                        subresource: subresource.to_owned(),
                        name: (*name).to_owned(),
                        ..Attributes::of_resource(change.user.clone(), verb, group, resource)
                    })
                })
            })
        });
        on_resources
            && texts("nonResourceURLs").into_iter().all(|path| {
                held(&Attributes {
                    user: change.user.clone(),
                    verb: verb.to_owned(),
                    path: path.to_owned(),
                    ..Attributes::default()
                })
            })
    })
}
