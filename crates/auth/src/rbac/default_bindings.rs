//! The bindings and namespaced roles that every apiserver makes (`policy.go` and
//! `namespace_policy.go` of `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`).

use super::objects::{EVENTS, Row, binding, cluster_binding, role, rules};
use serde_json::Value;

const MANAGER: &str = "User:system:kube-controller-manager";
const SCHEDULER: &str = "User:system:kube-scheduler";
const AUTHENTICATED: &str = "Group:system:authenticated";

/// The default ClusterRoleBindings, Roles and RoleBindings.
pub fn default_bindings() -> Vec<Value> {
    let mut objects: Vec<Value> =
        OF_CLUSTER.iter().map(|(name, subjects)| cluster_binding(name, name, subjects)).collect();
    // The Node authorizer has taken its place; Kubernetes keeps it without subjects.
    let mut node = cluster_binding("system:node", "system:node", &[]);
    if let Some(members) = node.as_object_mut() {
        members.remove("subjects");
    }
    objects.push(node);
    objects.extend(ROLES.iter().map(|(namespace, name, rows)| role(namespace, name, rules(rows))));
    objects.extend(BINDINGS.iter().map(|(namespace, name, subjects)| {
        let role = name.strip_prefix("system::extension").map(|rest| format!("extension{rest}"));
        binding(namespace, name, role.as_deref().unwrap_or(name), subjects)
    }));
    objects
}

/// Each binding bears its role's name.
const OF_CLUSTER: &[(&str, &[&str])] = &[
    ("cluster-admin", &["Group:system:masters"]),
    ("system:monitoring", &["Group:system:monitoring"]),
    ("system:discovery", &[AUTHENTICATED]),
    ("system:basic-user", &[AUTHENTICATED]),
    ("system:public-info-viewer", &[AUTHENTICATED, "Group:system:unauthenticated"]),
    ("system:node-proxier", &["User:system:kube-proxy"]),
    ("system:kube-controller-manager", &[MANAGER]),
    ("system:kube-dns", &["ServiceAccount:kube-system:kube-dns"]),
    ("system:kube-scheduler", &[SCHEDULER]),
    ("system:volume-scheduler", &[SCHEDULER]),
    ("system:service-account-issuer-discovery", &["Group:system:serviceaccounts"]),
];

const SYSTEM: &str = "kube-system";
const PUBLIC: &str = "kube-public";
const LEASES: Row = ("create get list update watch", "coordination.k8s.io", "leases");
const CANDIDATES: Row = ("create get list update watch", "coordination.k8s.io", "leasecandidates");

const ROLES: &[(&str, &str, &[Row])] = &[
    (
        SYSTEM,
        "extension-apiserver-authentication-reader",
        &[("get list watch", "core", "configmaps : extension-apiserver-authentication")],
    ),
    (
        SYSTEM,
        "system::leader-locking-kube-controller-manager",
        &[
            ("watch", "core", "configmaps"),
            ("get update", "core", "configmaps : kube-controller-manager"),
            LEASES,
            CANDIDATES,
        ],
    ),
    (
        SYSTEM,
        "system::leader-locking-kube-scheduler",
        &[
            ("watch", "core", "configmaps"),
            ("get update", "core", "configmaps : kube-scheduler"),
            LEASES,
            CANDIDATES,
        ],
    ),
    (SYSTEM, "system:controller:bootstrap-signer", &[("get list watch", "core", "secrets")]),
    (SYSTEM, "system:controller:cloud-provider", &[("create get list watch", "core", "configmaps")]),
    (SYSTEM, "system:controller:token-cleaner", &[("delete get list watch", "core", "secrets"), EVENTS]),
    (
        PUBLIC,
        "system:controller:bootstrap-signer",
        &[("get list watch", "core", "configmaps"), ("update", "core", "configmaps : cluster-info"), EVENTS],
    ),
];

/// Each binding bears its role's name, but for the reader's.
const BINDINGS: &[(&str, &str, &[&str])] = &[
    (SYSTEM, "system::extension-apiserver-authentication-reader", &[MANAGER, SCHEDULER]),
    (
        SYSTEM,
        "system::leader-locking-kube-controller-manager",
        &[
            MANAGER,
            "ServiceAccount:kube-system:kube-controller-manager",
            "ServiceAccount:kube-system:leader-election-controller",
        ],
    ),
    (
        SYSTEM,
        "system::leader-locking-kube-scheduler",
        &[SCHEDULER, "ServiceAccount:kube-system:kube-scheduler"],
    ),
    (SYSTEM, "system:controller:bootstrap-signer", &["ServiceAccount:kube-system:bootstrap-signer"]),
    (SYSTEM, "system:controller:cloud-provider", &["ServiceAccount:kube-system:cloud-provider"]),
    (SYSTEM, "system:controller:token-cleaner", &["ServiceAccount:kube-system:token-cleaner"]),
    (PUBLIC, "system:controller:bootstrap-signer", &["ServiceAccount:kube-system:bootstrap-signer"]),
];
