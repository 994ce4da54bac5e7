//! How well a pod is served where its node is short of something: its QoS class
//! (`ComputePodQOS` of `pkg/apis/core/v1/helper/qos/qos.go`), from what its containers ask for; pure.

use ravelin_api::{Quantity, object};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What counts.
const COUNTED: [&str; 2] = ["cpu", "memory"];

/// What a container is limited to, it asks for, unless it says otherwise (`SetDefaults_Pod`).
pub(super) fn complete(container: &mut Value) {
    let Some(limits) = container["resources"]["limits"].as_object().cloned() else { return };
    let Some(resources) = container["resources"].as_object_mut() else { return };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    if let Some(requests) = requests.as_object_mut() {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

/// The class of a pod.
pub(super) fn class(pod: &Value) -> &'static str {
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    let mut all_limited = true;
    for list in ["spec.containers", "spec.initContainers"] {
        for container in object::list(pod, list) {
            add(&mut requests, &container["resources"]["requests"]);
            all_limited &= add(&mut limits, &container["resources"]["limits"]) == COUNTED.len();
        }
    }
    match (requests.is_empty() && limits.is_empty(), all_limited && requests == limits) {
        (true, _) => "BestEffort",
        (_, true) => "Guaranteed",
        _ => "Burstable",
    }
}

/// Adds what counts of a list of resources; says how many those were.
fn add(sums: &mut BTreeMap<&'static str, i128>, resources: &Value) -> usize {
    let mut found = 0;
    for name in COUNTED {
        let quantity = resources[name].as_str().map(str::to_owned);
        let quantity = quantity.or_else(|| resources[name].as_i64().map(|number| number.to_string()));
        let amount = quantity.and_then(|text| Quantity::parse(&text)).map_or(0, Quantity::milli);
        if amount > 0 {
            *sums.entry(name).or_default() += amount;
            found += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_kubernetes() {
        let whole = json!({ "cpu": "500m", "memory": "64Mi" });
        let table = [
            (vec![json!({})], "BestEffort"),
            (vec![json!({ "requests": { "cpu": 0, "nvidia.com/gpu": 1 } })], "BestEffort"),
            (vec![json!({ "requests": { "cpu": "1m" } })], "Burstable"),
            (vec![json!({ "limits": { "memory": "1Gi" } })], "Burstable"),
            (vec![json!({ "limits": whole })], "Guaranteed"),
            (
                vec![json!({ "limits": whole, "requests": { "cpu": "0.5", "memory": "65536Ki" } })],
                "Guaranteed",
            ),
            (vec![json!({ "limits": whole, "requests": { "cpu": "400m" } })], "Burstable"),
            (vec![json!({ "limits": whole }), json!({})], "Burstable"),
        ];
        for (resources, expected) in table {
            let containers: Vec<Value> = resources.iter().map(|one| json!({ "resources": one })).collect();
            let mut pod = json!({ "spec": { "containers": containers } });
            pod["spec"]["containers"].as_array_mut().unwrap().iter_mut().for_each(complete);
            assert_eq!(class(&pod), expected, "{resources:?}");
        }
    }
}
