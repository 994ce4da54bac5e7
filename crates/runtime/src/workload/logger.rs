//! The workload that writes a log.

use super::Container;
use ravelin_host::Task;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn start(container: &Container<'_>) -> Vec<Task> {
    let host = container.sandbox.host.clone();
    let name = container.view.name.clone();
    container.ledger.log_line(host.now(), &name, "started");
    let seconds = container.view.env.get("TICK_SECONDS").and_then(|text| text.parse::<u64>().ok());
    let Some(seconds) = seconds.filter(|seconds| *seconds > 0) else { return Vec::new() };
    let (ledger, clock) = (Arc::clone(container.ledger), host.clone());
    let ticking = async move {
        for tick in 1_u64.. {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            ledger.log_line(clock.now(), &name, &format!("tick {tick}"));
        }
    };
    vec![host.spawn("logger", Box::pin(ticking))]
}
