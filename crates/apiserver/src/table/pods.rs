//! Pods in tables (`printPod`): one word for the state of all containers together.

use super::cells::{NONE, age, or, since};
use jiff::Timestamp;
use ravelin_api::{object, time};
use serde_json::{Value, json};

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let seen = Seen::of(pod);
    let sidecars = object::list(pod, "spec.initContainers").iter().filter(|c| is_sidecar(c)).count();
    let total = object::list(pod, "spec.containers").len() + sidecars;
    let restarts = match seen.restarted_at {
        Some(at) if seen.restarts > 0 => {
            format!("{} ({} ago)", seen.restarts, since(&time::format(at), now))
        }
        _ => seen.restarts.to_string(),
    };
    let ips = object::list(pod, "status.podIPs");
    let ip = ips.first().map_or_else(|| object::text(pod, "status.podIP"), |ip| object::text(ip, "ip"));
    vec![
        json!(object::name(pod)),
        json!(format!("{}/{total}", seen.ready)),
        json!(seen.reason),
        json!(restarts),
        age(pod, now),
        json!(or(ip, NONE)),
        json!(or(object::text(pod, "spec.nodeName"), NONE)),
        json!(or(object::text(pod, "status.nominatedNodeName"), NONE)),
        json!(gates(pod)),
    ]
}

/// What a row says of a pod that is over.
pub(super) fn conditions(pod: &Value) -> Option<Value> {
    let (reason, message) = match object::text(pod, "status.phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

fn gates(pod: &Value) -> String {
    let gates = object::list(pod, "spec.readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let holds = |gate: &&Value| object::has_condition(pod, object::text(gate, "conditionType"));
    format!("{}/{}", gates.iter().filter(holds).count(), gates.len())
}

/// Does this init container run on beside the others?
fn is_sidecar(container: &Value) -> bool {
    object::text(container, "restartPolicy") == "Always"
}

/// What the containers' states come to.
struct Seen {
    ready: usize,
    reason: String,
    restarts: i64,
    restarted_at: Option<Timestamp>,
}

impl Seen {
    fn of(pod: &Value) -> Self {
        let phase = object::text(pod, "status.phase");
        let gated = object::list(pod, "status.conditions").iter().any(|condition| {
            object::text(condition, "type") == "PodScheduled"
                && object::text(condition, "reason") == "SchedulingGated"
        });
        let reason = if gated { "SchedulingGated" } else { or(object::text(pod, "status.reason"), phase) };
        let mut seen = Self { ready: 0, reason: reason.to_owned(), restarts: 0, restarted_at: None };
        let mut sidecars = Restarts::default();
        let initializing = seen.initialize(pod, &mut sidecars);
        if !initializing || object::has_condition(pod, "Initialized") {
            seen.run(pod, sidecars);
        }
        if object::is_terminating(pod) {
            if object::text(pod, "status.reason") == "NodeLost" {
                seen.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Succeeded" | "Failed") {
                seen.reason = "Terminating".to_owned();
            }
        }
        seen
    }

    /// Looks at the init containers, up to the first that is not done: is there one?
    fn initialize(&mut self, pod: &Value, sidecars: &mut Restarts) -> bool {
        let specs = object::list(pod, "spec.initContainers");
        for (index, status) in object::list(pod, "status.initContainerStatuses").iter().enumerate() {
            let name = object::text(status, "name");
            let sidecar = specs.iter().any(|spec| object::text(spec, "name") == name && is_sidecar(spec));
            let mut all = Restarts { count: self.restarts, last: self.restarted_at };
            all.add(status);
            (self.restarts, self.restarted_at) = (all.count, all.last);
            if sidecar {
                sidecars.add(status);
            }
            if let Some(terminated) = state(status, "terminated") {
                if exit_code(terminated) == 0 {
                    continue;
                }
                self.reason = format!("Init:{}", how_it_ended(terminated));
                return true;
            }
            if sidecar && object::flag(status, "started") == Some(true) {
                self.ready += usize::from(object::flag(status, "ready") == Some(true));
                continue;
            }
            let waiting = state(status, "waiting").map_or("", |waiting| object::text(waiting, "reason"));
            self.reason = match waiting {
                "" | "PodInitializing" => format!("Init:{index}/{}", specs.len()),
                reason => format!("Init:{reason}"),
            };
            return true;
        }
        false
    }

    /// Looks at the containers proper. The first that is not well has the last word.
    fn run(&mut self, pod: &Value, mut restarts: Restarts) {
        let mut any_runs = false;
        for status in object::list(pod, "status.containerStatuses").iter().rev() {
            restarts.add(status);
            let waiting = state(status, "waiting").map_or("", |waiting| object::text(waiting, "reason"));
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if let Some(terminated) = state(status, "terminated") {
                self.reason = how_it_ended(terminated);
            } else if object::flag(status, "ready") == Some(true) && state(status, "running").is_some() {
                any_runs = true;
                self.ready += 1;
            }
        }
        (self.restarts, self.restarted_at) = (restarts.count, restarts.last);
        if self.reason == "Completed" && any_runs {
            let ready = object::has_condition(pod, "Ready");
            self.reason = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
}

/// How often containers were started again, and when last.
#[derive(Clone, Copy, Debug, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
        let ended = time::parse(object::text(status, "lastState.terminated.finishedAt"));
        self.last = self.last.max(ended);
    }
}

fn state<'a>(status: &'a Value, which: &str) -> Option<&'a Value> {
    status.get("state")?.get(which).filter(|state| state.is_object())
}

fn exit_code(terminated: &Value) -> i64 {
    terminated.get("exitCode").and_then(Value::as_i64).unwrap_or(0)
}

fn how_it_ended(terminated: &Value) -> String {
    let signal = terminated.get("signal").and_then(Value::as_i64).unwrap_or(0);
    match (object::text(terminated, "reason"), signal) {
        ("", 0) => format!("ExitCode:{}", exit_code(terminated)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
