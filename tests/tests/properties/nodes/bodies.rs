//! What the node would create: right, or wrong in one way.

use super::super::stage::chance;
use super::act::Draw;
use super::world::{AUDIENCE, NODE, OBJECTS, World, encoded, runs_here};
use ravelin_api::{Resource, object};
use ravelin_apiserver::Key;
use ravelin_pki::{KeyPair, SigningRequest, Subject};
use serde_json::{Value, json};

impl Draw {
    /// A new object of this kind.
    pub(super) fn created(
        &self,
        world: &World,
        (resource, subresource): (&'static Resource, &str),
        key: &Key,
    ) -> Value {
        let meta = |name: &str| json!({"name": name, "namespace": key.namespace});
        match (resource.plural, subresource) {
            ("pods", "eviction") => {
                json!({"kind": "Eviction", "apiVersion": "policy/v1", "metadata": meta(&key.name)})
            }
            ("pods", "binding") => {
                json!({"kind": "Binding", "apiVersion": "v1", "metadata": meta(&key.name), "target": {"kind": "Node", "name": NODE}})
            }
            ("pods", _) => self.mirror_pod(world, key),
            ("serviceaccounts", "token") => self.token_request(world, key),
            ("certificatesigningrequests", _) => self.signing_request(),
            ("nodes", _) => json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": key.name}}),
            ("leases", _) => json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
                "metadata": meta(&key.name), "spec": {"holderIdentity": NODE}}),
            ("subjectaccessreviews", _) => {
                json!({"kind": resource.kind, "apiVersion": resource.api_version(),
                "spec": {"user": "system:node:n2", "groups": ["system:nodes"], "resourceAttributes": {
                    "verb": "get", "resource": "secrets", "namespace": key.namespace, "name": key.name}}})
            }
            ("selfsubjectaccessreviews", _) => {
                json!({"kind": resource.kind, "apiVersion": resource.api_version(),
                "spec": {"resourceAttributes": {"verb": "list", "resource": "secrets"}}})
            }
            ("rolebindings" | "clusterrolebindings", _) => {
                json!({"kind": resource.kind, "apiVersion": resource.api_version(),
                "metadata": {"name": "mine"}, "subjects": [{"kind": "User", "name": "system:node:n1"}],
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}})
            }
            _ => {
                json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": {"name": "mine"}})
            }
        }
    }

    /// A pod that the node says it runs already, right or wrong in one way.
    fn mirror_pod(&self, world: &World, key: &Key) -> Value {
        let uid = world.store().get(&Key::cluster("nodes", NODE)).map(|node| object::uid(&node).to_owned());
        let mut pod = json!({"kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": format!("m{}", self.pick.index(3)), "namespace": key.namespace,
                "annotations": {"kubernetes.io/config.mirror": "x"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": NODE, "uid": uid, "controller": true}]},
            "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]}});
        let object = OBJECTS[usize::from(self.variant) % OBJECTS.len()];
        match self.variant % 16 {
            0 => pod["spec"]["serviceAccountName"] = json!("s1"),
            1 => pod["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": object}}]),
            2 => pod["spec"]["volumes"] = json!([{"name": "v", "configMap": {"name": object}}]),
            3 => pod["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": object}}]),
            4 => pod["spec"]["imagePullSecrets"] = json!([{"name": object}]),
            5 => {
                pod["spec"]["volumes"] =
                    json!([{"name": "v", "projected": {"sources": [{"secret": {"name": object}}]}}])
            }
            6 => pod["spec"]["nodeName"] = json!("n2"),
            7 => drop(pod["metadata"].as_object_mut().expect("it has metadata").remove("annotations")),
            8 => pod["metadata"]["ownerReferences"] = json!([]),
            9 => pod["metadata"]["name"] = json!(key.name),
            10 => {
                pod["spec"]["initContainers"] = json!([{"name": "i", "image": "i",
                "env": [{"name": "V", "valueFrom": {"secretKeyRef": {"name": object, "key": "key"}}}]}])
            }
            11 => pod["spec"]["serviceAccount"] = json!("s1"),
            12 => {
                pod["spec"]["volumes"] = json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}])
            }
            _ => {}
        }
        pod
    }

    /// A request for a token, right or wrong in one way.
    fn token_request(&self, world: &World, key: &Key) -> Value {
        let uses = |pod: &Value| {
            object::namespace(pod) == key.namespace
                && object::text(pod, "spec.serviceAccountName") == key.name
        };
        let pods = world.store().list("pods", None).0;
        let own = pods.iter().filter(|pod| runs_here(pod) && uses(pod));
        let other = pods.iter().filter(|pod| !runs_here(pod) && object::namespace(pod) == key.namespace);
        let own: Vec<&Value> = own.map(AsRef::as_ref).collect();
        let other: Vec<&Value> = other.map(AsRef::as_ref).collect();
        let pod = match (own.as_slice(), other.as_slice()) {
            ([], []) => return json!({"spec": {}}),
            (own, other) if other.is_empty() || self.is_own && !own.is_empty() => *self.pick.get(own),
            (_, other) => *self.pick.get(other),
        };
        let mut request = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {
            "expirationSeconds": 3600,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": object::name(pod), "uid": object::uid(pod)}}});
        match self.variant % 12 {
            0 => request["spec"]["boundObjectRef"]["uid"] = json!("another"),
            1 => request["spec"]["boundObjectRef"] = Value::Null,
            2 => {
                request["spec"]["boundObjectRef"] =
                    json!({"kind": "Secret", "apiVersion": "v1", "name": "o1"})
            }
            3 => drop(request["spec"]["boundObjectRef"].as_object_mut().expect("it is one").remove("uid")),
            4 => request["spec"]["audiences"] = json!(["elsewhere"]),
            5 => request["spec"]["audiences"] = json!([AUDIENCE]),
            6 => {
                request["spec"]["boundObjectRef"] = json!({"kind": "Node", "apiVersion": "v1", "name": NODE})
            }
            // What the pod's own volume asks for.
            _ if pod["spec"]["volumes"].to_string().contains(AUDIENCE) => {
                request["spec"]["audiences"] = json!([AUDIENCE]);
            }
            _ => {}
        }
        request
    }

    fn signing_request(&self) -> Value {
        let names = ["system:node:n1", "system:node:n2", "admin", "system:node:"];
        let signers = [
            "kubernetes.io/kube-apiserver-client-kubelet",
            "kubernetes.io/kubelet-serving",
            "kubernetes.io/kube-apiserver-client",
        ];
        let variant = usize::from(self.variant);
        let groups: &[&str] = if variant % 5 == 0 { &["system:masters"] } else { &["system:nodes"] };
        let subject = Subject::new(names[variant % 4], groups);
        let key = KeyPair::generate(&mut chance("signing request"));
        let pem = SigningRequest::create(&subject, &[], &key);
        let usage = if variant % 3 == 1 { "server auth" } else { "client auth" };
        json!({"kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1",
            "metadata": {"name": format!("r{}", self.pick.index(40))},
            "spec": {"request": encoded(&pem), "signerName": signers[variant % 3],
                "usages": ["digital signature", usage], "username": "system:node:n2"}})
    }
}
