//! The roles of the controller manager's loops
//! (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go` of 1.36, with its
//! default feature gates).

use super::objects::{EVENTS, Row, cluster_binding, cluster_role, rules};
use serde_json::Value;

const READ: &str = "get list watch";
const CERTIFICATES: &str = "certificates.k8s.io";
const DYNAMIC: &str = "resource.k8s.io";
const STORAGE: &str = "storage.k8s.io";
const NETWORKING: &str = "networking.k8s.io";

/// The loops that exist here, which the controller manager's own user runs.
const RUN_HERE: [&str; 10] = [
    "certificate-controller",
    "endpoint-controller",
    "endpointslice-controller",
    "generic-garbage-collector",
    "legacy-service-account-token-cleaner",
    "namespace-controller",
    "node-controller",
    "pod-garbage-collector",
    "root-ca-cert-publisher",
    "service-account-controller",
];

/// Each loop's role, bound to its service account in `kube-system`
/// (`--use-service-account-credentials`).
pub fn controller_roles() -> Vec<Value> {
    LOOPS
        .iter()
        .flat_map(|(name, rows)| {
            let role = format!("system:controller:{name}");
            let account = format!("ServiceAccount:kube-system:{name}");
            [cluster_role(&role, rules(rows)), cluster_binding(&role, &role, &[&account])]
        })
        .collect()
}

/// What lets the controller manager's own user run the loops that exist here: without
/// `--use-service-account-credentials`, Kubernetes' documentation ("Using RBAC Authorization",
/// "Roles for built-in controllers") asks for every loop's role to be given to it. With it goes
/// what upstream the apiserver itself keeps: the `kubernetes` service and its endpoints.
pub fn run_by_controller_manager() -> Vec<Value> {
    let manager = ["User:system:kube-controller-manager"];
    let mut objects: Vec<Value> = RUN_HERE
        .iter()
        .map(|name| {
            cluster_binding(
                &format!("ravelin:manager:{name}"),
                &format!("system:controller:{name}"),
                &manager,
            )
        })
        .collect();
    let keeper = "ravelin:kubernetes-service";
    let rows: &[Row] = &[
        ("get create update patch", "core", "services endpoints"),
        ("get create update patch", "discovery.k8s.io", "endpointslices"),
    ];
    objects.push(cluster_role(keeper, rules(rows)));
    objects.push(cluster_binding(keeper, keeper, &manager));
    objects
}

const LOOPS: &[(&str, &[Row])] = &[
    (
        "attachdetach-controller",
        &[
            ("list watch", "core", "persistentvolumeclaims persistentvolumes"),
            (READ, "core", "nodes"),
            ("patch update", "core", "nodes/status"),
            ("list watch", "core", "pods"),
            EVENTS,
            ("create delete get list watch", STORAGE, "volumeattachments"),
            (READ, STORAGE, "csidrivers"),
            (READ, STORAGE, "csinodes"),
        ],
    ),
    (
        "certificate-controller",
        &[
            ("delete get list watch", CERTIFICATES, "certificatesigningrequests"),
            ("update", CERTIFICATES, "certificatesigningrequests/approval certificatesigningrequests/status"),
            ("approve", CERTIFICATES, "signers : kubernetes.io/kube-apiserver-client-kubelet"),
            (
                "sign",
                CERTIFICATES,
                "signers : kubernetes.io/legacy-unknown kubernetes.io/kube-apiserver-client \
                 kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving",
            ),
            ("create", "authorization.k8s.io", "subjectaccessreviews"),
            EVENTS,
        ],
    ),
    (
        "clusterrole-aggregation-controller",
        &[("escalate get list patch update watch", "rbac.authorization.k8s.io", "clusterroles")],
    ),
    (
        "cronjob-controller",
        &[
            ("get list update watch", "batch", "cronjobs"),
            ("create delete get list patch update watch", "batch", "jobs"),
            ("update", "batch", "cronjobs/status"),
            ("update", "batch", "cronjobs/finalizers"),
            ("delete list watch", "core", "pods"),
            EVENTS,
        ],
    ),
    (
        "daemon-set-controller",
        &[
            (READ, "apps extensions", "daemonsets"),
            ("update", "apps extensions", "daemonsets/status"),
            ("update", "apps extensions", "daemonsets/finalizers"),
            ("list watch", "core", "nodes"),
            ("create delete list patch watch", "core", "pods"),
            ("create", "core", "pods/binding"),
            ("create delete get list patch update watch", "apps", "controllerrevisions"),
            EVENTS,
        ],
    ),
    (
        "deployment-controller",
        &[
            ("get list update watch", "apps extensions", "deployments"),
            ("update", "apps extensions", "deployments/status"),
            ("update", "apps extensions", "deployments/finalizers"),
            ("create delete get list patch update watch", "apps extensions", "replicasets"),
            ("get list update watch", "core", "pods"),
            EVENTS,
        ],
    ),
    (
        "disruption-controller",
        &[
            (READ, "apps extensions", "deployments"),
            (READ, "apps extensions", "replicasets"),
            (READ, "core", "replicationcontrollers"),
            (READ, "policy", "poddisruptionbudgets"),
            (READ, "apps", "statefulsets"),
            ("update", "policy", "poddisruptionbudgets/status"),
            ("patch update", "core", "pods/status"),
            ("get", "*", "*/scale"),
            EVENTS,
        ],
    ),
    (
        "endpoint-controller",
        &[
            (READ, "core", "pods services"),
            ("create delete get list update watch", "core", "endpoints"),
            ("create", "core", "endpoints/restricted"),
            EVENTS,
        ],
    ),
    (
        "endpointslice-controller",
        &[
            (READ, "core", "nodes pods services"),
            ("update", "core", "services/finalizers"),
            ("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
            EVENTS,
        ],
    ),
    (
        "endpointslicemirroring-controller",
        &[
            (READ, "core", "endpoints services"),
            ("update", "core", "services/finalizers"),
            ("update", "core", "endpoints/finalizers"),
            ("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
            EVENTS,
        ],
    ),
    (
        "ephemeral-volume-controller",
        &[
            (READ, "core", "pods"),
            ("update", "core", "pods/finalizers"),
            ("create get list watch", "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    (
        "expand-controller",
        &[
            ("get list patch update watch", "core", "persistentvolumes"),
            ("patch update", "core", "persistentvolumeclaims/status"),
            (READ, "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    ("generic-garbage-collector", &[("delete get list patch update watch", "*", "*"), EVENTS]),
    (
        "horizontal-pod-autoscaler",
        &[
            (READ, "autoscaling", "horizontalpodautoscalers"),
            ("update", "autoscaling", "horizontalpodautoscalers/status"),
            ("get update", "*", "*/scale"),
            ("list watch", "core", "pods"),
            ("list watch", "metrics.k8s.io", "pods"),
            (READ, "custom.metrics.k8s.io", "*"),
            (READ, "external.metrics.k8s.io", "*"),
            EVENTS,
        ],
    ),
    (
        "job-controller",
        &[
            ("get list patch update watch", "batch", "jobs"),
            ("update", "batch", "jobs/status"),
            ("update", "batch", "jobs/finalizers"),
            ("create delete list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    (
        "legacy-service-account-token-cleaner",
        &[
            ("get", "core", "configmaps : kube-apiserver-legacy-service-account-token-tracking"),
            ("delete patch", "core", "secrets"),
        ],
    ),
    (
        "namespace-controller",
        &[
            ("delete get list watch", "core", "namespaces"),
            ("update", "core", "namespaces/finalize namespaces/status"),
            ("delete deletecollection get list watch", "*", "*"),
        ],
    ),
    (
        "node-controller",
        &[
            ("delete get list patch update watch", "core", "nodes"),
            ("patch update", "core", "nodes/status"),
            ("patch update", "core", "pods/status"),
            ("delete get list watch", "core", "pods"),
            (READ, "coordination.k8s.io", "leases"),
            EVENTS,
        ],
    ),
    (
        "persistent-volume-binder",
        &[
            ("create delete get list update watch", "core", "persistentvolumes"),
            ("update", "core", "persistentvolumes/status"),
            ("get list update watch", "core", "persistentvolumeclaims"),
            ("update", "core", "persistentvolumeclaims/status"),
            ("create delete get list watch", "core", "pods"),
            (READ, STORAGE, "storageclasses"),
            ("list watch", "core", "nodes"),
            EVENTS,
            ("watch", "core", "events"),
        ],
    ),
    (
        "pod-garbage-collector",
        &[("delete list watch", "core", "pods"), (READ, "core", "nodes"), ("patch", "core", "pods/status")],
    ),
    ("pv-protection-controller", &[("get list update watch", "core", "persistentvolumes"), EVENTS]),
    (
        "pvc-protection-controller",
        &[
            ("get list update watch", "core", "persistentvolumeclaims"),
            ("update", "core", "persistentvolumeclaims/status"),
            (READ, "core", "pods"),
            EVENTS,
        ],
    ),
    (
        "replicaset-controller",
        &[
            ("get list update watch", "apps extensions", "replicasets"),
            ("update", "apps extensions", "replicasets/status"),
            ("update", "apps extensions", "replicasets/finalizers"),
            ("create delete list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    (
        "replication-controller",
        &[
            ("get list update watch", "core", "replicationcontrollers"),
            ("update", "core", "replicationcontrollers/status"),
            ("update", "core", "replicationcontrollers/finalizers"),
            ("create delete list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    (
        "resource-claim-controller",
        &[
            (READ, "core", "pods"),
            ("update", "core", "pods/finalizers"),
            ("create delete get list watch", DYNAMIC, "resourceclaims"),
            ("patch update", DYNAMIC, "resourceclaims resourceclaims/status"),
            ("patch update", "core", "pods/status"),
            EVENTS,
        ],
    ),
    (
        "resourcequota-controller",
        &[("list watch", "*", "*"), ("update", "core", "resourcequotas/status"), EVENTS],
    ),
    ("root-ca-cert-publisher", &[("create update", "core", "configmaps"), EVENTS]),
    ("route-controller", &[("list watch", "core", "nodes"), ("patch", "core", "nodes/status"), EVENTS]),
    (
        "selinux-warning-controller",
        &[
            EVENTS,
            (READ, "core", "persistentvolumes"),
            (READ, "core", "persistentvolumeclaims"),
            (READ, "core", "pods"),
            (READ, STORAGE, "csidrivers"),
        ],
    ),
    ("service-account-controller", &[("create", "core", "serviceaccounts"), EVENTS]),
    (
        "service-cidrs-controller",
        &[
            ("get list patch update watch", NETWORKING, "servicecidrs"),
            ("patch update", NETWORKING, "servicecidrs/finalizers"),
            ("patch update", NETWORKING, "servicecidrs/status"),
            (READ, NETWORKING, "ipaddresses"),
            EVENTS,
        ],
    ),
    (
        "service-controller",
        &[
            (READ, "core", "services"),
            ("patch update", "core", "services/status"),
            ("list watch", "core", "nodes"),
            EVENTS,
        ],
    ),
    (
        "statefulset-controller",
        &[
            ("list watch", "core", "pods"),
            (READ, "apps", "statefulsets"),
            ("update", "apps", "statefulsets/status"),
            ("update", "apps", "statefulsets/finalizers"),
            ("create delete get patch update", "core", "pods"),
            ("create delete get list patch update watch", "apps", "controllerrevisions"),
            ("create get list watch", "core", "persistentvolumeclaims"),
            ("delete update", "core", "persistentvolumeclaims"),
            ("update", "core", "pods/finalizers"),
            EVENTS,
        ],
    ),
    ("ttl-after-finished-controller", &[("delete get list watch", "batch", "jobs"), EVENTS]),
    ("ttl-controller", &[("list patch update watch", "core", "nodes"), EVENTS]),
    (
        "validatingadmissionpolicy-status-controller",
        &[
            (READ, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
            ("get patch update", "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
            EVENTS,
        ],
    ),
    (
        "volumeattributesclass-protection-controller",
        &[
            (READ, "core", "persistentvolumeclaims"),
            (READ, "core", "persistentvolumes"),
            ("get list update watch", STORAGE, "volumeattributesclasses"),
            EVENTS,
        ],
    ),
];
