//! Objects as tables: the cells that `kubectl get` shows.

use super::stage::{As, Stage, read};
use http_body_util::BodyExt;
use ravelin_api::time;
use ravelin_transport::body;
use serde_json::{Value, json};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

impl Stage {
    /// What a path answers to who accepts this: the code, the media type, the body.
    async fn accepting(&self, accept: &str, path: &str) -> (u16, String, Value) {
        let request = http::Request::builder().uri(path).header("accept", accept).body(body::empty());
        let answer = self.send(&self.admin(), request.unwrap()).await;
        let code = answer.status().as_u16();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        let (bytes, _) = read(answer).await;
        (code, kind, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn rows(&self, path: &str) -> Vec<Value> {
        let (code, _, table) = self.accepting(TABLE, path).await;
        assert_eq!((code, table["kind"].as_str()), (200, Some("Table")), "{path}");
        let columns = table["columnDefinitions"].as_array().unwrap().len();
        let rows = table["rows"].as_array().unwrap();
        assert!(rows.iter().all(|row| row["cells"].as_array().unwrap().len() == columns), "{path}");
        rows.iter().map(|row| row["cells"].clone()).collect()
    }

    /// A time so many seconds ago.
    fn ago(&self, seconds: i64) -> String {
        time::format(self.api_host.now() - jiff::SignedDuration::from_secs(seconds))
    }
}

fn pod(name: &str, spec: Value, status: Value) -> Value {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"name": "a"}, {"name": "b"}]);
    }
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"},
        "spec": spec, "status": status})
}

fn running(ready: bool, restarts: u32) -> Value {
    json!({"name": "a", "ready": ready, "restartCount": restarts, "state": {"running": {}}})
}

fn waiting(reason: &str) -> Value {
    json!({"name": "a", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": reason}}})
}

fn ended(code: u32, reason: &str) -> Value {
    json!({"name": "a", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": code, "reason": reason}}})
}

#[tokio::test]
async fn pods_show_in_one_word_what_their_containers_do() {
    let stage = Stage::new().await;
    let running_status = |statuses: Value| json!({"phase": "Running", "containerStatuses": statuses});
    let sidecar = json!({"initContainers": [{"name": "i", "restartPolicy": "Always"}]});
    let mut restarted = running(true, 3);
    restarted["lastState"] = json!({"terminated": {"exitCode": 1, "finishedAt": stage.ago(300)}});
    for (name, spec, status, shown) in [
        ("pending", json!({}), json!({"phase": "Pending"}), ["0/2", "Pending", "0"]),
        (
            "up",
            json!({}),
            running_status(json!([running(true, 0), running(true, 0)])),
            ["2/2", "Running", "0"],
        ),
        (
            "half",
            json!({}),
            running_status(json!([running(true, 1), running(false, 1)])),
            ["1/2", "Running", "2"],
        ),
        ("again", json!({}), running_status(json!([restarted])), ["1/2", "Running", "3 (5m ago)"]),
        (
            "pull",
            json!({}),
            json!({"phase": "Pending", "containerStatuses": [waiting("ImagePullBackOff")]}),
            ["0/2", "ImagePullBackOff", "0"],
        ),
        (
            "done",
            json!({}),
            json!({"phase": "Succeeded", "containerStatuses": [ended(0, "Completed")]}),
            ["0/2", "Completed", "0"],
        ),
        (
            "failed",
            json!({}),
            json!({"phase": "Failed", "containerStatuses": [ended(7, "")]}),
            ["0/2", "ExitCode:7", "0"],
        ),
        (
            "partly",
            json!({}),
            running_status(json!([ended(0, "Completed"), running(true, 0)])),
            ["1/2", "NotReady", "0"],
        ),
        (
            "init",
            json!({"initContainers": [{"name": "i"}, {"name": "j"}]}),
            json!({"phase": "Pending", "initContainerStatuses": [ended(0, "Completed"), waiting("PodInitializing")]}),
            ["0/2", "Init:1/2", "0"],
        ),
        (
            "initfails",
            json!({"initContainers": [{"name": "i"}]}),
            json!({"phase": "Pending", "initContainerStatuses": [ended(3, "Error")]}),
            ["0/2", "Init:Error", "0"],
        ),
        (
            "sidecar",
            sidecar,
            json!({"phase": "Running",
            "initContainerStatuses": [{"name": "i", "ready": true, "started": true, "restartCount": 2,
                "state": {"running": {}}}],
            "containerStatuses": [running(true, 0), running(true, 1)]}),
            ["3/3", "Running", "3"],
        ),
        (
            "gated",
            json!({}),
            json!({"phase": "Pending", "conditions":
            [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}),
            ["0/2", "SchedulingGated", "0"],
        ),
        ("evicted", json!({}), json!({"phase": "Failed", "reason": "Evicted"}), ["0/2", "Evicted", "0"]),
    ] {
        stage.given(pod(name, spec, status));
        let rows = stage.rows(&format!("/api/v1/namespaces/default/pods/{name}")).await;
        let [ready, word, restarts] = shown;
        assert_eq!(
            rows[0],
            json!([name, ready, word, restarts, "0s", "<none>", "<none>", "<none>", "<none>"])
        );
    }
}

#[tokio::test]
async fn a_pod_that_is_being_deleted_says_so_and_shows_where_it_is() {
    let stage = Stage::new().await;
    let spec = json!({"nodeName": "n1", "terminationGracePeriodSeconds": 30, "readinessGates": [{"conditionType": "x/y"}, {"conditionType": "z"}]});
    let status = json!({"phase": "Running", "podIP": "10.244.1.5", "podIPs": [{"ip": "10.244.1.5"}],
        "conditions": [{"type": "z", "status": "True"}]});
    stage.given(pod("p", spec, status));
    let path = "/api/v1/namespaces/default/pods/p";
    assert_eq!(stage.ask(&stage.admin(), &format!("DELETE {path}"), None).await.0, 200);
    let expected = json!(["p", "0/2", "Terminating", "0", "0s", "10.244.1.5", "n1", "<none>", "1/2"]);
    assert_eq!(stage.rows(path).await, [expected]);
}

#[tokio::test]
async fn the_columns_of_each_kind_are_kubectls() {
    let stage = Stage::new().await;
    for (path, columns) in [
        ("/api/v1/pods", "Name Ready Status Restarts Age IP Node Nominated-Node Readiness-Gates"),
        (
            "/api/v1/nodes",
            "Name Status Roles Age Version Internal-IP External-IP OS-Image Kernel-Version Container-Runtime",
        ),
        ("/api/v1/services", "Name Type Cluster-IP External-IP Port(s) Age Selector"),
        ("/api/v1/events", "Last-Seen Type Reason Object Subobject Source Message First-Seen Count Name"),
        ("/apis/rbac.authorization.k8s.io/v1/roles", "Name Created-At"),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "Name Created-At"),
        ("/apis/rbac.authorization.k8s.io/v1/rolebindings", "Name Role Age Users Groups ServiceAccounts"),
        (
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
            "Name Age SignerName Requestor RequestedDuration Condition",
        ),
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age",
        ),
    ] {
        let (_, _, table) = stage.accepting(TABLE, path).await;
        let definitions = table["columnDefinitions"].as_array().unwrap();
        let names: Vec<String> =
            definitions.iter().map(|c| c["name"].as_str().unwrap().replace(' ', "-")).collect();
        assert_eq!(names.join(" "), columns, "{path}");
        assert!(definitions.iter().all(|c| !c["description"].as_str().unwrap().is_empty()));
    }
}

#[tokio::test]
async fn every_kind_has_the_cells_that_kubectl_shows() {
    let stage = Stage::new().await;
    let created = stage.ago(0);
    for (object, cells) in [
        (
            json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "x", "labels":
                {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/etcd": "true", "kubernetes.io/role": "a"}},
                "spec": {"unschedulable": true},
                "status": {"conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "Hostname", "address": "x"}, {"type": "InternalIP", "address": "198.18.0.2"}],
                    "nodeInfo": {"kubeletVersion": "v1.33.0", "osImage": "an OS"}}}),
            json!([
                "x",
                "Ready,SchedulingDisabled",
                "a,etcd,worker",
                "0s",
                "v1.33.0",
                "198.18.0.2",
                "<none>",
                "an OS",
                "<unknown>",
                "<unknown>"
            ]),
        ),
        (
            json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "x"}, "spec": {"type": "NodePort",
                "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "selector": {"b": "2", "a": "1"},
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}),
            json!(["x", "NodePort", "10.96.0.9", "<none>", "80:30080/TCP,53/UDP", "0s", "a=1,b=2"]),
        ),
        (
            json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "lb"}, "spec": {"type": "LoadBalancer",
                "clusterIP": "10.96.0.9", "externalIPs": ["1.2.3.4"]}}),
            json!(["lb", "LoadBalancer", "10.96.0.9", "1.2.3.4", "<none>", "0s", "<none>"]),
        ),
        (
            json!({"kind": "Endpoints", "apiVersion": "v1", "metadata": {"name": "x"}, "subsets": [
                {"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80}, {"port": 81}]}]}),
            json!(["x", "10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...", "0s"]),
        ),
        (
            json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": {"name": "x"},
                "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": []}),
            json!(["x", "IPv4", "80", "<unset>", "0s"]),
        ),
        (
            json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "x"}, "type": "Opaque", "data": {"a": "MQ=="}}),
            json!(["x", "Opaque", 1, "0s"]),
        ),
        (
            json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"a": "1"}, "binaryData": {"b": "MQ=="}}),
            json!(["x", 2, "0s"]),
        ),
        (
            json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "x"}}),
            json!(["x", 0, "0s"]),
        ),
        (
            json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "x"}, "spec": {"holderIdentity": "h"}}),
            json!(["x", "h", "0s"]),
        ),
        (
            json!({"kind": "Event", "apiVersion": "v1", "metadata": {"name": "x"}, "type": "Warning", "reason": "Failed",
                "message": " no \n", "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"},
                "firstTimestamp": stage.ago(70), "lastTimestamp": stage.ago(7), "count": 4,
                "source": {"component": "kubelet", "host": "n1"}}),
            json!(["7s", "Warning", "Failed", "pod/p", "spec", "kubelet, n1", "no", "70s", 4, "x"]),
        ),
        (
            json!({"kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "x"},
                "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"},
                {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]}),
            json!(["x", "Role/r", "0s", "u, v", "", "n/s"]),
        ),
        (
            json!({"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "x"}}),
            json!(["x", created]),
        ),
        (
            json!({"kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1", "metadata": {"name": "x"},
                "spec": {"signerName": "s", "username": "u", "expirationSeconds": 86400},
                "status": {"conditions": [{"type": "Approved", "status": "True"}], "certificate": "eA=="}}),
            json!(["x", "0s", "s", "u", "24h", "Approved,Issued"]),
        ),
        (
            json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": "x"},
                "spec": {"volumeName": "v", "storageClassName": "s", "volumeMode": "Filesystem"},
                "status": {"phase": "Bound", "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "capacity": {"storage": "1Gi"}}}),
            json!(["x", "Bound", "v", "1Gi", "RWO,RWX", "s", "<unset>", "0s", "Filesystem"]),
        ),
    ] {
        let kind = object["kind"].as_str().unwrap();
        let resource = ravelin_api::Resource::of_kind(object["apiVersion"].as_str().unwrap(), kind).unwrap();
        let namespace = if resource.namespaced { "default" } else { "" };
        let mut object = object.clone();
        object["metadata"]["namespace"] = json!("default");
        let path = resource.object_path(namespace, object["metadata"]["name"].as_str().unwrap());
        stage.given(object);
        assert_eq!(stage.rows(&path).await, [cells]);
    }
}

#[tokio::test]
async fn a_row_carries_as_much_of_its_object_as_is_wanted() {
    let stage = Stage::new().await;
    stage.given(pod("p", json!({}), json!({"phase": "Succeeded"})));
    let path = "/api/v1/namespaces/default/pods";
    let (_, kind, table) = stage.accepting(TABLE, &format!("{path}?limit=1")).await;
    assert_eq!((kind.as_str(), table["apiVersion"].as_str()), ("application/json", Some("meta.k8s.io/v1")));
    let row = &table["rows"][0];
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
    assert_eq!((&row["object"]["metadata"]["name"], row["object"].get("spec")), (&json!("p"), None));
    assert_eq!(row["conditions"][0]["type"], "Completed");
    assert!(table["metadata"]["resourceVersion"].as_str().is_some_and(|version| version != "0"));
    let (_, _, table) = stage.accepting(TABLE, &format!("{path}?includeObject=None")).await;
    assert_eq!(table["rows"][0]["object"], Value::Null);
    let (_, _, table) = stage.accepting(TABLE, &format!("{path}/p?includeObject=Object")).await;
    assert_eq!(
        (&table["rows"][0]["object"]["kind"], table["rows"][0]["object"]["spec"].is_object()),
        (&json!("Pod"), true)
    );
    let (code, _, status) = stage.accepting(TABLE, &format!("{path}?includeObject=All")).await;
    let why = "Unable to convert to Table as requested: includeObject: Invalid value: \"All\": must be 'Metadata', 'Object', 'None', or empty";
    assert_eq!((code, &status["message"]), (400, &json!(why)));
    let beta = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
    let (_, _, table) = stage.accepting(beta, path).await;
    assert_eq!(table["apiVersion"], "meta.k8s.io/v1beta1");
    let (code, kind, _) = stage.accepting("application/yaml;as=Table;v=v1;g=meta.k8s.io", path).await;
    assert_eq!((code, kind.as_str()), (200, "application/yaml"));
    let (code, _, status) = stage.accepting(TABLE, &format!("{path}/nope")).await;
    assert_eq!((code, &status["kind"]), (404, &json!("Status")));
    let (code, _, status) = stage.accepting("application/json;as=Table;v=v9;g=meta.k8s.io", path).await;
    let accepted = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    assert_eq!((code, &status["message"]), (406, &json!(accepted)));
}

#[tokio::test]
async fn a_watch_of_tables_names_the_columns_once() {
    let stage = Stage::new().await;
    for name in ["p", "q"] {
        stage.given(pod(name, json!({}), json!({"phase": "Pending"})));
    }
    let uri = "/api/v1/namespaces/default/pods?watch=true";
    let request = http::Request::builder().uri(uri).header("accept", TABLE).body(body::empty()).unwrap();
    let mut events = stage
        .send(&As::Certificate(stage.issuer.client("admin", &["system:masters"])), request)
        .await
        .into_body();
    let mut text = String::new();
    while text.lines().count() < 2 {
        let frame = events.frame().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (event, name) in events.iter().zip(["p", "q"]) {
        assert_eq!((&event["type"], &event["object"]["kind"]), (&json!("ADDED"), &json!("Table")));
        assert_eq!(event["object"]["rows"][0]["cells"][0], name);
        assert_eq!(event["object"]["columnDefinitions"].is_array(), name == "p");
    }
}
