//! Applying a configuration, and what an update means for those who own fields
//! (`merge/update.go` of `sigs.k8s.io/structured-merge-diff`).

use super::place::Place;
use super::{FieldSet, Manager, fields_of};
use serde_json::{Map, Value};

/// The manager of what an object had before anybody applied anything to it.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Somebody else owns a field that is to be set to another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: String,
    /// Whether that one applied it.
    pub applies: bool,
    /// Through which subresource.
    pub subresource: String,
    /// When it was set, as RFC 3339.
    pub time: String,
    /// The field's path.
    pub path: String,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The object, without its managers written into it.
    pub object: Value,
    /// Who owns what of it.
    pub managers: Vec<Manager>,
}

/// Applies a configuration to an object, for one manager at one time.
///
/// # Errors
/// All conflicts, unless `force` takes the fields from their owners.
pub fn apply(
    live: &Value,
    (config, kind): (&Value, (&str, &str)),
    (who, force): (&Manager, bool),
) -> Result<Applied, Vec<Conflict>> {
    let place = Place::of_kind(kind.0, kind.1);
    let wanted = fields_of(config, kind);
    let mut managers = Manager::all_of(live);
    if managers.is_empty() && live.get("metadata").is_some() {
        let fields = fields_of(live, kind);
        let name = BEFORE_FIRST_APPLY.to_owned();
        let before = Manager { name, applies: false, subresource: String::new(), fields, ..who.clone() };
        managers.push(before);
    }
    let mine = |manager: &Manager| manager.is(&who.name, true, &who.subresource);
    let before = managers.iter().find(|manager| mine(manager)).map(|manager| manager.fields.clone());
    managers.retain(|manager| !mine(manager));
    let differing = differing(live, config, place).common(&wanted);
    let conflicts = conflicts(&managers, &differing);
    if !conflicts.is_empty() && !force {
        return Err(conflicts);
    }
    for manager in &mut managers {
        manager.fields = manager.fields.without(&differing);
    }
    let mut object = merged(live, config, place);
    managers.push(Manager { fields: wanted, ..who.clone() });
    if let Some(before) = before {
        let owned = managers.iter().fold(FieldSet::default(), |all, manager| all.union(&manager.fields));
        prune(&mut object, (&before, &owned), place);
    }
    managers.retain(|manager| !manager.fields.is_empty());
    Ok(Applied { object, managers })
}

/// Who owns what after an object was changed otherwise than by applying, by this manager at this
/// time: what is new or other is the changer's, and what is gone is nobody's.
pub fn updated((before, after): (&Value, &Value), kind: (&str, &str), who: &Manager) -> Vec<Manager> {
    let place = Place::of_kind(kind.0, kind.1);
    let present = fields_of(after, kind);
    let changed = differing(before, after, place).common(&present);
    let gone = fields_of(before, kind).without(&present);
    let mut managers = Manager::all_of(before);
    for manager in &mut managers {
        manager.fields = manager.fields.without(&changed).without(&gone);
    }
    if !changed.is_empty() {
        match managers.iter_mut().find(|manager| manager.is(&who.name, who.applies, &who.subresource)) {
            Some(own) => {
                own.fields = own.fields.clone().union(&changed);
                own.time.clone_from(&who.time);
            }
            None => managers.push(Manager { fields: changed, ..who.clone() }),
        }
    }
    managers.retain(|manager| !manager.fields.is_empty());
    managers
}

fn conflicts(managers: &[Manager], differing: &FieldSet) -> Vec<Conflict> {
    let of = |manager: &Manager| {
        manager
            .fields
            .common(differing)
            .paths()
            .into_iter()
            .map(|path| Conflict {
                manager: manager.name.clone(),
                applies: manager.applies,
                subresource: manager.subresource.clone(),
                time: manager.time.clone(),
                path,
            })
            .collect::<Vec<_>>()
    };
    managers.iter().flat_map(of).collect()
}

/// Where the second value is other than the first, or the first has nothing. What only the first
/// has does not count.
fn differing(old: &Value, new: &Value, place: Place) -> FieldSet {
    let mut set = FieldSet::default();
    let note = |set: &mut FieldSet, step: String, below: FieldSet| {
        if !below.is_empty() {
            set.below.insert(step, below);
        }
    };
    match (place, old, new) {
        (Place::Struct(_) | Place::Map(_), Value::Object(old), Value::Object(new)) => {
            for (name, new) in new {
                let below = match old.get(name) {
                    Some(old) => differing(old, new, place.member(name)),
                    None => everything(new, place.member(name)),
                };
                note(&mut set, format!("f:{name}"), below);
            }
        }
        (Place::Keyed(..) | Place::Set, Value::Array(olds), Value::Array(news)) => {
            for new in news {
                let Some(step) = place.step(new) else { return everything(&Value::Null, place) };
                let old = olds.iter().find(|old| place.step(old).as_ref() == Some(&step));
                let below = match old {
                    Some(old) => differing(old, new, place.item()),
                    None => FieldSet { member: true, ..everything(new, place.item()) },
                };
                note(&mut set, step, below);
            }
        }
        (_, old, new) => set.member = old != new,
    }
    set
}

/// All places of a value, members and what leads to them alike.
fn everything(value: &Value, place: Place) -> FieldSet {
    let mut set = FieldSet::of(value, place);
    set.member = true;
    set
}

/// An object with what a configuration says of it.
fn merged(live: &Value, config: &Value, place: Place) -> Value {
    match (place, live, config) {
        (Place::Struct(_) | Place::Map(_), Value::Object(live), Value::Object(config)) => {
            let mut object = live.clone();
            for (name, wanted) in config {
                let value = match live.get(name) {
                    Some(live) => merged(live, wanted, place.member(name)),
                    None => wanted.clone(),
                };
                object.insert(name.clone(), value);
            }
            Value::Object(object)
        }
        (Place::Keyed(..) | Place::Set, Value::Array(live), Value::Array(config)) => {
            let mut list = live.clone();
            for wanted in config {
                let step = place.step(wanted);
                match list.iter().position(|item| step.is_some() && place.step(item) == step) {
                    Some(at) => list[at] = merged(&list[at].clone(), wanted, place.item()),
                    None => list.push(wanted.clone()),
                }
            }
            Value::Array(list)
        }
        (_, _, config) => config.clone(),
    }
}

/// Takes out what its manager owned before and nobody owns now.
fn prune(value: &mut Value, (before, owned): (&FieldSet, &FieldSet), place: Place) {
    let is_gone =
        |step: &str| before.below.get(step).is_some_and(|set| set.member) && !owned.below.contains_key(step);
    let nothing = FieldSet::default();
    match value {
        Value::Object(members) if matches!(place, Place::Struct(_) | Place::Map(_)) => {
            members.retain(|name, _| !is_gone(&format!("f:{name}")));
            for (name, member) in members.iter_mut() {
                let step = format!("f:{name}");
                if let Some(before) = before.below.get(&step) {
                    prune(member, (before, owned.below.get(&step).unwrap_or(&nothing)), place.member(name));
                }
            }
            drop_empty(members, before);
        }
        Value::Array(items) if matches!(place, Place::Keyed(..) | Place::Set) => {
            items.retain(|item| !place.step(item).is_some_and(|step| is_gone(&step)));
            for item in items {
                let step = place.step(item).unwrap_or_default();
                if let Some(before) = before.below.get(&step) {
                    prune(item, (before, owned.below.get(&step).unwrap_or(&nothing)), place.item());
                }
            }
        }
        _ => {}
    }
}

/// What was emptied is no longer there.
fn drop_empty(members: &mut Map<String, Value>, before: &FieldSet) {
    members.retain(|name, member| {
        let emptied = match member {
            Value::Object(inner) => inner.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        let had = before.below.get(&format!("f:{name}")).is_some_and(|set| !set.below.is_empty());
        !(emptied && had)
    });
}
