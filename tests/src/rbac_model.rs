//! Role-based access control, as its documentation page reads: plain functions over plain structs,
//! for clarity and not for speed.
//!
//! It is written apart from `ravelin-auth` and uses nothing of it, so that agreeing with it shows
//! something (`tests/tests/properties/rbac.rs`). Each rule stands under its sentence of
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/>.

use std::collections::BTreeSet;

/// All roles and bindings of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Roles of namespaces, and of the cluster.
    pub roles: Vec<Role>,
    /// Bindings in namespaces, and of the cluster.
    pub bindings: Vec<Binding>,
}

/// "An RBAC Role or ClusterRole contains rules that represent a set of permissions."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The namespace of a Role; `None` for a ClusterRole.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its labels, by which aggregated ClusterRoles find it.
    pub labels: Vec<Label>,
    /// The selectors of an aggregated ClusterRole; `None` for a role with rules of its own.
    pub aggregates: Option<Vec<Selector>>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// A label: its key and its value.
pub type Label = (String, String);
/// The labels that a role must all bear (`matchLabels`).
pub type Selector = Vec<Label>;

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// What may be done.
    pub verbs: Vec<String>,
    /// In which API groups; "" is the core group.
    pub groups: Vec<String>,
    /// To which resources, `pods` or `pods/log`.
    pub resources: Vec<String>,
    /// To which objects; with none, to all.
    pub names: Vec<String>,
    /// At which paths.
    pub paths: Vec<String>,
}

/// "A role binding grants the permissions defined in a role to a user or set of users. It holds a
/// list of subjects, and a reference to the role being granted."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The namespace of a RoleBinding; `None` for a ClusterRoleBinding.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Does it refer to a ClusterRole (or to a Role of its namespace)?
    pub of_cluster_role: bool,
    /// The role's name.
    pub role: String,
    /// To whom.
    pub subjects: Vec<Subject>,
}

/// "Subjects can be groups, users or service accounts."
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// "Kubernetes represents usernames as strings."
    User(String),
    /// "Groups, like users, are represented as strings."
    Group(String),
    /// A service account: its namespace and its name.
    ServiceAccount(String, String),
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// The groups, in which the authenticator put the user.
    pub groups: Vec<String>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Something to do with a resource.
    Resource {
        /// What.
        verb: String,
        /// Of which API group.
        group: String,
        /// Which resource.
        resource: String,
        /// Which part of it; empty for the whole.
        subresource: String,
        /// In which namespace; empty for a resource without one, or in all of them.
        namespace: String,
        /// Which object; empty where the request names none.
        name: String,
    },
    /// Something that is no resource.
    Path {
        /// What.
        verb: String,
        /// Where.
        path: String,
    },
}

/// Why something is allowed: one binding, one of its subjects, one rule of its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant<'a> {
    /// The binding.
    pub binding: &'a Binding,
    /// The subject that is the user.
    pub subject: &'a Subject,
    /// The role whose rule allows it.
    pub role: &'a Role,
    /// The rule.
    pub rule: &'a Rule,
}

/// "Permissions are purely additive (there are no "deny" rules)": whatever one grant allows is
/// allowed. With no grant it is not.
pub fn is_allowed(policy: &Policy, user: &User, question: &Question) -> bool {
    !grants(policy, user, question).is_empty()
}

/// Everything that allows it.
pub fn grants<'a>(policy: &'a Policy, user: &User, question: &Question) -> Vec<Grant<'a>> {
    let mut found = Vec::new();
    for binding in policy.bindings.iter().filter(|binding| reaches(binding, question)) {
        for subject in binding.subjects.iter().filter(|subject| is_user(subject, user)) {
            let Some(role) = role_of(policy, binding) else { continue };
            for rule in rules_of(policy, role) {
                if rule_allows(rule, question) {
                    found.push(Grant { binding, subject, role, rule });
                }
            }
        }
    }
    found
}

/// "A RoleBinding grants permissions within a specific namespace whereas a ClusterRoleBinding grants
/// that access cluster-wide."
///
/// "Non-resource endpoints (must be in a ClusterRole bound with a ClusterRoleBinding to be
/// effective)"; the same is said of cluster-scoped resources.
pub fn reaches(binding: &Binding, question: &Question) -> bool {
    match (&binding.namespace, question) {
        (None, _) => true,
        (Some(of), Question::Resource { namespace, .. }) => of == namespace && !namespace.is_empty(),
        (Some(_), Question::Path { .. }) => false,
    }
}

/// "Service accounts have names prefixed with `system:serviceaccount:`", then their namespace and
/// their name; user and group names are compared as they are ("Name is case sensitive").
pub fn is_user(subject: &Subject, user: &User) -> bool {
    match subject {
        Subject::User(name) => *name == user.name,
        Subject::Group(name) => user.groups.contains(name),
        Subject::ServiceAccount(namespace, name) => {
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
    }
}

/// "A RoleBinding may reference any Role in the same namespace. Alternatively, a RoleBinding can
/// reference a ClusterRole and bind that ClusterRole to the namespace of the RoleBinding." A
/// ClusterRoleBinding refers to a ClusterRole. A role that is not there grants nothing.
fn role_of<'a>(policy: &'a Policy, binding: &Binding) -> Option<&'a Role> {
    let namespace = if binding.of_cluster_role { &None } else { &binding.namespace };
    if !binding.of_cluster_role && binding.namespace.is_none() {
        return None;
    }
    policy.roles.iter().find(|role| role.name == binding.role && role.namespace == *namespace)
}

/// "The control plane … fills in the `rules` field of an aggregated ClusterRole by unioning the
/// rules of any ClusterRole that matches the provided label selector", others that are aggregated
/// themselves included; "any values that you manually specify" there are overwritten.
pub fn rules_of<'a>(policy: &'a Policy, role: &'a Role) -> Vec<&'a Rule> {
    let (mut rules, mut seen, mut to_read) = (Vec::new(), BTreeSet::new(), vec![role]);
    while let Some(next) = to_read.pop() {
        if !seen.insert((next.namespace.clone(), next.name.clone())) {
            continue;
        }
        match &next.aggregates {
            None => rules.extend(&next.rules),
            Some(selectors) => {
                let cluster_roles = policy.roles.iter().filter(|role| role.namespace.is_none());
                to_read.extend(cluster_roles.filter(|role| selectors.iter().any(|s| selects(s, role))));
            }
        }
    }
    rules
}

fn selects(selector: &Selector, role: &Role) -> bool {
    selector.iter().all(|label| role.labels.contains(label))
}

/// Does the rule allow it?
pub fn rule_allows(rule: &Rule, question: &Question) -> bool {
    match question {
        Question::Path { verb, path } => {
            listed(&rule.verbs, verb) && rule.paths.iter().any(|listed| path_matches(listed, path))
        }
        Question::Resource { verb, group, resource, subresource, name, .. } => {
            listed(&rule.verbs, verb)
                && listed(&rule.groups, group)
                && rule.resources.iter().any(|listed| resource_matches(listed, resource, subresource))
                && name_matches(&rule.names, name)
        }
    }
}

/// "You can use the wildcard `*` symbol to refer to all such objects", in verbs and API groups.
fn listed(all: &[String], wanted: &str) -> bool {
    all.iter().any(|one| one == "*" || one == wanted)
}

/// "`*` in a nonResourceURL is a suffix glob match."
fn path_matches(listed: &str, path: &str) -> bool {
    match listed.split_once('*') {
        Some((beginning, _)) => path.starts_with(beginning),
        None => path == listed,
    }
}

/// "To represent this in an RBAC role, use a slash (`/`) to delimit the resource and subresource."
/// A resource does not hold its subresources; `*` holds everything, and `*/log` the subresource of
/// every resource.
fn resource_matches(listed: &str, resource: &str, subresource: &str) -> bool {
    match listed.split_once('/') {
        None if listed == "*" => true,
        None => listed == resource && subresource.is_empty(),
        Some(("*", part)) => part == subresource && !subresource.is_empty(),
        Some((of, part)) => of == resource && part == subresource,
    }
}

/// "You can also refer to resources by name for certain requests through the `resourceNames` list.
/// When specified, requests can be restricted to individual instances of a resource." A request
/// that names no object is none of them.
fn name_matches(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|one| one == name)
}
