//! Gives each node a range of pod addresses (`pkg/controller/nodeipam`).

use crate::follow::{Controller, Outcome, objects};
use async_trait::async_trait;
use ipnet::IpNet;
use ravelin_api::object;
use ravelin_client::{Client, ClientError, PatchKind, Store};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where nodes are.
pub(crate) const NODES: &str = "/api/v1/nodes";

/// The allocator of node ranges.
pub(crate) struct NodeRanges {
    pub(crate) client: Client,
    pub(crate) nodes: Store,
    /// What is set aside for nodes, by name.
    pub(crate) reserved: BTreeMap<String, IpNet>,
    /// The range of all pods (`--cluster-cidr`).
    pub(crate) cluster: IpNet,
    /// The prefix length of a node's part (`--node-cidr-mask-size`).
    pub(crate) node_prefix: u8,
    /// What was given away but has perhaps not been seen yet.
    pub(crate) given: BTreeSet<IpNet>,
}

#[async_trait]
impl Controller for NodeRanges {
    fn name(&self) -> &'static str {
        "nodeipam"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        let nodes = objects(&self.nodes);
        let mut taken = taken(&nodes);
        self.given.retain(|range| !taken.contains(range));
        taken.extend(&self.given);
        taken.extend(self.reserved.values());
        for node in nodes.iter().filter(|node| object::text(node, "spec.podCIDR").is_empty()) {
            let reserved = self.reserved.get(object::name(node)).copied();
            let Some(range) = reserved.or_else(|| first_free(self.cluster, self.node_prefix, &taken)) else {
                continue;
            };
            let text = range.to_string();
            let patch = json!({ "spec": { "podCIDR": text, "podCIDRs": [text] } });
            let path = format!("{NODES}/{}", object::name(node));
            let patched = self.client.patch(&path, PatchKind::Merge, &patch).await;
            if patched.is_ok() {
                self.given.insert(range);
                taken.insert(range);
            }
            outcome.note(patched);
        }
        outcome.result()
    }
}

fn taken(nodes: &[Arc<Value>]) -> BTreeSet<IpNet> {
    nodes.iter().filter_map(|node| object::text(node, "spec.podCIDR").parse().ok()).collect()
}

fn first_free(cluster: IpNet, prefix: u8, taken: &BTreeSet<IpNet>) -> Option<IpNet> {
    let overlaps = |range: &IpNet| taken.iter().any(|other| other.contains(range) || range.contains(other));
    cluster.subnets(prefix).ok()?.find(|range| !overlaps(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_never_overlap() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let cluster = net("10.244.0.0/22");
        let free = |taken: &[&str]| first_free(cluster, 24, &taken.iter().map(|range| net(range)).collect());
        assert_eq!(free(&[]), Some(net("10.244.0.0/24")));
        assert_eq!(free(&["10.244.0.0/24", "10.244.2.0/24"]), Some(net("10.244.1.0/24")));
        assert_eq!(free(&["10.244.0.0/23"]), Some(net("10.244.2.0/24")), "a larger range");
        assert_eq!(free(&["10.244.0.128/25"]), Some(net("10.244.1.0/24")), "a smaller range");
        assert_eq!(free(&["10.244.0.0/16"]), None);
    }
}
