//! Nobody gives away through roles what they do not have themselves
//! (`pkg/registry/rbac/{role,rolebinding,clusterrole,clusterrolebinding}/policybased/storage.go`).

use super::Target;
use crate::admit::{Change, Operation};
use crate::server::Server;
use ravelin_api::{Resource, Status, object};
use ravelin_auth::rbac::{self, RoleRef, Rule};
use ravelin_auth::{Attributes, names};
use ravelin_host::Flaw;
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Refuses a role, or a binding to a role, that holds more than its author does. `present` is what
/// is to be replaced.
pub(super) fn check(
    server: &Server,
    change: &Change<'_>,
    (new, present): (&Value, Option<&Value>),
) -> Result<(), Status> {
    let target = change.target;
    if target.resource.group != GROUP || is_unchecked(server, change) {
        return Ok(());
    }
    if present.is_some_and(|present| only_lets_go(new, present)) {
        return Ok(());
    }
    match target.resource.plural {
        "roles" | "clusterroles" => check_role(server, change, (new, present)),
        _ => check_binding(server, change, new),
    }
}

fn is_unchecked(server: &Server, change: &Change<'_>) -> bool {
    let flaws = server.host.flaws();
    change.user.is_in(names::MASTERS)
        || flaws.has(Flaw::ApiserverAllowsEveryone)
        || flaws.has(Flaw::ApiserverAllowsEscalation)
}

/// Does the change touch nothing but what the garbage collector needs (`IsOnlyMutatingGCFields`)?
fn only_lets_go(new: &Value, present: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        if let Some(metadata) = rest.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
                metadata.remove(field);
            }
        }
        rest
    };
    rest(new) == rest(present)
}

fn check_role(
    server: &Server,
    change: &Change<'_>,
    (new, present): (&Value, Option<&Value>),
) -> Result<(), Status> {
    let target = change.target;
    // What is created has no name in the request yet.
    let name = if change.operation == Operation::Create { "" } else { &target.name };
    if allows(server, change, ("escalate", target.resource.plural, name)) {
        return Ok(());
    }
    let rules = readable(target, new)?;
    check_rules(server, change, &rules)?;
    let gathers = |role: &Value| object::at(role, "aggregationRule").is_some_and(|rule| !rule.is_null());
    if gathers(new) || present.is_some_and(gathers) {
        // It can gather anything, and keep others from tightening it.
        let missing = not_held(server, change, &rbac::everything());
        if !missing.is_empty() {
            return Err(target.forbidden("must have cluster-admin privileges to use the aggregationRule"));
        }
    }
    Ok(())
}

fn check_binding(server: &Server, change: &Change<'_>, binding: &Value) -> Result<(), Status> {
    let target = change.target;
    let Some(role) = RoleRef::read(binding, target.scope()) else {
        let kind = object::text(binding, "roleRef.kind");
        return Err(Status::internal_error(&format!("unsupported role reference kind: {kind:?}")));
    };
    let (plural, name) = match &role {
        RoleRef::Role(name) => ("roles", name),
        RoleRef::ClusterRole(name) => ("clusterroles", name),
    };
    if allows(server, change, ("bind", plural, name)) {
        return Ok(());
    }
    let rules =
        server.authorization.with_rules(|rbac| rbac.rules_of(&role, target.scope()).map(<[Rule]>::to_vec));
    let resource = Resource::find(GROUP, "v1", plural).expect("the table has the RBAC kinds");
    let rules = rules.ok_or_else(|| Status::not_found(resource.group_resource(), name))?;
    check_rules(server, change, &rules)
}

/// A rule that cannot be read gives nobody knows what.
fn readable(target: &Target, role: &Value) -> Result<Vec<Rule>, Status> {
    let rules: Option<Vec<Rule>> = object::list(role, "rules").iter().map(Rule::read).collect();
    let listed = object::at(role, "rules").is_none_or(|rules| rules.is_null() || rules.is_array());
    rules.filter(|_| listed).ok_or_else(|| {
        let kind = target.resource.kind;
        Status::bad_request(format!(
            "{kind} in version \"v1\" cannot be handled as a {kind}: json: cannot unmarshal rules"
        ))
    })
}

fn not_held(server: &Server, change: &Change<'_>, rules: &[Rule]) -> Vec<Rule> {
    server.authorization.with_rules(|rbac| {
        let held = rbac.rules_for(change.user, change.target.scope());
        rbac::not_covered(held.rules.iter().copied(), rules)
    })
}

fn check_rules(server: &Server, change: &Change<'_>, rules: &[Rule]) -> Result<(), Status> {
    let missing = not_held(server, change, rules);
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = change.user.groups.iter().map(|group| format!("{group:?}")).collect();
    let mut why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        change.user.name,
        groups.join(" "),
        rbac::tell(&missing)
    );
    let unresolved = server
        .authorization
        .with_rules(|rbac| rbac.rules_for(change.user, change.target.scope()).stored_error());
    if let Some(unresolved) = unresolved {
        why = format!("{why}; resolution errors: [{unresolved}]");
    }
    Err(change.target.forbidden(&why))
}

fn allows(server: &Server, change: &Change<'_>, (verb, plural, name): (&str, &str, &str)) -> bool {
    let asked = Attributes {
        namespace: change.target.scope().to_owned(),
        name: name.to_owned(),
        version: "*".to_owned(),
        ..Attributes::of_resource(change.user.clone(), verb, GROUP, plural)
    };
    server.authorization.decide(server, &asked).is_allowed()
}
