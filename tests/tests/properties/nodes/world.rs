//! The cluster in which a node asks: other nodes, pods, and what these refer to. Every secret thing
//! bears a word of its own.

use super::super::stage::{Stage, account, namespace};
use proptest::prelude::*;
use proptest::sample::select;
use ravelin_api::object;
use ravelin_apiserver::store::{Precondition, Step, StoreError};
use ravelin_apiserver::{Key, Store};
use ravelin_host::Flaws;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The node whose identity asks.
pub const NODE: &str = "n1";
pub const NAMESPACES: [&str; 2] = ["a", "b"];
/// Secrets and config maps bear these names in each namespace; service accounts too.
pub const OBJECTS: [&str; 6] = ["o1", "o2", "o3", "o4", "o5", "o6"];
pub const ACCOUNTS: [&str; 3] = ["s1", "s2", "s3"];
pub const PODS: [&str; 5] = ["p1", "p2", "p3", "p4", "p5"];
/// The audience that pods' own volumes ask for.
pub const AUDIENCE: &str = "vault";

/// How a pod comes to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Volume,
    Projected,
    Variable,
    WholeEnvironment,
    InitContainer,
    PullSecret,
}

pub const WAYS: [Way; 6] =
    [Way::Volume, Way::Projected, Way::Variable, Way::WholeEnvironment, Way::InitContainer, Way::PullSecret];

/// A pod as it is drawn.
#[derive(Clone, Debug)]
pub struct PodPlan {
    pub namespace: &'static str,
    pub name: &'static str,
    /// The node's number; 0 for none yet.
    pub node: usize,
    pub account: &'static str,
    pub secrets: Vec<(Way, &'static str)>,
    pub configmaps: Vec<(Way, &'static str)>,
    /// Does it ask for a token for [`AUDIENCE`]?
    pub for_audience: bool,
}

pub fn any_pod() -> impl Strategy<Value = PodPlan> {
    let refers = || prop::collection::vec((select(&WAYS[..]), select(&OBJECTS[..])), 0..3);
    let place = (select(&NAMESPACES[..]), select(&PODS[..]), select(vec![0, 1, 1, 1, 2, 2, 3, 4, 5]));
    (place, select(&ACCOUNTS[..]), refers(), refers(), any::<bool>()).prop_map(
        |((namespace, name, node), account, secrets, configmaps, for_audience)| PodPlan {
            namespace,
            name,
            node,
            account,
            secrets,
            configmaps,
            for_audience,
        },
    )
}

/// A change that somebody else makes.
#[derive(Clone, Debug)]
pub enum Honest {
    /// A pod comes, scheduled or not.
    Comes(PodPlan),
    /// The scheduler places a pod that waits.
    Placed(&'static str, &'static str, usize),
    /// A pod goes.
    Goes(&'static str, &'static str),
    /// A secret gets another content.
    Rotated(&'static str, &'static str),
    /// A secret is deleted and made again.
    Remade(&'static str, &'static str),
}

pub fn any_change() -> impl Strategy<Value = Honest> {
    let pod = || (select(&NAMESPACES[..]), select(&PODS[..]));
    let object = || (select(&NAMESPACES[..]), select(&OBJECTS[..]));
    prop_oneof![
        3 => any_pod().prop_map(Honest::Comes),
        2 => (pod(), select(vec![1, 1, 2, 3, 4])).prop_map(|((namespace, name), node)| Honest::Placed(namespace, name, node)),
        2 => pod().prop_map(|(namespace, name)| Honest::Goes(namespace, name)),
        1 => object().prop_map(|(namespace, name)| Honest::Rotated(namespace, name)),
        1 => object().prop_map(|(namespace, name)| Honest::Remade(namespace, name)),
    ]
}

/// The cluster, and what of it the node may know.
pub struct World {
    pub stage: Stage,
    nodes: usize,
    /// How many words were given out.
    words: usize,
    /// For each word, the object that bears it.
    pub bearers: BTreeMap<String, Key>,
}

impl World {
    pub async fn new(nodes: usize, pods: &[PodPlan], flaws: Flaws) -> Self {
        let stage = Stage::flawed(flaws, |_| {}).await;
        let mut world = Self { stage, nodes, words: 0, bearers: BTreeMap::new() };
        for name in NAMESPACES {
            world.stage.given(namespace(name));
            for name_of_account in ACCOUNTS.iter().chain(&["default"]) {
                world.stage.given(account(name, name_of_account));
            }
            for object in OBJECTS {
                world.store_secret(name, object);
                world.store_configmap(name, object);
            }
        }
        for number in 1..=nodes {
            let word = world.word(Key::cluster("nodes", &node_name(number)));
            world.stage.given(json!({"kind": "Node", "apiVersion": "v1",
                "metadata": {"name": node_name(number), "annotations": {"note": word},
                    "labels": {"node-role.kubernetes.io/worker": "", "tier": "x"}},
                "spec": {"taints": [{"key": "dedicated", "effect": "NoSchedule"}]},
                "status": {"phase": "x"}}));
            world.stage.given(json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
                "metadata": {"name": node_name(number), "namespace": "kube-node-lease"},
                "spec": {"holderIdentity": node_name(number)}}));
        }
        for pod in pods {
            world.change(&Honest::Comes(pod.clone()));
        }
        world
    }

    pub fn store(&self) -> Arc<Store> {
        self.stage.store()
    }

    /// A number drawn for any cluster, as the name of a node of this one; 0 is none.
    pub fn node(&self, number: usize) -> String {
        if number == 0 { String::new() } else { node_name((number - 1) % self.nodes + 1) }
    }

    /// A word that nothing else bears.
    fn word(&mut self, bearer: Key) -> String {
        self.words += 1;
        let word = format!("canary{:05}yranac", self.words);
        self.bearers.insert(word.clone(), bearer);
        word
    }

    fn store_secret(&mut self, namespace: &str, name: &str) {
        let word = self.word(Key::namespaced("secrets", namespace, name));
        self.stage.given(json!({"kind": "Secret", "apiVersion": "v1", "type": "Opaque",
            "metadata": {"namespace": namespace, "name": name}, "data": {"key": encoded(&word)}}));
    }

    fn store_configmap(&mut self, namespace: &str, name: &str) {
        let word = self.word(Key::namespaced("configmaps", namespace, name));
        self.stage.given(json!({"kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"namespace": namespace, "name": name}, "data": {"key": word}}));
    }

    /// Somebody else changes something; where there is nothing to change, nothing happens.
    pub fn change(&mut self, change: &Honest) {
        let store = self.store();
        match change {
            Honest::Comes(plan) => {
                let key = Key::namespaced("pods", plan.namespace, plan.name);
                if store.get(&key).is_none() {
                    let word = self.word(key);
                    let node = self.node(plan.node);
                    self.stage.given(pod(plan, &node, &word));
                }
            }
            Honest::Placed(namespace, name, node) => {
                let key = Key::namespaced("pods", namespace, name);
                let node = self.node(*node);
                let placed = store.modify::<StoreError>(&key, |present| {
                    let mut pod = present.clone();
                    if object::text(&pod, "spec.nodeName").is_empty() {
                        pod["spec"]["nodeName"] = json!(node);
                    }
                    Ok(Step::Store(pod))
                });
                drop(placed);
            }
            Honest::Goes(namespace, name) => {
                drop(store.delete(&Key::namespaced("pods", namespace, name), &Precondition::default()));
            }
            Honest::Rotated(namespace, name) => {
                let key = Key::namespaced("secrets", namespace, name);
                let word = encoded(&self.word(key.clone()));
                let rotated = store.modify::<StoreError>(&key, |present| {
                    let mut secret = present.clone();
                    secret["data"]["key"] = json!(word);
                    Ok(Step::Store(secret))
                });
                drop(rotated);
            }
            Honest::Remade(namespace, name) => {
                drop(store.delete(&Key::namespaced("secrets", namespace, name), &Precondition::default()));
                self.store_secret(namespace, name);
            }
        }
    }

    /// The pods that run on the node, those that it made itself left out.
    pub fn own_pods(&self) -> Vec<Arc<Value>> {
        let pods = self.store().list("pods", None).0;
        pods.into_iter().filter(|pod| runs_here(pod) && !is_mirror(pod)).collect()
    }

    /// What the node may read now: itself, its pods (its own making too), and what those refer to
    /// that others gave it.
    pub fn readable(&self) -> BTreeSet<Key> {
        let mut keys = BTreeSet::from([Key::cluster("nodes", NODE)]);
        let pods = self.store().list("pods", None).0;
        keys.extend(pods.iter().filter(|pod| runs_here(pod)).map(|pod| pod_key(pod)));
        for pod in self.own_pods() {
            let namespace = object::namespace(&pod);
            for (resource, name) in referred(&pod) {
                keys.insert(Key::namespaced(resource, namespace, &name));
            }
        }
        keys
    }
}

/// Every object that the text tells the content of.
pub fn told<'a>(bearers: &'a BTreeMap<String, Key>, text: &str) -> Vec<(&'a str, &'a Key)> {
    let mut found = Vec::new();
    // Words have one length and one beginning, also within base64 that starts with them.
    for (at, _) in text.match_indices("canary") {
        let word = text.get(at..at + "canary00000yranac".len()).unwrap_or_default();
        found.extend(bearers.get_key_value(word));
    }
    for (at, _) in text.match_indices(BEGINNING) {
        let word = text.get(at..at + encoded("canary00000yranac").len()).unwrap_or_default();
        found.extend(decoded(word).and_then(|word| bearers.get_key_value(&word)));
    }
    found.into_iter().map(|(word, key)| (word.as_str(), key)).collect()
}

/// How a word begins in base64.
const BEGINNING: &str = "Y2FuYXJ5";

pub fn encoded(word: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(word)
}

pub fn decoded(text: &str) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    String::from_utf8(bytes).ok()
}

fn node_name(number: usize) -> String {
    format!("n{number}")
}

pub fn runs_here(pod: &Value) -> bool {
    object::text(pod, "spec.nodeName") == NODE
}

pub fn is_mirror(pod: &Value) -> bool {
    object::annotations(pod).contains_key("kubernetes.io/config.mirror")
}

pub fn pod_key(pod: &Value) -> Key {
    Key::namespaced("pods", object::namespace(pod), object::name(pod))
}

/// What a pod refers to, in the plan's own ways; found by looking at every member of that name.
fn referred(pod: &Value) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut to_read = vec![&pod["spec"]];
    while let Some(value) = to_read.pop() {
        let named = |member: &str, name: &str| value[member][name].as_str().map(str::to_owned);
        for member in ["secretRef", "secretKeyRef", "secret"] {
            let name = named(member, "name").or_else(|| named(member, "secretName"));
            found.extend(name.map(|name| ("secrets", name)));
        }
        for member in ["configMapRef", "configMapKeyRef", "configMap"] {
            found.extend(named(member, "name").map(|name| ("configmaps", name)));
        }
        match value {
            Value::Object(members) => to_read.extend(members.values()),
            Value::Array(items) => to_read.extend(items),
            _ => {}
        }
    }
    let pulls = object::list(pod, "spec.imagePullSecrets").iter();
    found.extend(pulls.map(|secret| ("secrets", object::text(secret, "name").to_owned())));
    found
}

fn pod(plan: &PodPlan, node: &str, word: &str) -> Value {
    let mut container =
        json!({"name": "c", "image": "i", "env": [{"name": "WORD", "value": word}], "envFrom": []});
    let mut init = json!({"name": "i", "image": "i", "env": []});
    let (mut volumes, mut pulls, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    let all = plan.secrets.iter().map(|(way, name)| (true, way, name));
    let all = all.chain(plan.configmaps.iter().map(|(way, name)| (false, way, name)));
    for (number, (is_secret, way, name)) in all.enumerate() {
        let volume = format!("v{number}");
        let key = if is_secret { "secretKeyRef" } else { "configMapKeyRef" };
        let variable = json!({"name": volume, "valueFrom": {key: {"name": name, "key": "key"}}});
        let push = |list: &mut Value, item: Value| list.as_array_mut().expect("it is a list").push(item);
        match (way, is_secret) {
            (Way::Volume, true) => volumes.push(json!({"name": volume, "secret": {"secretName": name}})),
            (Way::Volume | Way::PullSecret, false) => {
                volumes.push(json!({"name": volume, "configMap": {"name": name}}))
            }
            (Way::Projected, true) => sources.push(json!({"secret": {"name": name}})),
            (Way::Projected, false) => sources.push(json!({"configMap": {"name": name}})),
            (Way::Variable, _) => push(&mut container["env"], variable),
            (Way::InitContainer, _) => push(&mut init["env"], variable),
            (Way::WholeEnvironment, true) => {
                push(&mut container["envFrom"], json!({"secretRef": {"name": name}}))
            }
            (Way::WholeEnvironment, false) => {
                push(&mut container["envFrom"], json!({"configMapRef": {"name": name}}))
            }
            (Way::PullSecret, true) => pulls.push(json!({"name": name})),
        }
    }
    let audience = if plan.for_audience { AUDIENCE } else { "" };
    sources.push(json!({"serviceAccountToken": {"path": "token", "audience": audience}}));
    volumes.push(json!({"name": "projected", "projected": {"sources": sources}}));
    json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"namespace": plan.namespace, "name": plan.name, "labels": {"app": plan.account}},
        "spec": {"nodeName": node, "serviceAccountName": plan.account, "containers": [container],
            "initContainers": [init], "imagePullSecrets": pulls, "volumes": volumes,
            "terminationGracePeriodSeconds": 0},
        "status": {"phase": "Running"}})
}
