//! What NodeRestriction refuses, word for word as recorded.

use super::*;
use crate::lookup::Objects;
use base64::Engine;
use ravelin_entropy::Entropy;
use ravelin_pki::{KeyPair, Subject};
use serde_json::json;

fn n1() -> UserInfo {
    UserInfo::new("system:node:n1", &[names::NODES])
}

fn pod_on(node: &str) -> Value {
    let token = json!({ "serviceAccountToken": { "path": "token" } });
    json!({
        "metadata": { "name": format!("p-{node}"), "namespace": "default", "uid": format!("u-{node}"), "labels": { "a": "1" } },
        "spec": { "nodeName": node, "volumes": [{ "projected": { "sources": [token] } }] },
    })
}

fn objects() -> Objects {
    Objects::default()
        .with("pods", pod_on("n1"))
        .with("pods", pod_on("n2"))
        .with("nodes", json!({ "metadata": { "name": "n1", "uid": "node-uid" } }))
}

/// `OPERATION GROUP:RESOURCE[/SUBRESOURCE] NAMESPACE NAME`, with `-` for nothing.
fn refusal(what: &str, object: Option<&Value>, old: Option<&Value>) -> Option<String> {
    refusal_in(36, what, (object, old))
}

fn refusal_in(minor: u32, what: &str, (object, old): (Option<&Value>, Option<&Value>)) -> Option<String> {
    let user = n1();
    let words: Vec<&str> = what.split(' ').map(|word| if word == "-" { "" } else { word }).collect();
    let (group, resource) = words[1].split_once(':').unwrap();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let operation = match words[0] {
        "create" => Operation::Create,
        "update" => Operation::Update,
        _ => Operation::Delete,
    };
    let resource = GroupResource { group, resource };
    let write = Write {
        user: &user,
        operation,
        resource,
        subresource,
        namespace: words[2],
        name: words[3],
        object,
        old,
    };
    admit_among(&objects(), &write, minor).err().map(|status| status.message)
}

/// Nobody is granted anything but tokens of one audience.
fn admit_among(objects: &Objects, write: &Write<'_>, minor: u32) -> Result<(), Status> {
    let may = |asked: &Attributes| {
        (asked.verb.as_str(), asked.resource.as_str(), asked.namespace.as_str())
            == ("request-serviceaccounts-token-audience", "granted", "default")
    };
    admit(write, &Known { objects, may: &may, version: (1, minor) })
}

fn node_with(change: Value) -> Value {
    let mut node =
        json!({ "metadata": { "name": "n1", "labels": { "kubernetes.io/hostname": "n1" } }, "spec": {} });
    ravelin_api::merge_patch(&mut node, &change);
    node
}

#[test]
fn a_node_may_change_only_itself_and_only_its_own_labels() {
    let old = node_with(json!({}));
    let label = |key: &str| node_with(json!({ "metadata": { "labels": { key: "x" } } }));
    let update = |new: &Value| refusal("update :nodes - n1", Some(new), Some(&old));
    assert_eq!(update(&old), None);
    for key in [
        "example.com/x",
        "x",
        "node.kubernetes.io/x",
        "kubelet.kubernetes.io/x",
        "topology.kubernetes.io/zone",
    ] {
        assert_eq!(update(&label(key)), None, "{key}");
    }
    for key in [
        "node-restriction.kubernetes.io/x",
        "foo.kubernetes.io/x",
        "node-role.kubernetes.io/control-plane",
        "a.node-restriction.kubernetes.io/x",
        "k8s.io/x",
    ] {
        let message = format!("nodes \"n1\" is forbidden: is not allowed to modify labels: {key}");
        assert_eq!(update(&label(key)), Some(message));
    }
    let tainted = node_with(json!({ "spec": { "taints": [{ "key": "a" }] } }));
    assert_eq!(
        update(&tainted).unwrap(),
        "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints"
    );
    let configured = node_with(json!({ "spec": { "configSource": { "x": 1 } } }));
    assert_eq!(
        update(&configured).unwrap(),
        "nodes \"n1\" is forbidden: node \"n1\" is not allowed to update configSource to a new non-nil configSource"
    );
    let created = label("node-restriction.kubernetes.io/x");
    assert_eq!(
        refusal("create :nodes - -", Some(&created), None).unwrap(),
        "nodes \"n1\" is forbidden: node \"n1\" is not allowed to set the following labels: node-restriction.kubernetes.io/x"
    );
    assert_eq!(refusal("create :nodes - -", Some(&old), None), None);
    let other = json!({ "metadata": { "name": "n3" } });
    assert_eq!(
        refusal("create :nodes - -", Some(&other), None).unwrap(),
        "nodes \"n3\" is forbidden: node \"n1\" is not allowed to modify node \"n3\""
    );
    assert_eq!(
        refusal("update :nodes/status - n2", Some(&other), Some(&other)).unwrap(),
        "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\""
    );
}

/// Who has a node's kubelet credential and not its SSH host key must not put another key in its place.
#[test]
fn a_nodes_recorded_host_key_is_not_the_nodes_to_write() {
    let recorded =
        |key: &str| node_with(json!({ "metadata": { "annotations": { "ravelin.dev/ssh-host-key": key } } }));
    let (none, own, other) = (node_with(json!({})), recorded("ssh-ed25519 A"), recorded("ssh-ed25519 B"));
    let modified = "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify the annotation ravelin.dev/ssh-host-key";
    for (new, old) in [(&own, &none), (&other, &own), (&none, &own)] {
        for part in ["nodes", "nodes/status"] {
            let refused = refusal(&format!("update :{part} - n1"), Some(new), Some(old));
            assert_eq!(refused.as_deref(), Some(modified), "{part}");
        }
    }
    assert_eq!(refusal("update :nodes - n1", Some(&own), Some(&own)), None, "leaving it is no change");
    assert_eq!(
        refusal("create :nodes - -", Some(&own), None).unwrap(),
        "nodes \"n1\" is forbidden: node \"n1\" is not allowed to set the annotation ravelin.dev/ssh-host-key"
    );
}

#[test]
fn a_node_may_touch_only_its_own_pods() {
    let (mine, theirs) = (pod_on("n1"), pod_on("n2"));
    let mut relabelled = mine.clone();
    relabelled["metadata"]["labels"]["a"] = json!("2");
    for (what, object, old, message) in [
        ("delete :pods default p-n1", None, None, None),
        (
            "delete :pods default p-n2",
            None,
            None,
            Some(
                "pods \"p-n2\" is forbidden: node \"n1\" can only delete pods with spec.nodeName set to itself",
            ),
        ),
        ("delete :pods default none", None, None, Some("pods \"none\" not found")),
        ("update :pods/status default p-n1", Some(&mine), Some(&mine), None),
        (
            "update :pods/status default p-n2",
            Some(&theirs),
            Some(&theirs),
            Some(
                "pods \"p-n2\" is forbidden: node \"n1\" can only update pod status for pods with spec.nodeName set to itself",
            ),
        ),
        (
            "update :pods/status default p-n1",
            Some(&relabelled),
            Some(&mine),
            Some("pods \"p-n1\" is forbidden: node \"n1\" cannot update labels through pod status"),
        ),
        ("create :pods/eviction default p-n1", None, None, None),
        (
            "create :pods/eviction default p-n2",
            None,
            None,
            Some("pods \"p-n2\" is forbidden: node n1 can only evict pods with spec.nodeName set to itself"),
        ),
    ] {
        assert_eq!(refusal(what, object, old).as_deref(), message, "{what}");
    }
    let update = refusal("update :pods default p-n1", Some(&mine), Some(&mine)).unwrap();
    assert_eq!(
        update,
        "pods \"p-n1\" is forbidden: unexpected operation \"UPDATE\", node \"n1\" can only create and delete mirror pods"
    );
    assert!(refusal("create :pods/exec default p-n1", None, None).is_some());
}

#[test]
fn a_node_creates_only_mirror_pods_that_refer_to_nothing() {
    let mirror = json!({
        "metadata": {
            "name": "m0",
            "namespace": "default",
            "annotations": { "kubernetes.io/config.mirror": "x" },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "node-uid", "controller": true }],
        },
        "spec": { "nodeName": "n1" },
    });
    let create = |change: Value| {
        let mut pod = mirror.clone();
        ravelin_api::merge_patch(&mut pod, &change);
        refusal("create :pods default -", Some(&pod), None)
    };
    assert_eq!(create(json!({})), None);
    assert_eq!(
        create(json!({ "metadata": { "annotations": null } })).unwrap(),
        "pods \"m0\" is forbidden: pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods"
    );
    let owner = |change: Value| {
        let mut owner = mirror["metadata"]["ownerReferences"][0].clone();
        ravelin_api::merge_patch(&mut owner, &change);
        json!({ "metadata": { "ownerReferences": [owner] } })
    };
    for (change, text) in [
        (json!({ "spec": { "nodeName": "n2" } }), "spec.nodeName set to itself"),
        (json!({ "metadata": { "ownerReferences": null } }), "an owner reference set to itself"),
        (owner(json!({ "name": "n2" })), "an owner reference set to itself"),
        (owner(json!({ "controller": null })), "a controller owner reference"),
        (owner(json!({ "blockOwnerDeletion": true })), "blockOwnerDeletion"),
        (owner(json!({ "uid": "other" })), "UID mismatch"),
        (json!({ "spec": { "serviceAccountName": "a" } }), "reference a service account"),
        (json!({ "spec": { "imagePullSecrets": [{ "name": "s" }] } }), "reference secrets"),
        (json!({ "spec": { "volumes": [{ "configMap": { "name": "c" } }] } }), "reference configmaps"),
    ] {
        let message = create(change).unwrap();
        assert!(message.contains(text), "{message}");
    }
}

#[test]
fn a_node_gets_tokens_only_for_its_own_pods() {
    let request = |name: &str, uid: &str, audiences: &[&str]| json!({ "spec": { "audiences": audiences, "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid } } });
    let ask = |request: &Value| refusal("create :serviceaccounts/token default default", Some(request), None);
    let refused = |why: &str| Some(format!("serviceaccounts \"default\" is forbidden: {why}"));
    assert_eq!(ask(&request("p-n1", "u-n1", &[])), None);
    assert_eq!(ask(&json!({ "spec": {} })), refused("node requested token not bound to a pod"));
    assert_eq!(
        ask(&json!({ "spec": { "boundObjectRef": { "apiVersion": "v1", "kind": "Secret", "name": "s" } } })),
        refused("node requested token not bound to a pod")
    );
    assert_eq!(
        ask(&request("p-n1", "", &[])),
        refused("node requested token with a pod binding without a uid")
    );
    assert_eq!(
        ask(&request("p-n2", "u-n2", &[])),
        refused("node requested token bound to a pod scheduled on a different node")
    );
    assert_eq!(
        ask(&request("p-n1", "u-n1", &["vault"])),
        refused(
            "audience \"vault\" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience"
        )
    );
    assert!(ask(&request("p-n1", "u-n1", &["", "vault"])).is_some());
    assert!(ask(&request("p-n1", "older", &[])).unwrap().contains("does not match the UID in record"));
    assert_eq!(ask(&request("none", "u", &[])).unwrap(), "pod \"none\" not found");
}

#[test]
fn a_node_asks_only_for_its_own_certificate_and_lease() {
    let lease = |name: &str| json!({ "metadata": { "name": name } });
    let create =
        |lease: &Value| refusal("create coordination.k8s.io:leases kube-node-lease -", Some(lease), None);
    assert_eq!(create(&lease("n1")), None);
    assert_eq!(
        create(&lease("n2")).unwrap(),
        "leases.coordination.k8s.io \"n2\" is forbidden: can only access node lease with the same name as the requesting node"
    );
    assert!(
        refusal("update coordination.k8s.io:leases kube-node-lease n2", Some(&lease("n1")), None).is_some()
    );
    assert!(refusal("create coordination.k8s.io:leases default -", Some(&lease("n1")), None).is_some());

    let key = KeyPair::generate(&mut Entropy::from_key([1; 32]));
    let request = |node: &str| {
        let pem =
            SigningRequest::create(&Subject::new(format!("system:node:{node}"), &[names::NODES]), &[], &key);
        base64::engine::general_purpose::STANDARD.encode(pem)
    };
    let ask = |request: &str, signer: &str| {
        let object = json!({ "metadata": { "name": "c" }, "spec": { "request": request, "signerName": format!("kubernetes.io/{signer}") } });
        refusal("create certificates.k8s.io:certificatesigningrequests - -", Some(&object), None)
    };
    for signer in ["kube-apiserver-client-kubelet", "kubelet-serving"] {
        assert_eq!(ask(&request("n1"), signer), None);
        assert!(
            ask(&request("n2"), signer)
                .unwrap()
                .ends_with("can only create a node CSR with CN=system:node:n1")
        );
        assert!(ask("junk", signer).unwrap().ends_with("unable to parse csr"));
    }
}

#[test]
fn older_versions_restrict_nodes_less() {
    let key = KeyPair::generate(&mut Entropy::from_key([1; 32]));
    let pem = SigningRequest::create(&Subject::new("system:node:n2", &[names::NODES]), &[], &key);
    let request = base64::engine::general_purpose::STANDARD.encode(pem);
    let of_other = json!({ "metadata": { "name": "c" },
        "spec": { "request": request, "signerName": "kubernetes.io/kubelet-serving" } });
    let for_vault = json!({ "spec": { "audiences": ["vault"],
        "boundObjectRef": { "kind": "Pod", "apiVersion": "v1", "name": "p-n1", "uid": "u-n1" } } });
    let elsewhere = json!({ "spec": {
        "boundObjectRef": { "kind": "Pod", "apiVersion": "v1", "name": "p-n2", "uid": "u-n2" } } });
    let token = "create :serviceaccounts/token default default";
    for (what, object, since) in [
        ("create certificates.k8s.io:certificatesigningrequests - -", &of_other, 31),
        (token, &for_vault, 33),
        (token, &elsewhere, 0),
    ] {
        for minor in [12, 30, 31, 32, 33, 36] {
            let refused = refusal_in(minor, what, (Some(object), None));
            assert_eq!(refused.is_some(), minor >= since, "1.{minor} {what}: {refused:?}");
        }
    }
}

#[test]
fn only_nodes_are_restricted() {
    let user = UserInfo::new("system:node:n1", &["other"]);
    let nodes = GroupResource { group: "", resource: "nodes" };
    let write = Write {
        user: &user,
        operation: Operation::Delete,
        resource: nodes,
        subresource: "",
        namespace: "",
        name: "n2",
        object: None,
        old: None,
    };
    assert_eq!(admit_among(&objects(), &write, 36), Ok(()));
    let nameless = UserInfo::new("system:node:", &[names::NODES]);
    assert!(admit_among(&objects(), &Write { user: &nameless, ..write }, 36).is_err());
}

/// CVE-2025-5187: with an absent owner a node would be collected as garbage, and could come back.
#[test]
fn a_node_leaves_its_own_owner_references_alone() {
    let old = node_with(json!({}));
    let owned = node_with(json!({ "metadata": { "ownerReferences": [
        { "apiVersion": "v1", "kind": "ConfigMap", "name": "absent", "uid": "x" }] } }));
    let message = "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify ownerReferences";
    for part in ["nodes", "nodes/status"] {
        let update = format!("update :{part} - n1");
        assert_eq!(refusal(&update, Some(&owned), Some(&old)).as_deref(), Some(message), "{part}");
        assert_eq!(refusal_in(30, &update, (Some(&owned), Some(&old))), None, "before it was fixed");
    }
}

#[test]
fn a_node_writes_no_other_storage_than_its_own() {
    let csi = |name: &str| json!({ "metadata": { "name": name } });
    let refused = "csinodes.storage.k8s.io \"n2\" is forbidden: can only access CSINode with the same name as the requesting node";
    assert_eq!(refusal("create storage.k8s.io:csinodes - -", Some(&csi("n1")), None), None);
    let other = refusal("create storage.k8s.io:csinodes - -", Some(&csi("n2")), None);
    assert_eq!(other.as_deref(), Some(refused));
    let other = refusal("update storage.k8s.io:csinodes - n2", Some(&csi("n2")), Some(&csi("n2")));
    assert_eq!(other.as_deref(), Some(refused));
    let claim =
        json!({ "metadata": { "name": "c", "labels": {} }, "spec": {}, "status": { "phase": "Bound" } });
    let mut grown = claim.clone();
    grown["status"]["capacity"] = json!({ "storage": "2Gi" });
    let update = "update :persistentvolumeclaims/status default c";
    assert_eq!(refusal(update, Some(&grown), Some(&claim)), None);
    grown["metadata"]["finalizers"] = json!(["x"]);
    assert!(refusal(update, Some(&grown), Some(&claim)).unwrap().contains("is not allowed to update fields"));
    let whole = refusal("update :persistentvolumeclaims default c", Some(&grown), Some(&claim)).unwrap();
    assert!(whole.ends_with("may only update PVC status"), "{whole}");
}

#[test]
fn a_node_adds_no_claims_through_a_pods_status() {
    let old = pod_on("n1");
    let mut new = old.clone();
    new["status"] = json!({ "resourceClaimStatuses": [{ "name": "a", "resourceClaimName": "b" }] });
    let refused = refusal("update :pods/status default p-n1", Some(&new), Some(&old)).unwrap();
    assert!(refused.ends_with("node \"n1\" cannot update resource claim statues"), "{refused}");
}

#[test]
fn an_audience_comes_from_the_pod_its_driver_or_a_grant() {
    let mut pod = pod_on("n1");
    pod["spec"]["volumes"] = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "c" } }]);
    let objects = Objects::default()
        .with("pods", pod)
        .with(
            "persistentvolumeclaims",
            json!({ "metadata": { "name": "c", "namespace": "default" }, "spec": { "volumeName": "pv" } }),
        )
        .with(
            "persistentvolumes",
            json!({ "metadata": { "name": "pv" }, "spec": { "csi": { "driver": "d" } } }),
        )
        .with(
            "csidrivers",
            json!({ "metadata": { "name": "d" }, "spec": { "tokenRequests": [{ "audience": "vault" }] } }),
        );
    let user = n1();
    let admitted = |audience: &str| {
        let request = json!({ "spec": { "audiences": [audience], "boundObjectRef":
            { "apiVersion": "v1", "kind": "Pod", "name": "p-n1", "uid": "u-n1" } } });
        let write = Write {
            user: &user,
            operation: Operation::Create,
            resource: GroupResource { group: "", resource: "serviceaccounts" },
            subresource: "token",
            namespace: "default",
            name: "default",
            object: Some(&request),
            old: None,
        };
        admit_among(&objects, &write, 36).is_ok()
    };
    assert!(admitted("vault") && admitted("granted"));
    assert!(!admitted("") && !admitted("other"));
}
