//! Bindings: who is given which role.

use crate::UserInfo;
use ravelin_api::object;
use serde_json::Value;
use std::fmt;

/// Whom a binding gives its role to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A user by name.
    User(String),
    /// A group.
    Group(String),
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Subject {
    /// Reads a subject of a binding in `namespace`. `None` for what is no known kind of subject.
    fn read(subject: &Value, namespace: &str) -> Option<Self> {
        let text = |name: &str| object::text(subject, name).to_owned();
        let name = Some(text("name")).filter(|name| !name.is_empty())?;
        match object::kind(subject) {
            "User" => Some(Self::User(name)),
            "Group" => Some(Self::Group(name)),
            "ServiceAccount" => {
                let own = text("namespace");
                let namespace = if own.is_empty() { namespace.to_owned() } else { own };
                (!namespace.is_empty()).then_some(Self::ServiceAccount { namespace, name })
            }
            _ => None,
        }
    }

    /// All that this user is to bindings.
    pub(super) fn all_of(user: &UserInfo) -> Vec<Self> {
        let account = user.as_service_account().map(|(namespace, name)| Self::ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        });
        let groups = user.groups.iter().cloned().map(Self::Group);
        groups.chain(account).chain([Self::User(user.name.clone())]).collect()
    }

    /// Is it this user?
    pub fn is(&self, user: &UserInfo) -> bool {
        match self {
            Self::User(name) => user.name == *name,
            Self::Group(name) => user.is_in(name),
            Self::ServiceAccount { namespace, name } => {
                user.as_service_account() == Some((namespace.as_str(), name.as_str()))
            }
        }
    }
}

/// As the reason of a decision names it.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "User {name:?}"),
            Self::Group(name) => write!(f, "Group {name:?}"),
            Self::ServiceAccount { namespace, name } => {
                write!(f, "ServiceAccount {:?}", format!("{name}/{namespace}"))
            }
        }
    }
}

/// Which role a binding gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleRef {
    /// A role of the binding's namespace.
    Role(String),
    /// A role of the whole cluster.
    ClusterRole(String),
}

impl RoleRef {
    /// The role that a binding in `namespace` names; `None` for what is no known kind of role.
    pub fn read(binding: &Value, namespace: &str) -> Option<Self> {
        let name = object::text(binding, "roleRef.name").to_owned();
        match object::text(binding, "roleRef.kind") {
            "Role" if !namespace.is_empty() => Some(Self::Role(name)),
            "ClusterRole" => Some(Self::ClusterRole(name)),
            _ => None,
        }
    }

    /// That there is no such role, as the authorizer's lister says it.
    pub(super) fn absent(&self) -> String {
        match self {
            Self::Role(name) => format!("role.rbac.authorization.k8s.io {name:?} not found"),
            Self::ClusterRole(name) => format!("clusterrole.rbac.authorization.k8s.io {name:?} not found"),
        }
    }
}

impl RoleRef {
    /// The same, as the storage of roles says it.
    pub(super) fn not_stored(&self) -> String {
        match self {
            Self::Role(name) => format!("roles.rbac.authorization.k8s.io {name:?} not found"),
            Self::ClusterRole(name) => format!("clusterroles.rbac.authorization.k8s.io {name:?} not found"),
        }
    }
}

/// As the reason of a decision names it.
impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(name) => write!(f, "Role {name:?}"),
            Self::ClusterRole(name) => write!(f, "ClusterRole {name:?}"),
        }
    }
}

/// A binding of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) role: RoleRef,
    pub(super) subjects: Vec<Subject>,
}

impl Binding {
    /// Reads a binding; `None` where it names no role. Subjects that are not understood are left
    /// out: they are nobody.
    pub(super) fn read(binding: &Value) -> Option<Self> {
        let namespace = object::namespace(binding);
        let role = RoleRef::read(binding, namespace)?;
        let subjects = object::list(binding, "subjects");
        let subjects = subjects.iter().filter_map(|subject| Subject::read(subject, namespace));
        Some(Self { role, subjects: subjects.collect() })
    }

    /// The first subject that is this user.
    pub(super) fn subject(&self, user: &UserInfo) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.is(user))
    }
}
