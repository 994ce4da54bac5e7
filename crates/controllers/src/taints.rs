//! What a node's conditions say of it, and the taints that follow; pure.
//!
//! `pkg/controller/nodelifecycle/node_lifecycle_controller.go`: `tryUpdateNodeHealth`,
//! `doNoScheduleTaintingPass`, `processTaintBaseEviction`.

use ravelin_api::object;
use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// The taints that are made from conditions, by condition and the status that makes them.
const FROM_CONDITIONS: [(&str, &str, &str); 4] = [
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
/// What a kubelet reports, and what is unknown when it is silent.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// A condition of a node.
pub(crate) fn condition<'a>(node: &'a Value, kind: &str) -> Option<&'a Value> {
    object::list(node, "status.conditions").iter().find(|condition| condition["type"] == kind)
}

/// The conditions of a node that is silent; `None` where they say that already.
pub(crate) fn of_silent(node: &Value, now: &str) -> Option<Value> {
    let mut conditions = object::list(node, "status.conditions").to_vec();
    let mut changed = false;
    for kind in REPORTED {
        match conditions.iter_mut().find(|condition| condition["type"] == kind) {
            None => {
                changed = true;
                conditions.push(json!({
                    "type": kind, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": object::text(node, "metadata.creationTimestamp"),
                    "lastTransitionTime": now,
                }));
            }
            Some(condition) if condition["status"] != "Unknown" => {
                changed = true;
                condition["status"] = json!("Unknown");
                condition["reason"] = json!("NodeStatusUnknown");
                condition["message"] = json!("Kubelet stopped posting node status.");
                condition["lastTransitionTime"] = json!(now);
            }
            Some(_) => {}
        }
    }
    changed.then_some(Value::Array(conditions))
}

/// The taints that a node should have; `None` where it has them.
pub(crate) fn wanted(node: &Value, now: &str) -> Option<Value> {
    let has = |kind: &str, status: &str| condition(node, kind).is_some_and(|c| c["status"] == status);
    let mut due: Vec<(&str, &str)> = Vec::new();
    for (status, key) in [("False", NOT_READY), ("Unknown", UNREACHABLE)] {
        if has("Ready", status) {
            due.extend([(key, "NoSchedule"), (key, "NoExecute")]);
        }
    }
    if node["spec"]["unschedulable"] == true {
        due.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let pressures = FROM_CONDITIONS.into_iter().filter(|(kind, status, _)| has(kind, status));
    due.extend(pressures.map(|(_, _, key)| (key, "NoSchedule")));

    let present = object::list(node, "spec.taints");
    let is = |taint: &Value, (key, effect): (&str, &str)| taint["key"] == key && taint["effect"] == effect;
    let stays = |taint: &&Value| !is_managed(taint) || due.iter().any(|wanted| is(taint, *wanted));
    let mut taints: Vec<Value> = present.iter().filter(stays).cloned().collect();
    let kept = taints.len();
    for wanted in due {
        if !present.iter().any(|taint| is(taint, wanted)) {
            let (key, effect) = wanted;
            taints.push(json!({ "key": key, "effect": effect, "timeAdded": now }));
        }
    }
    (kept != present.len() || taints.len() != present.len()).then_some(Value::Array(taints))
}

/// Is this a taint that conditions alone decide?
fn is_managed(taint: &Value) -> bool {
    let key = object::text(taint, "key");
    let effects: &[&str] = match key {
        NOT_READY | UNREACHABLE => &["NoSchedule", "NoExecute"],
        UNSCHEDULABLE => &["NoSchedule"],
        key if FROM_CONDITIONS.iter().any(|(_, _, known)| *known == key) => &["NoSchedule"],
        _ => &[],
    };
    effects.contains(&object::text(taint, "effect"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ready: &str, taints: Value) -> Value {
        json!({ "metadata": { "name": "n", "creationTimestamp": "2026-01-01T00:00:00Z" },
                "spec": { "taints": taints },
                "status": { "conditions": [{ "type": "Ready", "status": ready }] } })
    }

    fn brief(taints: Option<Value>) -> Option<Vec<String>> {
        let taint =
            |taint: &Value| format!("{}:{}", object::text(taint, "key"), object::text(taint, "effect"));
        taints.map(|taints| taints.as_array().unwrap().iter().map(taint).collect())
    }

    #[test]
    fn a_silent_node_is_unknown_once() {
        let silent = of_silent(&node("True", json!([])), "now").unwrap();
        let ready = &silent[0];
        assert_eq!((&ready["status"], &ready["reason"]), (&json!("Unknown"), &json!("NodeStatusUnknown")));
        assert_eq!(ready["message"], "Kubelet stopped posting node status.");
        assert_eq!(silent[1]["reason"], "NodeStatusNeverUpdated", "what was never reported");
        let mut told = node("True", json!([]));
        told["status"]["conditions"] = silent;
        assert_eq!(of_silent(&told, "later"), None);
    }

    #[test]
    fn taints_follow_conditions_and_leave_others_alone() {
        let own = json!({ "key": "dedicated", "value": "x", "effect": "NoSchedule" });
        let unreachable: Vec<String> =
            ["NoSchedule", "NoExecute"].map(|e| format!("{UNREACHABLE}:{e}")).into();
        let tainted = wanted(&node("Unknown", json!([own])), "now");
        let expected = [vec!["dedicated:NoSchedule".to_owned()], unreachable.clone()].concat();
        assert_eq!(brief(tainted.clone()), Some(expected));
        let taints = tainted.unwrap();
        assert_eq!(wanted(&node("Unknown", taints.clone()), "later"), None, "it has them");
        let back = wanted(&node("True", taints.clone()), "later");
        assert_eq!(brief(back), Some(vec!["dedicated:NoSchedule".to_owned()]));
        let not_ready = brief(wanted(&node("False", taints), "later")).unwrap();
        assert_eq!(not_ready[1..], ["NoSchedule", "NoExecute"].map(|e| format!("{NOT_READY}:{e}")));
        let mut cordoned = node("True", json!([]));
        cordoned["spec"]["unschedulable"] = json!(true);
        assert_eq!(brief(wanted(&cordoned, "now")), Some(vec![format!("{UNSCHEDULABLE}:NoSchedule")]));
    }
}
