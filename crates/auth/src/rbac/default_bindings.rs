//! The bindings and namespaced roles that every apiserver makes (`policy.go` and
//! `namespace_policy.go` of `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`).

use super::objects::{binding, cluster_binding, events, role, rule, rule_for};
use serde_json::Value;

const MANAGER: &str = "User:system:kube-controller-manager";
const SCHEDULER: &str = "User:system:kube-scheduler";
const AUTHENTICATED: &str = "Group:system:authenticated";
const SIGNER: &str = "ServiceAccount:kube-system:bootstrap-signer";
const CLEANER: &str = "ServiceAccount:kube-system:token-cleaner";

/// The default ClusterRoleBindings, Roles and RoleBindings. `system:node` is bound to nobody:
/// the Node authorizer has taken its place.
pub fn default_bindings() -> Vec<Value> {
    let mut objects = vec![
        cluster_binding("cluster-admin", "cluster-admin", &["Group:system:masters"]),
        cluster_binding("system:monitoring", "system:monitoring", &["Group:system:monitoring"]),
        cluster_binding("system:discovery", "system:discovery", &[AUTHENTICATED]),
        cluster_binding("system:basic-user", "system:basic-user", &[AUTHENTICATED]),
        cluster_binding(
            "system:public-info-viewer",
            "system:public-info-viewer",
            &[AUTHENTICATED, "Group:system:unauthenticated"],
        ),
        cluster_binding("system:node-proxier", "system:node-proxier", &["User:system:kube-proxy"]),
        cluster_binding("system:kube-controller-manager", "system:kube-controller-manager", &[MANAGER]),
        cluster_binding("system:kube-scheduler", "system:kube-scheduler", &[SCHEDULER]),
        cluster_binding(
            "system:service-account-issuer-discovery",
            "system:service-account-issuer-discovery",
            &["Group:system:serviceaccounts"],
        ),
    ];
    objects.extend(namespaced());
    objects
}

fn namespaced() -> Vec<Value> {
    let config = |name: &str| rule_for(rule("get list watch", "core", "configmaps"), name);
    let reader = "extension-apiserver-authentication-reader";
    let signer = "system:controller:bootstrap-signer";
    let cleaner = "system:controller:token-cleaner";
    vec![
        role("kube-system", reader, vec![config("extension-apiserver-authentication")]),
        binding(
            "kube-system",
            "system::extension-apiserver-authentication-reader",
            reader,
            &[MANAGER, SCHEDULER],
        ),
        role("kube-system", signer, vec![rule("get list watch", "core", "secrets")]),
        binding("kube-system", signer, signer, &[SIGNER]),
        role("kube-system", cleaner, vec![rule("delete get list watch", "core", "secrets"), events()]),
        binding("kube-system", cleaner, cleaner, &[CLEANER]),
        role(
            "kube-public",
            signer,
            vec![
                rule("get list watch", "core", "configmaps"),
                rule_for(rule("update", "core", "configmaps"), "cluster-info"),
                events(),
            ],
        ),
        binding("kube-public", signer, signer, &[SIGNER]),
    ]
}
