//! What an installer creates in a new cluster.

use crate::demo::{NAMESPACE, PROBE_ACCOUNT};
use ravelin_config::ClusterConfig;
use serde_json::{Value, json};

/// The group of the bootstrap token's user, as kubeadm names it.
pub const BOOTSTRAP_GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

/// The Secret of a bootstrap token (`id.secret`), as kubeadm writes it.
pub fn bootstrap_token(token: &str) -> Value {
    let (id, secret) = token.split_once('.').expect("bootstrap tokens have two parts");
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": null,
        "data": {
            "token-id": base64(id),
            "token-secret": base64(secret),
            "usage-bootstrap-authentication": base64("true"),
            "usage-bootstrap-signing": base64("true"),
            "auth-extra-groups": base64(BOOTSTRAP_GROUP),
        },
    })
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The roles and bindings that installers add, besides those that Kubernetes itself has.
pub fn installed(config: &ClusterConfig) -> Vec<Value> {
    let mut objects = ravelin_auth::rbac::kubeadm_objects();
    // All control loops run with the controller manager's own credential here, which then has to
    // be granted their roles (kubernetes.io, "Using RBAC Authorization", controller roles).
    objects.extend(ravelin_auth::rbac::run_by_controller_manager());
    if !config.apiserver.enable_bootstrap_token_auth {
        // Where bootstrap tokens come from a file, installers bind their group by hand
        // (kubernetes.io, "TLS bootstrapping").
        let bind = |name: &str, role: &str| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:bootstrappers"}],
            })
        };
        let approve = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
        objects.push(bind("create-csrs-for-bootstrapping", "system:node-bootstrapper"));
        objects.push(bind("auto-approve-csrs-for-group", approve));
    }
    objects
}

/// A node that somebody else than its kubelet registers.
pub fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {}, "status": {},
    })
}

/// What the probes use: a namespace, an account with few rights, objects to annotate, a service.
pub fn demo_objects() -> Vec<Value> {
    let named = |name: &str| json!({"name": name, "namespace": NAMESPACE});
    let rbac = "rbac.authorization.k8s.io";
    vec![
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"kubernetes.io/metadata.name": NAMESPACE}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        }),
        crate::tenant::namespace(),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named(PROBE_ACCOUNT)}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount",
               "metadata": {"name": "kube-proxy", "namespace": "kube-system"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": named("probe"), "data": {}}),
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": named("probe"),
            "involvedObject": {"kind": "Namespace", "name": NAMESPACE, "namespace": NAMESPACE},
            "reason": "Probed", "message": "for the probes", "type": "Normal",
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": named("probe"),
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["probe"],
                       "verbs": ["get", "patch"]}],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": named("probe"),
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "probe"},
            "subjects": [{"kind": "ServiceAccount", "name": PROBE_ACCOUNT, "namespace": NAMESPACE}],
        }),
    ]
}
