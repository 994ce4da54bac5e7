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
    let selector = pod.pointer("/spec/nodeSelector").and_then(Value::as_object);
    let labels = &node["metadata"]["labels"];
    let selected = selector.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value));
    let taints = node.pointer("/spec/taints").and_then(Value::as_array);
    let barring = taints.into_iter().flatten().filter(|taint| taint["effect"] != "PreferNoSchedule");
    selected && barring.into_iter().all(|taint| is_tolerated(pod, taint))
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
        let tolerant = json!({ "spec": { "nodeSelector": { "kubernetes.io/hostname": "e" },
                                         "tolerations": [{ "operator": "Exists" }] } });
        assert_eq!(placement.choose(&tolerant), Some("e"));
    }
}
