//! What `kubeadm init` adds.

use super::objects::{binding, cluster_binding, cluster_role, made_by_others, role, rule, rule_for};
use serde_json::Value;

const JOINING: &str = "Group:system:bootstrappers:kubeadm:default-node-token";
const NODES: &str = "Group:system:nodes";

/// kubeadm's roles and bindings.
pub fn kubeadm_objects() -> Vec<Value> {
    [joining(), cluster_info(), configuration(), administrators(), kube_proxy()]
        .concat()
        .into_iter()
        .map(made_by_others)
        .collect()
}

/// `cmd/kubeadm/app/phases/bootstraptoken/node/tlsbootstrap.go`.
fn joining() -> Vec<Value> {
    let signing = |kind: &str| format!("system:certificates.k8s.io:certificatesigningrequests:{kind}");
    vec![
        cluster_binding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", &[JOINING]),
        cluster_role("kubeadm:get-nodes", vec![rule("get", "core", "nodes")]),
        cluster_binding("kubeadm:get-nodes", "kubeadm:get-nodes", &[JOINING]),
        cluster_binding("kubeadm:node-autoapprove-bootstrap", &signing("nodeclient"), &[JOINING]),
        cluster_binding(
            "kubeadm:node-autoapprove-certificate-rotation",
            &signing("selfnodeclient"),
            &[NODES],
        ),
    ]
}

/// `cmd/kubeadm/app/phases/bootstraptoken/clusterinfo/clusterinfo.go`.
fn cluster_info() -> Vec<Value> {
    let name = "kubeadm:bootstrap-signer-clusterinfo";
    vec![
        role("kube-public", name, vec![rule_for(rule("get", "core", "configmaps"), "cluster-info")]),
        binding("kube-public", name, name, &["User:system:anonymous"]),
    ]
}

/// `cmd/kubeadm/app/phases/uploadconfig` and `cmd/kubeadm/app/phases/kubelet/config.go`.
fn configuration() -> Vec<Value> {
    let read = |config: &str| rule_for(rule("get", "core", "configmaps"), config);
    let (kubeadm, kubelet) = ("kubeadm:nodes-kubeadm-config", "kubeadm:kubelet-config");
    vec![
        role("kube-system", kubeadm, vec![read("kubeadm-config")]),
        binding("kube-system", kubeadm, kubeadm, &[JOINING, NODES]),
        role("kube-system", kubelet, vec![read("kubelet-config")]),
        binding("kube-system", kubelet, kubelet, &[NODES, JOINING]),
    ]
}

/// `cmd/kubeadm/app/phases/kubeconfig/kubeconfig.go`, from 1.29.
fn administrators() -> Vec<Value> {
    vec![cluster_binding("kubeadm:cluster-admins", "cluster-admin", &["Group:kubeadm:cluster-admins"])]
}

/// `cmd/kubeadm/app/phases/addons/proxy/proxy.go`.
fn kube_proxy() -> Vec<Value> {
    vec![
        cluster_binding(
            "kubeadm:node-proxier",
            "system:node-proxier",
            &["ServiceAccount:kube-system:kube-proxy"],
        ),
        role("kube-system", "kube-proxy", vec![rule_for(rule("get", "core", "configmaps"), "kube-proxy")]),
        binding("kube-system", "kube-proxy", "kube-proxy", &[JOINING]),
    ]
}
