//! The RBAC authorizer.

use super::binding::Binding;
use super::{RoleRef, Rule, Subject, rules_allow};
use crate::{Attributes, Decision, UserInfo};
use ravelin_api::object;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Namespace (empty for the cluster's) and name.
type Key = (String, String);

/// Decides by roles and bindings. It holds typed copies: whoever stores the objects tells it of
/// every change, through [`Self::set`] and [`Self::remove`].
#[derive(Clone, Debug, Default)]
pub struct Authorizer {
    roles: BTreeMap<Key, Vec<Rule>>,
    bindings: BTreeMap<Key, Binding>,
    /// Which bindings name a subject.
    bound: BTreeMap<Subject, BTreeSet<Key>>,
}

/// The rules that somebody holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldRules<'a> {
    /// The rules, those of the whole cluster first.
    pub rules: Vec<&'a Rule>,
    /// The roles that bindings name and that do not exist.
    pub missing: Vec<&'a RoleRef>,
}

impl Authorizer {
    /// The authorizer of these objects; what is no RBAC object is passed over.
    pub fn from_objects<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut authorizer = Self::default();
        objects.into_iter().for_each(|object| authorizer.set(object));
        authorizer
    }

    /// An object was created or changed. What is no RBAC object is passed over.
    pub fn set(&mut self, object: &Value) {
        let Some((is_role, key)) = place(object) else { return };
        if is_role {
            self.roles.insert(key, Rule::of_role(object));
            return;
        }
        self.unbind(&key);
        if let Some(binding) = Binding::read(object) {
            for subject in &binding.subjects {
                self.bound.entry(subject.clone()).or_default().insert(key.clone());
            }
            self.bindings.insert(key, binding);
        }
    }

    /// An object was deleted.
    pub fn remove(&mut self, object: &Value) {
        match place(object) {
            Some((true, key)) => drop(self.roles.remove(&key)),
            Some((false, key)) => self.unbind(&key),
            None => {}
        }
    }

    fn unbind(&mut self, key: &Key) {
        let Some(gone) = self.bindings.remove(key) else { return };
        for subject in gone.subjects {
            if let Some(keys) = self.bound.get_mut(&subject) {
                keys.remove(key);
                if keys.is_empty() {
                    self.bound.remove(&subject);
                }
            }
        }
    }

    /// The rules of a role, where it exists; `namespace` is that of the binding.
    pub fn rules_of(&self, role: &RoleRef, namespace: &str) -> Option<&[Rule]> {
        let key = match role {
            RoleRef::Role(role) => (namespace.to_owned(), role.clone()),
            RoleRef::ClusterRole(role) => (String::new(), role.clone()),
        };
        self.roles.get(&key).map(Vec::as_slice)
    }

    /// All rules that a user holds in a namespace (empty: of the whole cluster only).
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> HeldRules<'_> {
        let subjects = Subject::all_of(user);
        let mut held = HeldRules::default();
        for scope in scopes(namespace) {
            for key in self.bindings_of(&subjects, scope) {
                let Some(binding) = self.bindings.get(key) else { continue };
                match self.rules_of(&binding.role, scope) {
                    Some(rules) => held.rules.extend(rules),
                    None => held.missing.push(&binding.role),
                }
            }
        }
        held
    }

    /// The bindings of these subjects in a namespace, by name.
    fn bindings_of<'a>(&'a self, subjects: &[Subject], namespace: &str) -> BTreeSet<&'a Key> {
        let first = (namespace.to_owned(), String::new());
        let keys = subjects.iter().filter_map(|subject| self.bound.get(subject));
        keys.flat_map(|keys| keys.range(&first..).take_while(|(of, _)| *of == namespace)).collect()
    }

    fn allowed_in(
        &self,
        namespace: &str,
        (subjects, asked): (&[Subject], &Attributes),
        missing: &mut Vec<String>,
    ) -> Option<String> {
        self.bindings_of(subjects, namespace).into_iter().find_map(|key| {
            let binding = self.bindings.get(key)?;
            let subject = binding.subject(&asked.user)?;
            let Some(rules) = self.rules_of(&binding.role, namespace) else {
                missing.push(binding.role.absent());
                return None;
            };
            if !rules_allow(rules, asked) {
                return None;
            }
            let name = &key.1;
            let by = if namespace.is_empty() {
                format!("ClusterRoleBinding {name:?}")
            } else {
                format!("RoleBinding {:?}", format!("{name}/{namespace}"))
            };
            Some(format!("RBAC: allowed by {by} of {} to {subject}", binding.role))
        })
    }
}

impl crate::Authorizer for Authorizer {
    fn decide(&self, asked: &Attributes) -> Decision {
        let subjects = Subject::all_of(&asked.user);
        let mut missing = Vec::new();
        // A namespace's bindings give nothing outside of it, and no paths.
        let namespace = if asked.resource_request { asked.namespace.as_str() } else { "" };
        for scope in scopes(namespace) {
            if let Some(reason) = self.allowed_in(scope, (&subjects, asked), &mut missing) {
                return Decision::Allow(reason);
            }
        }
        Decision::NoOpinion(match together(&missing) {
            Some(missing) => format!("RBAC: {missing}"),
            None => String::new(),
        })
    }
}

impl HeldRules<'_> {
    /// What kept rules from being found, as the authorizer says it; `None` where nothing did.
    pub fn error(&self) -> Option<String> {
        together(&self.missing.iter().map(|role| role.absent()).collect::<Vec<_>>())
    }

    /// The same as the storage of roles says it.
    pub fn stored_error(&self) -> Option<String> {
        together(&self.missing.iter().map(|role| role.not_stored()).collect::<Vec<_>>())
    }
}

/// Errors as `utilerrors.NewAggregate` tells them: each once, in brackets where there are several.
fn together(errors: &[String]) -> Option<String> {
    let mut distinct: Vec<&str> = Vec::new();
    for error in errors {
        if !distinct.contains(&error.as_str()) {
            distinct.push(error);
        }
    }
    match distinct.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// The whole cluster, and the namespace where there is one.
fn scopes(namespace: &str) -> impl Iterator<Item = &str> {
    [""].into_iter().chain(Some(namespace).filter(|namespace| !namespace.is_empty()))
}

/// Is it a role (or a binding), and which? `None` for what is neither, or misplaced.
fn place(object: &Value) -> Option<(bool, Key)> {
    let namespace = object::namespace(object);
    let (is_role, namespaced) = match object::kind(object) {
        "ClusterRole" => (true, false),
        "Role" => (true, true),
        "ClusterRoleBinding" => (false, false),
        "RoleBinding" => (false, true),
        _ => return None,
    };
    let placed = namespaced != namespace.is_empty();
    placed.then(|| (is_role, (namespace.to_owned(), object::name(object).to_owned())))
}
