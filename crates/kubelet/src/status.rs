//! What a kubelet reports of its pods; pure.

use jiff::Timestamp;
use ravelin_api::time;
use ravelin_runtime::{ContainerState, ContainerView, PodState, PodView, Terminated};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Where a pod runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) host_ip: IpAddr,
    pub(crate) pod_ip: IpAddr,
    /// The wall clock, for conditions.
    pub(crate) now: Timestamp,
}

/// The `status` of a pod that was started.
pub(crate) fn started(pod: &PodView, state: &PodState, placed: Placed) -> Value {
    let ready = state.is_ready();
    let since = time::format(placed.now);
    let condition = |kind: &str, holds: bool| {
        let status = if holds { "True" } else { "False" };
        json!({ "type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": since })
    };
    let containers: Vec<Value> = pod.containers.iter().map(|view| container(view, state)).collect();
    json!({
        "phase": if ready { "Running" } else { "Pending" },
        "hostIP": placed.host_ip,
        "hostIPs": [{ "ip": placed.host_ip }],
        "podIP": placed.pod_ip,
        "podIPs": [{ "ip": placed.pod_ip }],
        "startTime": time::format(state.started),
        "conditions": [
            condition("PodReadyToStartContainers", true),
            condition("Initialized", true),
            condition("Ready", ready),
            condition("ContainersReady", ready),
            condition("PodScheduled", true),
        ],
        "containerStatuses": containers,
    })
}

fn container(view: &ContainerView, state: &PodState) -> Value {
    let (ready, detail) = match state.containers.get(&view.name) {
        Some(ContainerState::Running { started }) => {
            (true, json!({ "running": { "startedAt": time::format(*started) } }))
        }
        Some(ContainerState::Terminated(ended)) => (false, json!({ "terminated": terminated(ended) })),
        Some(ContainerState::Waiting { reason, message }) => {
            (false, json!({ "waiting": { "reason": reason, "message": message } }))
        }
        None => (false, json!({ "waiting": { "reason": "ContainerCreating" } })),
    };
    json!({
        "name": view.name, "image": view.image, "imageID": view.image, "ready": ready,
        "started": ready, "restartCount": 0, "lastState": {}, "state": detail,
    })
}

fn terminated(ended: &Terminated) -> Value {
    let mut state = json!({
        "exitCode": ended.exit_code, "reason": ended.reason,
        "startedAt": time::format(ended.started), "finishedAt": time::format(ended.finished),
    });
    if !ended.message.is_empty() {
        state["message"] = json!(ended.message);
    }
    state
}
