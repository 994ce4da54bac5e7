//! The ClusterRoles that every apiserver makes for the system's own components
//! (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go` of 1.36, with its default feature
//! gates).

use super::objects::{EVENTS, Row, cluster_role, rules};
use serde_json::Value;

const READ: &str = "get list watch";
const READ_UPDATE: &str = "get list patch update watch";
const READ_WRITE: &str = "create delete deletecollection get list patch update watch";
const CERTIFICATES: &str = "certificates.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const STORAGE: &str = "storage.k8s.io";
const DYNAMIC: &str = "resource.k8s.io";

pub(super) fn system_roles() -> Vec<Value> {
    ROLES.iter().map(|(name, rows)| cluster_role(name, rules(rows))).collect()
}

/// `NodeRules`: what every node may; the Node authorizer narrows it to what is the node's own.
pub(crate) fn node_rules() -> Vec<Value> {
    rules(NODE)
}

const TOKEN_REVIEWS: Row = ("create", "authentication.k8s.io", "tokenreviews");
const ACCESS_REVIEWS: Row = ("create", "authorization.k8s.io", "subjectaccessreviews");

const NODE: &[Row] = &[
    TOKEN_REVIEWS,
    ("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
    (READ, "core", "services"),
    ("create get list watch", "core", "nodes"),
    ("patch update", "core", "nodes/status"),
    ("patch update", "core", "nodes"),
    ("create patch update", "core", "events"),
    (READ, "core", "pods"),
    ("create delete", "core", "pods"),
    ("patch update", "core", "pods/status"),
    ("create", "core", "pods/eviction"),
    (READ, "core", "configmaps secrets"),
    ("get", "core", "persistentvolumeclaims persistentvolumes"),
    ("get", "core", "endpoints"),
    ("create get list watch", CERTIFICATES, "certificatesigningrequests"),
    ("create delete get patch update", COORDINATION, "leases"),
    ("get", STORAGE, "volumeattachments"),
    ("create", "core", "serviceaccounts/token"),
    ("get patch update", "core", "persistentvolumeclaims/status"),
    (READ, STORAGE, "csidrivers"),
    ("create delete get patch update", STORAGE, "csinodes"),
    (READ, "node.k8s.io", "runtimeclasses"),
    ("get", DYNAMIC, "resourceclaims"),
    ("deletecollection", DYNAMIC, "resourceslices"),
    ("get", "core", "serviceaccounts"),
];

const SCHEDULER: &[Row] = &[
    EVENTS,
    ("create", COORDINATION, "leases"),
    ("get list update watch", COORDINATION, "leases : kube-scheduler"),
    (READ_WRITE, COORDINATION, "leasecandidates"),
    (READ, "core", "nodes"),
    ("delete get list watch", "core", "pods"),
    ("create", "core", "bindings pods/binding"),
    ("patch update", "core", "pods/status"),
    (READ, "core", "replicationcontrollers services"),
    (READ, "apps extensions", "replicasets"),
    (READ, "apps", "statefulsets"),
    (READ, "policy", "poddisruptionbudgets"),
    (READ, "core", "persistentvolumeclaims persistentvolumes"),
    TOKEN_REVIEWS,
    ACCESS_REVIEWS,
    (READ, STORAGE, "csinodes"),
    (READ, STORAGE, "volumeattachments"),
    (READ, "core", "namespaces"),
    (READ, STORAGE, "csidrivers"),
    (READ, STORAGE, "csistoragecapacities"),
    (READ, DYNAMIC, "deviceclasses"),
    (READ_UPDATE, DYNAMIC, "resourceclaims"),
    (READ_UPDATE, DYNAMIC, "resourceclaims/status"),
    (READ_UPDATE, "core", "pods/finalizers"),
    (READ, DYNAMIC, "resourceslices"),
];

const CONTROLLER_MANAGER: &[Row] = &[
    EVENTS,
    ("create", COORDINATION, "leases"),
    ("get update", COORDINATION, "leases : kube-controller-manager"),
    ("create", "core", "secrets serviceaccounts"),
    ("delete", "core", "secrets"),
    ("get", "core", "configmaps namespaces secrets serviceaccounts"),
    ("update", "core", "secrets serviceaccounts"),
    TOKEN_REVIEWS,
    ACCESS_REVIEWS,
    ("list watch", "*", "*"),
    ("create", "core", "serviceaccounts/token"),
];

const ROLES: &[(&str, &[Row])] = &[
    // Bound to nobody: the Node authorizer has taken its place.
    ("system:node", NODE),
    ("system:node-bootstrapper", &[("create get list watch", CERTIFICATES, "certificatesigningrequests")]),
    ("system:node-problem-detector", &[("get", "core", "nodes"), ("patch", "core", "nodes/status"), EVENTS]),
    (
        "system:node-proxier",
        &[
            ("list watch", "core", "endpoints services"),
            (READ, "core", "nodes"),
            EVENTS,
            ("list watch", "networking.k8s.io", "servicecidrs"),
            ("list watch", "discovery.k8s.io", "endpointslices"),
        ],
    ),
    (
        "system:kubelet-api-admin",
        &[
            (READ, "core", "nodes"),
            ("proxy", "core", "nodes"),
            ("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
            ("*", "core", "nodes/configz nodes/healthz nodes/pods"),
        ],
    ),
    ("system:auth-delegator", &[TOKEN_REVIEWS, ACCESS_REVIEWS]),
    (
        "system:heapster",
        &[(READ, "core", "events namespaces nodes pods"), (READ, "extensions", "deployments")],
    ),
    ("system:kube-aggregator", &[(READ, "core", "endpoints services")]),
    ("system:kube-controller-manager", CONTROLLER_MANAGER),
    ("system:kube-dns", &[("list watch", "core", "endpoints services")]),
    ("system:kube-scheduler", SCHEDULER),
    (
        "system:persistent-volume-provisioner",
        &[
            ("create delete get list watch", "core", "persistentvolumes"),
            ("get list update watch", "core", "persistentvolumeclaims"),
            (READ, STORAGE, "storageclasses"),
            ("watch", "core", "events"),
            EVENTS,
        ],
    ),
    (
        "system:volume-scheduler",
        &[
            (READ_UPDATE, "core", "persistentvolumes"),
            (READ, STORAGE, "storageclasses"),
            (READ_UPDATE, "core", "persistentvolumeclaims"),
        ],
    ),
    (
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[("create", CERTIFICATES, "certificatesigningrequests/nodeclient")],
    ),
    (
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[("create", CERTIFICATES, "certificatesigningrequests/selfnodeclient")],
    ),
    (
        "system:certificates.k8s.io:legacy-unknown-approver",
        &[("approve", CERTIFICATES, "signers : kubernetes.io/legacy-unknown")],
    ),
    (
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[("approve", CERTIFICATES, "signers : kubernetes.io/kubelet-serving")],
    ),
    (
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[("approve", CERTIFICATES, "signers : kubernetes.io/kube-apiserver-client")],
    ),
    (
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[("approve", CERTIFICATES, "signers : kubernetes.io/kube-apiserver-client-kubelet")],
    ),
];
