//! The ClusterRoles that every apiserver makes
//! (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`), as far as what they speak of
//! exists here.

use super::objects::{cluster_role, events, paths, rule, rule_for};
use serde_json::{Value, json};

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const DISCOVERY: &str = "discovery.k8s.io";

/// The default ClusterRoles.
pub fn default_cluster_roles() -> Vec<Value> {
    [for_everybody(), for_users(), for_nodes(), for_certificates(), for_components()].concat()
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
            vec![
                rule("create", AUTHORIZATION, "selfsubjectaccessreviews selfsubjectrulesreviews"),
                rule("create", AUTHENTICATION, "selfsubjectreviews"),
            ],
        ),
        cluster_role(
            "system:service-account-issuer-discovery",
            vec![paths("/.well-known/openid-configuration /openid/v1/jwks")],
        ),
        cluster_role(
            "system:monitoring",
            vec![paths("/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*")],
        ),
    ]
}

fn for_users() -> Vec<Value> {
    let everything = json!({ "verbs": ["*"], "nonResourceURLs": ["*"] });
    let (view, edit, admin) = (view_rules(), edit_rules(), admin_rules());
    let edits = [edit.clone(), view.clone()].concat();
    let admins = [admin.clone(), edits.clone()].concat();
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

/// What an aggregating role holds once the controller manager has gathered its rules; here they
/// are gathered from the start.
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

fn view_rules() -> Vec<Value> {
    vec![
        rule(READ, "core", "configmaps endpoints pods serviceaccounts services services/status"),
        rule(READ, "core", "bindings events namespaces/status pods/log pods/status"),
        rule(READ, "core", "namespaces"),
        rule(READ, DISCOVERY, "endpointslices"),
    ]
}

fn edit_rules() -> Vec<Value> {
    vec![
        rule(READ, "core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
        rule("impersonate", "core", "serviceaccounts"),
        rule(WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
        rule("create", "core", "pods/eviction"),
        rule(WRITE, "core", "configmaps events secrets serviceaccounts services services/proxy"),
        rule("create", "core", "serviceaccounts/token"),
        rule(&format!("{READ} {WRITE}"), COORDINATION, "leases"),
    ]
}

fn admin_rules() -> Vec<Value> {
    vec![
        rule("create", AUTHORIZATION, "localsubjectaccessreviews"),
        rule(&format!("{READ} {WRITE}"), "rbac.authorization.k8s.io", "rolebindings roles"),
    ]
}

fn for_nodes() -> Vec<Value> {
    vec![
        // Bound to nobody: the Node authorizer reads it (`NodeRules` in policy.go).
        cluster_role("system:node", node_rules()),
        cluster_role(
            "system:node-bootstrapper",
            vec![rule("create get list watch", CERTIFICATES, "certificatesigningrequests")],
        ),
        cluster_role(
            "system:node-proxier",
            vec![
                rule("list watch", "core", "endpoints services"),
                rule(READ, "core", "nodes"),
                events(),
                rule("list watch", DISCOVERY, "endpointslices"),
            ],
        ),
        cluster_role(
            "system:kubelet-api-admin",
            vec![
                rule(READ, "core", "nodes"),
                rule("proxy", "core", "nodes"),
                rule(
                    "*",
                    "core",
                    "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
                ),
            ],
        ),
    ]
}

pub(crate) fn node_rules() -> Vec<Value> {
    vec![
        rule("create", AUTHENTICATION, "tokenreviews"),
        rule("create", AUTHORIZATION, "localsubjectaccessreviews subjectaccessreviews"),
        rule(READ, "core", "services"),
        rule("create get list watch", "core", "nodes"),
        rule("patch update", "core", "nodes/status"),
        rule("patch update", "core", "nodes"),
        rule("create patch update", "core", "events"),
        rule(READ, "core", "pods"),
        rule("create delete", "core", "pods"),
        rule("patch update", "core", "pods/status"),
        rule("create", "core", "pods/eviction"),
        rule(READ, "core", "configmaps secrets"),
        rule("get", "core", "endpoints"),
        rule("create get list watch", CERTIFICATES, "certificatesigningrequests"),
        rule("create delete get patch update", COORDINATION, "leases"),
        rule("create", "core", "serviceaccounts/token"),
    ]
}

fn for_certificates() -> Vec<Value> {
    let approver = |signer: &str| {
        let role = format!("system:certificates.k8s.io:{signer}-approver");
        let approve = rule("approve", CERTIFICATES, "signers");
        cluster_role(&role, vec![rule_for(approve, &format!("kubernetes.io/{signer}"))])
    };
    let client = |kind: &str| {
        let role = format!("system:certificates.k8s.io:certificatesigningrequests:{kind}");
        cluster_role(&role, vec![rule("create", CERTIFICATES, &format!("certificatesigningrequests/{kind}"))])
    };
    let mut roles = vec![client("nodeclient"), client("selfnodeclient")];
    let signers =
        ["kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown"];
    roles.extend(signers.map(approver));
    roles
}

fn for_components() -> Vec<Value> {
    let reviews = || {
        [
            rule("create", AUTHENTICATION, "tokenreviews"),
            rule("create", AUTHORIZATION, "subjectaccessreviews"),
        ]
    };
    let leader = |name: &str| {
        [rule("create", COORDINATION, "leases"), rule_for(rule("get update", COORDINATION, "leases"), name)]
    };
    let mut manager = vec![events()];
    manager.extend(leader("kube-controller-manager"));
    manager.extend([
        rule("create", "core", "secrets serviceaccounts"),
        rule("delete", "core", "secrets"),
        rule("get", "core", "configmaps namespaces secrets serviceaccounts"),
        rule("update", "core", "secrets serviceaccounts"),
    ]);
    manager.extend(reviews());
    manager.extend([rule("list watch", "*", "*"), rule("create", "core", "serviceaccounts/token")]);
    let mut scheduler = vec![events()];
    scheduler.extend(leader("kube-scheduler"));
    scheduler.extend([
        rule(READ, "core", "nodes"),
        rule("delete get list watch", "core", "pods"),
        rule("create", "core", "bindings pods/binding"),
        rule("patch update", "core", "pods/status"),
        rule(READ, "core", "services namespaces"),
    ]);
    scheduler.extend(reviews());
    vec![
        cluster_role("system:auth-delegator", reviews().to_vec()),
        cluster_role("system:kube-controller-manager", manager),
        cluster_role("system:kube-scheduler", scheduler),
    ]
}
