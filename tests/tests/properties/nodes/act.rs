//! What the node asks for: anything, spelled in every way.

use super::super::stage::Ask;
use super::world::{ACCOUNTS, NAMESPACES, NODE, OBJECTS, PODS, World};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ravelin_api::{RESOURCES, Resource, object};
use ravelin_apiserver::Key;
use serde_json::{Value, json};

/// One request, drawn without knowledge of the cluster.
#[derive(Clone, Debug)]
pub struct Draw {
    pub verb: Verb,
    resource: Index,
    /// Nothing (twice as often), or one of the resource's subresources.
    subresource: Option<Index>,
    /// Aimed at what the node may have, where that is known?
    pub(super) is_own: bool,
    pub(super) pick: Index,
    pub(super) variant: u8,
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
            6 => format!(
                "fieldSelector=metadata.name%3D{name}&fieldSelector=metadata.name%3Do1&labelSelector=app%3Ds1"
            ),
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
            0 => vec![
                ("impersonate-user", "system:node:n2".to_owned()),
                ("impersonate-group", "system:nodes".to_owned()),
            ],
            1 => vec![
                ("impersonate-user", "admin".to_owned()),
                ("impersonate-group", "system:masters".to_owned()),
            ],
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
                ("DELETE", self.variant.is_multiple_of(2).then(|| json!({"gracePeriodSeconds": 0})))
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
            8 => {
                object["metadata"]["labels"] = json!({"node-restriction.kubernetes.io/x": "mine", "node-role.kubernetes.io/control-plane": ""})
            }
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
}
