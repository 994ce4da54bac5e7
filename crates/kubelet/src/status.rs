//! What a kubelet reports of its pods; pure.

use crate::pods::{Policy, Restarts};
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

/// What of a pod is reported.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) state: &'a PodState,
    pub(crate) restarts: &'a Restarts,
    pub(crate) policy: Policy,
    /// The status that was reported before.
    pub(crate) before: Option<&'a Value>,
}

/// The `status` of a pod that was started.
pub(crate) fn started(pod: &PodView, seen: Seen<'_>, placed: Placed) -> Value {
    let phase = phase(seen);
    let unready = seen.state.containers.iter().filter(|(_, state)| !state.is_running());
    let unready: Vec<&str> = unready.map(|(name, _)| name.as_str()).collect();
    let since = |kind: &str, status: &str| {
        let all = seen.before.and_then(|before| before["conditions"].as_array());
        let before =
            all.and_then(|all| all.iter().find(|one| one["type"] == kind && one["status"] == status));
        before.map_or_else(|| json!(time::format(placed.now)), |one| one["lastTransitionTime"].clone())
    };
    let condition = |kind: &str, holds: bool| {
        let status = if holds { "True" } else { "False" };
        let at = since(kind, status);
        let mut condition =
            json!({ "type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": at });
        if !holds {
            let (reason, message) = match phase {
                "Succeeded" => ("PodCompleted", String::new()),
                "Failed" => ("PodFailed", String::new()),
                _ => ("ContainersNotReady", {
                    format!("containers with unready status: [{}]", unready.join(" "))
                }),
            };
            condition["reason"] = json!(reason);
            if !message.is_empty() {
                condition["message"] = json!(message);
            }
        }
        condition
    };
    let ready = unready.is_empty();
    let is_over = matches!(phase, "Succeeded" | "Failed");
    let containers: Vec<Value> = pod.containers.iter().map(|view| container(pod, view, seen)).collect();
    json!({
        "phase": phase,
        "hostIP": placed.host_ip,
        "hostIPs": [{ "ip": placed.host_ip }],
        "podIP": placed.pod_ip,
        "podIPs": [{ "ip": placed.pod_ip }],
        "startTime": time::format(seen.state.started),
        "conditions": [
            condition("PodReadyToStartContainers", !is_over),
            condition("Initialized", true),
            condition("Ready", ready),
            condition("ContainersReady", ready),
            condition("PodScheduled", true),
        ],
        "containerStatuses": containers,
    })
}

/// `getPhase` of `pkg/kubelet/kubelet_pods.go`.
fn phase(seen: Seen<'_>) -> &'static str {
    let (mut waiting, mut running, mut failed) = (0, 0, 0);
    for (name, state) in &seen.state.containers {
        match state {
            ContainerState::Running { .. } => running += 1,
            ContainerState::Terminated(end) => failed += usize::from(end.exit_code != 0),
            ContainerState::Waiting { .. } => match seen.restarts.past(name).last {
                Some(end) => failed += usize::from(end.exit_code != 0),
                None => waiting += 1,
            },
        }
    }
    match seen.policy {
        _ if waiting > 0 => "Pending",
        _ if running > 0 => "Running",
        Policy::Always => "Running",
        _ if failed == 0 => "Succeeded",
        Policy::Never => "Failed",
        Policy::OnFailure => "Running",
    }
}

fn container(pod: &PodView, view: &ContainerView, seen: Seen<'_>) -> Value {
    let (ready, detail) = match seen.state.containers.get(&view.name) {
        Some(ContainerState::Running { started }) => {
            (true, json!({ "running": { "startedAt": time::format(*started) } }))
        }
        Some(ContainerState::Terminated(ended)) => (false, json!({ "terminated": terminated(ended) })),
        Some(ContainerState::Waiting { reason, message }) => {
            (false, json!({ "waiting": { "reason": reason, "message": message } }))
        }
        None => (false, json!({ "waiting": { "reason": "ContainerCreating" } })),
    };
    let past = seen.restarts.past(&view.name);
    let last = past.last.as_ref().map_or_else(|| json!({}), |end| json!({ "terminated": terminated(end) }));
    let never_ran = detail.get("waiting").is_some() && past.last.is_none();
    let mut status = json!({
        "name": view.name, "image": view.image, "imageID": "", "ready": ready,
        "started": ready, "restartCount": past.restarts, "lastState": last, "state": detail,
    });
    if !never_ran {
        status["imageID"] = json!(view.image);
        let id = format!("ravelin://{}/{}/{}", pod.uid, view.name, past.restarts);
        status["containerID"] = json!(id);
    }
    status
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
