//! The roles of the controller manager's loops
//! (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go`), of those that exist
//! here.

use super::objects::{cluster_binding, cluster_role, events, rule, rule_for};
use serde_json::Value;

const CERTIFICATES: &str = "certificates.k8s.io";
const SIGNERS: &str = "kubernetes.io/legacy-unknown kubernetes.io/kube-apiserver-client \
    kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving";

/// Each loop's role, bound to its service account in `kube-system`
/// (`--use-service-account-credentials`).
pub fn controller_roles() -> Vec<Value> {
    loops()
        .into_iter()
        .flat_map(|(name, rules)| {
            let role = format!("system:controller:{name}");
            let account = format!("ServiceAccount:kube-system:{name}");
            [cluster_role(&role, rules), cluster_binding(&role, &role, &[&account])]
        })
        .collect()
}

/// What lets the controller manager's own user run all loops: without
/// `--use-service-account-credentials`, Kubernetes' documentation ("Using RBAC Authorization",
/// "Roles for built-in controllers") asks for every loop's role to be given to it. With it goes
/// what upstream the apiserver itself keeps: the `kubernetes` service and its endpoints.
pub fn run_by_controller_manager() -> Vec<Value> {
    let manager = ["User:system:kube-controller-manager"];
    let mut objects: Vec<Value> = loops()
        .iter()
        .map(|(name, _)| {
            cluster_binding(
                &format!("ravelin:manager:{name}"),
                &format!("system:controller:{name}"),
                &manager,
            )
        })
        .collect();
    let keeper = "ravelin:kubernetes-service";
    objects.push(cluster_role(
        keeper,
        vec![
            rule("get create update patch", "core", "services endpoints"),
            rule("get create update patch", "discovery.k8s.io", "endpointslices"),
        ],
    ));
    objects.push(cluster_binding(keeper, keeper, &manager));
    objects
}

fn loops() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        (
            "certificate-controller",
            vec![
                rule("delete get list watch", CERTIFICATES, "certificatesigningrequests"),
                rule(
                    "update",
                    CERTIFICATES,
                    "certificatesigningrequests/approval certificatesigningrequests/status",
                ),
                rule_for(
                    rule("approve", CERTIFICATES, "signers"),
                    "kubernetes.io/kube-apiserver-client-kubelet",
                ),
                rule_for(rule("sign", CERTIFICATES, "signers"), SIGNERS),
                rule("create", "authorization.k8s.io", "subjectaccessreviews"),
                events(),
            ],
        ),
        (
            "endpoint-controller",
            vec![
                rule("get list watch", "core", "pods services"),
                rule("create delete get list update", "core", "endpoints"),
                rule("create", "core", "endpoints/restricted"),
                events(),
            ],
        ),
        (
            "endpointslice-controller",
            vec![
                rule("get list watch", "core", "nodes pods services"),
                rule("update", "core", "services/finalizers"),
                rule("create delete get list update", "discovery.k8s.io", "endpointslices"),
                rule("create", "discovery.k8s.io", "endpointslices/restricted"),
                events(),
            ],
        ),
        (
            "node-controller",
            vec![
                rule("delete get list patch update", "core", "nodes"),
                rule("patch update", "core", "nodes/status"),
                rule("patch update", "core", "pods/status"),
                rule("delete get list", "core", "pods"),
                events(),
            ],
        ),
        ("root-ca-cert-publisher", vec![rule("create update", "core", "configmaps"), events()]),
        ("service-account-controller", vec![rule("create", "core", "serviceaccounts"), events()]),
    ]
}
