//! Users (`apiserver/pkg/authentication/user/user.go`).

use std::collections::BTreeMap;

/// The names that Kubernetes gives to users and groups.
pub mod names {
    /// Who shows no credential.
    pub const ANONYMOUS: &str = "system:anonymous";
    /// The group of those who show none.
    pub const UNAUTHENTICATED: &str = "system:unauthenticated";
    /// The group of all others.
    pub const AUTHENTICATED: &str = "system:authenticated";
    /// The group to whom everything is allowed.
    pub const MASTERS: &str = "system:masters";
    /// The group of nodes.
    pub const NODES: &str = "system:nodes";
    /// What a node's user name begins with.
    pub const NODE_PREFIX: &str = "system:node:";
    /// The group of whoever joins with a bootstrap token.
    pub const BOOTSTRAPPERS: &str = "system:bootstrappers";
    /// What such a user's name begins with.
    pub const BOOTSTRAP_PREFIX: &str = "system:bootstrap:";
    /// The group that kubeadm gives its bootstrap tokens.
    pub const KUBEADM_NODE_TOKENS: &str = "system:bootstrappers:kubeadm:default-node-token";
    /// The group that kubeadm makes administrators.
    pub const KUBEADM_ADMINS: &str = "kubeadm:cluster-admins";
    /// The controller manager.
    pub const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
    /// The scheduler.
    pub const SCHEDULER: &str = "system:kube-scheduler";
    /// The service proxy.
    pub const PROXY: &str = "system:kube-proxy";
    /// The group of service accounts.
    pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
    /// What a service account's user name begins with.
    pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
    /// The extra that names the credential (`CredentialIDKey`).
    pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
}

/// Who makes a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's name.
    pub name: String,
    /// What tells this user from an earlier one of the same name.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Whatever else the credential said.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// A user that speaks for a node (`pkg/auth/nodeidentifier/default.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeIdentity<'a> {
    /// The node's name; it may be empty, and then the user is no certain node's.
    pub name: &'a str,
}

impl UserInfo {
    /// A user of these groups.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// Whoever shows no credential.
    pub fn anonymous() -> Self {
        Self::new(names::ANONYMOUS, &[names::UNAUTHENTICATED])
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: service_account_name(namespace, name),
            uid: uid.to_owned(),
            groups: service_account_groups(namespace),
            extra: BTreeMap::new(),
        }
    }

    /// The same user with the group of all who showed a good credential, unless it bears a group
    /// that speaks of this already (`group/authenticated_group_adder.go`).
    #[must_use]
    pub fn authenticated(mut self) -> Self {
        let decided = self.is_in(names::AUTHENTICATED) || self.is_in(names::UNAUTHENTICATED);
        if !decided && self.name != names::ANONYMOUS {
            self.groups.push(names::AUTHENTICATED.to_owned());
        }
        self
    }

    /// Is the user in a group?
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The node that the user speaks for, if it speaks for one.
    pub fn node(&self) -> Option<NodeIdentity<'_>> {
        let name = self.name.strip_prefix(names::NODE_PREFIX)?;
        self.is_in(names::NODES).then_some(NodeIdentity { name })
    }

    /// The namespace and name of the service account that this is, if it is one.
    pub fn as_service_account(&self) -> Option<(&str, &str)> {
        let (namespace, name) = self.name.strip_prefix(names::SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
        (!namespace.is_empty() && !name.is_empty()).then_some((namespace, name))
    }
}

fn service_account_name(namespace: &str, name: &str) -> String {
    format!("{}{namespace}:{name}", names::SERVICE_ACCOUNT_PREFIX)
}

fn service_account_groups(namespace: &str) -> Vec<String> {
    let all = names::SERVICE_ACCOUNTS;
    vec![all.to_owned(), format!("{all}:{namespace}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_needs_both_its_name_and_its_group() {
        let user =
            |name: &str, groups: &[&str]| UserInfo::new(name, groups).node().map(|n| n.name.to_owned());
        assert_eq!(user("system:node:n1", &[names::NODES]), Some("n1".to_owned()));
        assert_eq!(user("system:node:n1", &["other"]), None);
        assert_eq!(user("n1", &[names::NODES]), None);
        assert_eq!(user("system:node:", &[names::NODES]), Some(String::new()));
    }

    #[test]
    fn only_a_good_credential_gives_the_authenticated_group() {
        assert_eq!(UserInfo::new("a", &["g"]).authenticated().groups, ["g", "system:authenticated"]);
        assert_eq!(UserInfo::anonymous().authenticated(), UserInfo::anonymous());
        let twice = UserInfo::new("a", &[]).authenticated().authenticated();
        assert_eq!(twice.groups, ["system:authenticated"]);
    }
}
