//! The RBAC authorizer.

use super::binding::Binding;
use super::{RoleRef, Rule, rules_allow};
use crate::{Attributes, Decision};
use ravelin_api::object;
use serde_json::Value;
use std::collections::BTreeMap;

/// Namespace (empty for the cluster's) and name.
type Key = (String, String);

/// Decides by roles and bindings. It holds typed copies: whoever stores the objects tells it of
/// every change, through [`Self::set`] and [`Self::remove`].
#[derive(Clone, Debug, Default)]
pub struct Authorizer {
    roles: BTreeMap<Key, Vec<Rule>>,
    bindings: BTreeMap<Key, Binding>,
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
        } else if let Some(binding) = Binding::read(object) {
            self.bindings.insert(key, binding);
        } else {
            self.bindings.remove(&key);
        }
    }

    /// An object was deleted.
    pub fn remove(&mut self, object: &Value) {
        match place(object) {
            Some((true, key)) => drop(self.roles.remove(&key)),
            Some((false, key)) => drop(self.bindings.remove(&key)),
            None => {}
        }
    }

    fn bindings_in<'a>(&'a self, namespace: &str) -> impl Iterator<Item = (&'a Key, &'a Binding)> {
        let namespace = namespace.to_owned();
        let first = (namespace.clone(), String::new());
        self.bindings.range(first..).take_while(move |((of, _), _)| *of == namespace)
    }

    fn allowed_in(&self, namespace: &str, asked: &Attributes) -> Option<String> {
        self.bindings_in(namespace).find_map(|((namespace, name), binding)| {
            let subject = binding.subject(&asked.user)?;
            let key = match &binding.role {
                RoleRef::Role(role) => (namespace.clone(), role.clone()),
                RoleRef::ClusterRole(role) => (String::new(), role.clone()),
            };
            if !rules_allow(self.roles.get(&key)?, asked) {
                return None;
            }
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
        let in_namespace = || {
            // A namespace's bindings give nothing outside of it, and no paths.
            let namespaced = asked.resource_request && !asked.namespace.is_empty();
            namespaced.then(|| self.allowed_in(&asked.namespace, asked)).flatten()
        };
        match self.allowed_in("", asked).or_else(in_namespace) {
            Some(reason) => Decision::Allow(reason),
            None => Decision::NoOpinion(String::new()),
        }
    }
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
