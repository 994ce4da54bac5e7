//! Which kinds Kubernetes knows, whether they are served here or not: for its words about objects
//! of the wrong kind.

use ravelin_api::RESOURCES;

/// Kinds that are no resource of ours, by version.
const OTHERS: [(&str, &[&str]); 12] = [
    (
        "v1",
        &[
            "Binding",
            "ComponentStatus",
            "DeleteOptions",
            "LimitRange",
            "List",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Status",
        ],
    ),
    ("apps/v1", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("autoscaling/v1", &["HorizontalPodAutoscaler", "Scale"]),
    ("autoscaling/v2", &["HorizontalPodAutoscaler"]),
    ("batch/v1", &["CronJob", "Job"]),
    ("policy/v1", &["Eviction", "PodDisruptionBudget"]),
    ("networking.k8s.io/v1", &["Ingress", "IngressClass", "NetworkPolicy"]),
    ("scheduling.k8s.io/v1", &["PriorityClass"]),
    ("node.k8s.io/v1", &["RuntimeClass"]),
    ("events.k8s.io/v1", &["Event"]),
    ("authentication.k8s.io/v1", &["TokenRequest"]),
    ("meta.k8s.io/v1", &["DeleteOptions", "Status"]),
];

/// Does Kubernetes know such a kind?
pub(super) fn is_registered(api_version: &str, kind: &str) -> bool {
    let item = kind.strip_suffix("List").unwrap_or(kind);
    let ours = RESOURCES.iter().any(|r| [kind, item].contains(&r.kind) && r.api_version() == api_version);
    let others = OTHERS.iter().filter(|(version, _)| *version == api_version);
    ours || others.flat_map(|(_, kinds)| *kinds).any(|known| [kind, item].contains(known))
}

/// The Go package of a version's internal types, as errors name it.
pub(super) fn internal_package(api_version: &str) -> &str {
    let group = api_version.rsplit_once('/').map_or("core", |(group, _)| group);
    group.split('.').next().unwrap_or_default()
}
