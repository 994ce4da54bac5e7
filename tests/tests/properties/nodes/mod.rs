//! No sequence of requests by a node reads or writes what is another node's, while pods come and go.
//!
//! The rules are those of the Node authorizer and NodeRestriction
//! (<https://kubernetes.io/docs/reference/access-authn-authz/node/>), said here as what must never
//! have happened, of the store and of the answers.

mod act;
mod bodies;
mod world;

use super::stage::{Answer, Heard, play};
use super::{Counts, fails, hold};
use act::{Act, Draw, Verb};
use proptest::prelude::*;
use ravelin_api::object;
use ravelin_apiserver::Key;
use ravelin_host::{Flaw, Flaws, Task};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use world::{Honest, NODE, PodPlan, World, decoded, is_mirror, runs_here, told};

#[derive(Clone, Debug)]
struct Case {
    nodes: usize,
    pods: Vec<PodPlan>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Asks(Draw),
    Changes(Honest),
}

fn any_case() -> impl Strategy<Value = Case> {
    let step = prop_oneof![
        5 => act::any_draw().prop_map(Step::Asks),
        1 => world::any_change().prop_map(Step::Changes),
    ];
    let pods = prop::collection::vec(world::any_pod(), 3..9);
    (2..6_usize, pods, prop::collection::vec(step, 20..60)).prop_map(|(nodes, pods, steps)| Case {
        nodes,
        pods,
        steps,
    })
}

/// What the node learns, and may.
struct Life<'a> {
    world: World,
    counts: &'a Counts,
    /// The words of pods that ever ran on the node.
    own_pods: BTreeSet<String>,
    watches: Vec<Watch>,
}

/// A watch goes on as it was allowed: what was readable when it began may be told later.
struct Watch {
    about: String,
    heard: Heard,
    readable: BTreeSet<Key>,
    _task: Task,
}

type Snapshot = BTreeMap<Key, Arc<Value>>;

impl Life<'_> {
    fn note_own_pods(&mut self) {
        for pod in self.world.own_pods() {
            let words = told(&self.world.bearers, &pod["spec"].to_string());
            self.own_pods.extend(words.into_iter().map(|(word, _)| word.to_owned()));
        }
    }

    /// What a text tells that the node may not know.
    fn leaks(&self, text: &str, (readable, sent, of_watch): (&BTreeSet<Key>, &str, bool)) -> Vec<String> {
        let bearers = &self.world.bearers;
        let words = told(bearers, text).into_iter().filter(|(word, _)| !sent.contains(word));
        let secret = words.filter(|(word, key)| match key.resource.as_str() {
            // A watch of a pod's name goes on with the next pod of that name.
            "pods" => !(self.own_pods.contains(*word) || of_watch && readable.contains(key)),
            _ => !readable.contains(key),
        });
        secret.map(|(word, key)| format!("it tells {word} of {key}")).collect()
    }

    async fn ask(&mut self, draw: &Draw, caller: &mut super::stage::Caller) -> Result<(), String> {
        let act = draw.act(&self.world);
        let readable = self.world.readable();
        let whose = match &act.named {
            None => "",
            Some(key) if self.is_own(key) => " own",
            Some(_) => " other",
        };
        let (before, _) = self.world.stage.snapshot();
        let what = format!("{} {}", act.ask.method, act.ask.path);
        let answer = if draw.verb == Verb::Watch {
            let heard = Heard::default();
            let (code, task) = caller.listen(&act.ask, &heard).await;
            if let Some(task) = task {
                self.watches.push(Watch {
                    about: what.clone(),
                    heard,
                    readable: readable.clone(),
                    _task: task,
                });
            }
            Answer { code, text: String::new() }
        } else {
            caller.ask(&act.ask).await
        };
        let (after, _) = self.world.stage.snapshot();
        let sent = act.ask.body.as_deref().unwrap_or_default();
        let mut found = self.leaks(&answer.text, (&readable, &plain(sent), false));
        found.extend(written(&before, &after, answer.is_ok()));
        if answer.is_ok() && act.subresource == "token" {
            found.extend(self.token(&answer));
        }
        if !found.is_empty() {
            return Err(format!("{what}\n{sent}\nanswers {}: {}\n{found:#?}", answer.code, answer.text));
        }
        self.note((draw, whose), &act, (&answer, before != after));
        self.note_own_pods();
        Ok(())
    }

    /// What is wrong with a token that the node was given.
    fn token(&self, answer: &Answer) -> Option<String> {
        let Some(claims) = super::stage::claims(object::text(&answer.json(), "status.token")) else {
            return Some("it cannot be read".to_owned());
        };
        let kubernetes = &claims["kubernetes.io"];
        let pods = self.world.own_pods();
        let Some(pod) = pods.iter().find(|pod| object::uid(pod) == kubernetes["pod"]["uid"]) else {
            return Some("it is bound to no pod of the node".to_owned());
        };
        let account = kubernetes["serviceaccount"]["name"].as_str();
        if account != Some(object::text(pod, "spec.serviceAccountName")) {
            return Some("the pod that it is bound to runs as another account".to_owned());
        }
        let volumes = object::list(pod, "spec.volumes").iter();
        let sources = volumes.flat_map(|volume| object::list(volume, "projected.sources"));
        let audiences = sources.filter_map(|source| source["serviceAccountToken"]["audience"].as_str());
        let audiences =
            audiences.map(|audience| if audience.is_empty() { super::stage::ISSUER } else { audience });
        let asked_for: BTreeSet<&str> = audiences.collect();
        let given = object::texts(&claims, "aud");
        let beyond = given.iter().any(|audience| !asked_for.contains(audience));
        beyond.then(|| format!("it is for {given:?}, and the pod asks for {asked_for:?}"))
    }

    fn is_own(&self, key: &Key) -> bool {
        let runs_as = |pod: &Arc<Value>| {
            object::namespace(pod) == key.namespace
                && object::text(pod, "spec.serviceAccountName") == key.name
        };
        match key.resource.as_str() {
            "serviceaccounts" => self.world.own_pods().iter().any(runs_as),
            _ => self.world.readable().contains(key) || key.name == NODE,
        }
    }

    fn note(&self, (draw, whose): (&Draw, &str), act: &Act, (answer, changed): (&Answer, bool)) {
        let fate = match answer.code {
            200..300 if changed => "changed",
            200..300 => "answered",
            401 | 403 => "refused",
            _ => "no use",
        };
        let part = if act.subresource.is_empty() { String::new() } else { format!("/{}", act.subresource) };
        let verb = format!("{:?}", draw.verb).to_lowercase();
        self.counts.count(format!("{fate}{whose} {verb} {}{part}", act.resource.plural));
        self.counts.count(fate);
    }
}

/// The text with what is encoded in it in plain.
fn plain(text: &str) -> String {
    let words = text.split('"').map(|part| decoded(part).unwrap_or_default());
    let decoded: Vec<String> = words.collect();
    format!("{text} {}", decoded.join(" "))
}

/// Changes that no request of the node may bring about.
fn written(before: &Snapshot, after: &Snapshot, was_allowed: bool) -> Vec<String> {
    let mut found = Vec::new();
    let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let (old, new) = (before.get(key), after.get(key));
        let same = match (old, new) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => false,
        };
        if same {
            continue;
        }
        if !was_allowed {
            found.push(format!("it was refused, and {key} has changed"));
        }
        if let Err(why) = change_is_its_own(key, old.map(AsRef::as_ref), new.map(AsRef::as_ref)) {
            found.push(format!("{key}: {why}"));
        }
    }
    found
}

fn change_is_its_own(key: &Key, old: Option<&Value>, new: Option<&Value>) -> Result<(), String> {
    let is_named = key.name == NODE;
    match key.resource.as_str() {
        "nodes" if is_named => same_node(old, new),
        "leases.coordination.k8s.io" if is_named && key.namespace == "kube-node-lease" => Ok(()),
        "csinodes.storage.k8s.io" if is_named => Ok(()),
        "events" => Ok(()),
        "pods" => same_pod(old, new),
        "certificatesigningrequests.certificates.k8s.io" => match (old, new) {
            (None, Some(new)) if new["spec"]["username"] == "system:node:n1" => Ok(()),
            _ => Err("a node may only ask, and in its own name".to_owned()),
        },
        _ => Err(format!("it is none of the node's: {old:?} -> {new:?}")),
    }
}

/// Of itself a node may not change its taints, its owners, and the labels that are others'.
fn same_node(old: Option<&Value>, new: Option<&Value>) -> Result<(), String> {
    let (Some(old), Some(new)) = (old, new) else {
        return if old.is_none() { Ok(()) } else { Err("it is gone".to_owned()) };
    };
    let reserved = |node: &Value| -> BTreeMap<String, String> {
        let labels = object::labels(node).into_iter();
        let reserved = labels.filter(|(key, _)| {
            key.starts_with("node-restriction.kubernetes.io/") || key.starts_with("node-role.kubernetes.io/")
        });
        reserved.map(|(key, value)| (key.to_string(), value.to_string())).collect()
    };
    if old["spec"]["taints"] != new["spec"]["taints"] {
        return Err("its taints have changed".to_owned());
    }
    if old["metadata"]["ownerReferences"] != new["metadata"]["ownerReferences"] {
        return Err("its owners have changed".to_owned());
    }
    if reserved(old) != reserved(new) {
        return Err("labels that are reserved have changed".to_owned());
    }
    Ok(())
}

/// Of its pods a node may change the status, and delete them; it may add mirror pods that refer to
/// nothing.
fn same_pod(old: Option<&Value>, new: Option<&Value>) -> Result<(), String> {
    match (old, new) {
        (Some(old), _) if !runs_here(old) => Err("it is another node's".to_owned()),
        (Some(old), Some(new)) => {
            for path in ["/spec", "/metadata/labels", "/metadata/ownerReferences", "/metadata/uid"] {
                if old.pointer(path) != new.pointer(path) {
                    return Err(format!("its {path} has changed"));
                }
            }
            Ok(())
        }
        (None, Some(new)) => {
            let spec = new["spec"].to_string();
            let refers =
                ["secret", "onfigMap", "serviceAccountName\":\"s"].iter().any(|word| spec.contains(word));
            if runs_here(new) && is_mirror(new) && !refers {
                Ok(())
            } else {
                Err(format!("it is made up: {new}"))
            }
        }
        (_, None) => Ok(()),
    }
}

async fn life(case: &Case, counts: &Counts, flaws: Flaws) -> Result<(), String> {
    let world = World::new(case.nodes, &case.pods, flaws).await;
    let shown = world.stage.client("system:node:n1", &["system:nodes"]);
    let mut caller = world.stage.caller(shown).await;
    let mut life = Life { world, counts, own_pods: BTreeSet::new(), watches: Vec::new() };
    life.note_own_pods();
    for step in &case.steps {
        match step {
            Step::Asks(draw) => life.ask(draw, &mut caller).await?,
            Step::Changes(change) => {
                life.world.change(change);
                life.note_own_pods();
            }
        }
    }
    // The watches are given the time to hear of all that happened.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for watch in &life.watches {
        let text = watch.heard.text();
        let found = life.leaks(&text, (&watch.readable, "", true));
        if !found.is_empty() {
            return Err(format!("the watch {}: {found:#?}\n{text}", watch.about));
        }
        counts.count(if told(&life.world.bearers, &text).is_empty() {
            "silent watch"
        } else {
            "telling watch"
        });
    }
    Ok(())
}

#[test]
fn no_requests_of_a_node_reach_what_is_anothers() {
    let counts = Counts::default();
    hold((12, 240, 4_000), any_case(), |case| play(1, life(case, &counts, Flaws::none())));
    counts.at_least(&[
        ("changed", 200),
        ("answered", 300),
        ("refused", 1_000),
        ("telling watch", 20),
        ("answered own get secrets", 20),
        ("answered own get configmaps", 20),
        ("answered own get pods", 30),
        ("answered own get nodes", 10),
        ("answered list pods", 10),
        ("changed own update leases", 10),
        ("changed own delete pods", 10),
        ("changed own update nodes/status", 5),
        ("changed own update pods/status", 5),
        ("answered own create serviceaccounts/token", 20),
        ("refused other get secrets", 30),
        ("refused other get configmaps", 30),
        ("refused other get pods", 30),
        ("refused other update nodes", 3),
        ("refused other delete pods", 2),
        ("refused other create serviceaccounts/token", 30),
        ("refused list secrets", 30),
    ]);
}

#[test]
fn without_its_checks_a_node_reaches_what_is_anothers() {
    for flaw in [
        Flaw::ApiserverIgnoresNodeRelations,
        Flaw::ApiserverIgnoresNodeRestriction,
        Flaw::ApiserverAllowsEveryone,
    ] {
        let counts = Counts::default();
        let with = || Flaws::danger([flaw]);
        assert!(fails((12, 60), any_case(), |case| play(1, life(case, &counts, with()))), "{flaw:?}");
    }
}
