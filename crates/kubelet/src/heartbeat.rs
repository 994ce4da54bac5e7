//! Keeps the node's status what this kubelet says it is, whoever wrote something else
//! (`syncNodeStatus` of `pkg/kubelet/kubelet_node_status.go`).
//!
//! Like upstream it looks at its own copy of the Node, which a watch keeps, so that nothing is sent
//! while all is as it should be but a report from time to time: the lease says that the node is
//! alive.

use crate::node;
use crate::state::Shared;
use crate::ticks::Ticks;
use ravelin_client::{Client, Reflector};
use ravelin_host::field;
use std::sync::Arc;
use tokio::time::Instant;

/// Looks at every tick and corrects, for ever.
pub(crate) async fn keep(shared: Arc<Shared>, client: Client) {
    let (host, config) = (&shared.host, &shared.config);
    let Some(every) = config.status_update_interval else { return };
    let ticks = Ticks::start(every);
    let selector = format!("metadata.name={}", config.node_name);
    let reflector =
        Reflector::new(client.clone(), "/api/v1/nodes").with_parameters(&[("fieldSelector", &selector)]);
    let mut store = reflector.store();
    let _following = reflector.run();
    let is_wrong = |store: &ravelin_client::Store| {
        store.object(&config.node_name).is_some_and(|node| !node::is_current(&node, host, config))
    };
    let mut reported = Instant::now();
    loop {
        let wrong = is_wrong(&store);
        let due = if wrong { ticks.next() } else { reported + config.status_report_interval };
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(due) => {}
            changed = store.changed() => match changed {
                true => continue,
                false => return,
            },
        }
        if let Some(node) = store.object(&config.node_name) {
            let outcome = node::report(host, &client, (config, &node)).await;
            let result = outcome.map_or_else(|error| error.to_string(), |_| "reported".to_owned());
            host.observe("kubelet.node-status", &[field("result", result)]);
        }
        reported = Instant::now();
    }
}
