//! The ClusterRoles that every apiserver makes for people and for everybody
//! (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go` of 1.36, with its default feature
//! gates). Rules may name resources that do not exist here. Those of the system's own components
//! are in `system_roles`.

use super::objects::{Row, cluster_role, paths, rule, rules};
use super::system_roles::system_roles;
use serde_json::{Value, json};

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const READ_WRITE: &str = "create delete deletecollection get list patch update watch";

/// The default ClusterRoles.
pub fn default_cluster_roles() -> Vec<Value> {
    [for_everybody(), for_users(), system_roles()].concat()
}

fn for_everybody() -> Vec<Value> {
    vec![
        cluster_role(
            "system:discovery",
            vec![paths(
                "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
            )],
        ),
        cluster_role("system:public-info-viewer", vec![paths("/healthz /livez /readyz /version /version/")]),
        cluster_role(
            "system:basic-user",
            rules(&[
                ("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
                ("create", "authentication.k8s.io", "selfsubjectreviews"),
            ]),
        ),
        cluster_role(
            "system:service-account-issuer-discovery",
            // With a slash too, for clients made from descriptions that were published so.
            vec![paths(
                "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks \
                 /openid/v1/jwks/",
            )],
        ),
        cluster_role(
            "system:monitoring",
            vec![
                paths("/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
                rule("get", "core", "nodes/metrics"),
            ],
        ),
    ]
}

fn for_users() -> Vec<Value> {
    let everything = json!({ "verbs": ["*"], "nonResourceURLs": ["*"] });
    let (view, edit, admin) = (rules(VIEW), rules(EDIT), rules(ADMIN));
    // An aggregated role gathers in the order of the names of the roles that it gathers from.
    let edits = distinct([edit.clone(), view.clone()].concat());
    let admins = distinct([edits.clone(), admin.clone()].concat());
    vec![
        cluster_role("cluster-admin", vec![rule("*", "*", "*"), everything]),
        aggregate_to("view", cluster_role("system:aggregate-to-view", view.clone())),
        aggregate_to("edit", cluster_role("system:aggregate-to-edit", edit)),
        aggregate_to("admin", cluster_role("system:aggregate-to-admin", admin)),
        aggregate_to("edit", aggregated_from("view", view)),
        aggregate_to("admin", aggregated_from("edit", edits)),
        aggregated_from("admin", admins),
    ]
}

fn distinct(rules: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for rule in rules {
        if !kept.contains(&rule) {
            kept.push(rule);
        }
    }
    kept
}

/// What an aggregating role holds once its rules have been gathered; here they are from the start.
fn aggregated_from(name: &str, rules: Vec<Value>) -> Value {
    let label = format!("rbac.authorization.k8s.io/aggregate-to-{name}");
    let mut role = cluster_role(name, rules);
    role["aggregationRule"] = json!({ "clusterRoleSelectors": [{ "matchLabels": { label: "true" } }] });
    role
}

fn aggregate_to(name: &str, mut role: Value) -> Value {
    role["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{name}")] = json!("true");
    role
}

const VIEW: &[Row] = &[
    (
        READ,
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods \
         replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
    ),
    (
        READ,
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status \
         resourcequotas resourcequotas/status",
    ),
    (READ, "core", "namespaces"),
    (READ, "discovery.k8s.io", "endpointslices"),
    (
        READ,
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status \
         replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    (READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    (READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    (
        READ,
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses \
         ingresses/status networkpolicies replicasets replicasets/scale replicasets/status \
         replicationcontrollers/scale",
    ),
    (READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    (READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    (READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
];

const EDIT: &[Row] = &[
    (READ, "core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    ("impersonate", "core", "serviceaccounts"),
    (WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
    ("create", "core", "pods/eviction"),
    (
        WRITE,
        "core",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
         serviceaccounts services services/proxy",
    ),
    ("create", "core", "serviceaccounts/token"),
    (
        WRITE,
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale \
         statefulsets statefulsets/scale",
    ),
    (WRITE, "autoscaling", "horizontalpodautoscalers"),
    (WRITE, "batch", "cronjobs jobs"),
    (
        WRITE,
        "extensions",
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets \
         replicasets/scale replicationcontrollers/scale",
    ),
    (WRITE, "policy", "poddisruptionbudgets"),
    (WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    (READ_WRITE, "coordination.k8s.io", "leases"),
    (WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
];

const ADMIN: &[Row] = &[
    ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    (READ_WRITE, "rbac.authorization.k8s.io", "rolebindings roles"),
];
