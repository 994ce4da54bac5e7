//! What the node asks for: anything, spelled in every way.

use super::super::stage::Ask;
use super::world::{ACCOUNTS, AUDIENCE, NAMESPACES, NODE, OBJECTS, PODS, World, runs_here};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ravelin_api::{RESOURCES, Resource, object};
use ravelin_apiserver::Key;
use ravelin_pki::{KeyPair, SigningRequest, Subject};
use serde_json::{Value, json};

/// One request, drawn without knowledge of the cluster.
#[derive(Clone, Debug)]
pub struct Draw {
    pub verb: Verb,
    resource: Index,
    /// Nothing (twice as often), or one of the resource's subresources.
    subresource: Option<Index>,
    /// Aimed at what the node may have, where that is known?
    is_own: bool,
    pick: Index,
    variant: u8,
    spelling: u8,
    selector: u8,
    headers: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

const VERBS: [Verb; 12] = [
    Verb::Get,
    Verb::Get,
    Verb::Get,
    Verb::Create,
    Verb::Update,
    Verb::List,
    Verb::Watch,
    Verb::Create,
    Verb::Update,
    Verb::Patch,
    Verb::Delete,
    Verb::DeleteCollection,
];

/// Where most is to be had.
const FAVOURITES: [&str; 12] = [
    "pods",
    "secrets",
    "configmaps",
    "nodes",
    "leases",
    "serviceaccounts",
    "certificatesigningrequests",
    "pods",
    "secrets",
    "nodes",
    "pods",
    "serviceaccounts",
];

pub fn any_draw() -> impl Strategy<Value = Draw> {
    let what = (select(&VERBS[..]), any::<Index>(), prop::option::weighted(0.3, any::<Index>()));
    let whose = (prop::bool::weighted(0.6), any::<Index>());
    let how = (any::<u8>(), 0..50_u8, 0..8_u8, 0..50_u8);
    (what, whose, how).prop_map(
        |((verb, resource, subresource), (is_own, pick), (variant, spelling, selector, headers))| Draw {
            verb,
            resource,
            subresource,
            is_own,
            pick,
            variant,
            spelling,
            selector,
            headers,
        },
    )
}

/// A request, and what it is about.
pub struct Act {
    pub ask: Ask,
    pub resource: &'static Resource,
    pub subresource: &'static str,
    /// The object that it names.
    pub named: Option<Key>,
}

impl Draw {
    /// The request in this cluster.
    pub fn act(&self, world: &World) -> Act {
        let resource = self.resource();
        let parts = resource.subresources;
        let subresource = match self.subresource {
            Some(index) if !parts.is_empty() => parts[index.index(parts.len())],
            _ if resource.plural == "serviceaccounts" && self.verb == Verb::Create => "token",
            _ if self.writes_status(resource) => "status",
            _ => "",
        };
        let key = self.key(world, resource);
        let named = match self.verb {
            Verb::List | Verb::DeleteCollection => None,
            Verb::Watch | Verb::Create if subresource.is_empty() => None,
            _ => Some(key.clone()),
        };
        let mut path = match &named {
            Some(key) => resource.object_path(&key.namespace, &self.spelled_name(&key.name)),
            None => resource.path(&key.namespace),
        };
        if named.is_none() && self.spelling == 1 {
            path = resource.path("");
        }
        if !subresource.is_empty() {
            path = format!("{path}/{subresource}");
        }
        let (method, body) = self.method_and_body(world, (resource, subresource), &key);
        let mut ask = Ask::new(method, self.spelled(path, &key));
        ask.body = body.map(|body| body.to_string());
        if self.verb == Verb::Patch {
            ask.media_type = Some(match self.variant % 3 {
                0 => "application/merge-patch+json",
                1 => "application/strategic-merge-patch+json",
                _ => "application/json-patch+json",
            });
        }
        ask.headers = self.headers();
        Act { ask, resource, subresource, named }
    }

    /// What a node has most to write.
    fn writes_status(&self, resource: &Resource) -> bool {
        let writes = matches!(self.verb, Verb::Update | Verb::Patch);
        writes && matches!(resource.plural, "nodes" | "pods") && self.selector < 5
    }

    fn resource(&self) -> &'static Resource {
        // Most of the time.
        let index = self.resource.index(FAVOURITES.len() + 5);
        match FAVOURITES.get(index) {
            Some(plural) => RESOURCES.iter().find(|r| r.plural == *plural).expect("it is served"),
            None => &RESOURCES[self.resource.index(RESOURCES.len())],
        }
    }

    /// The object that it is about: one that the node may have, or any other.
    fn key(&self, world: &World, resource: &Resource) -> Key {
        let stored = ravelin_apiserver::store::resource_name(resource.plural, resource.group);
        if self.is_own {
            let own: Vec<Key> = match resource.plural {
                "nodes" => vec![Key::cluster("nodes", NODE)],
                "leases" => vec![Key::namespaced(&stored, "kube-node-lease", NODE)],
                "serviceaccounts" => world
                    .own_pods()
                    .iter()
                    .map(|pod| {
                        let account = object::text(pod, "spec.serviceAccountName");
                        Key::namespaced("serviceaccounts", object::namespace(pod), account)
                    })
                    .collect(),
                _ => world.readable().into_iter().filter(|key| key.resource == stored).collect(),
            };
            if !own.is_empty() {
                return self.pick.get(&own).clone();
            }
        }
        let namespace = if resource.namespaced { *self.pick.get(&NAMESPACES) } else { "" };
        let any = |names: &[&str]| names[(usize::from(self.variant) / 3) % names.len()].to_owned();
        let (namespace, name) = match resource.plural {
            "nodes" => (namespace, any(&["n2", "n3", "n4", "n5", "n1"])),
            "leases" => ("kube-node-lease", any(&["n2", "n3", "n1", "x"])),
            "pods" => (namespace, any(&PODS)),
            "serviceaccounts" => (namespace, any(&ACCOUNTS)),
            _ => (namespace, any(&OBJECTS)),
        };
        Key::namespaced(&stored, namespace, &name)
    }

    fn spelled_name(&self, name: &str) -> String {
        match self.spelling {
            2 => name.bytes().map(|byte| format!("%{byte:02x}")).collect(),
            3 => format!("{name}%2F..%2F{name}"),
            4 => name.to_uppercase(),
            _ => name.to_owned(),
        }
    }

    /// The path in one of its spellings, with the selector where the verb takes one.
    fn spelled(&self, path: String, key: &Key) -> String {
        let watched = |path: &str| path.replacen("/v1/", "/v1/watch/", 1);
        let mut path = match self.spelling {
            5 => format!("{path}/"),
            6 => path.replace("/namespaces", "//namespaces"),
            7 if self.verb == Verb::Watch => return format!("{}?timeoutSeconds=5", watched(&path)),
            8 => path.replace("/api/v1/", "/api//v1/"),
            9 if self.verb == Verb::Get => watched(&path),
            _ => path,
        };
        if matches!(self.verb, Verb::Get | Verb::Create | Verb::Update | Verb::Patch | Verb::Delete) {
            return path;
        }
        let name = &key.name;
        let selector = match self.selector {
            0 | 1 => format!("fieldSelector=spec.nodeName%3D{NODE}"),
            2 | 3 => format!("fieldSelector=metadata.name%3D{name}"),
            4 => format!("fieldSelector=metadata.name%3D{name}%2Cspec.nodeName%3D{NODE}"),
            5 => "fieldSelector=spec.nodeName%3Dn2".to_owned(),
            6 => format!("fieldSelector=metadata.name%3D{name}&fieldSelector=metadata.name%3Do1&labelSelector=app%3Ds1"),
            _ => "limit=3".to_owned(),
        };
        path = format!("{path}?{selector}");
        if self.verb == Verb::Watch {
            path += "&watch=true";
        }
        path
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        match self.headers {
            0 => vec![("impersonate-user", "system:node:n2".to_owned()), ("impersonate-group", "system:nodes".to_owned())],
            1 => vec![("impersonate-user", "admin".to_owned()), ("impersonate-group", "system:masters".to_owned())],
            2 => vec![("x-remote-user", "admin".to_owned()), ("x-remote-group", "system:masters".to_owned())],
            _ => Vec::new(),
        }
    }

    fn method_and_body(
        &self,
        world: &World,
        (resource, subresource): (&'static Resource, &str),
        key: &Key,
    ) -> (&'static str, Option<Value>) {
        let present = || world.store().get(key).map(|object| object.as_ref().clone());
        let empty = || json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": {"name": key.name}});
        match self.verb {
            Verb::Get | Verb::List | Verb::Watch => ("GET", None),
            Verb::Delete | Verb::DeleteCollection => {
                ("DELETE", (self.variant % 2 == 0).then(|| json!({"gracePeriodSeconds": 0})))
            }
            Verb::Create => ("POST", Some(self.created(world, (resource, subresource), key))),
            Verb::Update => {
                let mut object = present().unwrap_or_else(empty);
                self.meddle(world, &mut object);
                ("PUT", Some(object))
            }
            Verb::Patch if self.variant % 3 == 2 => ("PATCH", Some(self.json_patch())),
            Verb::Patch => {
                let mut object = json!({});
                self.meddle(world, &mut object);
                ("PATCH", Some(object))
            }
        }
    }

    /// Changes an object in one way; it may be the whole object or a patch.
    fn meddle(&self, world: &World, object: &mut Value) {
        let uid = world.store().get(&Key::cluster("nodes", NODE)).map(|node| object::uid(&node).to_owned());
        match self.variant / 3 % 13 {
            0 | 1 | 2 | 11 | 12 => object["status"]["phase"] = json!(format!("Failed{}", self.pick.index(9))),
            3 => object["metadata"]["labels"] = json!({"app": "mine"}),
            4 => object["metadata"]["annotations"]["note"] = json!("mine"),
            5 => object["spec"]["nodeName"] = json!(NODE),
            6 => object["spec"]["taints"] = json!([]),
            7 => {
                object["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Node", "name": NODE,
                    "uid": uid, "controller": true}]);
            }
            8 => object["metadata"]["labels"] = json!({"node-restriction.kubernetes.io/x": "mine", "node-role.kubernetes.io/control-plane": ""}),
            9 => object["spec"]["holderIdentity"] = json!("mine"),
            _ => object["data"] = json!({"key": "bWluZQ=="}),
        }
    }

    fn json_patch(&self) -> Value {
        let (path, value) = match self.variant / 3 % 7 {
            0 | 1 => ("/status/phase", json!("Failed")),
            2 => ("/metadata/labels/app", json!("mine")),
            3 => ("/spec/nodeName", json!(NODE)),
            4 => ("/spec/taints", json!([])),
            5 => ("/metadata/annotations/note", json!("mine")),
            _ => ("/spec/holderIdentity", json!("mine")),
        };
        json!([{"op": "add", "path": path, "value": value}])
    }

    fn created(&self, world: &World, (resource, subresource): (&'static Resource, &str), key: &Key) -> Value {
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
            ("subjectaccessreviews", _) => json!({"kind": resource.kind, "apiVersion": resource.api_version(),
                "spec": {"user": "system:node:n2", "groups": ["system:nodes"], "resourceAttributes": {
                    "verb": "get", "resource": "secrets", "namespace": key.namespace, "name": key.name}}}),
            ("selfsubjectaccessreviews", _) => json!({"kind": resource.kind, "apiVersion": resource.api_version(),
                "spec": {"resourceAttributes": {"verb": "list", "resource": "secrets"}}}),
            ("rolebindings" | "clusterrolebindings", _) => json!({"kind": resource.kind, "apiVersion": resource.api_version(),
                "metadata": {"name": "mine"}, "subjects": [{"kind": "User", "name": "system:node:n1"}],
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}}),
            _ => json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": {"name": "mine"}}),
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
            5 => pod["spec"]["volumes"] = json!([{"name": "v", "projected": {"sources": [{"secret": {"name": object}}]}}]),
            6 => pod["spec"]["nodeName"] = json!("n2"),
            7 => drop(pod["metadata"].as_object_mut().expect("it has metadata").remove("annotations")),
            8 => pod["metadata"]["ownerReferences"] = json!([]),
            9 => pod["metadata"]["name"] = json!(key.name),
            10 => pod["spec"]["initContainers"] = json!([{"name": "i", "image": "i",
                "env": [{"name": "V", "valueFrom": {"secretKeyRef": {"name": object, "key": "key"}}}]}]),
            11 => pod["spec"]["serviceAccount"] = json!("s1"),
            12 => pod["spec"]["volumes"] = json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]),
            _ => {}
        }
        pod
    }

    /// A request for a token, right or wrong in one way.
    fn token_request(&self, world: &World, key: &Key) -> Value {
        let uses = |pod: &Value| {
            object::namespace(pod) == key.namespace && object::text(pod, "spec.serviceAccountName") == key.name
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
            2 => request["spec"]["boundObjectRef"] = json!({"kind": "Secret", "apiVersion": "v1", "name": "o1"}),
            3 => drop(request["spec"]["boundObjectRef"].as_object_mut().expect("it is one").remove("uid")),
            4 => request["spec"]["audiences"] = json!(["elsewhere"]),
            5 => request["spec"]["audiences"] = json!([AUDIENCE]),
            6 => request["spec"]["boundObjectRef"] = json!({"kind": "Node", "apiVersion": "v1", "name": NODE}),
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
        let key = KeyPair::generate(&mut super::super::stage::chance("signing request"));
        let pem = SigningRequest::create(&subject, &[], &key);
        let usage = if variant % 3 == 1 { "server auth" } else { "client auth" };
        json!({"kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1",
            "metadata": {"name": format!("r{}", self.pick.index(40))},
            "spec": {"request": super::world::encoded(&pem), "signerName": signers[variant % 3],
                "usages": ["digital signature", usage], "username": "system:node:n2"}})
    }
}
