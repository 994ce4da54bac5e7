//! Which node a pending pod goes to; pure.

use serde_json::Value;
use std::collections::BTreeMap;

/// The nodes that may take pods, with how many each has.
#[derive(Debug, Default)]
pub(crate) struct Placement<'a> {
    nodes: BTreeMap<&'a str, Candidate<'a>>,
}

#[derive(Debug)]
struct Candidate<'a> {
    object: &'a Value,
    pods: usize,
}

impl<'a> Placement<'a> {
    /// Counts the bound pods on each schedulable, ready node.
    pub(crate) fn new(nodes: &'a [Value], pods: &[Value]) -> Self {
        let usable = nodes.iter().filter(|node| is_ready(node) && node["spec"]["unschedulable"] != true);
        let named = usable.filter_map(|object| {
            let name = object.pointer("/metadata/name")?.as_str()?;
            Some((name, Candidate { object, pods: 0 }))
        });
        let mut placement = Self { nodes: named.collect() };
        for node in pods.iter().filter_map(|pod| pod.pointer("/spec/nodeName")?.as_str()) {
            placement.took(node);
        }
        placement
    }

    /// One more pod is on this node.
    pub(crate) fn took(&mut self, node: &str) {
        if let Some(candidate) = self.nodes.get_mut(node) {
            candidate.pods += 1;
        }
    }

    /// The node with the fewest pods among those that the pod may run on; the first by name where
    /// several are equal.
    pub(crate) fn choose(&self, pod: &Value) -> Option<&'a str> {
        let fitting = self.nodes.iter().filter(|(_, node)| fits(pod, node.object));
        fitting.min_by_key(|(name, node)| (node.pods, **name)).map(|(name, _)| *name)
    }
}

/// Why no node takes a pod, in the words of upstream's plugins (`FitError.Error` of
/// `k8s.io/kube-scheduler/framework`).
pub(crate) fn unplaced(nodes: &[Value], pod: &Value) -> String {
    let why = |node: &Value| {
        if node["spec"]["unschedulable"] == true {
            return "node(s) were unschedulable".to_owned();
        }
        let barring = barring(pod, node).next();
        match barring {
            _ if !is_ready(node) => "node(s) were not ready".to_owned(),
            _ if !is_selected(pod, node) => "node(s) didn't match Pod's node affinity/selector".to_owned(),
            Some(_) => "node(s) had untolerated taint(s)".to_owned(),
            None => "node(s) were not free".to_owned(),
        }
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    nodes.iter().for_each(|node| *counts.entry(why(node)).or_default() += 1);
    let mut reasons: Vec<String> = counts.iter().map(|(why, count)| format!("{count} {why}")).collect();
    reasons.sort();
    match reasons.is_empty() {
        true => "no nodes available to schedule pods".to_owned(),
        false => format!("0/{} nodes are available: {}.", nodes.len(), reasons.join(", ")),
    }
}

/// Does this pod wait for a node?
pub(crate) fn is_pending(pod: &Value) -> bool {
    let unbound = pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    let ours = matches!(pod["spec"]["schedulerName"].as_str(), None | Some("" | "default-scheduler"));
    unbound && ours && pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(node: &Value) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

fn fits(pod: &Value, node: &Value) -> bool {
    is_selected(pod, node) && barring(pod, node).next().is_none()
}

fn is_selected(pod: &Value, node: &Value) -> bool {
    let selector = pod.pointer("/spec/nodeSelector").and_then(Value::as_object);
    let labels = &node["metadata"]["labels"];
    selector.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value))
}

/// The taints that keep a pod from a node.
fn barring<'a>(pod: &'a Value, node: &'a Value) -> impl Iterator<Item = &'a Value> {
    let taints = node.pointer("/spec/taints").and_then(Value::as_array).into_iter().flatten();
    taints.filter(|taint| taint["effect"] != "PreferNoSchedule" && !is_tolerated(pod, taint))
}

/// `v1.Toleration.ToleratesTaint` (staging/src/k8s.io/api/core/v1/toleration.go).
fn is_tolerated(pod: &Value, taint: &Value) -> bool {
    let tolerations = pod.pointer("/spec/tolerations").and_then(Value::as_array);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    tolerations.into_iter().flatten().any(|toleration| {
        let (effect, key) = (text(&toleration["effect"]), text(&toleration["key"]));
        let effect_fits = effect.is_empty() || effect == text(&taint["effect"]);
        let key_fits = key.is_empty() || key == text(&taint["key"]);
        let value_fits = match text(&toleration["operator"]).as_str() {
            "Exists" => true,
            "" | "Equal" => !key.is_empty() && text(&toleration["value"]) == text(&taint["value"]),
            _ => false,
        };
        effect_fits && key_fits && value_fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, ready: &str, spec: Value) -> Value {
        json!({ "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } }, "spec": spec,
                "status": { "conditions": [{ "type": "Ready", "status": ready }] } })
    }

    #[test]
    fn pods_go_to_the_fitting_node_with_the_fewest() {
        let taint = json!({ "taints": [{ "key": "k", "effect": "NoSchedule" }] });
        let nodes = [
            node("a", "True", json!({})),
            node("b", "True", json!({})),
            node("c", "False", json!({})),
            node("d", "True", json!({ "unschedulable": true })),
            node("e", "True", taint),
        ];
        let bound = [json!({ "spec": { "nodeName": "a" } })];
        let mut placement = Placement::new(&nodes, &bound);
        let free = json!({ "spec": {} });
        assert_eq!(placement.choose(&free), Some("b"));
        placement.took("b");
        assert_eq!(placement.choose(&free), Some("a"), "equal counts: the first name");
        let picky = |name: &str| json!({ "spec": { "nodeSelector": { "kubernetes.io/hostname": name } } });
        assert_eq!(placement.choose(&picky("b")), Some("b"));
        for barred in ["c", "d", "e", "nowhere"] {
            assert_eq!(placement.choose(&picky(barred)), None, "{barred}");
        }
        assert_eq!(
            unplaced(&nodes, &picky("nowhere")),
            "0/5 nodes are available: 1 node(s) were not ready, 1 node(s) were unschedulable, \
             3 node(s) didn't match Pod's node affinity/selector."
        );
        assert_eq!(
            unplaced(&nodes[4..], &free),
            "0/1 nodes are available: 1 node(s) had untolerated taint(s)."
        );
        assert_eq!(unplaced(&[], &free), "no nodes available to schedule pods");
        let tolerant = json!({ "spec": { "nodeSelector": { "kubernetes.io/hostname": "e" },
                                         "tolerations": [{ "operator": "Exists" }] } });
        assert_eq!(placement.choose(&tolerant), Some("e"));
    }
}
