//! What the Node authorizer allows, as recorded.

use super::*;
use crate::{UserInfo, authorize, names};
use ravelin_api::RequestInfo;
use serde_json::{Value, json};

fn node(name: &str) -> UserInfo {
    UserInfo::new(format!("system:node:{name}"), &[names::NODES]).authenticated()
}

fn pod(name: &str, node: &str, refers_to: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "nodeName": node,
            "serviceAccountName": "default",
            "volumes": [{ "secret": { "secretName": format!("s{refers_to}") } }],
            "containers": [{
                "env": [{ "valueFrom": { "configMapKeyRef": { "name": format!("cm{refers_to}") } } }],
                "envFrom": [{ "secretRef": { "name": format!("e{refers_to}") } }],
            }],
        },
    })
}

fn authorizer() -> NodeAuthorizer {
    authorizer_of(36)
}

fn authorizer_of(minor: u32) -> NodeAuthorizer {
    let mut authorizer = NodeAuthorizer::new((1, minor));
    authorizer.graph_mut().set_pod(&pod("p1", "n1", "1"));
    authorizer.graph_mut().set_pod(&pod("p2", "n2", "2"));
    authorizer
}

/// The 403's message, or nothing where it is allowed.
fn ask(authorizer: &NodeAuthorizer, user: UserInfo, request: &str) -> Option<String> {
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let info = RequestInfo::parse(method, path, query).unwrap();
    let attributes = Attributes::of_request(user, &info);
    authorize(&[authorizer], attributes).err().map(|denied| denied.status().message)
}

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

#[test]
fn a_node_is_allowed_what_was_recorded() {
    let authorizer = authorizer();
    for request in [
        "GET /api/v1/nodes?fieldSelector=metadata.name%3Dn1".to_owned(),
        "GET /api/v1/nodes?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dn1".to_owned(),
        "GET /api/v1/namespaces/default/configmaps/cm1".to_owned(),
        "GET /api/v1/namespaces/default/secrets/e1".to_owned(),
        "GET /api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Ds1".to_owned(),
        "GET /api/v1/namespaces/default/secrets?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Ds1"
            .to_owned(),
        "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn1".to_owned(),
        "GET /api/v1/namespaces/default/pods/p1".to_owned(),
        "PATCH /api/v1/nodes/n1/status".to_owned(),
        "POST /api/v1/nodes".to_owned(),
        format!("POST {LEASES}"),
        format!("GET {LEASES}/n1"),
        format!("POST {CSRS}"),
        "POST /apis/authorization.k8s.io/v1/subjectaccessreviews".to_owned(),
        "POST /apis/authentication.k8s.io/v1/tokenreviews".to_owned(),
        "POST /api/v1/namespaces/default/serviceaccounts/default/token".to_owned(),
    ] {
        assert_eq!(ask(&authorizer, node("n1"), &request), None, "{request}");
    }
}

#[test]
fn refusals_are_word_for_word_as_recorded() {
    let authorizer = authorizer();
    let cannot =
        |what: &str, rest: &str| format!("{what} is forbidden: User \"system:node:n1\" cannot {rest}");
    let core = "in API group \"\"";
    for (request, message) in [
        (
            "GET /api/v1/nodes/n9",
            cannot(
                "nodes \"n9\"",
                &format!(
                    "get resource \"nodes\" {core} at the cluster scope: node 'n1' cannot read 'n9', only its own Node object"
                ),
            ),
        ),
        (
            "GET /api/v1/namespaces/default/secrets/s2",
            cannot(
                "secrets \"s2\"",
                &format!(
                    "get resource \"secrets\" {core} in the namespace \"default\": no relationship found between node 'n1' and this object"
                ),
            ),
        ),
        (
            "GET /api/v1/namespaces/default/configmaps/nope",
            cannot(
                "configmaps \"nope\"",
                &format!(
                    "get resource \"configmaps\" {core} in the namespace \"default\": no relationship found between node 'n1' and this object"
                ),
            ),
        ),
        (
            "GET /api/v1/secrets",
            cannot(
                "secrets",
                &format!(
                    "list resource \"secrets\" {core} at the cluster scope: can only read namespaced object of this type"
                ),
            ),
        ),
        (
            "PUT /api/v1/namespaces/default/secrets/s1",
            cannot(
                "secrets \"s1\"",
                &format!(
                    "update resource \"secrets\" {core} in the namespace \"default\": can only read resources of this type"
                ),
            ),
        ),
        (
            "GET /api/v1/pods",
            cannot(
                "pods",
                &format!(
                    "list resource \"pods\" {core} at the cluster scope: can only list/watch pods with spec.nodeName field selector"
                ),
            ),
        ),
        (
            "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn2",
            cannot(
                "pods",
                &format!(
                    "list resource \"pods\" {core} at the cluster scope: can only list/watch pods with spec.nodeName field selector"
                ),
            ),
        ),
        (
            "DELETE /api/v1/nodes/n1?dryRun=All",
            cannot("nodes \"n1\"", &format!("delete resource \"nodes\" {core} at the cluster scope")),
        ),
        (
            "GET /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
            cannot(
                "leases.coordination.k8s.io",
                "list resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \"kube-node-lease\": can only get, create, update, patch, or delete a node lease",
            ),
        ),
        (
            "POST /api/v1/namespaces/default/serviceaccounts/other/token",
            cannot(
                "serviceaccounts \"other\"",
                &format!(
                    "create resource \"serviceaccounts/token\" {core} in the namespace \"default\": no relationship found between node 'n1' and this object"
                ),
            ),
        ),
        (
            "GET /api/v1/nodes/n1/proxy/pods",
            cannot("nodes \"n1\"", &format!("get resource \"nodes/proxy\" {core} at the cluster scope")),
        ),
        (
            "POST /api/v1/namespaces/default/pods/p1/exec?command=ls",
            cannot(
                "pods \"p1\"",
                &format!("create resource \"pods/exec\" {core} in the namespace \"default\""),
            ),
        ),
    ] {
        assert_eq!(ask(&authorizer, node("n1"), request), Some(message), "{request}");
    }
    let outsider = UserInfo::new("system:node:n1", &[]).authenticated();
    let message = cannot("nodes \"n1\"", &format!("get resource \"nodes\" {core} at the cluster scope"));
    assert_eq!(ask(&authorizer, outsider, "GET /api/v1/nodes/n1"), Some(message));
    assert!(ask(&authorizer, node(""), "GET /api/v1/pods?fieldSelector=spec.nodeName%3D").is_some());
}

/// Before `AuthorizeNodeWithSelectors` nodes and pods were not subdivided: NodeRules alone said.
#[test]
fn a_node_reads_all_nodes_and_pods_until_1_31() {
    for (request, until_1_31, from_1_32) in [
        ("GET /api/v1/nodes", true, false),
        ("GET /api/v1/nodes?watch=1", true, false),
        ("GET /api/v1/nodes/n1", true, true),
        ("GET /api/v1/nodes/n2", true, false),
        ("GET /api/v1/pods", true, false),
        ("GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn1", true, true),
        ("GET /api/v1/namespaces/default/pods/p1", true, true),
        ("GET /api/v1/namespaces/default/pods/p2", true, false),
        ("PATCH /api/v1/nodes/n2/status", true, true),
        ("PATCH /api/v1/namespaces/default/pods/p2/status", true, true),
        ("DELETE /api/v1/nodes/n1", false, false),
        ("GET /api/v1/namespaces/default/pods/p1/log", false, false),
        ("GET /api/v1/nodes/n1/proxy/", false, false),
        ("GET /api/v1/services", true, true),
        ("GET /apis/certificates.k8s.io/v1/certificatesigningrequests", true, true),
        ("DELETE /apis/certificates.k8s.io/v1/certificatesigningrequests/c", false, false),
        ("GET /api/v1/namespaces/default/secrets/s1", true, true),
        ("GET /api/v1/namespaces/default/secrets/s2", false, false),
        ("GET /api/v1/secrets", false, false),
        ("POST /api/v1/namespaces/default/serviceaccounts/other/token", false, false),
        ("GET /apis/discovery.k8s.io/v1/endpointslices", false, false),
    ] {
        for (minor, allowed) in [(20, until_1_31), (31, until_1_31), (32, from_1_32), (36, from_1_32)] {
            let asked = ask(&authorizer_of(minor), node("n1"), request);
            assert_eq!(asked.is_none(), allowed, "1.{minor} {request}: {asked:?}");
        }
    }
}

#[test]
fn a_node_loses_what_its_last_pod_took_with_it() {
    let mut authorizer = authorizer();
    let secret = "GET /api/v1/namespaces/default/secrets/s1";
    authorizer.graph_mut().set_pod(&pod("p3", "n1", "1"));
    authorizer.graph_mut().remove_pod("default", "p1");
    assert_eq!(ask(&authorizer, node("n1"), secret), None, "another pod needs it still");
    authorizer.graph_mut().set_pod(&pod("p3", "n2", "1"));
    assert!(ask(&authorizer, node("n1"), secret).is_some());
    assert_eq!(ask(&authorizer, node("n2"), secret), None);
    authorizer.graph_mut().remove_pod("default", "p3");
    assert!(ask(&authorizer, node("n2"), secret).is_some());
}

#[test]
fn a_mirror_pod_gives_its_node_nothing() {
    let mut authorizer = NodeAuthorizer::new((1, 36));
    let mut mirror = pod("m", "n1", "1");
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
    authorizer.graph_mut().set_pod(&mirror);
    assert!(ask(&authorizer, node("n1"), "GET /api/v1/namespaces/default/secrets/s1").is_some());
    assert!(
        ask(&authorizer, node("n1"), "POST /api/v1/namespaces/default/serviceaccounts/default/token")
            .is_some()
    );
    assert_eq!(ask(&authorizer, node("n1"), "GET /api/v1/namespaces/default/pods/m"), None);
}

const STORED: &str = "/apis/storage.k8s.io/v1";

#[test]
fn a_volume_and_its_secrets_reach_a_node_through_a_claim_of_its_pod() {
    let mut authorizer = authorizer();
    let mut with_claims = pod("p4", "n1", "4");
    with_claims["spec"]["volumes"] = json!([
        { "name": "a", "persistentVolumeClaim": { "claimName": "data" } },
        { "name": "b", "ephemeral": { "volumeClaimTemplate": {} } },
    ]);
    authorizer.graph_mut().set_pod(&with_claims);
    let volume = json!({ "metadata": { "name": "pv" }, "spec": {
        "claimRef": { "namespace": "default", "name": "data" },
        "csi": {
            "nodeStageSecretRef": { "namespace": "storage", "name": "stage" },
            "controllerPublishSecretRef": { "namespace": "storage", "name": "publish" },
        },
    }});
    authorizer.graph_mut().set_volume(&volume);
    authorizer
        .graph_mut()
        .set_attachment(&json!({ "metadata": { "name": "va" }, "spec": { "nodeName": "n1" } }));
    let claim = "/api/v1/namespaces/default/persistentvolumeclaims";
    for (request, allowed) in [
        (format!("GET {claim}/data"), true),
        (format!("GET {claim}/p4-b"), true),
        (format!("GET {claim}/other"), false),
        (format!("PATCH {claim}/data/status"), true),
        (format!("PATCH {claim}/data"), false),
        (format!("GET {claim}"), false),
        ("GET /api/v1/persistentvolumes/pv".to_owned(), true),
        ("GET /api/v1/persistentvolumes".to_owned(), false),
        ("GET /api/v1/namespaces/storage/secrets/stage".to_owned(), true),
        ("GET /api/v1/namespaces/storage/secrets/publish".to_owned(), false),
        (format!("GET {STORED}/volumeattachments/va"), true),
        (format!("GET {STORED}/volumeattachments"), false),
    ] {
        let (own, others) = (ask(&authorizer, node("n1"), &request), ask(&authorizer, node("n2"), &request));
        assert_eq!(own.is_none(), allowed, "{request}: {own:?}");
        assert!(others.is_some(), "{request}");
    }
    authorizer.graph_mut().remove_pod("default", "p4");
    assert!(ask(&authorizer, node("n1"), "GET /api/v1/namespaces/storage/secrets/stage").is_some());
    authorizer.graph_mut().set_pod(&with_claims);
    authorizer.graph_mut().remove_volume("pv");
    assert!(ask(&authorizer, node("n1"), "GET /api/v1/namespaces/storage/secrets/stage").is_some());
}

#[test]
fn the_refusals_of_storage_are_those_of_kubernetes() {
    for (request, why) in [
        (format!("GET {STORED}/csinodes"), "can only get, create, update, patch, or delete a CSINode"),
        (
            format!("GET {STORED}/csinodes/n2"),
            "can only access CSINode with the same name as the requesting node",
        ),
        ("GET /api/v1/persistentvolumes".to_owned(), "can only get individual resources of this type"),
        (
            "GET /apis/resource.k8s.io/v1/resourceslices".to_owned(),
            "can only list/watch/deletecollection resourceslices with nodeName field selector",
        ),
        (
            "GET /api/v1/namespaces/default/serviceaccounts".to_owned(),
            "can only create tokens for individual service accounts",
        ),
    ] {
        let message = ask(&authorizer(), node("n1"), &request).unwrap();
        assert!(message.ends_with(why), "{request}: {message}");
    }
    for request in [format!("POST {STORED}/csinodes"), format!("PATCH {STORED}/csinodes/n1")] {
        assert_eq!(ask(&authorizer(), node("n1"), &request), None, "{request}");
    }
    let account = "GET /api/v1/namespaces/default/serviceaccounts/default";
    assert!(ask(&authorizer_of(33), node("n1"), account).is_some());
    assert_eq!(ask(&authorizer_of(34), node("n1"), account), None);
}

#[test]
fn without_relations_every_node_reads_what_any_node_may() {
    let open = authorizer().danger_with_any_relation(true);
    for request in ["GET /api/v1/namespaces/default/secrets/s2", "GET /api/v1/nodes/n2"] {
        assert_eq!(ask(&open, node("n1"), request), None, "{request}");
        assert!(ask(&authorizer(), node("n1"), request).is_some(), "{request}");
    }
    assert!(ask(&open, node("n1"), "DELETE /api/v1/nodes/n2").is_some());
    assert!(ask(&open, UserInfo::new("u", &[]), "GET /api/v1/nodes/n2").is_some());
}
